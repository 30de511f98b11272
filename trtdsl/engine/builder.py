"""Typed Graph to serialized engine: builder, configuration, optimisation profile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine.files import write_atomically
from trtdsl.engine.log import BuildLog
from trtdsl.engine.progress import Interruption, ProgressReporter, make_monitor, run_interruptible
from trtdsl.errors import BuildError, Diagnostic, Diagnostics, suggest, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit
from trtdsl.types import DataType


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
    trt = runtime.module
    log = BuildLog(runtime)
    builder = trt.Builder(log.logger)
    if not builder:
        raise BuildError.of("tensorrt-refused", f"{runtime} gave no builder: {_joined(log.take_errors())}")
    strongly_typed = options.strongly_typed or runtime.is_strongly_typed
    network = builder.create_network(runtime.network_flags(strongly_typed))
    arrays = emit(graph, network, runtime, log, strongly_typed=strongly_typed)
    interruption = Interruption()
    config = _configure(builder, graph, runtime, options, strongly_typed)
    if runtime.has_progress_monitor:
        monitor = make_monitor(trt, progress, interruption)
        config.progress_monitor = monitor
    cache = _read_timing_cache(config, options)
    plan = run_interruptible(lambda: builder.build_serialized_network(network, config), interruption)
    errors = log.take_errors()
    if plan is None:
        raise BuildError([_about(graph, message) for message in errors or ["TensorRT built no engine"]])
    # Lines at error level of a build that succeeds are about tactics that were tried and left: worth knowing, no more.
    for message in (*errors, *log.warnings):
        found = _about(graph, message)
        diagnostics.warning("tensorrt-warning", found.message, found.span, notes=found.notes)
    if options.timing_cache and cache is not None:
        write_atomically(Path(options.timing_cache), memoryview(config.get_timing_cache().serialize()))
    del arrays  # the weights' memory has to last until here
    return plan


def _configure(builder: Any, graph: Graph, runtime: Runtime, options: BuildOptions, strongly_typed: bool) -> Any:
    config = builder.create_builder_config()
    if any(not entry.type.is_static for entry in graph.inputs):
        config.add_optimization_profile(_profile(builder, graph))
    if not strongly_typed:
        _obey_precisions(config, graph, runtime)
    _apply_options(config, runtime, options)
    return config


def _profile(builder: Any, graph: Graph) -> Any:
    profile = builder.create_optimization_profile()
    for entry in graph.inputs:
        shapes = (tuple(dim.sizes[point] for dim in entry.type.shape) for point in range(3))
        profile.set_shape(entry.name, *shapes)
    return profile


def _obey_precisions(config: Any, graph: Graph, runtime: Runtime) -> None:
    """Make the precisions that the emitter set on layers binding, for the types that the network uses."""
    flags = runtime.module.BuilderFlag
    config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
    used = {tensor.dtype for tensor in graph.types.values()}
    for dtype, flag in ((DataType.FP16, "FP16"), (DataType.BF16, "BF16"), (DataType.INT8, "INT8")):
        if dtype in used:
            config.set_flag(getattr(flags, flag))


def _apply_options(config: Any, runtime: Runtime, options: BuildOptions) -> None:
    trt = runtime.module
    switches = {
        "TF32": options.tf32,
        "SPARSE_WEIGHTS": options.sparsity,
        "REFIT": options.refit,
        "STRIP_PLAN": options.strip,
        "VERSION_COMPATIBLE": options.version_compatible,
    }
    for name, wanted in switches.items():
        flag = getattr(trt.BuilderFlag, name, None)
        if flag is None:
            if wanted:
                raise _unsupported(name.lower(), runtime)
        elif wanted:
            config.set_flag(flag)
        else:
            config.clear_flag(flag)
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    config.profiling_verbosity = getattr(trt.ProfilingVerbosity, options.profiling_verbosity.upper())
    if options.hardware_compatibility != "none":
        config.hardware_compatibility_level = _member(
            trt.HardwareCompatibilityLevel, "hardware_compatibility", options.hardware_compatibility, runtime
        )
    if options.tactic_sources is not None:
        sources = [_member(trt.TacticSource, "tactic_sources", name, runtime) for name in options.tactic_sources]
        config.set_tactic_sources(sum(1 << int(source) for source in sources))
    if options.target:
        _set_targets(config, runtime, options.target)


def _set_targets(config: Any, runtime: Runtime, targets: tuple[str, ...]) -> None:
    """Name the GPUs to build for; without a GPU present RTX builds for all it knows."""
    if not runtime.has_compute_capability:
        raise _unsupported("target", runtime)
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = _member(runtime.module.ComputeCapability, "target", f"sm{target.replace('.', '')}", runtime)
        config.set_compute_capability(capability, index)


def _member(enumeration: Any, option: str, name: str, runtime: Runtime) -> Any:
    members = enumeration.__members__
    if name.upper() not in members:
        known = ", ".join(member.lower() for member in members)
        message = f"{option}: {runtime} knows no `{name}` (it knows {known})"
        raise BuildError.of("build-option", message, hint=suggest(name, (member.lower() for member in members)))
    return members[name.upper()]


def _unsupported(option: str, runtime: Runtime) -> BuildError:
    error = BuildError.of("build-option", f"{runtime} has no option `{option}`")
    assert isinstance(error, BuildError)
    return error


def _read_timing_cache(config: Any, options: BuildOptions) -> Any:
    if options.timing_cache is None:
        return None
    path = Path(options.timing_cache)
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


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
    found = [layer for layer in graph.layers if layer.name in stems]
    return max(found, key=lambda layer: len(layer.name), default=None)


def _joined(messages: list[str]) -> str:
    return "; ".join(messages) or "no reason given"
