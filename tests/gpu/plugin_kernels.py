"""The bundled plugins' kernels, called with PyTorch's tensors and without TensorRT.

Needs PyTorch, and the library of the target `trtdsl_kernels`. What a kernel's parameters are, its plugin.yaml says.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.fields import FieldDeclaration, FieldType, coerce
from trtdsl.types import Dim

_DTYPES = {torch.float32: 0, torch.float16: 1}
_LAYOUTS = {"linear": 0, "hwc8": 1}
_CTYPES: Mapping[FieldType, Any] = {
    FieldType.FP32: ctypes.c_float,
    FieldType.FP64: ctypes.c_double,
    FieldType.INT8: ctypes.c_int8,
    FieldType.INT16: ctypes.c_int16,
    FieldType.INT32: ctypes.c_int32,
    FieldType.INT64: ctypes.c_int64,
    FieldType.BOOL: ctypes.c_int32,
}
_TORCH_TYPES = {ctypes.c_float: torch.float32, ctypes.c_int32: torch.int32}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("layout", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("dims", ctypes.c_int64 * 8),
    )


class _Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int32))


@dataclass
class Stored:
    """A tensor as it lies in memory: `data` is [batch, height, width, channels, rounded up] where that is hwc8."""

    data: torch.Tensor
    shape: tuple[int, ...]
    layout: str = "linear"

    @classmethod
    def of(cls, x: torch.Tensor, layout: str, filling: float = math.nan) -> Stored:
        """The channels that only fill up are NaN unless said, so that a kernel that reads them shows it."""
        stored = cls.empty(tuple(x.shape), x.dtype, layout, filling)
        if layout == "hwc8":
            stored.data[..., : x.shape[1]] = x.permute(0, 2, 3, 1)
        else:
            stored.data.copy_(x)
        return stored

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: torch.dtype, layout: str, filling: float = math.nan) -> Stored:
        return cls(torch.full(stored_shape(shape, layout), filling, dtype=dtype, device="cuda"), shape, layout)

    def logical(self) -> torch.Tensor:
        """[batch, channels, height, width]."""
        return self.data[..., : self.shape[1]].permute(0, 3, 1, 2) if self.layout == "hwc8" else self.data

    def described(self) -> _Tensor:
        dims = (ctypes.c_int64 * 8)(*self.shape)
        return _Tensor(self.data.data_ptr(), _DTYPES[self.data.dtype], _LAYOUTS[self.layout], len(self.shape), dims)


def stored_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The sizes in memory."""
    if layout == "linear":
        return shape
    batch, channels, height, width = shape
    return batch, height, width, -(-channels // 8) * 8


class Refused(Exception):
    """The kernel's own check said no."""


@dataclass(frozen=True)
class Launch:
    """Launches a kernel, each time it is called, on PyTorch's current stream."""

    plugin: str
    start: Callable[[ctypes.c_void_p], int]
    kept: tuple[Any, ...]
    """What the arguments of `start` point to: they are addresses, and memory that nobody keeps is soon another's."""

    def __call__(self) -> None:
        if error := self.start(ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)):
            raise RuntimeError(f"{self.plugin}: CUDA error {error}")


class Kernel:
    """One plugin's launcher with its fields set."""

    def __init__(self, library: ctypes.CDLL, declaration: PluginDeclaration, fields: Mapping[str, Any]) -> None:
        self.declaration = declaration
        self._kept: list[Any] = []
        """Arrays that the parameters point to."""
        given = {name: coerce(value, _declared(declaration, name)) for name, value in fields.items()}
        self._variables = lambda shapes: declaration.variables(given, shapes)
        elements = {field.name: given.get(field.name, field.default) for field in declaration.fields}
        types = [(field.name, self._ctype(field)) for field in declaration.fields]
        structure = type("Params", (ctypes.Structure,), {"_fields_": types})
        self._params = structure(
            **{field.name: self._value(field, elements[field.name]) for field in declaration.fields}
        )
        prefix = f"trtdsl_{declaration.folder}"
        self._launch = getattr(library, f"{prefix}_launch")
        self._workspace_size = getattr(library, f"{prefix}_workspace_size")
        self._workspace_size.restype = ctypes.c_size_t
        self._check = getattr(library, f"{prefix}_check")
        self._check.restype = ctypes.c_char_p

    def output_shapes(self, inputs: Sequence[Stored | None]) -> list[tuple[int, ...]]:
        """The shapes that the plugin.yaml promises. Raises Refused."""
        described = self._all(inputs)
        if complaint := self._check(ctypes.byref(self._params), described):
            raise Refused(complaint.decode())
        names = [declared.name for declared in self.declaration.inputs]
        shapes = {
            name: tuple(map(Dim.of, given.shape)) if given else None for name, given in zip_longest(names, inputs)
        }
        found = self.declaration.output_shapes(self._variables(shapes))
        return [tuple(dim.value for dim in shape) for shape in found.values()]

    def bound(self, inputs: Sequence[Stored | None], outputs: Sequence[Stored]) -> Launch:
        """With all that a launch needs."""
        ins, outs = self._all(inputs), (_Tensor * len(outputs))(*[output.described() for output in outputs])
        params = ctypes.byref(self._params)
        workspace = torch.empty(self._workspace_size(params, ins, outs), dtype=torch.uint8, device="cuda")
        start = partial(self._launch, params, ins, outs, ctypes.c_void_p(workspace.data_ptr()))
        return Launch(self.declaration.name, start, (self, *inputs, *outputs, workspace))

    def run(self, inputs: Sequence[torch.Tensor | None], layout: str = "linear") -> list[Stored]:
        """The outputs for these inputs, which are brought into the layout."""
        stored = [None if x is None else Stored.of(x, layout) for x in inputs]
        dtype = next(x.dtype for x in inputs if x is not None)
        outputs = [Stored.empty(shape, dtype, layout) for shape in self.output_shapes(stored)]
        self.bound(stored, outputs)()
        return outputs

    def _all(self, inputs: Sequence[Stored | None]) -> Any:
        """Every input that is declared; those that are left out have no data."""
        described = [_Tensor() if given is None else given.described() for given in inputs]
        return (_Tensor * len(self.declaration.inputs))(*described)

    def _ctype(self, field: FieldDeclaration) -> Any:
        if not field.is_list:
            return _CTYPES[field.type]  # type: ignore[index]
        return _Array if field.length is None or field.on_device else _CTYPES[field.type] * field.length  # type: ignore[index]

    def _value(self, field: FieldDeclaration, elements: Any) -> Any:
        if not field.is_list:
            return elements[0]
        element = _CTYPES[field.type]  # type: ignore[index]
        if self._ctype(field) is not _Array:
            return (element * len(elements))(*elements)
        if field.on_device:
            array = torch.tensor(elements, dtype=_TORCH_TYPES[element], device="cuda")
            address = array.data_ptr() if elements else None
        else:
            array = (element * len(elements))(*elements)
            address = ctypes.addressof(array)
        self._kept.append(array)
        return _Array(address, len(elements))


class Kernels:
    """The library of all bundled kernels."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def make(self, plugin: str, **fields: Any) -> Kernel:
        """A plugin's kernel; fields are given as in YAML."""
        return Kernel(self._library, bundled_plugins()[plugin], fields)


def _declared(declaration: PluginDeclaration, name: str) -> FieldDeclaration:
    field = declaration.field(name)
    assert field is not None, f"{declaration.name} has no {name}"
    return field
