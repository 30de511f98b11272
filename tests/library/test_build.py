"""Libraries of plugins on the command line: kept, found again, and told what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trtdsl import library
from trtdsl.cli.main import main
from trtdsl.errors import BuildError
from trtdsl.library.build import LibrarySources, build_library, cached_library, kept_folder, library_key
from trtdsl.library.build import compile_library as compile_sources
from trtdsl.library.scaffold import new_plugin
from trtdsl.library.toolchain import Toolchain

COMPILER = Toolchain(Path("nvcc"), "13.0", Path("/cuda"), (75, 90))
NO_LAUNCH = "undefined reference to `trtdsl::swish::launch(trtdsl::swish::Params const&, trtdsl::Tensor const*, "
FOLDERS = {
    "swish": "Swish",
    "double_swish": "DoubleSwish",
    "my-plugin": "Swoosh",
    "double": "Swoosh",
    "common": "Swoosh",
    "another": "Swish",
    "other/swish": "Swoosh",
}
REFUSED = {
    "a kernel": ("x * factor", "x * factr", 'kernel.cu(10): error: identifier "factr" is undefined'),
    "a header": (
        "common/elementwise.cuh",
        "common/nothing.cuh",
        "kernel.cu:3:10: fatal error: common/nothing.cuh: No such",
    ),
    "the linker": ("cudaError_t launch(", "cudaError_t start(", NO_LAUNCH),
}
"""What of a kernel is replaced by what, and the complaint."""


def test_the_key_has_all_that_changes_a_library(tmp_path: Path) -> None:
    new_plugin("Swish", tmp_path)
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


def test_sources_in_folders_of_a_plugin_change_its_library(tmp_path: Path) -> None:
    new_plugin("Swish", tmp_path)
    detail = tmp_path / "swish" / "detail" / "table.cuh"
    detail.parent.mkdir()
    keys = set()
    for text in ("1", "2"):
        detail.write_text(text)
        keys.add(library_key(LibrarySources.of([tmp_path / "swish"]), (8, 6), COMPILER, "90"))
    assert len(keys) == 2


@pytest.mark.parametrize(("right", "wrong", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_shown(right: str, wrong: str, complaint: str, tmp_path: Path, toolchain: Toolchain) -> None:
    new_plugin("Swish", tmp_path)
    kernel = tmp_path / "swish" / "kernel.cu"
    kernel.write_text(kernel.read_text().replace(right, wrong))
    sources = LibrarySources.of([kernel.parent])
    with pytest.raises(BuildError) as caught:
        compile_sources(sources, None, toolchain, toolchain.architectures((90,)), tmp_path / "scratch")
    [problem] = caught.value.diagnostics
    lines = problem.message.splitlines()
    assert lines[0] == "the library of plugins was not compiled:"
    # The complaint comes first, but for a line that says where; nothing of what build tools say of their own.
    assert any(complaint in line for line in lines[1:3]), problem.message
    assert not any("FAILED" in line or " -o " in line for line in lines), problem.message


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


def test_folders_that_make_no_library(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, name in FOLDERS.items():
        folder = tmp_path / path
        folder.mkdir(parents=True)
        statement = "help: .\ninputs: {x: {}}\noutputs: {y: {shape: x}}\nformats: [[fp32, linear]]\n"
        (folder / "plugin.yaml").write_text(f"plugin: {name}\n{statement}")
    cases = {
        "empty has no plugin.yaml": ["empty"],
        "my-plugin: the folder's name is a namespace in C++, made of letters": ["my-plugin"],
        "double: the folder's name is a namespace in C++, and `double` a word of that": ["double"],
        "common: `common` holds what all plugins share": ["common"],
        "two of these plugins, or their folders, are called Swish": ["swish", "another"],
        "two of these plugins, or their folders, are called swish": ["swish", "other/swish"],
    }
    for said, folders in cases.items():
        with pytest.raises(BuildError, match=re.escape(said)):
            LibrarySources.of([tmp_path / folder for folder in folders])
    assert LibrarySources.of([tmp_path / "swish", tmp_path / "double_swish"]).name == "swish"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin's folder, and a compiler that writes a file."""
    import trtdsl.library.build as module

    def compile_library(sources: LibrarySources, *_: object) -> tuple[Path, ...]:
        made = tmp_path / f"lib{sources.name}.so"
        made.write_bytes(b"library")
        return (made,)

    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "compile_library", compile_library)
    monkeypatch.setattr(library, "find_toolchain", lambda: COMPILER)
    monkeypatch.setattr(library, "find_headers", lambda *_: tmp_path)
    new_plugin("Swish", tmp_path)
    return tmp_path / "swish"


def built(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plugins", "build", "--tensorrt-version", "8.6", *map(str, arguments)])


def test_a_library_of_ones_own_is_written_into_its_folder(written: Path) -> None:
    done = built(written)
    assert done.output == f"compiling with nvcc 13.0 …\n{written / 'libswish.so'}: Swish, for TensorRT 8.6\n"
    assert (written / "libswish.so").read_bytes() == b"library"
    output = written.parent / "elsewhere.so"
    assert built(written, "-o", output).output == f"{output}: Swish, for TensorRT 8.6 (was there)\n"
    assert output.read_bytes() == b"library"


def test_places_that_cannot_be_written(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = written / "kernel.cu"
    output = in_the_way / "lib.so"
    refused = built(written, "-o", output)
    assert refused.exit_code == 1
    assert str(in_the_way) in refused.output
    assert "compiling" not in refused.output
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(in_the_way / "cache"))
    refused = built(written)
    assert refused.exit_code == 1
    assert str(in_the_way / "cache") in refused.output
    assert "compiling" not in refused.output
