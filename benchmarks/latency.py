#!/usr/bin/env python3
"""Latency of every network in networks/, beside TensorRT's own ONNX parser and plain calls of TensorRT's API.

    python benchmarks/latency.py [NAME…] [--precision fp32] [--precision int8] [--rounds 60]

Three engines of each network, in one process and with the same builder settings: the one trtdsl builds from YAML; the
one that TensorRT makes of the exported ONNX model through its own parser; the one of the exported script. Weights are
made up, sizes are at opt. Each engine is captured as a CUDA graph of as many runs as fill two milliseconds, and the
three take turns: a round launches each graph between two events, and the table has the median over the rounds of the
ratio of the times. The three share a timing cache, so that a layer that they have in common gets one kernel.

Needs a GPU, TensorRT with its ONNX parser, onnx and cuda-bindings. Several networks may be built at the same time, by
processes of which each is given the same `--lock FILE`, held while one measures, and a `--json FILE` of its own;
`--merge FILE…` prints the table of all.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from all_networks import NETWORKS, load
from cuda.bindings import runtime as cuda
from graph_timing import alone, check

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.engine.config import configure, fit_to_network
from trtdsl.engine.log import BuildLog
from trtdsl.errors import Diagnostics, TrtdslError
from trtdsl.running import make_inputs
from trtdsl.runtime import Engine
from trtdsl.targets.runtime import find_runtime

YAML, PARSER, SCRIPT = _WAYS = ("trtdsl", "ONNX parser", "script")
FILLS = 2.0
"""Milliseconds that the launches between two events take."""


class Bench:
    """One TensorRT on one GPU, and the settings that all engines share."""

    def __init__(self, folder: Path, level: int | None) -> None:
        self.runtime = find_runtime("tensorrt")
        self.trt = self.runtime.module
        self.log = BuildLog(self.runtime)
        # The first builder of a process loads a gigabyte of kernels, which stay as long as there is one.
        self.builder = self.trt.Builder(self.log.logger)
        self.folder = folder
        self.level = level
        self.overrides: dict[str, object] = {}

    def engines(self, network: trtdsl.Network) -> Iterator[tuple[str, bytes]]:
        """The serialized engines of a network, by the ways they were made."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            # One for each network: 8.6.1 cannot always read what it wrote of several.
            self.overrides = {"tactic_sources": [], "timing_cache": f"{folder}/tactics"}
            if self.level is not None:
                self.overrides["optimization_level"] = self.level
            options = network.options(self.overrides)
            yield YAML, bytes(build(network.for_runtime(self.runtime), self.runtime, options, Diagnostics()))
            try:
                yield PARSER, bytes(self._parsed(network, options))
            except RuntimeError as error:
                print(f"{network.flat.name}: TensorRT's parser gives no engine: {error}", file=sys.stderr)
            yield SCRIPT, bytes(self._scripted(network))

    def _parsed(self, network: trtdsl.Network, options: BuildOptions) -> Any:
        model, *_ = network.export_onnx(self.folder / "net.onnx")
        strongly_typed = self.runtime.is_strongly_typed
        definition = self.builder.create_network(self.runtime.network_flags(strongly_typed))
        parser = self.trt.OnnxParser(definition, self.log.logger)
        if not parser.parse_from_file(str(model)):
            raise RuntimeError("; ".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
        config = configure(self.builder, self.runtime, options, self.log, Diagnostics())
        fit_to_network(config, self.builder, network.typed, self.runtime, strongly_typed, options)
        return self._built(definition, config)

    def _scripted(self, network: trtdsl.Network) -> Any:
        script, *_ = network.export_script(self.folder / "net.py", runtime="tensorrt", options=self.overrides)
        made = runpy.run_path(str(script))
        builder, definition = made["load_network"]()
        plan = builder.build_serialized_network(definition, made["load_config"](builder, definition))
        if plan is None:
            raise RuntimeError("the script built no engine")
        return plan

    def _built(self, definition: Any, config: Any) -> Any:
        plan = self.builder.build_serialized_network(definition, config)
        if plan is None:
            raise RuntimeError("; ".join(self.log.take_errors()))
        return plan

    def measure(self, network: trtdsl.Network, rounds: int, lock: Path | None) -> dict[str, list[float]]:
        """Milliseconds of one run in each round, by the way the engine was made."""
        plans = list(self.engines(network))
        print("built", file=sys.stderr, flush=True)
        inputs = make_inputs(network.graph, {})
        with alone(lock), ExitStack() as stack:
            launches: dict[str, Callable[[], float]] = {}
            for name, plan in plans:
                engine = stack.enter_context(Engine.of_plan(self.runtime, plan))
                launches[name] = stack.enter_context(_captured(engine, inputs))
            times: dict[str, list[float]] = {name: [] for name in launches}
            order = list(launches)
            shuffle = random.Random(0).shuffle
            for number in range(rounds + 5):
                shuffle(order)
                for name in order:
                    elapsed = launches[name]()
                    if number >= 5:
                        times[name].append(elapsed)
        return times


@contextmanager
def _captured(engine: Engine, inputs: Mapping[str, Any]) -> Iterator[Callable[[], float]]:
    """A function that launches a run as a CUDA graph some times and gives the milliseconds that one took.

    Inputs and outputs stay on the GPU, so that nothing but the engine is in the graph.
    """
    with engine.context() as context, _on_device(inputs) as arrays:
        bound = context.bind(arrays, on_device=True)
        bound.enqueue()
        context.device.finish(bound.stream)
        begin, end = (check(cuda.cudaEventCreate()) for _ in range(2))

        def captured(times: int) -> Callable[[], float]:
            def enqueue() -> None:
                for _ in range(times):
                    context.execute(bound.stream)

            graph = context.device.capture(bound.stream, enqueue)

            def launch() -> float:
                check(cuda.cudaEventRecord(begin, bound.stream))
                context.device.launch(graph, bound.stream)
                check(cuda.cudaEventRecord(end, bound.stream))
                check(cuda.cudaEventSynchronize(end))
                return float(check(cuda.cudaEventElapsedTime(begin, end))) / times

            return launch

        once = captured(1)
        yield captured(max(1, math.ceil(FILLS / min(once() for _ in range(5)))))


class _DeviceArray:
    """An array in the GPU's memory, as other packages give theirs."""

    def __init__(self, array: Any) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self.address = check(cuda.cudaMalloc(max(array.nbytes, 1)))
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        check(cuda.cudaMemcpy(self.address, array.ctypes.data, array.nbytes, kind))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (int(self.address), False), "version": 3}


