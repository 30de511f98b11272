#!/usr/bin/env python3
"""Latency of every network in networks/, beside TensorRT's own ONNX parser and plain calls of TensorRT's API.

    python benchmarks/latency.py [NAME…] [--precision fp32] [--precision int8] [--rounds 60] [--folder DIR]

Three engines of each network with the same builder settings: the one trtdsl builds from YAML; the one that TensorRT
makes of the exported ONNX model through its own parser; the one of the exported script. Weights are made up, sizes are
at opt. The three share a timing cache, so that a layer that they have in common gets one kernel. Each is captured as a
CUDA graph of as many runs as fill two milliseconds, and they take turns; the table has the median over the rounds of
the ratio of the times.

With `--folder` the engines are kept, and those that are there are not built again. `--build` stops once they are
built, so that several processes can build at the same time what one measures afterwards, alone on the GPU.

Needs a GPU, TensorRT with its ONNX parser, onnx and cuda-bindings.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from all_networks import NETWORKS, load
from graph_timing import Times, ratio, take_turns

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.engine.config import configure, fit_to_network
from trtdsl.engine.log import BuildLog
from trtdsl.errors import Diagnostics, TrtdslError
from trtdsl.running import make_inputs
from trtdsl.targets.runtime import find_runtime

YAML, PARSER, SCRIPT = WAYS = ("trtdsl", "ONNX parser", "script")


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


def made(bench: Bench, name: str, precision: str, folder: Path) -> dict[str, bytes]:
    """The engines of a network by the way they were made: those in the folder, or new ones."""
    place = folder / f"{name} {precision}"
    if not place.exists():
        fresh = place.with_suffix(f".{os.getpid()}")
        fresh.mkdir()
        for way, plan in bench.engines(load(name, precision, bench.folder)):
            (fresh / f"{way}.engine").write_bytes(plan)
        fresh.rename(place)
    found = {path.stem: path.read_bytes() for path in place.glob("*.engine")}
    return {way: found[way] for way in WAYS if way in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--precision", action="append", help="fp32 and fp16, unless told otherwise")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--level", type=int, help="the builder's optimization level")
    parser.add_argument("--folder", type=Path, help="where engines are kept")
    parser.add_argument("--build", action="store_true", help="build what is not in the folder, and measure nothing")
    chosen = parser.parse_args()
    measured: dict[str, Times] = {}
    failed = False
    print(f"{'network':20} {'':5} {'trtdsl':>9} {'parser':>9} {'script':>9}  {'/ parser':>8} {'/ script':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        # Several processes may build into one folder, so what they need on the way lies elsewhere.
        bench = Bench(Path(temporary), chosen.level)
        for precision in chosen.precision or ["fp32", "fp16"]:
            for name in chosen.names:
                began = time.monotonic()
                try:
                    plans = made(bench, name, precision, folder)
                    if chosen.build:
                        print(f"{name:20} {precision:5} built in {time.monotonic() - began:.0f} s", flush=True)
                        continue
                    inputs = make_inputs(load(name, "fp32", bench.folder).graph, {})
                    times = take_turns(bench.runtime, plans, inputs, chosen.rounds)
                except (TrtdslError, RuntimeError) as error:
                    failed = True
                    print(f"{name:20} {precision:5} NOT MEASURED: {error}", flush=True)
                    continue
                measured[f"{name} {precision}"] = times
                print(f"{name:20} {precision:5} {_row(times)}", flush=True)
    for other in (PARSER, SCRIPT):
        ratios = [ratio(times, YAML, other) for times in measured.values() if other in times]
        if ratios:
            print(f"to the {other}: geometric mean {statistics.geometric_mean(ratios):.3f}, worst {max(ratios):.3f}")
    if failed:
        sys.exit(1)


def _row(times: Times) -> str:
    medians = (f"{statistics.median(times[name]):9.4f}" if name in times else f"{'-':>9}" for name in WAYS)
    ratios = (f"{ratio(times, YAML, name):8.3f}" if name in times else f"{'-':>8}" for name in WAYS[1:])
    return f"{' '.join(medians)}  {' '.join(ratios)}"


if __name__ == "__main__":
    main()
