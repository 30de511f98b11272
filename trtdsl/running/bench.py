"""How long an engine takes: one run after another, runs that keep the GPU busy, and its layers one by one."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.engine.inspection import parse
from trtdsl.runtime.bound_run import BoundRun
from trtdsl.runtime.buffers import pinned_array
from trtdsl.runtime.context import Context
from trtdsl.runtime.device import Device, Handle
from trtdsl.runtime.device_array import DeviceArray
from trtdsl.runtime.engine import Engine

Array = np.ndarray[Any, Any]
PERCENTILES = (50, 90, 95, 99)
_AHEAD = 4
"""Runs that wait on a stream behind the one that is measured, so that the GPU never waits for the host."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of many runs."""

    count: int
    mean: float
    least: float
    most: float
    percentiles: Mapping[int, float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Times:
        """Of at least one value; a percentile is the smallest value that so many of a hundred do not exceed."""
        ordered = sorted(values)
        ranks = {percent: max(math.ceil(percent / 100 * len(ordered)), 1) for percent in PERCENTILES}
        percentiles = {percent: ordered[rank - 1] for percent, rank in ranks.items()}
        return cls(len(ordered), sum(ordered) / len(ordered), ordered[0], ordered[-1], percentiles)

    def as_dict(self) -> dict[str, Any]:
        percentiles = {f"p{percent}": value for percent, value in self.percentiles.items()}
        return {"count": self.count, "mean": self.mean, "min": self.least, "max": self.most, **percentiles}


@dataclass(frozen=True)
class Measured:
    """What a measurement found.

    `latency` is by the host's clock, from before a run is put on its stream until it is done, with nothing else under
    way. `gpu` is by CUDA's events around each run, while others wait behind it; with several streams, runs share the
    GPU and each takes longer. `throughput` is runs per second of all streams together.
    """

    latency: Times
    gpu: Times
    throughput: float

    def as_dict(self) -> dict[str, Any]:
        times = {"latency_ms": self.latency.as_dict(), "gpu_ms": self.gpu.as_dict()}
        return {**times, "runs_per_second": self.throughput}


@dataclass(frozen=True)
class LayerTime:
    """The milliseconds that a layer of an engine takes in one run, on average.

    `lines` are the places in YAML of the layers it was made of, as far as the engine tells.
    """

    name: str
    milliseconds: float
    lines: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "ms": self.milliseconds, "lines": list(self.lines)}


def measure(
    engine: Engine,
    inputs: Mapping[str, Array],
    *,
    warm_up: float = 0.5,
    duration: float = 3.0,
    streams: int = 1,
    graph: bool = False,
    transfers: bool = False,
) -> Measured:
    """Run an engine for `duration` seconds, after `warm_up` seconds that do not count.

    Half of the time goes to runs one by one, half to runs on so many `streams`, each with a context of its own. Inputs
    lie on the GPU and outputs stay there, unless the copies between it and page-locked memory are to be part of every
    run (`transfers`). `graph` launches runs as CUDA graphs. Raises RunError.
    """
    with ExitStack() as stack:
        contexts = [stack.enter_context(engine.context()) for _ in range(streams)]
        device = contexts[0].device
        stack.enter_context(device.active())
        runs = [_bound(context, inputs, graph, transfers) for context in contexts]
        _busy(device, runs, warm_up)
        latency = _alone(device, runs[0], duration / 2)
        gpu, throughput = _busy(device, runs, duration / 2)
    return Measured(Times.of(latency), Times.of(gpu), throughput)


def _bound(context: Context, inputs: Mapping[str, Array], graph: bool, transfers: bool) -> BoundRun:
    """A run on inputs that lie where they are wanted, which has run once."""
    placed: dict[str, Any] = {}
    for name, array in inputs.items():
        tensor = context.loaded.tensors[name]
        if tensor.on_host:
            placed[name] = array
        else:
            placed[name] = (
                _pinned(context.device, array) if transfers else DeviceArray.of(context.device, array, tensor.dtype)
            )
    run = context.bind(placed, on_device=not transfers, graph=graph)
    run.enqueue()
    run.outputs()
    return run


def _pinned(device: Device, array: Array) -> Array:
    """A copy in page-locked memory."""
    copy = pinned_array(device, array.shape, array.dtype.name)
    np.copyto(copy, array)
    return copy


def _alone(device: Device, run: BoundRun, seconds: float) -> list[float]:
    """Milliseconds by the host's clock of runs with nothing else under way."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        started = time.perf_counter()
        run.enqueue()
        device.finish(run.stream)
        found.append((time.perf_counter() - started) * 1e3)
    return found


def _busy(device: Device, runs: Sequence[BoundRun], seconds: float) -> tuple[list[float], float]:
    """Milliseconds by CUDA's events of runs on streams that are never empty, and how many end in a second."""
    found: list[float] = []
    waiting: deque[tuple[Handle, Handle]] = deque()
    free: list[Handle] = []
    started = time.perf_counter()
    end = started + seconds
    while not found or time.perf_counter() < end:
        for run in runs:
            if len(waiting) >= _AHEAD * len(runs):
                found.append(_taken(device, waiting.popleft(), free))
            pair = _event(device, free), _event(device, free)
            device.record(pair[0], run.stream)
            run.enqueue()
            device.record(pair[1], run.stream)
            waiting.append(pair)
    while waiting:
        found.append(_taken(device, waiting.popleft(), free))
    return found, len(found) / (time.perf_counter() - started)


def _event(device: Device, free: list[Handle]) -> Handle:
    return free.pop() if free else device.create_event(timing=True)


def _taken(device: Device, pair: tuple[Handle, Handle], free: list[Handle]) -> float:
    device.finish_event(pair[1])
    free += pair
    return device.milliseconds(*pair)


def measure_layers(engine: Engine, inputs: Mapping[str, Array], *, runs: int = 20) -> tuple[LayerTime, ...]:
    """The time of each layer, in the engine's order, by TensorRT's profiler.

    That runs the layers one by one: together they take longer than a run does otherwise. Raises RunError.
    """
    with engine.context() as context:
        for _ in range(3):
            context.run(inputs)
        profiler = _make_profiler(context.loaded.trt)
        context.execution.profiler = profiler
        for _ in range(runs):
            context.run(inputs)
        lines = _lines(context)
    return tuple(LayerTime(name, total / runs, lines.get(name, ())) for name, total in profiler.totals)


def _lines(context: Context) -> dict[str, tuple[str, ...]]:
    """The places of layers by the engine's names for them; none of an engine that was built to tell nothing."""
    trt = context.loaded.trt
    inspector = context.loaded.engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return {layer.name: layer.lines for layer in parse(text).layers}


def _make_profiler(trt: Any) -> Any:
    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self._totals: dict[str, float] = {}

        def report_layer_time(self, layer: str, milliseconds: float) -> None:
            self._totals[layer] = self._totals.get(layer, 0.0) + milliseconds

        @property
        def totals(self) -> list[tuple[str, float]]:
            return list(self._totals.items())

    return Profiler()
