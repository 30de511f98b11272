#!/usr/bin/env python3
"""Layers that the bundled plugins can do: TensorRT's own beside the plugin, each an engine of that layer alone.

    python benchmarks/plugin_layers.py LIBRARY [NAME…]

LIBRARY is the compiled library of plugins; NAME picks rows by a part of their name. Needs a GPU, TensorRT and
cuda-bindings. Inputs and outputs are linear in memory and of the type measured. All engines are built first; then the
two of a row and a copy of the same bytes are captured as CUDA graphs of some runs and take turns. The table has the
medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from graph_timing import captured, captured_copy

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.engine.execution import prepared
from trtdsl.engine.log import BuildLog
from trtdsl.errors import Diagnostics
from trtdsl.implementation import implement
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.precision import assign_types
from trtdsl.targets.runtime import find_runtime

LARGE, MANY = (1, 64, 512, 512), (16, 64, 256, 256)
ROWS = {
    "InstanceNorm": ("op: instance_norm, affine: true", LARGE),
    "InstanceNorm, batch 16": ("op: instance_norm, affine: true", MANY),
    "ReflectPad 3": ("op: pad, mode: reflect, padding: 3", LARGE),
    "Upsample 2x nearest": ("op: resize, scale_factor: 2, mode: nearest", LARGE),
    "Upsample 2x bilinear": ("op: resize, scale_factor: 2, mode: bilinear", LARGE),
    "LeakyReLU": ("op: leaky_relu, negative_slope: 0.2", LARGE),
    "Mish": ("op: mish", LARGE),
    "HardSwish": ("op: hardswish", LARGE),
}
"""The layer of each row, and the shape of its input."""
RUNS, ROUNDS, WARM_UP = 20, 30, 3


def main(library: Path, names: Sequence[str]) -> None:
    bench = Bench(library)
    plans = {
        (name, dtype): bench.plans(layer, shape, dtype)
        for name, (layer, shape) in ROWS.items()
        for dtype in ("fp32", "fp16")
        if not names or any(part in name for part in names)
    }
    print(f"{bench.runtime}: microseconds of a layer alone, and the plugin's share of each")
    print(f"{'layer':24} {'input':14} type   plugin  native    copy  / native  / copy")
    for (name, dtype), pair in plans.items():
        _, shape = ROWS[name]
        plugin, native, copy = bench.times(pair, shape, dtype)
        size = "x".join(map(str, shape))
        print(
            f"{name:24} {size:14} {dtype}  {plugin:7.1f} {native:7.1f} {copy:7.1f}"
            f"  {plugin / native:8.2f}  {plugin / copy:6.2f}",
            flush=True,
        )


class Bench:
    """One TensorRT on one GPU, and the library of plugins."""

    def __init__(self, library: Path) -> None:
        self.library = library
        self.runtime = find_runtime("tensorrt")
        self.log = BuildLog(self.runtime)
        # The first builder of a process loads TensorRT's kernels, which stay as long as there is one.
        self.builder = self.runtime.module.Builder(self.log.logger)
        self.loader = self.runtime.module.Runtime(self.log.logger)

    def plans(self, layer: str, shape: tuple[int, ...], dtype: str) -> list[bytes]:
        """Engines with the plugin, and without."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.yaml"
            path.write_text(
                f"trtdsl: 1\ninputs: {{x: {{shape: {list(shape)}, dtype: {dtype}}}}}\nprecision: {dtype}\n"
                f"layers:\n  - {{{layer}, name: y}}\noutputs: {{z: {{tensor: y, dtype: {dtype}}}}}\n"
            )
            network = trtdsl.load(path, random_weights=True, impl="plugin")
            chosen = implement(network.graph, network.typed, lambda name: True)
            with_plugin = replace(assign_types(chosen), libraries=(LibraryUse(self.library),))
            options = BuildOptions(tactic_sources=(), tf32=False)
            graphs = (with_plugin, network.typed)
            return [bytes(build(graph, self.runtime, options, Diagnostics())) for graph in graphs]

    def times(self, plans: Sequence[bytes], shape: tuple[int, ...], dtype: str) -> list[float]:
        """Microseconds by the plugin, by TensorRT's own layers, and of a copy that reads and writes as many bytes."""
        x = np.random.default_rng(0).standard_normal(shape).astype({"fp32": "f4", "fp16": "f2"}[dtype])
        engines = [self.loader.deserialize_cuda_engine(plan) for plan in plans]
        with ExitStack() as stack:
            runs = [stack.enter_context(prepared(self.runtime.module, engine, {"x": x})) for engine in engines]
            [y] = runs[0].outputs().values()
            graphs = [stack.enter_context(captured(run, RUNS)) for run in runs]
            graphs.append(stack.enter_context(captured_copy((x.nbytes + y.nbytes) // 2, runs[0].stream, RUNS)))
            rounds = [[graph.time() for graph in graphs] for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
        return [1000 * statistics.median(times) for times in zip(*rounds, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("library", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    main(given.library, given.names)
