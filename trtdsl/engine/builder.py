"""Typed Graph to serialized engine."""

from __future__ import annotations

import re
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine.config import configure, fit_to_network
from trtdsl.engine.files import write_atomically
from trtdsl.engine.log import BuildLog
from trtdsl.engine.progress import Interruption, ProgressReporter, make_monitor, run_interruptible
from trtdsl.errors import BuildError, Diagnostic, Diagnostics, reason_of, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit


def build(
    graph: Graph,
    runtime: Runtime,
    options: BuildOptions,
    diagnostics: Diagnostics,
    progress: ProgressReporter | None = None,
) -> Any:
    """The serialized engine of a typed graph, as TensorRT's IHostMemory (a buffer of bytes).

    What TensorRT warns of while building is added to `diagnostics` as warnings. Raises BuildError when TensorRT
    refuses a layer, an option or the whole, BuildInterrupted after Ctrl-C.
    """
    log = BuildLog(runtime)
    builder = _make_builder(runtime, log)
    config = configure(builder, runtime, options, log, diagnostics)
    strongly_typed = options.strongly_typed or runtime.is_strongly_typed
    network = builder.create_network(runtime.network_flags(strongly_typed))
    arrays = emit(graph, network, runtime, log, strongly_typed=strongly_typed)
    fit_to_network(config, builder, graph, runtime, strongly_typed)
    interruption = Interruption()
    if runtime.has_progress_monitor:
        monitor = make_monitor(runtime.module, progress, interruption)
        config.progress_monitor = monitor
    plan = run_interruptible(
        lambda: builder.build_serialized_network(network, config), interruption, stops=runtime.has_progress_monitor
    )
    errors = log.take_errors()
    if plan is None:
        raise BuildError([_about(graph, message) for message in errors or ["TensorRT built no engine"]])
    # Lines at error level of a build that succeeds are about tactics that were tried and left: worth knowing, no more.
    for message in (*errors, *log.warnings):
        found = _about(graph, message)
        diagnostics.warning("tensorrt-warning", found.message, found.span, notes=found.notes)
    _keep_tactics(config, runtime, options, diagnostics)
    del arrays  # the weights' memory has to last until here
    return plan


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


def _keep_tactics(config: Any, runtime: Runtime, options: BuildOptions, diagnostics: Diagnostics) -> None:
    """Write the timing cache. That it cannot be written is no reason to lose an engine."""
    path = options.timing_cache_path
    if path is None or not runtime.has_timing_cache:
        return
    try:
        write_atomically(path, memoryview(config.get_timing_cache().serialize()))
    except OSError as error:
        message = f"timing_cache: {path} cannot be written: {reason_of(error)}"
        diagnostics.warning("build-option", message, options.spans.get("timing_cache"))


def _about(graph: Graph, message: str) -> Diagnostic:
    """A message of TensorRT with the place of the layer it names, if it names one."""
    layer = _named_in(graph, message)
    if layer is None:
        return Diagnostic("tensorrt-build", message)
    return Diagnostic("tensorrt-build", f"{layer.name}: {message}", layer.origin.span, None, used_at(layer.origin))


def _named_in(graph: Graph, message: str) -> Layer | None:
    """The layer whose name stands in a message as a whole word; the longest, as names contain each other."""
    words = set(re.findall(r"[\w.:/-]+", message))
    stems = words | {word.split("/")[0].rstrip(".:") for word in words}
    found = [layer for layer in graph.all_layers() if layer.name in stems]
    return max(found, key=lambda layer: len(layer.name), default=None)
