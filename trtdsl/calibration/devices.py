"""What runs a network for its calibration: ONNX Runtime on a CPU, or an engine on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from trtdsl.build_options import BuildOptions
from trtdsl.calibration.histograms import Array, Run
from trtdsl.engine import ProgressReporter
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.running.gpu import runner
from trtdsl.running.reference import in_fp32, inputs_in_fp32, load_in_fp32

DEVICES = ("cpu", "gpu")


def loader(
    device: str, runtime: str, options: BuildOptions, progress: ProgressReporter | None = None
) -> Callable[[Graph], Run]:
    """What makes something that runs of an untyped graph, all in fp32. Raises ValueError for another device."""
    if device not in DEVICES:
        raise ValueError(f"a network runs on one of {', '.join(DEVICES)}, not on {device!r}")
    return load_in_fp32 if device == "cpu" else partial(_load_engine, runtime, options, progress)


def _load_engine(runtime: str, options: BuildOptions, progress: ProgressReporter | None, graph: Graph) -> Run:
    """An engine, which is built once. Raises RunError without a GPU, BuildError."""
    found = runner(runtime).runtime
    from trtdsl.runtime import Engine

    engine = Engine.of_plan(found, build(in_fp32(graph), found, options, Diagnostics(), progress), options)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return engine.run(inputs_in_fp32(graph, inputs))

    return run
