"""Runs an engine once on the GPU, and measures how far its outputs are off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from trtdsl.engine import execution

Array = np.ndarray[Any, Any]


def run(trt: Any, engine: Any, inputs: Mapping[str, Array], log: Any = None) -> dict[str, Array]:
    """The outputs of a deserialized engine for these inputs, which are brought into its types; more may be given.

    What goes wrong is an error with TensorRT's own words where `log`, a BuildLog, heard them.
    """
    if log is not None:
        log.take_errors()  # of other engines
    return execution.run(trt, engine, _typed(trt, engine, inputs), log)


def run_captured(trt: Any, engine: Any, inputs: Mapping[str, Array], times: int = 2) -> list[dict[str, Array]]:
    """The outputs of each launch of a CUDA graph that holds one run; what lay in the outputs before is spoiled.

    While a graph is captured, nothing may be allocated, waited for or put on the default stream.
    """
    with execution.prepared(trt, engine, _typed(trt, engine, inputs)) as run:
        run.enqueue()  # TensorRT does its own preparations in the first run
        run.outputs()
        with captured(run) as graph:
            found = []
            for _ in range(times):
                _spoil(run.context, run.takers)
                check(cuda.cudaGraphLaunch(graph, run.stream))
                found.append(run.outputs())
            return found


def run_at_once(
    trt: Any, engine: Any, inputs: Mapping[str, Array], contexts: int = 3, times: int = 5
) -> list[dict[str, Array]]:
    """The outputs of contexts that run at the same time, some times over, each on a stream of its own."""
    with ExitStack() as stack:
        runs = [
            stack.enter_context(execution.prepared(trt, engine, _typed(trt, engine, inputs))) for _ in range(contexts)
        ]
        for run in runs:
            run.enqueue()  # TensorRT does its own preparations in the first run
            run.outputs()
            _spoil(run.context, run.takers)
        for _ in range(times):
            for run in runs:
                run.enqueue()
        return [run.outputs() for run in runs]


@contextmanager
def captured(run: execution.PreparedRun) -> Iterator[Any]:
    """A run as a CUDA graph, ready to launch."""
    check(cuda.cudaStreamBeginCapture(run.stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal))
    try:
        run.enqueue()
    finally:
        graph = check(cuda.cudaStreamEndCapture(run.stream))
    executable = check(cuda.cudaGraphInstantiate(graph, 0))
    yield executable
    check(cuda.cudaGraphExecDestroy(executable))
    check(cuda.cudaGraphDestroy(graph))


def _spoil(context: Any, outputs: Iterable[str]) -> None:
    """Fill the memory of outputs with bytes that no floats have that are worth anything: NaN."""
    for name in outputs:
        size = math.prod(context.get_tensor_shape(name)) * np.dtype(execution.storage(context.engine, name)).itemsize
        check(cuda.cudaMemset(context.get_tensor_address(name), 0xFF, size))
    check(cuda.cudaDeviceSynchronize())


def _typed(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs that an engine takes, in its types."""
    names = (engine.get_tensor_name(index) for index in range(engine.num_io_tensors))
    wanted = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    return {name: np.asarray(inputs[name], execution.storage(engine, name)) for name in wanted}


def check(answer: tuple[Any, ...]) -> Any:
    """What a function of CUDA's gives, unless it failed."""
    status, *values = answer
    assert status == cuda.cudaError_t.cudaSuccess, status
    return values[0] if values else None


def relative_error(actual: Array, expected: Array) -> float:
    """The largest difference, over the largest magnitude expected; infinite where either is not finite."""
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        same = np.array_equal(actual, expected, equal_nan=True)
        return 0.0 if same else float("inf")
    return float(np.abs(actual - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-12))
