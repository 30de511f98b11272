"""Libraries of plugins: what a network names, and how they get into the process, each of them once."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trtdsl.plugins.elf import NotALibrary, needed_libraries
from trtdsl.source import Span

_ENTRY_POINTS = ("getCreators", "getPluginCreators")
"""What a library exports whose creators TensorRT registers itself; others register theirs when they are loaded."""
_TENSORRT = re.compile(r"libnvinfer(?:_plugin)?\.so\.(\d+)")
_MISSING = re.compile(r"(?:^|: )(\S+): cannot open shared object file")
_UNDEFINED = re.compile(r"undefined symbol: (\S+?)(?:,|\s|$)")


@dataclass(frozen=True)
class LibraryUse:
    """A library of plugins that a network names; `span` is None where something else does."""

    path: Path
    span: Span | None = None


class LibraryError(Exception):
    """Why a library cannot be loaded."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class LoadedLibrary:
    """A library that is in the process. `creators` are those that came with it: (name, version, namespace)."""

    path: Path
    creators: frozenset[tuple[str, str, str]]


def tensorrt_of(path: Path) -> int | None:
    """The TensorRT that a library is linked to, by its first number; None for one linked to none.

    Raises NotALibrary, OSError.
    """
    for name in needed_libraries(path):
        if match := _TENSORRT.fullmatch(name):
            return int(match[1])
    return None


def load_library(path: Path, trt: Any, version: tuple[int, ...], label: str) -> LoadedLibrary:
    """Load a library of plugins into a process that has TensorRT's module `trt`; `label` is what messages call that.

    Raises LibraryError, which says what is missing.
    """
    try:
        built_for = tensorrt_of(path)
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except NotALibrary as error:
        raise LibraryError(f"{path} is no library of plugins: {error}") from None
    if built_for is not None and version and built_for != version[0]:
        raise LibraryError(
            f"{path} is built for TensorRT {built_for} (it needs libnvinfer.so.{built_for}), and this is {label}",
            f"build it for TensorRT {version[0]}, or use TensorRT {built_for}",
        )
    return _load(str(path.resolve()), trt, version[0] if version else 0)


@cache
def _load(path: str, trt: Any, major: int) -> LoadedLibrary:
    """Load it, which a process does once: a library that is loaded stays, and what it registered with it."""
    registry = trt.get_plugin_registry()
    before = keys_of(registry)
    handle = _open(path, major)
    # One that exports an entry point may have registered its creators by itself all the same.
    if keys_of(registry) == before and any(hasattr(handle, name) for name in _ENTRY_POINTS):
        registry.load_library(path)
    return LoadedLibrary(Path(path), frozenset(keys_of(registry) - before))


def _open(path: str, major: int) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        if not _UNDEFINED.search(str(error)):
            raise _refused(path, str(error)) from None
    # Libraries that are not linked to TensorRT count on finding it in the process.
    for name in (f"libnvinfer.so.{major}", f"libnvinfer_plugin.so.{major}"):
        try:
            ctypes.CDLL(name, mode=os.RTLD_GLOBAL | os.RTLD_NOLOAD | os.RTLD_LAZY)
        except OSError:
            continue
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise _refused(path, str(error)) from None


def _refused(path: str, said: str) -> LibraryError:
    name = Path(path).name
    if match := _UNDEFINED.search(said):
        symbol = match[1]
        readable = demangled(symbol)
        known = f"{readable} ({symbol})" if readable != symbol else symbol
        hint = "link the library to what has that, or load that library before this one"
        return LibraryError(f"{name} does not load: it lacks {known}, which no library that it is linked to has", hint)
    if match := _MISSING.search(said):
        hint = "put its folder on LD_LIBRARY_PATH"
        return LibraryError(f"{name} does not load: it needs {match[1]}, which is not found", hint)
    return LibraryError(f"{name} does not load: {said.removeprefix(f'{path}: ')}")


def demangled(symbol: str) -> str:
    """A symbol as C++ has it, where that can be told."""
    try:
        library = ctypes.CDLL("libstdc++.so.6")
        function = library.__cxa_demangle
    except (OSError, AttributeError):
        return symbol
    function.restype = ctypes.c_void_p
    status = ctypes.c_int()
    text = function(symbol.encode(), None, None, ctypes.byref(status))
    if not text:
        return symbol
    try:
        return (ctypes.string_at(text) or symbol.encode()).decode()
    finally:
        free = ctypes.CDLL(None).free
        free.argtypes = [ctypes.c_void_p]
        free(text)


def keys_of(registry: Any) -> set[tuple[str, str, str]]:
    """Name, version and namespace of every creator of a registry."""
    return {(creator.name, creator.plugin_version, creator.plugin_namespace) for creator in creators_of(registry)}


def creators_of(registry: Any) -> Iterable[Any]:
    """The creators of a registry, V2 and V3; TensorRT 8.6 knows V2 only and has another name for the list."""
    found: Iterable[Any] = registry.all_creators if hasattr(registry, "all_creators") else registry.plugin_creator_list
    return found