@contextmanager
def _on_device(inputs: Mapping[str, Any]) -> Iterator[dict[str, _DeviceArray]]:
    """The inputs, copied to the GPU as long as the context lasts."""
    arrays = {name: _DeviceArray(np.ascontiguousarray(array)) for name, array in inputs.items()}
    yield arrays
    for array in arrays.values():
        check(cuda.cudaFree(array.address))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--precision", action="append", help="fp32 and fp16, unless told otherwise")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--level", type=int, help="the builder's optimization level")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="measure only while this file is locked")
    parser.add_argument("--json", type=Path, help="keep the milliseconds of all rounds")
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="print the table of such files, and no more"
    )
    chosen = parser.parse_args()
    measured: dict[str, dict[str, list[float]]] = {}
    if chosen.merge is not None:
        for path in chosen.merge:
            measured |= json.loads(path.read_text())
        for name, times in measured.items():
            print(f"{name:26} {_row(times)}")
        _summarise(measured)
        return
    print(f"{'network':20} {'':5} {'trtdsl':>9} {'parser':>9} {'script':>9}  {'/ parser':>8} {'/ script':>8}  built in")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen.level)
        for precision in chosen.precision or ["fp32", "fp16"]:
            for name in chosen.names:
                began = time.monotonic()
                try:
                    times = bench.measure(load(name, precision, Path(folder)), chosen.rounds, chosen.lock)
                except (TrtdslError, RuntimeError) as error:
                    print(f"{name:20} {precision:5} NOT MEASURED: {error}", flush=True)
                    continue
                measured[f"{name} {precision}"] = times
                print(f"{name:20} {precision:5} {_row(times)}  {time.monotonic() - began:.0f} s", flush=True)
    _summarise(measured)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(measured))
    if not measured:
        sys.exit(1)


def _summarise(measured: Mapping[str, Mapping[str, list[float]]]) -> None:
    for other in (PARSER, SCRIPT):
        ratios = [_ratio(times, other) for times in measured.values() if other in times]
        if ratios:
            print(f"to the {other}: geometric mean {statistics.geometric_mean(ratios):.3f}, worst {max(ratios):.3f}")


def _row(times: Mapping[str, list[float]]) -> str:
    medians = (f"{statistics.median(times[name]):9.4f}" if name in times else f"{'-':>9}" for name in _WAYS)
    ratios = (f"{_ratio(times, name):8.3f}" if name in times else f"{'-':>8}" for name in _WAYS[1:])
    return f"{' '.join(medians)}  {' '.join(ratios)}"


def _ratio(times: Mapping[str, list[float]], other: str) -> float:
    """The time over another's, the median over the rounds."""
    return statistics.median(mine / theirs for mine, theirs in zip(times[YAML], times[other], strict=True))


if __name__ == "__main__":
    main()
