"""Arrays as users give them: of numpy, or with DLPack or `__cuda_array_interface__`, used where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.errors import RunError
from trtdsl.runtime import dlpack
from trtdsl.runtime.device import LEGACY_STREAM, Device
from trtdsl.runtime.tensors import EngineTensor
from trtdsl.types import DataType

ALIGNMENT = 256
"""Bytes on whose multiples TensorRT wants tensors to begin (setTensorAddress)."""
_ALSO = {DataType.BF16: "bfloat16", DataType.FP8: "float8_e4m3fn"}
"""Names of types whose elements numpy holds as bits."""


@dataclass(frozen=True)
class View:
    """An array where it lies: `on_device` or on the host, `pinned` there.

    `owner` keeps the memory; `after` is a stream that its elements may still be written on.
    """

    address: int
    shape: tuple[int, ...]
    nbytes: int
    on_device: bool
    owner: object
    pinned: bool = False
    after: int | None = None


def view(value: Any, tensor: EngineTensor, device: Device, stream: int, what: str = "input") -> View:
    """An array that is given for a tensor, which `stream` will read or write.

    Raises RunError for another type of elements, memory of another GPU or of none, elements that do not lie one behind
    the other, and what is no array.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return _of_numpy(np.asarray(value), tensor, device)
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _of_dlpack(value, tensor, device, stream)
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None:
        return _of_interface(value, interface, tensor, device)
    message = f"{tensor.name}: a {type(value).__name__} is no array"
    hint = f"an {what} is an array of numpy, or an object with `__dlpack__` or `__cuda_array_interface__`"
    raise RunError.of("input-value", message, hint=hint)


def _of_numpy(array: np.ndarray[Any, Any], tensor: EngineTensor, device: Device) -> View:
    _check_type(tensor, array.dtype.name)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dense = np.ascontiguousarray(array).reshape(array.shape)
    address = dense.ctypes.data
    pinned = not tensor.on_host and bool(dense.nbytes) and device.pointer(address).memory == "pinned"
    return View(address, array.shape, dense.nbytes, False, dense, pinned)


def _of_dlpack(value: Any, tensor: EngineTensor, device: Device, stream: int) -> View:
    kind, index = (int(entry) for entry in value.__dlpack_device__())
    on_device = kind in (dlpack.CUDA, dlpack.CUDA_MANAGED)
    if not on_device and kind not in (dlpack.CPU, dlpack.CUDA_HOST):
        raise RunError.of("input-value", f"{tensor.name} lies on a device that is no GPU of CUDA's")
    if on_device and kind == dlpack.CUDA and index != device.index:
        raise _elsewhere(tensor, device, index)
    try:
        # The producer makes our stream wait for what it has under way: 0 is no stream in this protocol.
        capsule = value.__dlpack__(stream=stream or LEGACY_STREAM) if on_device else value.__dlpack__()
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise RunError.of("input-value", f"{tensor.name} cannot be used as it is: {error}") from None
    found = dlpack.read(capsule)
    _check_type(tensor, found.dtype)
    if on_device:
        _check_dense(tensor, found.shape, found.strides)
        return _device_view(tensor, found.address, found.shape, (capsule, value), None)
    if found.strides is not None and not _is_dense(found.shape, found.strides):
        raise _not_dense(tensor)
    nbytes = _nbytes(tensor, found.shape)
    return View(found.address, found.shape, nbytes, False, (capsule, value), kind == dlpack.CUDA_HOST)


def _of_interface(value: Any, interface: Any, tensor: EngineTensor, device: Device) -> View:
    address, _ = interface["data"]
    shape = tuple(int(size) for size in interface["shape"])
    dtype = np.dtype(interface["typestr"])
    _check_type(tensor, dtype.name)
    if interface.get("mask") is not None:
        raise RunError.of("input-value", f"{tensor.name} has a mask, which no engine takes")
    strides = interface.get("strides")
    in_elements = None if strides is None else tuple(int(stride) // dtype.itemsize for stride in strides)
    _check_dense(tensor, shape, in_elements)
    address = int(address or 0)
    if _nbytes(tensor, shape):
        place = device.pointer(address)
        if place.memory in ("pageable", "pinned"):
            raise RunError.of("input-value", f"{tensor.name} points to {address:#x}, which is no memory of a GPU")
        if place.memory == "device" and place.gpu != device.index:
            raise _elsewhere(tensor, device, place.gpu)
    return _device_view(tensor, address, shape, value, interface.get("stream"))


def _device_view(tensor: EngineTensor, address: int, shape: tuple[int, ...], owner: object, after: int | None) -> View:
    if tensor.on_host:
        message = f"{tensor.name} is a shape that the engine reads on the host, not on the GPU"
        raise RunError.of("input-value", message, hint="give it as an array of numpy")
    if address % ALIGNMENT:
        message = f"{tensor.name} begins at {address:#x}; TensorRT wants a multiple of {ALIGNMENT} bytes"
        raise RunError.of("input-value", message, hint="a copy of it begins at one")
    return View(address, shape, _nbytes(tensor, shape), True, owner, after=after)


def _nbytes(tensor: EngineTensor, shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count * np.dtype(tensor.dtype.storage).itemsize


def _check_type(tensor: EngineTensor, found: str) -> None:
    wanted = tensor.dtype
    if found not in (wanted.storage, _ALSO.get(wanted)):
        held = f"{wanted.storage} elements" if wanted not in _ALSO else f"{wanted}, or {wanted.storage} as its bits"
        raise RunError.of("input-value", f"{tensor.name} takes {held}, not {found}")


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _check_dense(tensor: EngineTensor, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> None:
    if strides is not None and 0 not in shape and not _is_dense(shape, strides):
        raise _not_dense(tensor)


def _not_dense(tensor: EngineTensor) -> RunError:
    message = f"{tensor.name} has elements that do not lie one behind the other"
    return RunError.of("input-value", message, hint="make it contiguous first")


def _elsewhere(tensor: EngineTensor, device: Device, index: int) -> RunError:
    return RunError.of("input-value", f"{tensor.name} lies on GPU {index}, and the engine runs on GPU {device.index}")
