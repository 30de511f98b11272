"""Runs an engine once on the GPU, with as little code as that takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from trtdsl.types import DataType

TO_DEVICE = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
TO_HOST = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
Array = np.ndarray[Any, Any]


def run(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a deserialized engine for these inputs, all as numpy arrays."""
    context = engine.create_execution_context()
    stream = _checked(cuda.cudaStreamCreate())
    memory: list[Any] = []
    host: dict[str, Array] = {}
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    modes = {name: engine.get_tensor_mode(name) for name in names}
    for name in (name for name in names if modes[name] == trt.TensorIOMode.INPUT):
        array = np.asarray(inputs[name], _numpy_type(engine, name), order="C")
        if not context.set_input_shape(name, array.shape):
            raise ValueError(f"{name}: the engine does not take {array.shape}")
        memory.append(_checked(cuda.cudaMalloc(max(array.nbytes, 1))))
        context.set_tensor_address(name, memory[-1])
        _checked(
            cuda.cudaMemcpy(memory[-1], array.ctypes.data, array.nbytes, cuda.cudaMemcpyKind.cudaMemcpyHostToDevice)
        )
    for name in (name for name in names if modes[name] == trt.TensorIOMode.OUTPUT):
        host[name] = np.empty(tuple(context.get_tensor_shape(name)), _numpy_type(engine, name))
        memory.append(_checked(cuda.cudaMalloc(max(host[name].nbytes, 1))))
        context.set_tensor_address(name, memory[-1])
    if not context.execute_async_v3(int(stream)):
        raise RuntimeError("the engine did not run")
    _checked(cuda.cudaStreamSynchronize(stream))
    for name, array in host.items():
        address = context.get_tensor_address(name)
        _checked(cuda.cudaMemcpy(array.ctypes.data, address, array.nbytes, TO_HOST))
    for pointer in memory:
        _checked(cuda.cudaFree(pointer))
    _checked(cuda.cudaStreamDestroy(stream))
    return host


def _numpy_type(engine: Any, name: str) -> str:
    # TensorRT 8.6's own `nptype` asks numpy for names that it no longer has.
    trt_name = engine.get_tensor_dtype(name).name
    return next(dtype.storage for dtype in DataType if dtype.trt_name == trt_name)


def _checked(result: tuple[Any, ...]) -> Any:
    status, *values = result
    if status != cuda.cudaError_t.cudaSuccess:
        raise RuntimeError(f"CUDA: {cuda.cudaGetErrorName(status)[1].decode()}")
    return values[0] if values else None


def relative_error(actual: Array, expected: Array) -> float:
    """The largest difference, over the largest magnitude expected; infinite where either is not finite."""
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        same = np.array_equal(actual, expected, equal_nan=True)
        return 0.0 if same else float("inf")
    return float(np.abs(actual - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-12))
