"""DLPack's capsules, read and made: how arrays of other packages are used where they lie.

Layout of the structures: https://dmlc.github.io/dlpack/latest/c_api.html, the form without a version in front, which
all producers give who are not asked for another and all consumers take.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
"""DLPack's numbers for where memory lies."""
_NAME = b"dltensor"
_CODES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool", 10: "float8_e4m3fn"}
_NUMPY_NAMES = {"bool8": "bool", "float8_e4m3fn8": "float8_e4m3fn"}
_EXPORTED = {
    "float32": (2, 32),
    "float16": (2, 16),
    "bfloat16": (4, 16),
    "float8_e4m3fn": (10, 8),
    "int64": (0, 64),
    "int32": (0, 32),
    "int8": (0, 8),
    "uint8": (1, 8),
    "bool": (6, 8),
}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("holder", ctypes.c_void_p), ("delete", ctypes.c_void_p))


@dataclass(frozen=True)
class Described:
    """An array of somebody else's: `strides` are in elements, None where it is dense; `dtype` is numpy's name.

    Elements of a type that numpy has no name for are called as in `ml_dtypes`.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str
    device: tuple[int, int]


def read(capsule: Any) -> Described:
    """What a capsule describes. It is not used up: the array is there for as long as the capsule is.

    Raises ValueError for what is no capsule of DLPack.
    """
    address = _get_pointer(capsule, _NAME)
    tensor = _Managed.from_address(address).tensor
    count = range(tensor.ndim)
    strides = tuple(tensor.strides[axis] for axis in count) if tensor.strides else None
    return Described(
        (tensor.data or 0) + tensor.byte_offset,
        tuple(tensor.shape[axis] for axis in count),
        strides,
        _name(tensor.code, tensor.bits, tensor.lanes),
        (tensor.device_type, tensor.device_id),
    )


def _name(code: int, bits: int, lanes: int) -> str:
    name = f"{_CODES.get(code, f'type {code} of ')}{bits}" + (f" x {lanes}" if lanes != 1 else "")
    return _NUMPY_NAMES.get(name, name)


def make(address: int, shape: tuple[int, ...], dtype: str, device: tuple[int, int], owner: object) -> Any:
    """A capsule for a dense array, which keeps its owner alive for as long as its consumer keeps it."""
    return _new_capsule(
        _Export(address, shape, dtype, device, owner).lend(), _NAME, ctypes.cast(_destroy_capsule, ctypes.c_void_p)
    )


class _Export:
    """The structures of one capsule, which live until its consumer says that it is done."""

    def __init__(
        self, address: int, shape: tuple[int, ...], dtype: str, device: tuple[int, int], owner: object
    ) -> None:
        self._owner = owner
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
        self._sizes = (ctypes.c_int64 * len(shape))(*shape), (ctypes.c_int64 * len(shape))(*strides)
        code, bits = _EXPORTED[dtype]
        tensor = _Tensor(address, *device, len(shape), code, bits, 1, self._sizes[0], self._sizes[1], 0)
        self._managed = _Managed(tensor, id(self), ctypes.cast(_delete, ctypes.c_void_p))

    def lend(self) -> int:
        """The address of the structure, with a reference that `_delete` gives back."""
        _incref(self)
        return ctypes.addressof(self._managed)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_get_pointer = _function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_new_capsule = _function("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_incref = _function("Py_IncRef", None, ctypes.py_object)
# Of a capsule that is being destroyed there may be no Python object any more, only its address.
_is_valid = _function("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer_in = _function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_decref = _function("Py_DecRef", None, ctypes.c_void_p)


def _give_up(managed: int) -> None:
    _decref(_Managed.from_address(managed).holder)


def _destroy(capsule: int) -> None:
    # A consumer that took the array over renamed the capsule, and gives it up itself.
    if _is_valid(capsule, _NAME):
        _give_up(_pointer_in(capsule, _NAME))


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_delete, _destroy_capsule = _CALLBACK(_give_up), _CALLBACK(_destroy)
