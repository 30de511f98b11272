"""Typed Graph to serialized engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine.config import configure, fit_to_network, start_from
from trtdsl.engine.files import write_atomically
from trtdsl.engine.log import BuildLog
from trtdsl.engine.names import NamesOfLayers
from trtdsl.engine.progress import Interruption, ProgressReporter, make_monitor, run_interruptible
from trtdsl.engine.selector import make_selector
from trtdsl.errors import BuildError, Diagnostic, Diagnostics, reason_of, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit
from trtdsl.types import DataType

_NO_KERNEL = "Could not find any implementation for node"


@dataclass(frozen=True)
class Tactics:
    """Tactics that a build starts from: TensorRT's timing cache, and numbers with names by layers of the engine.

    A `locked` build takes no others: those of the timing cache, or by their numbers where TensorRT does not read that.
    """

    timings: bytes = b""
    locked: bool = False
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A serialized engine, as TensorRT's IHostMemory (a buffer of bytes), and the timing cache after the build.

    That is None of a TensorRT that measures nothing. `begun_anew` is why the tactics that were known are not used.
    """

    plan: Any
    timings: bytes | None
    begun_anew: str | None = None


def build(
    graph: Graph,
    runtime: Runtime,
    options: BuildOptions,
    diagnostics: Diagnostics,
    progress: ProgressReporter | None = None,
) -> Any:
    """The serialized engine of a typed graph, as TensorRT's IHostMemory (a buffer of bytes). As `build_by_tactics`."""
    return build_by_tactics(graph, runtime, options, diagnostics, progress).plan


def build_by_tactics(
    graph: Graph,
    runtime: Runtime,
    options: BuildOptions,
    diagnostics: Diagnostics,
    progress: ProgressReporter | None = None,
    tactics: Tactics | None = None,
) -> Built:
    """The engine of a typed graph, built from tactics that are known where the options name no timing cache.

    What TensorRT warns of while building is added to `diagnostics` as warnings. Raises BuildError when TensorRT
    refuses a layer, an option or the whole, BuildInterrupted after Ctrl-C.
    """
    try:
        return _build(graph, runtime, options, diagnostics, progress, tactics or Tactics())
    except BuildError as error:
        # Tracebacks would keep TensorRT's objects until the garbage collector comes. Where that is in the midst of
        # another builder's message, freeing them waits for a lock that this very thread holds.
        error.__context__ = None
        raise error.with_traceback(None) from None


def _build(
    graph: Graph,
    runtime: Runtime,
    options: BuildOptions,
    diagnostics: Diagnostics,
    progress: ProgressReporter | None,
    known: Tactics,
) -> Built:
    log = BuildLog(runtime)
    builder = _make_builder(runtime, log)
    config = configure(builder, runtime, options, log, diagnostics)
    begun_anew = start_from(config, runtime, options, log, known.timings, locked=known.locked)
    selector = None
    if known.locked and (begun_anew or not known.timings) and runtime.has_algorithm_selector:
        selector = config.algorithm_selector = make_selector(runtime.module, known.chosen)
    strongly_typed = options.strongly_typed or runtime.is_strongly_typed
    network = builder.create_network(runtime.network_flags(strongly_typed))
    arrays = emit(graph, network, runtime, log, strongly_typed=strongly_typed)
    fit_to_network(config, builder, graph, runtime, strongly_typed, options)
    interruption = Interruption()
    if runtime.has_progress_monitor:
        monitor = make_monitor(runtime.module, progress, interruption)
        config.progress_monitor = monitor

    def work() -> tuple[Any, ...]:
        # TensorRT holds no more than pointers to the others, also where Ctrl-C leaves it at work.
        return builder.build_serialized_network(network, config), arrays, selector

    plan, *_ = run_interruptible(work, interruption, stops=runtime.has_progress_monitor)
    errors = log.take_errors()
    if plan is None:
        raise BuildError([_about(graph, message) for message in errors or ["TensorRT built no engine"]])
    # Lines at error level of a build that succeeds are about tactics that were tried and left: worth knowing, no more.
    for message in (*errors, *log.warnings):
        found = _about(graph, message)
        diagnostics.warning("tensorrt-warning", found.message, found.span, notes=found.notes)
    timings = _timings(config, runtime)
    _keep_tactics(timings, options, diagnostics)
    return Built(plan, timings, begun_anew)


def _make_builder(runtime: Runtime, log: BuildLog) -> Any:
    try:
        builder = runtime.module.Builder(log.logger)
    except (TypeError, RuntimeError):  # what bindings make of a null pointer
        builder = None
    said = log.take_errors()
    if builder is None:
        hint = None if runtime.builds_without_gpu else "TensorRT needs a GPU to build; `--runtime rtx` does not"
        reason = "; ".join(said) or "no reason given"
        raise BuildError.of("tensorrt-build", f"{runtime} gave no builder: {reason}", hint=hint)
    return builder


def _timings(config: Any, runtime: Runtime) -> bytes | None:
    """What was measured, of a TensorRT that measures."""
    cache = config.get_timing_cache() if runtime.has_timing_cache else None
    serialized = None if cache is None else cache.serialize()
    return None if serialized is None else bytes(serialized)


def _keep_tactics(timings: bytes | None, options: BuildOptions, diagnostics: Diagnostics) -> None:
    """Write the timing cache. That it cannot be written is no reason to lose an engine."""
    path = options.timing_cache_path
    if path is None or timings is None:
        return
    try:
        write_atomically(path, timings)
    except OSError as error:
        message = f"timing_cache: {path} cannot be written: {reason_of(error)}"
        diagnostics.warning("build-option", message, options.spans.get("timing_cache"))


def _about(graph: Graph, message: str) -> Diagnostic:
    """A message of TensorRT with the place of the layer it names, if it names one; of several that of longest name."""
    layer = max(NamesOfLayers(graph).named_in(message).values(), key=lambda layer: len(layer.name), default=None)
    if layer is None:
        return Diagnostic("tensorrt-build", message)
    hint = _what_helps(layer, message)
    return Diagnostic("tensorrt-build", f"{layer.name}: {message}", layer.origin.span, hint, used_at(layer.origin))


def _what_helps(layer: Layer, message: str) -> str | None:
    """What to do where there is no kernel of one layer in its type; of a node of many no type is to blame."""
    is_narrow = (layer.quantized or layer.precision) is not DataType.FP32
    if not is_narrow or _NO_KERNEL not in message or "ForeignNode" in message:
        return None
    return f"there may be a kernel of it in fp32: `precision: {{layers: {{{layer.name}: fp32}}}}`"
