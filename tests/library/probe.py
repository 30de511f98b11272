"""What is generated of plugins, compiled without CUDA and TensorRT: fields, checks and shapes as C++ has them."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.plugins.real import cxx_for
from trtdsl.library.generate import generate
from trtdsl.plugins.bundled import plugins_folder
from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.fields import Elements, FieldType

HERE = Path(__file__).parent
PACKED = {
    FieldType.FP16: "e", FieldType.FP32: "f", FieldType.FP64: "d", FieldType.INT8: "b", FieldType.INT16: "h",
    FieldType.INT32: "i", FieldType.INT64: "q", FieldType.BOOL: "i", FieldType.CHAR: "B", FieldType.DIMS: "q",
}  # fmt: skip
TYPES = tuple(FieldType)
_CUDA = (
    "#pragma once\nenum cudaError_t { cudaSuccess };\ntypedef struct CUstream_st* cudaStream_t;\n#include <cstddef>\n"
)
_KERNEL = """\
#include "{folder}/plugin.h"
size_t trtdsl::{folder}::workspace_size(const Params&, const Tensor*, const Tensor*) {{ return 0; }}
cudaError_t trtdsl::{folder}::launch(const Params&, const Tensor*, const Tensor*, void*, cudaStream_t) {{
  return cudaSuccess;
}}
"""


class Given(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("is_known", ctypes.c_bool),
        ("data", ctypes.c_char_p),
        ("length", ctypes.c_int32),
    )


class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("layout", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("dims", ctypes.c_int64 * 8),
    )


def packed(kind: FieldType, elements: Elements) -> bytes:
    """Elements as a creator finds them in memory."""
    if isinstance(elements, str):
        return elements.encode()
    flat = elements[0] if kind is FieldType.DIMS else elements
    return struct.pack(f"<{len(flat)}{PACKED[kind]}", *flat)  # type: ignore[arg-type]


class Refused(Exception):
    """What C++ says is wrong."""


class Probe:
    """The compiled sources of some plugins."""

    def __init__(self, declarations: Sequence[PluginDeclaration], folder: Path) -> None:
        generate(declarations, folder)
        (folder / "cuda_runtime_api.h").write_text(_CUDA)
        for one in declarations:
            (folder / f"{one.folder}_kernel.cpp").write_text(_KERNEL.format(folder=one.folder))
        root = plugins_folder()
        sources = [*folder.glob("*.cpp"), root / "common" / "plugin.cpp", HERE / "probe.cpp"]
        flags = ["-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        # What C++ leaves undefined ends the process.
        sanitized = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
        command = [
            cxx_for("what is generated"),
            *flags,
            *sanitized,
            "-I",
            folder,
            "-I",
            root,
            *sources,
            "-o",
            folder / "probe.so",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.library = ctypes.CDLL(str(folder / "probe.so"))
        for name in ("probe_make", "probe_check", "probe_restore"):
            getattr(self.library, name).restype = ctypes.c_char_p
        self.declarations = list(declarations)

    def make(self, name: str, fields: Sequence[tuple[str, FieldType | None, bytes, int]]) -> tuple[Any, bytes]:
        """Params and what engines keep, of fields as (name, type, bytes, length). Raises Refused."""
        given = (Given * max(1, len(fields)))()
        for entry, (field, kind, data, length) in zip(given, fields, strict=False):
            entry.name, entry.data, entry.length = field.encode(), data, length
            entry.type, entry.is_known = TYPES.index(kind or FieldType.INT32), kind is not None
        params, stored, size = (ctypes.c_char * 512)(), (ctypes.c_uint8 * 4096)(), ctypes.c_int32()
        number = self._number(name)
        problem = self.library.probe_make(number, given, len(fields), params, stored, ctypes.byref(size))
        if problem is not None:
            raise Refused(problem.decode())
        return params, bytes(stored[: size.value])

    def of(self, name: str, values: Mapping[str, Elements]) -> Any:
        """Params with values; other fields have their defaults."""
        declared = self.declarations[self._number(name)]
        fields = []
        for field, elements in values.items():
            found = declared.field(field)
            assert found is not None
            assert found.type is not None
            data = packed(found.type, elements)
            fields.append((field, found.type, data, len(data) // struct.calcsize(PACKED[found.type])))
        return self.make(name, fields)[0]

    def restore(self, name: str, stored: bytes) -> str | None:
        problem = self.library.probe_restore(self._number(name), stored, len(stored))
        return None if problem is None else problem.decode()

    def check(self, name: str, params: Any, shapes: Sequence[Sequence[int] | None]) -> str | None:
        """What is wrong with the shapes of inputs, of which those that are None are left out."""
        problem = self.library.probe_check(self._number(name), params, _tensors(shapes))
        return None if problem is None else problem.decode()

    def shape(self, name: str, params: Any, output: int, shapes: Sequence[Sequence[int] | None]) -> list[int] | None:
        made = (ctypes.c_int64 * 8)()
        rank = self.library.probe_shape(self._number(name), params, output, _tensors(shapes), made)
        return None if rank < 0 else list(made[:rank])

    def _number(self, name: str) -> int:
        return [one.name for one in self.declarations].index(name)


def _tensors(shapes: Sequence[Sequence[int] | None]) -> Any:
    tensors = (Tensor * len(shapes))()
    for tensor, shape in zip(tensors, shapes, strict=True):
        if shape is not None:
            tensor.data, tensor.rank = 1, len(shape)
            tensor.dims[: len(shape)] = shape
    return tensors
