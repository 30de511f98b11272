#!/usr/bin/env python3
"""Latency of ResNet-50 in int8, beside fp16 and beside TensorRT's own int8.

    python benchmarks/int8_resnet50.py [BATCH…] [--engine int8] [--rounds 60] [--depth 50] [--at-once 4]

Engines of one network with the same builder settings and the same ranges of tensors (all that a run on a random image
shows), each built in a process of its own: `fp16`, by trtdsl; `int8`, by trtdsl, explicitly quantised; `own`, for
which TensorRT's builder is given the same network without any quantisation, a range for each tensor
(`set_dynamic_range`, which is what its calibrators come to) and the flags INT8 and FP16, and chooses by itself;
`parser`, which its ONNX parser makes of the int8 model as others export it. They are measured as in latency.py: as
CUDA graphs, taking turns, medians over the rounds. `--at-once` builds several at a time, which disturbs the builders'
own measurements; `--within` leaves out engines that are not built after so many seconds.

Needs a GPU, TensorRT 8.6 or 10 with its ONNX parser, onnx, onnxruntime and cuda-bindings.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from all_networks import FOLDER
from graph_timing import ratio, take_turns
from latency import Bench

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.engine.config import configure, fit_to_network
from trtdsl.errors import Diagnostics
from trtdsl.export import export_onnx
from trtdsl.graph import Graph
from trtdsl.precision import assign_types
from trtdsl.quantization import needed_scales, wiring_hash
from trtdsl.quantization.scales import ScalesText
from trtdsl.running import make_inputs, with_every_layer
from trtdsl.running.reference import in_fp32, run_in_fp32
from trtdsl.targets import tensorrt
from trtdsl.targets.runtime import find_runtime
from trtdsl.types import DataType

FP16, INT8, OWN, PARSER = "fp16", "int8", "own", "parser"
ENGINES = (FP16, INT8, OWN, PARSER)
RANGES, SCALES = "ranges.json", "resnet.scales"


def load(folder: Path, depth: int, batch: int, precision: str) -> trtdsl.Network:
    """The network for one batch size, its weights made up; `folder` has the scales."""
    return trtdsl.load(
        FOLDER / "resnet.yaml",
        parameters={"depth": depth},
        dims={"N": batch},
        random_weights=True,
        precision=precision,
        scales=folder / SCALES if precision == INT8 else None,
    )


def find_ranges(folder: Path, depth: int) -> None:
    """Write the largest magnitude of each tensor, and the scales that they make."""
    graph = load(folder, depth, 1, "fp32").graph
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    every = {**run_in_fp32(with_every_layer(graph), {"image": image}), "image": image}
    ranges = {name: float(np.abs(array).max()) for name, array in every.items()}
    (folder / RANGES).write_text(json.dumps(ranges))
    scales = {name: ranges[name] / DataType.INT8.reach for name in needed_scales(graph)}
    (folder / SCALES).write_text(str(ScalesText("resnet", wiring_hash(graph), {"method": "min-max"}, scales)))


class QuantizedBench(Bench):
    """The engines of one network."""

    def __init__(self, folder: Path, depth: int) -> None:
        super().__init__(folder, None)
        self.depth = depth

    def make(self, batch: int, name: str) -> Any:
        """One engine, serialized."""
        network = load(self.folder, self.depth, batch, {FP16: FP16, OWN: "fp32"}.get(name, INT8))
        options = network.options({"tactic_sources": []})
        if name == OWN:
            return self._ranged(network, options)
        if name == PARSER:
            return self._parsed_int8(network, options)
        return build(network.for_runtime(self.runtime), self.runtime, options, Diagnostics())

    def _parsed_int8(self, network: trtdsl.Network, options: BuildOptions) -> Any:
        """The parser's engine of the int8 model as others export it: fp32 between what is quantised, fp16 allowed."""
        layers = tuple(replace(layer, precision=DataType.FP32) for layer in network.graph.layers)
        graph = assign_types(replace(network.graph, layers=layers))
        model, *_ = export_onnx(graph, self.folder / f"{network.graph.inputs[0].type.shape[0]}.onnx")
        definition = self.builder.create_network(self.runtime.network_flags(strongly_typed=False))
        parser = self.trt.OnnxParser(definition, self.log.logger)
        if not parser.parse_from_file(str(model)):
            raise RuntimeError("; ".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
        return self._built(definition, self._free_config(graph, options))

    def _free_config(self, graph: Graph, options: BuildOptions) -> Any:
        """A configuration that leaves the choice between fp32, fp16 and int8 to TensorRT."""
        config = configure(self.builder, self.runtime, options, self.log, Diagnostics())
        fit_to_network(config, self.builder, graph, self.runtime, strongly_typed=False, options=options)
        flags = self.trt.BuilderFlag
        config.clear_flag(flags.OBEY_PRECISION_CONSTRAINTS)
        config.set_flag(flags.INT8)
        config.set_flag(flags.FP16)
        return config

    def _ranged(self, network: trtdsl.Network, options: BuildOptions) -> Any:
        """TensorRT's engine of the network in fp32 that may be quantised wherever that is faster."""
        ranges = json.loads((self.folder / RANGES).read_text())
        definition = self.builder.create_network(self.runtime.network_flags(strongly_typed=False))
        graph = in_fp32(network.graph)
        # As a strongly typed one, so that no layer is given a type.
        arrays = tensorrt.emit(graph, definition, self.runtime, self.log, strongly_typed=True)
        for tensor in _tensors(definition):
            largest = ranges.get(tensor.name, 1.0)
            tensor.set_dynamic_range(-largest, largest)
        plan = self._built(definition, self._free_config(graph, options))
        del arrays
        return plan


def _tensors(definition: Any) -> Iterator[Any]:
    for index in range(definition.num_inputs):
        yield definition.get_input(index)
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        for output in range(layer.num_outputs):
            yield layer.get_output(output)


def _plan(folder: Path, batch: int, name: str) -> Path:
    return folder / f"{batch}-{name}.engine"


def build_one(folder: Path, depth: int, batch: int, name: str) -> None:
    """Build an engine into a file; what a process of its own does."""
    began = time.monotonic()
    plan = bytes(QuantizedBench(folder, depth).make(batch, name))
    path = _plan(folder, batch, name)
    path.with_suffix(".part").write_bytes(plan)
    path.with_suffix(".part").rename(path)
    print(f"batch {batch}, {name}: built in {time.monotonic() - began:.0f} s, {len(plan) >> 10} KiB", flush=True)


def build_all(folder: Path, depth: int, wanted: Sequence[tuple[int, str]], at_once: int, within: float) -> None:
    """Build engines, so many at a time; those that take too long are given up."""
    context = multiprocessing.get_context("spawn")
    waiting = [context.Process(target=build_one, args=(folder, depth, *entry)) for entry in wanted]
    running: list[Any] = []
    deadline = time.monotonic() + within
    while (waiting or running) and time.monotonic() < deadline:
        running = [process for process in running if process.is_alive()]
        while waiting and len(running) < at_once:
            running.append(waiting.pop(0))
            running[-1].start()
        time.sleep(0.2)
    for process in running:
        if process.is_alive():
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("batches", nargs="*", type=int, default=[1, 8, 32], metavar="BATCH", help="1 8 32")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="one to build; default: all")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--within", type=float, default=float("inf"), metavar="SECONDS")
    chosen = parser.parse_args()
    wanted = [(batch, name) for name in chosen.engine or ENGINES for batch in chosen.batches]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        find_ranges(folder, chosen.depth)
        build_all(folder, chosen.depth, wanted, chosen.at_once, chosen.within)
        runtime = find_runtime("tensorrt")
        print(f"{'batch':>5}  {'engine':8} {'ms':>8} {'of fp16':>8}")
        for batch in chosen.batches:
            engines = {name: path for name in ENGINES if (path := _plan(folder, batch, name)).exists()}
            inputs = make_inputs(load(folder, chosen.depth, batch, "fp32").graph, {})
            times = take_turns(
                runtime, {name: path.read_bytes() for name, path in engines.items()}, inputs, chosen.rounds
            )
            for name, measured in times.items():
                share = f"{ratio(times, name, FP16):8.3f}" if FP16 in times else ""
                print(f"{batch:5}  {name:8} {statistics.median(measured):8.4f} {share}", flush=True)


if __name__ == "__main__":
    main()
