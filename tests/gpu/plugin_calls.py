"""The bundled plugins as TensorRT sees them, V2 and V3, called without TensorRT through `plugin_calls.cpp`.

Needs PyTorch, a C++ compiler, a compiled library of the plugins, and the headers of the TensorRT that it is for.
"""

from __future__ import annotations

import ctypes
import subprocess
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from plugin_kernels import Refused, Stored

from trtdsl.library.headers import version_of
from trtdsl.library.toolchain import find_cxx
from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.plugins.declaration import V2, V3
from trtdsl.plugins.fields import FieldType, coerce

HERE = Path(__file__).parent
_CUDA = HERE.parent / "plugins" / "echo" / "cuda"
# With the numbers of TensorRT's PluginFieldType.
_FIELDS: Mapping[FieldType, tuple[int, Any]] = {
    FieldType.FP32: (1, ctypes.c_float),
    FieldType.INT32: (5, ctypes.c_int32),
    FieldType.BOOL: (5, ctypes.c_int32),
}


class Unsupported(Exception):
    """The plugin does not take tensors of such types and layouts."""


class _Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_int32),
    )


class Library:
    """A library of the plugins, and what calls it."""

    def __init__(self, path: Path, headers: Path, folder: Path) -> None:
        version = version_of(headers)
        assert version is not None, f"there are no headers of TensorRT in {headers}"
        self.kinds = (V2,) if version < (10,) else (V2, V3)
        calls = folder / "plugin_calls.so"
        flags = ["-std=c++17", "-shared", "-fPIC", "-Wno-deprecated-declarations"]
        sources = ["-isystem", str(headers), "-I", str(_CUDA), str(HERE / "plugin_calls.cpp")]
        compiler = find_cxx()
        assert compiler is not None, "there is no C++ compiler"
        subprocess.run([compiler, *flags, *sources, "-ldl", "-o", str(calls)], check=True)
        self.library, self.calls = ctypes.CDLL(str(path)), ctypes.CDLL(str(calls))
        self.calls.calls_said.restype = ctypes.c_char_p
        self.calls.calls_configure.restype = ctypes.c_int64
        for name in ("make", "restored", "attached"):
            getattr(self.calls, f"calls_{name}").restype = ctypes.c_void_p

    def make(self, name: str, kind: str, fields: Mapping[str, Any]) -> Plugin:
        """A plugin that its creator makes; fields are given as in YAML. Raises Refused."""
        declaration = bundled_plugins()[name]
        given, kept = (_Field * max(1, len(fields)))(), []
        for entry, (field, value) in zip(given, fields.items(), strict=False):
            declared = declaration.field(field)
            assert declared is not None
            assert declared.type is not None
            elements = coerce(value, declared)
            entry.type, element = _FIELDS[declared.type]
            kept.append((element * len(elements))(*elements))
            entry.name, entry.length = field.encode(), len(elements)
            entry.data = ctypes.addressof(kept[-1])
        handle = ctypes.c_void_p(self.library._handle)
        return Plugin(self, self.calls.calls_make(handle, name.encode(), kind.encode(), given, len(fields)))

    def said(self) -> str:
        """What plugins logged since this was last asked."""
        said: bytes = self.calls.calls_said()
        return said.decode()


class Plugin:
    """A plugin, its copy in an engine that was read back, or that of a context. Raises Refused where there is none."""

    def __init__(self, library: Library, address: int | None) -> None:
        if not address:
            raise Refused(library.said())
        self._library, self._address = library, ctypes.c_void_p(address)
        weakref.finalize(self, library.calls.calls_drop, self._address)

    def configure(self, inputs: Sequence[Stored], outputs: Sequence[Stored]) -> int:
        """The size of its workspace, in bytes. Raises Unsupported, Refused."""
        size: int = self._library.calls.calls_configure(self._address, *_listed(inputs), *_listed(outputs))
        if size == -1:
            raise Unsupported
        if size < 0:
            raise Refused(self._library.said())
        return size

    def restored(self) -> Plugin:
        """As it comes out of an engine. Raises Refused."""
        return Plugin(self._library, self._library.calls.calls_restored(self._address))

    def attached(self) -> Plugin:
        """The copy of a context. Raises Refused."""
        return Plugin(self._library, self._library.calls.calls_attached(self._address))

    def bound(self, inputs: Sequence[Stored], outputs: Sequence[Stored], workspace: int) -> Callable[[], None]:
        """A function that puts it on PyTorch's current stream, once it is told of the shapes. Raises Refused."""
        tensors = (*_listed(inputs), *_listed(outputs))
        if self._library.calls.calls_prepare(self._address, *tensors):
            raise Refused(self._library.said())
        room = torch.empty(workspace, dtype=torch.uint8, device="cuda")

        def enqueue() -> None:
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            address = ctypes.c_void_p(room.data_ptr() or None)
            if self._library.calls.calls_enqueue(self._address, *tensors, address, stream):
                raise Refused(self._library.said())

        return enqueue


def _listed(tensors: Sequence[Stored]) -> tuple[Any, int]:
    described = [tensor.described() for tensor in tensors]
    return (type(described[0]) * len(described))(*described), len(described)
