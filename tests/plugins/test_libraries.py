"""Libraries of plugins: what is wrong with one that does not load, and that each is loaded once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plugins.real import compiled
from trtdsl.plugins.elf import NotALibrary, needed_libraries
from trtdsl.plugins.libraries import LibraryError, demangled, load_library, tensorrt_of


class Registry:
    """A registry whose creators come with libraries that TensorRT is told to load."""

    def __init__(self) -> None:
        self.all_creators: list[Any] = []
        self.loaded: list[str] = []

    def load_library(self, path: str) -> object:
        self.loaded.append(path)
        self.all_creators.append(SimpleNamespace(name="Made", plugin_version="1", plugin_namespace=""))
        return object()


class Module:
    """TensorRT's module, as far as libraries are concerned."""

    def __init__(self) -> None:
        self.registry = Registry()

    def get_plugin_registry(self) -> Registry:
        return self.registry


def source(folder: Path, text: str) -> Path:
    path = folder / "source.cpp"
    path.write_text(text)
    return path


def stub(folder: Path, major: int) -> Path:
    """An empty library under TensorRT's name."""
    options = (f"-Wl,-soname,libnvinfer.so.{major}", "-Wl,--no-as-needed")
    return compiled(source(folder, ""), folder / f"libnvinfer.so.{major}", *options)


def loading(path: Path, version: tuple[int, ...] = (10, 15, 1), module: Module | None = None) -> Any:
    return load_library(path, module or Module(), version, f"TensorRT {'.'.join(map(str, version))}")


def refused(path: Path, version: tuple[int, ...] = (10, 15, 1)) -> LibraryError:
    with pytest.raises(LibraryError) as caught:
        loading(path, version)
    return caught.value


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    assert (
        refused(tmp_path / "libnone.so").message == f"{tmp_path}/libnone.so cannot be read: no such file or directory"
    )


DAMAGED = {
    "text": (b"this is text, no library", "it is no ELF file"),
    "empty": (b"", "it is no ELF file"),
    "32 bits": (b"\x7fELF\x01\x01" + bytes(58), "it is not for a machine of 64 bits"),
    "cut": (b"\x7fELF\x02\x01\x01" + bytes(40), "its ELF header is damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_no_library(tmp_path: Path, name: str) -> None:
    content, message = DAMAGED[name]
    (tmp_path / "lib.so").write_bytes(content)
    assert message in refused(tmp_path / "lib.so").message
    with pytest.raises(NotALibrary):
        needed_libraries(tmp_path / "lib.so")


def test_a_library_that_is_cut_short_never_breaks_the_reader(tmp_path: Path) -> None:
    whole = compiled(source(tmp_path, "int answer() { return 42; }"), tmp_path / "whole.so").read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / "cut.so").write_bytes(whole[:size])
        try:
            needed_libraries(tmp_path / "cut.so")
        except NotALibrary:
            continue


def test_a_library_for_another_tensorrt(tmp_path: Path) -> None:
    options = ("-Wl,--no-as-needed", str(stub(tmp_path, 8)))
    library = compiled(source(tmp_path, ""), tmp_path / "libold.so", *options)
    assert tensorrt_of(library) == 8
    error = refused(library)
    assert "libold.so is built for TensorRT 8 (it needs libnvinfer.so.8), and this is TensorRT 10.15.1" in error.message
    assert error.hint == "build it for TensorRT 10, or use TensorRT 8"


def test_a_library_that_lacks_a_symbol(tmp_path: Path) -> None:
    text = "namespace deep { int missing(float); } int use() { return deep::missing(1.0f); }"
    library = compiled(source(tmp_path, text), tmp_path / "liblacking.so")
    message = refused(library).message
    assert message.startswith("liblacking.so does not load: it lacks deep::missing(float) (_ZN4deep7missingEf), which")


def test_a_library_that_needs_one_that_is_not_found(tmp_path: Path) -> None:
    needed = compiled(
        source(tmp_path, "int helper() { return 1; }"), tmp_path / "libhelper.so", "-Wl,-soname,libhelper.so.7"
    )
    library = compiled(
        source(tmp_path, "int helper(); int use() { return helper(); }"), tmp_path / "libuser.so", str(needed)
    )
    error = refused(library)
    assert error.message == "libuser.so does not load: it needs libhelper.so.7, which is not found"
    assert error.hint == "put its folder on LD_LIBRARY_PATH"


def test_creators_that_tensorrt_registers(tmp_path: Path) -> None:
    text = 'extern "C" void* getCreators(int* count) { *count = 0; return nullptr; }'
    library = compiled(source(tmp_path, text), tmp_path / "libentry.so")
    module = Module()
    loaded = loading(library, module=module)
    assert loaded.creators == {("Made", "1", "")}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "libentry.so").symlink_to(library)
    # The same file under another name is the same library.
    assert loading(tmp_path / "other" / "libentry.so", module=module) == loaded
    assert module.registry.loaded == [str(library)]


def test_creators_that_register_themselves(tmp_path: Path) -> None:
    module = Module()
    library = compiled(source(tmp_path, "int answer() { return 42; }"), tmp_path / "libplain.so")
    assert loading(library, module=module).creators == frozenset()
    assert module.registry.loaded == []


def test_names_of_symbols() -> None:
    assert demangled("_ZNK3one3twoEv") == "one::two() const"
    assert demangled("getPluginRegistry") == "getPluginRegistry"
