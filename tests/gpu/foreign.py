"""Arrays in the GPU's memory that are not trtdsl's, with the two protocols and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from trtdsl.runtime import dlpack


def check(answer: tuple[Any, ...]) -> Any:
    """What a function of CUDA's gives, unless it failed."""
    status, *values = answer
    assert status == cuda.cudaError_t.cudaSuccess, status
    return values[0] if values else None


class Plain:
    """An array with `__cuda_array_interface__`, as PyCUDA's have it."""

    def __init__(self, array: Any, **other: Any) -> None:
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes
        self.address = int(check(cuda.cudaMalloc(max(array.nbytes, 1))))
        self.other = other
        self.write(array)

    def write(self, array: Any) -> None:
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        check(cuda.cudaMemcpy(self.address, np.ascontiguousarray(array).ctypes.data, self.nbytes, kind))

    def read(self) -> Any:
        array = np.empty(self.shape, self.dtype)
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        check(cuda.cudaMemcpy(array.ctypes.data, self.address, self.nbytes, kind))
        return array

    def __del__(self) -> None:
        cuda.cudaFree(self.address)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        described = {"shape": self.shape, "typestr": np.dtype(self.dtype).str, "data": (self.address, False)}
        return {**described, "version": 3, **self.other}


class Lent(Plain):
    """An array with DLPack alone, which notes the stream that it is asked for."""

    __cuda_array_interface__ = None  # type: ignore[assignment]
    asked: int | None = None

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, 0

    def __dlpack__(self, *, stream: int) -> Any:
        self.asked = stream
        return dlpack.make(self.address, self.shape, np.dtype(self.dtype).name, (dlpack.CUDA, 0), self)
