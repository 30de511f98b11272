"""The statements of a script that tell the builder what `engine/config.py` tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trtdsl.build_options import BuildOptions
from trtdsl.errors import BuildError, Diagnostic
from trtdsl.graph import Graph
from trtdsl.profiles import profiles_of
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

_SWITCHES = {
    "sparsity": "SPARSE_WEIGHTS",
    "refit": "REFIT",
    "strip": "STRIP_PLAN",
    "version_compatible": "VERSION_COMPATIBLE",
}


def config_statements(graph: Graph, runtime: Runtime, options: BuildOptions, *, strongly_typed: bool) -> list[str]:
    """Statements on `builder` that make a `config` for a typed graph.

    What TensorRT does unless told otherwise is left out. Raises BuildError with every option that the runtime is known
    to lack.
    """
    _refuse(runtime, options)
    return [
        "config = builder.create_builder_config()",
        *_kernels(options),
        *_devices(options),
        *_timings(runtime, options),
        *_profiles(graph, runtime, options),
        *([] if strongly_typed else _precisions(graph)),
    ]


def _refuse(runtime: Runtime, options: BuildOptions) -> None:
    lacking = {
        "version_compatible": options.version_compatible and not runtime.has_compatibility,
        "hardware_compatibility": options.hardware_compatibility != "none" and not runtime.has_compatibility,
        "dla_core": options.dla_core is not None and not runtime.has_dla,
        "strip": options.strip and not runtime.has_stripping,
        "target": options.target and not runtime.has_compute_capability,
        "strongly_typed": options.strongly_typed and not runtime.can_be_strongly_typed,
    }
    refused = [
        Diagnostic("build-option", f"{name}: {runtime} does not have it", options.spans.get(name))
        for name, lacks in lacking.items()
        if lacks
    ]
    refused += [
        Diagnostic("build-option", f"tactic_sources: `{name}` is no name", options.spans.get("tactic_sources"))
        for name in options.tactic_sources or ()
        if not re.fullmatch(r"\w+", name)
    ]
    if refused:
        raise BuildError(refused)


def _kernels(options: BuildOptions) -> Iterator[str]:
    """Which kernels the builder may choose from, how it chooses, and what the engine keeps of that."""
    if not options.tf32:
        yield "config.clear_flag(trt.BuilderFlag.TF32)"
    for name, flag in _SWITCHES.items():
        if getattr(options, name):
            yield f"config.set_flag(trt.BuilderFlag.{flag})"
    if options.workspace is not None:
        yield f"config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, {options.workspace})"
    if options.optimization_level is not None:
        yield f"config.builder_optimization_level = {options.optimization_level}"
    if options.max_aux_streams is not None:
        yield f"config.max_aux_streams = {options.max_aux_streams}"
    yield f"config.profiling_verbosity = trt.ProfilingVerbosity.{options.profiling_verbosity.upper()}"
    if options.tactic_sources is not None:
        yield f"config.set_tactic_sources({_mask('TacticSource', options.tactic_sources)})"


def _devices(options: BuildOptions) -> Iterator[str]:
    """What the engine may run on."""
    if options.hardware_compatibility != "none":
        level = options.hardware_compatibility.upper()
        yield f"config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.{level}"
    if options.dla_core is not None:
        yield "config.default_device_type = trt.DeviceType.DLA"
        yield f"config.DLA_core = {options.dla_core}"
    if options.gpu_fallback:
        yield "config.set_flag(trt.BuilderFlag.GPU_FALLBACK)"
    targets = dict.fromkeys(options.target)
    if targets:
        yield f"config.num_compute_capabilities = {len(targets)}"
    for index, target in enumerate(targets):
        yield f"config.set_compute_capability(trt.ComputeCapability.SM{target.replace('.', '')}, {index})"


def _timings(runtime: Runtime, options: BuildOptions) -> Iterator[str]:
    """The file of tactics to start from."""
    if options.timing_cache_path is not None and runtime.has_timing_cache:
        yield f"timing_cache = Path({str(options.timing_cache_path)!r})"
        yield 'tactics = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.exists() else b"")'
        yield "config.set_timing_cache(tactics, ignore_mismatch=False)"


def _mask(enumeration: str, names: Sequence[str]) -> str:
    return " | ".join(f"1 << int(trt.{enumeration}.{name.upper()})" for name in dict.fromkeys(names)) or "0"


def _profiles(graph: Graph, runtime: Runtime, options: BuildOptions) -> Iterator[str]:
    profiles = profiles_of(graph, options)
    for profile in profiles:
        yield "profile = builder.create_optimization_profile()"
        for name, shapes in profile.items():
            yield f"profile.set_shape({name!r}, {', '.join(map(str, shapes))})"
        yield "config.add_optimization_profile(profile)"
    if profiles and runtime.shares_profiles_on_request:
        yield "config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)"


def _precisions(graph: Graph) -> Iterator[str]:
    yield "config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)"
    used = {tensor.dtype for tensor in graph.types.values()}
    for dtype in (DataType.FP16, DataType.BF16, DataType.INT8, DataType.FP8):
        if dtype in used:
            yield f"config.set_flag(trt.BuilderFlag.{dtype.name})"
