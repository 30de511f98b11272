"""Who says how far an assignment is off, and how long it takes: engines on the GPU, or ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from trtdsl.build_options import BuildOptions
from trtdsl.bundled_library import for_runtime
from trtdsl.engine import ProgressReporter
from trtdsl.engine.builder import Tactics, build_by_tactics
from trtdsl.errors import BuildError, Diagnostics, RunError, needs_extra
from trtdsl.graph import Graph
from trtdsl.precision import assign_types
from trtdsl.running import Array, as_numbers
from trtdsl.running.compare import difference
from trtdsl.running.reference import in_fp32, inputs_in_fp32, load_in_fp32, load_on_cpu
from trtdsl.targets.gpu import current_gpu, has_gpu
from trtdsl.targets.runtime import Runtime, find_runtime
from trtdsl.tuning.search import Trial
from trtdsl.types import DataType

if TYPE_CHECKING:
    from trtdsl.runtime import Engine

_SECONDS = 0.6
"""For which an engine is run again and again to measure it."""


class Judge(Protocol):
    """Measures networks beside the same network in fp32, on data that it holds."""

    @property
    def name(self) -> str:
        """What measures, as people are told."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else it measures with: another one of the same name and settings comes to the same."""
        ...

    @property
    def dtypes(self) -> frozenset[DataType]:
        """The types that it can measure."""
        ...

    def measure(self, graph: Graph) -> Trial:
        """The error of an untyped graph, and how long it takes. Raises RunError, BuildError."""
        ...

    def base_time(self) -> float | None:
        """Milliseconds in fp32."""
        ...


class OnCpu:
    """ONNX Runtime, which rounds in fp16 and int8 as the network says, and measures no time that means anything."""

    dtypes = frozenset({DataType.FP32, DataType.FP16, DataType.INT8})
    name = "ONNX form by ONNX Runtime on a CPU"
    settings: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, graph: Graph, data: Iterable[Mapping[str, Array]]) -> None:
        """Runs the network in fp32 on all data. Raises RunError, ExportError."""
        self._data = tuple(data)
        reference = load_in_fp32(graph)
        self._references = [reference(inputs) for inputs in self._data]

    def measure(self, graph: Graph) -> Trial:
        typed = assign_types(graph)
        run = load_on_cpu(typed, stepwise=True)
        return Trial(_worst(typed, map(run, self._data), self._references))

    def base_time(self) -> float | None:
        return None


class OnGpu:
    """Engines of the TensorRT and the GPU that are here, with tactics that are measured once for all of them."""

    def __init__(
        self,
        graph: Graph,
        data: Iterable[Mapping[str, Array]],
        choice: str,
        options: BuildOptions,
        progress: ProgressReporter | None = None,
    ) -> None:
        """Builds the network in fp32, without TF32, and runs it on all data. Raises RunError, BuildError."""
        if not has_gpu():
            hint = "`--device cpu` lets ONNX Runtime say the errors; it measures no times"
            raise RunError.of("gpu-missing", "tuning measures engines, and there is no GPU here", hint=hint)
        self.runtime: Runtime = find_runtime(choice)
        with needs_extra("gpu", "running an engine"):
            import trtdsl.runtime  # noqa: F401
        self._options, self._progress = options, progress
        self._tactics = Tactics()
        self._data = tuple(data)
        wide = [inputs_in_fp32(graph, inputs) for inputs in self._data]
        self._references, self._base_time = self._run(in_fp32(graph), wide, tf32=False)

    @property
    def name(self) -> str:
        return f"engines of {self.runtime} on {current_gpu()}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._options.as_dict()

    @property
    def dtypes(self) -> frozenset[DataType]:
        return self.runtime.dtypes

    def measure(self, graph: Graph) -> Trial:
        typed = for_runtime(graph, assign_types(graph), self.runtime)
        try:
            outputs, time = self._run(typed, self._data)
        except BuildError:
            # That a mixture of types cannot be built is an answer too.
            return Trial(float("inf"))
        return Trial(_worst(typed, outputs, self._references), time)

    def base_time(self) -> float | None:
        return self._base_time

    def _run(
        self, typed: Graph, data: Sequence[Mapping[str, Array]], *, tf32: bool | None = None
    ) -> tuple[list[dict[str, Any]], float]:
        """The outputs for all data, and the milliseconds that a run takes on the first."""
        from trtdsl.runtime import Engine

        options = self._options if tf32 is None else replace(self._options, tf32=tf32)
        built = build_by_tactics(typed, self.runtime, options, Diagnostics(), self._progress, self._tactics)
        self._tactics = Tactics(built.timings or b"")
        with Engine.of_plan(self.runtime, built.plan, options) as engine:
            outputs = [engine.run(inputs) for inputs in data]
            return outputs, _milliseconds(engine, data[0])


def _milliseconds(engine: Engine, inputs: Mapping[str, Array]) -> float:
    """The time of a run on the GPU, as a CUDA graph where there can be one: the median of many."""
    from trtdsl.running.bench import measure

    for graph in (True, False):
        with suppress(RunError):
            return measure(engine, inputs, warm_up=0.1, duration=_SECONDS, graph=graph).gpu.percentiles[50]
    raise RunError.of("tune", "the engine runs, and cannot be measured")


def _worst(typed: Graph, outputs: Iterable[Mapping[str, Array]], references: Sequence[Mapping[str, Array]]) -> float:
    """The largest relative error of any output for any data."""
    types = {output.name: typed.types[output.tensor].dtype for output in typed.outputs}
    return max(
        difference(name, "", as_numbers(found[name], dtype), reference[name]).relative
        for found, reference in zip(outputs, references, strict=True)
        for name, dtype in types.items()
    )
