#!/usr/bin/env python3
"""The CycleGAN generator with TensorRT's own layers, with plugins, and with plugins that do several layers in one pass.

    python benchmarks/cyclegan.py LIBRARY [SIZE]

LIBRARY is the compiled library of plugins, SIZE the height and width of the image (512). Needs a GPU, TensorRT and
cuda-bindings. Each engine, in fp16, is captured as a CUDA graph and run 200 times; the table has the median of these,
how that compares with native layers, and how far the picture is from theirs. `without norm and pad` has neither
normalisations nor reflect pads: what is left if they cost nothing. Below stand the layers of the last two by time.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from graph_timing import captured

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.engine.execution import PreparedRun, prepared
from trtdsl.engine.log import BuildLog
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.implementation import implement
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.precision import assign_types
from trtdsl.targets.runtime import find_runtime

NETWORK = Path(__file__).parents[1] / "networks" / "cyclegan_generator.yaml"
NATIVE, FUSED, BARE = "native layers", "plugins, fused", "without norm and pad"
RUNS, WARM_UP = 200, 20
LISTED = 40


def main(library: Path, size: int) -> None:
    runtime = find_runtime("tensorrt")
    log = BuildLog(runtime)
    loader = runtime.module.Runtime(log.logger)
    image = {"image": np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)}
    engines, medians, pictures = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        options = BuildOptions(tactic_sources=(), timing_cache=str(Path(folder) / "tactics"))
        for name, graph in _graphs(Path(folder), library, size).items():
            engines[name] = loader.deserialize_cuda_engine(bytes(build(graph, runtime, options, Diagnostics())))
            with prepared(runtime.module, engines[name], image) as run, captured(run) as graph:
                medians[name] = statistics.median([graph.time() for _ in range(WARM_UP + RUNS)][WARM_UP:])
                (pictures[name],) = run.outputs().values()
    print(f"CycleGAN generator, fp16, 1x3x{size}x{size}, {runtime}")
    for name, median in medians.items():
        distance = "" if name == BARE else f"  differs by {np.abs(pictures[name] - pictures[NATIVE]).max():.1e}"
        print(f"{name:24} {median:7.3f} ms  {median / medians[NATIVE]:5.2f} of native{distance}")
    for name in (FUSED, BARE):
        with prepared(runtime.module, engines[name], image) as run:
            times = _layer_times(runtime.module, run)
        print(
            f"\nlayers of `{name}`, by time; {sum(times.values()) * 1000:.1f} us in {len(times)}, each timed by itself"
        )
        for layer in sorted(times, key=times.__getitem__, reverse=True)[:LISTED]:
            print(f"{times[layer] * 1000:8.1f} us  {layer[:110]}")


def _graphs(folder: Path, library: Path, size: int) -> dict[str, Graph]:
    """The typed graphs to compare, by their names in the table."""
    text = NETWORK.read_text(encoding="utf-8")
    whole, bare = (
        _load(folder / "whole.yaml", text, size),
        _load(folder / "bare.yaml", _without_norm_and_pad(text), size),
    )
    return {
        NATIVE: whole.typed,
        "plugins": _with_plugins(whole, library, lambda name: name != "InstanceNormPad"),
        FUSED: _with_plugins(whole, library, lambda name: True),
        BARE: bare.typed,
    }


def _load(path: Path, text: str, size: int) -> trtdsl.Network:
    path.write_text(text, encoding="utf-8")
    dims = {"N": 1, "H": size, "W": size}
    return trtdsl.load(path, random_weights=True, precision="fp16", dims=dims, impl="auto")


def _with_plugins(network: trtdsl.Network, library: Path, has_plugin: Callable[[str], bool]) -> Graph:
    chosen = implement(network.graph, network.typed, has_plugin)
    return replace(assign_types(chosen), libraries=(LibraryUse(library),))


def _without_norm_and_pad(text: str) -> str:
    """The network with zero padding in its convolutions instead of reflect pads, and no norms."""
    text = "\n".join(line for line in text.splitlines() if "instance_norm" not in line and "mode: reflect" not in line)
    return re.sub(
        r"kernel_size: (3|7)}", lambda found: f"kernel_size: {found[1]}, padding: {int(found[1]) // 2}}}", text
    )


def _layer_times(trt: Any, run: PreparedRun) -> dict[str, float]:
    """The milliseconds that each layer takes, the median of some runs."""
    found: dict[str, list[float]] = {}

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, name: str, time: float) -> None:
            found.setdefault(name, []).append(time)

    run.context.profiler = Profiler()
    for _ in range(WARM_UP):
        run.enqueue()
        run.outputs()
    return {name: statistics.median(times) for name, times in found.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 512)
