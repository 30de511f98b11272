"""Times of runs that are captured as CUDA graphs, for benchmarks."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from cuda.bindings import runtime as cuda

from trtdsl.engine.execution import PreparedRun, prepared
from trtdsl.engine.log import BuildLog
from trtdsl.targets.runtime import Runtime

Times = Mapping[str, list[float]]
FILLS = 2.0
"""Milliseconds that the runs of a launch take."""
WARM_UP = 5
"""Rounds that do not count."""


def take_turns(runtime: Runtime, plans: Mapping[str, bytes], inputs: Mapping[str, Any], rounds: int) -> Times:
    """Milliseconds of a run of each engine in each round, its inputs and outputs on the GPU.

    A round launches each engine once, in random order, as a CUDA graph of as many runs as fill two milliseconds.
    """
    loader = runtime.module.Runtime(BuildLog(runtime).logger)
    with ExitStack() as stack:
        graphs = {}
        for name, plan in plans.items():
            run = stack.enter_context(prepared(runtime.module, loader.deserialize_cuda_engine(plan), inputs))
            with captured(run) as once:
                runs = math.ceil(FILLS / min(once.time() for _ in range(5)))
            graphs[name] = stack.enter_context(captured(run, runs))
        times: dict[str, list[float]] = {name: [] for name in graphs}
        order, numbers = list(graphs), random.Random(0)
        for number in range(WARM_UP + rounds):
            numbers.shuffle(order)
            for name in order:
                elapsed = graphs[name].time()
                if number >= WARM_UP:
                    times[name].append(elapsed)
    return times


def ratio(times: Times, mine: str, other: str) -> float:
    """A time over another, the median over the rounds."""
    return statistics.median(one / two for one, two in zip(times[mine], times[other], strict=True))


@contextmanager
def captured(run: PreparedRun, runs: int = 1) -> Iterator[GraphRun]:
    """Some runs as one CUDA graph, as long as the context lasts."""
    run.enqueue()
    run.outputs()
    check(cuda.cudaStreamBeginCapture(run.stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal))
    for _ in range(runs):
        run.enqueue()
    with _launched(check(cuda.cudaStreamEndCapture(run.stream)), run.stream, runs) as graph:
        yield graph


@contextmanager
def captured_copy(size: int, stream: int, runs: int = 1) -> Iterator[GraphRun]:
    """Copies of `size` bytes of the device's memory, which read as many and write as many."""
    source, target = (check(cuda.cudaMalloc(size)) for _ in range(2))
    check(cuda.cudaStreamBeginCapture(stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal))
    for _ in range(runs):
        check(cuda.cudaMemcpyAsync(target, source, size, cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice, stream))
    with _launched(check(cuda.cudaStreamEndCapture(stream)), stream, runs) as graph:
        yield graph
    for pointer in (source, target):
        check(cuda.cudaFree(pointer))


@contextmanager
def _launched(graph: Any, stream: int, runs: int) -> Iterator[GraphRun]:
    launched = GraphRun(check(cuda.cudaGraphInstantiate(graph, 0)), stream, runs)
    yield launched
    launched.release()
    check(cuda.cudaGraphDestroy(graph))


class GraphRun:
    """A graph that can be launched, and the events around it."""

    def __init__(self, graph: Any, stream: int, runs: int) -> None:
        self._graph, self._stream, self._runs = graph, stream, runs
        self._begin, self._end = (check(cuda.cudaEventCreate()) for _ in range(2))

    def time(self) -> float:
        """The milliseconds that one run of a launch takes."""
        check(cuda.cudaEventRecord(self._begin, self._stream))
        check(cuda.cudaGraphLaunch(self._graph, self._stream))
        check(cuda.cudaEventRecord(self._end, self._stream))
        check(cuda.cudaEventSynchronize(self._end))
        return float(check(cuda.cudaEventElapsedTime(self._begin, self._end))) / self._runs

    def release(self) -> None:
        check(cuda.cudaGraphExecDestroy(self._graph))
        for event in (self._begin, self._end):
            check(cuda.cudaEventDestroy(event))


def check(answer: tuple[Any, ...]) -> Any:
    """What a call of CUDA gives. Raises RuntimeError where it failed."""
    error, *values = answer
    if error != cuda.cudaError_t.cudaSuccess:
        raise RuntimeError(str(error))
    return values[0] if values else None
