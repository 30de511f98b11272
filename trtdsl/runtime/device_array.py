"""Arrays in a GPU's memory that other packages use where they lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trtdsl.errors import RunError
from trtdsl.runtime import dlpack
from trtdsl.runtime.device import LEGACY_STREAM, Device, Memory
from trtdsl.types import DataType

_DLPACK_NAMES = {DataType.BF16: "bfloat16", DataType.FP8: "float8_e4m3fn"}


class DeviceArray:
    """A dense array on a GPU, for PyTorch, CuPy, PyCUDA and whoever else takes DLPack or `__cuda_array_interface__`.

    `dtype` is a type of trtdsl's; `stream` the stream on which the elements are written, None where they are there
    already. A view of a context's memory ends with that context's next run: what is handed on after that, but not what
    was handed on before, is a RunError.
    """

    def __init__(
        self,
        device: Device,
        memory: Memory,
        shape: tuple[int, ...],
        dtype: DataType,
        *,
        stream: int | None = None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.stream = stream
        self._device = device
        self._memory = memory
        self._is_current = is_current

    @classmethod
    def of(cls, device: Device, array: np.ndarray[Any, Any], dtype: DataType) -> DeviceArray:
        """A copy of an array whose elements are held as those of a type. Raises RunError."""
        dense = np.ascontiguousarray(array)
        memory = device.allocate(dense.nbytes)
        with device.active():
            stream = device.create_stream()
            device.copy(memory.address, dense.ctypes.data, dense.nbytes, stream.value)
            device.finish(stream.value)
        return cls(device, memory, array.shape, dtype)

    @property
    def gpu(self) -> int:
        """The index of the GPU."""
        return self._device.index

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype.storage).itemsize

    @property
    def address(self) -> int:
        """Where the elements lie. Raises RunError once a later run has written over them."""
        if not self._is_current():
            message = "this array was an output of a context that has run again, or was released, since"
            raise RunError.of("engine-use", message, hint="copy it before, or let the engine run without a context")
        return self._memory.address

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of Numba's protocol; bf16 and fp8 are given as bits."""
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype.storage).str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": None if self.stream is None else self.stream or LEGACY_STREAM,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.gpu

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule; the consumer's stream is made to wait for the elements, unless it says -1.

        Raises BufferError for a copy, or for another device.
        """
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("the elements are handed on where they lie, or not at all")
        address = self.address
        consumer = LEGACY_STREAM if stream is None else stream
        if self.stream is not None and consumer != -1:
            with self._device.active():
                self._device.join(consumer, self.stream)
        name = _DLPACK_NAMES.get(self.dtype, self.dtype.storage)
        return dlpack.make(address, self.shape, name, self.__dlpack_device__(), self._memory)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements on the host, bf16 and fp8 as bits. Waits for the stream that writes them."""
        array = np.empty(self.shape, self.dtype.storage)
        stream = self.stream or LEGACY_STREAM
        with self._device.active():
            self._device.copy(array.ctypes.data, self.address, array.nbytes, stream)
            self._device.finish(stream)
        return array

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)}, gpu={self.gpu})"
