"""Libraries of plugins on the command line: kept, found again, and told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trtdsl.cli.plugins_build import command as build
from trtdsl.cli.plugins_new import command as new
from trtdsl.errors import BuildError, TrtdslError
from trtdsl.library.build import LibrarySources, build_library, cached_library, kept_folder, library_key
from trtdsl.library.headers import find_headers, version_of
from trtdsl.library.scaffold import snake_case
from trtdsl.library.toolchain import Toolchain

COMPILER = Toolchain(Path("nvcc"), "13.0", Path("/cuda"), (75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121))


def headers(folder: Path, major: int, minor: int) -> Path:
    folder.mkdir()
    macros = ("NV_TENSORRT", "TRT") if major >= 10 else ("NV_TENSORRT",)
    suffix = "_ENTERPRISE" if major >= 10 else ""
    lines = [f"#define TRT_MAJOR{suffix} {major}\n#define TRT_MINOR{suffix} {minor}\n"] if len(macros) > 1 else []
    if len(macros) == 1:
        lines = [f"#define NV_TENSORRT_MAJOR {major} //!< version\n#define NV_TENSORRT_MINOR {minor}\n"]
    (folder / "NvInferVersion.h").write_text("".join(lines))
    (folder / "NvInfer.h").write_text("")
    return folder


@pytest.mark.parametrize(("major", "minor"), [(8, 6), (10, 15), (11, 1)])
def test_headers_say_their_version(major: int, minor: int, tmp_path: Path) -> None:
    assert version_of(headers(tmp_path / "include", major, minor)) == (major, minor)


def test_headers_of_another_version_are_not_taken(tmp_path: Path) -> None:
    folder = headers(tmp_path / "include", 8, 6)
    assert find_headers((8, 6, 1), folder) == folder
    with pytest.raises(
        BuildError, match=r"(?s)no headers of TensorRT 10\.15; looked in.*include: those of TensorRT 8\.6"
    ):
        find_headers((10, 15), folder)


def test_headers_are_looked_for_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = headers(tmp_path / "include", 7, 2)
    monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(folder))
    assert find_headers((7, 2)) == folder


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), "75-real;80-real;86-real;89-real;90-real;100-real;120-real;120-virtual"),
        ((90, 75), "75-real;90-real;90-virtual"),
    ],
    ids=["all", "some"],
)
def test_architectures(wanted: tuple[int, ...], expected: str) -> None:
    assert COMPILER.architectures(wanted) == expected


def test_an_architecture_that_the_compiler_does_not_know() -> None:
    with pytest.raises(BuildError, match=r"nvcc 13\.0 does not compile for 70, but for 75, "):
        COMPILER.architectures((70,))


def test_the_key_has_all_that_changes_a_library(tmp_path: Path) -> None:
    new_plugin(tmp_path, "Swish")
    sources = LibrarySources.of([tmp_path / "swish"])
    keys = {
        library_key(sources, (8, 6), COMPILER, "90"),
        library_key(sources, (10, 15), COMPILER, "90"),
        library_key(sources, (8, 6), COMPILER, "75"),
        library_key(sources, (8, 6), Toolchain(Path("nvcc"), "12.9", Path("/cuda"), (90,)), "90"),
    }
    (tmp_path / "swish" / "kernel.cu").write_text("// another")
    keys.add(library_key(sources, (8, 6), COMPILER, "90"))
    assert len(keys) == 5


def new_plugin(folder: Path, name: str) -> None:
    result = CliRunner().invoke(new, [name, "--into", str(folder)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "folder"), [("Swish", "swish"), ("InstanceNormPad", "instance_norm_pad"), ("ROIAlign", "roi_align")]
)
def test_folders_of_new_plugins(name: str, folder: str) -> None:
    assert snake_case(name) == folder


def test_a_name_that_is_taken_or_none(tmp_path: Path) -> None:
    new_plugin(tmp_path, "Swish")
    for name, said in (("Swish", "is there already"), ("1st", "is no name for a plugin")):
        with pytest.raises(BuildError, match=said):
            CliRunner().invoke(new, [name, "--into", str(tmp_path)], catch_exceptions=False)


def test_what_the_compiler_refuses_is_shown(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    new_plugin(tmp_path, "Swish")
    kernel = tmp_path / "swish" / "kernel.cu"
    kernel.write_text(kernel.read_text().replace("x * factor", "x * factr"))
    with pytest.raises(
        BuildError, match=r"(?s)not compiled:.*kernel\.cu\(10\): error: identifier \"factr\" is undefined"
    ):
        build_library(LibrarySources.of([kernel.parent]), (8, 6), headers(tmp_path / "include", 8, 6), toolchain)
    assert not (tmp_path / "cache" / "plugins").exists()


def test_a_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trtdsl.library.build as module

    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    compiled = []

    def compile_library(sources: LibrarySources, *_: object) -> tuple[Path, ...]:
        compiled.append(sources.name)
        made = tmp_path / f"lib{sources.name}.so"
        made.write_bytes(b"library")
        return (made,)

    monkeypatch.setattr(module, "compile_library", compile_library)
    sources = LibrarySources.bundled()
    assert cached_library((8, 6, 1)) is None
    path, was_there = build_library(sources, (8, 6, 1), tmp_path, COMPILER)
    assert (path, was_there) == (kept_folder(sources, (8, 6)) / "libtrtdsl_plugins.so", False)
    assert build_library(sources, (8, 6, 1), tmp_path, COMPILER) == (path, True)
    assert cached_library((8, 6, 1)) == path
    assert cached_library((10, 15)) is None
    build_library(sources, (8, 6, 1), tmp_path, COMPILER, force=True)
    build_library(sources, (8, 6, 1), tmp_path, COMPILER, architectures=(90,))
    assert len(compiled) == 3


def test_a_folder_without_a_statement(tmp_path: Path) -> None:
    with pytest.raises(TrtdslError, match=r"has no plugin\.yaml"):
        CliRunner().invoke(build, ["--tensorrt-version", "8.6", str(tmp_path)], catch_exceptions=False)
