"""A network as an engine on the GPU that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trtdsl.build_options import BuildOptions
from trtdsl.bundled_library import for_runtime
from trtdsl.engine import ProgressReporter
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics, RunError, TrtdslError
from trtdsl.graph import Graph
from trtdsl.running.compare import Compared, Comparer
from trtdsl.running.images import Array
from trtdsl.runtime.device import bindings
from trtdsl.targets.gpu import has_gpu
from trtdsl.targets.runtime import Runtime, find_runtime


@dataclass(frozen=True)
class Runner:
    """A TensorRT that runs here."""

    runtime: Runtime

    def run(
        self,
        graph: Graph,
        options: BuildOptions,
        inputs: Mapping[str, Array],
        progress: ProgressReporter | None = None,
    ) -> dict[str, Array]:
        """The outputs of a typed graph's engine, which is built here and now. Raises BuildError, RunError."""
        from trtdsl.runtime import Engine

        plan = build(graph, self.runtime, options, Diagnostics(), progress)
        with Engine.of_plan(self.runtime, plan, options) as engine:
            return engine.run(inputs)


def runner(choice: str) -> Runner:
    """A way to run engines. Raises RunError without a GPU or the packages for it, RuntimeUnavailableError."""
    if not has_gpu():
        hint = "on a CPU, `trtdsl run --reference` gives the outputs in fp32"
        raise RunError.of("gpu-missing", "an engine needs a GPU to run, and there is none here", hint=hint)
    runtime = find_runtime(choice)
    bindings()  # rather than after a build
    return Runner(runtime)


def compare_engine(
    comparer: Comparer, choice: str, options: BuildOptions, progress: ProgressReporter | None = None
) -> Compared:
    """A comparer's network as an engine, or the reason for which none runs here. Raises BuildError, RunError."""
    what = "engine"
    try:
        found = runner(choice)
    except TrtdslError as error:
        return Compared(what, not_run="; ".join(entry.message for entry in error.diagnostics))
    what = f"engine of {found.runtime}"
    graph = for_runtime(comparer.graph, comparer.typed, found.runtime)
    return comparer.differences(what, found.run(graph, options, comparer.inputs, progress))
