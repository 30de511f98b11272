"""Memory that is kept from run to run and grows where a run needs more."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trtdsl.runtime.device import Device, Memory

Array = np.ndarray[Any, Any]


class Buffer:
    """One piece of memory that only grows; `allocate` makes one of so many bytes."""

    def __init__(self, allocate: Callable[[int], Memory]) -> None:
        self._allocate = allocate
        self._memory: Memory | None = None

    def reserve(self, size: int) -> Memory:
        """Memory for so many bytes. What was there before is given up only where it is too small."""
        if self._memory is None or self._memory.size < size:
            self._memory = None  # both need not fit at once
            self._memory = self._allocate(size)
        return self._memory

    def give_away(self) -> None:
        """Leave the memory to whoever has it by now, and take another piece the next time."""
        self._memory = None


class Buffers:
    """The memory of one context, by what it is for."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._device: dict[str, Buffer] = {}
        self._pinned: dict[str, Buffer] = {}

    def on_device(self, name: str) -> Buffer:
        """The memory of a tensor on the device."""
        return self._device.setdefault(name, Buffer(self.device.allocate))

    def pinned(self, name: str, shape: tuple[int, ...], dtype: str) -> Array:
        """An array in page-locked memory for the elements of a tensor on their way; it lasts until the next one."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self._pinned.setdefault(name, Buffer(self.device.allocate_pinned)).reserve(size)
        return array_at(memory.address, shape, dtype)


def array_at(address: int, shape: tuple[int, ...], dtype: str) -> Array:
    """Memory of the host as an array, which is good for as long as somebody else keeps the memory."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw: Array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
    return raw.view(dtype).reshape(shape)


def pinned_array(device: Device, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of zeros in page-locked memory, which lasts as long as the array does."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = device.allocate_pinned(size)
    raw: Any = (ctypes.c_uint8 * size).from_address(memory.address)
    raw.memory = memory  # arrays keep what they are made of
    array: Array = np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
    array[...] = 0
    return array


def make_allocator_type(trt: Any) -> Any:
    """The class of TensorRT's IOutputAllocator for outputs whose size the data decide.

    One made with a buffer has `memory` and `shape` of the output after a run.
    """

    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self, buffer: Buffer) -> None:
            trt.IOutputAllocator.__init__(self)
            self._buffer = buffer
            self.memory = buffer.reserve(1)
            self.shape: tuple[int, ...] = ()

        def reallocate_output(self, name: str, old: int, size: int, alignment: int) -> int:
            self.memory = self._buffer.reserve(size)
            return self.memory.address

        def reallocate_output_async(self, name: str, old: int, size: int, alignment: int, stream: int) -> int:
            return self.reallocate_output(name, old, size, alignment)

        def notify_shape(self, name: str, shape: Any) -> None:
            self.shape = tuple(shape)

    return Allocator
