"""What TensorRT's builder is told: the build options, the optimisation profile, and how precisions bind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine.log import BuildLog
from trtdsl.errors import BuildError, Diagnostic, Diagnostics, suggest
from trtdsl.graph import Graph
from trtdsl.profiles import profiles_of
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

_SWITCHES = {
    "tf32": "TF32",
    "sparsity": "SPARSE_WEIGHTS",
    "refit": "REFIT",
    "strip": "STRIP_PLAN",
    "version_compatible": "VERSION_COMPATIBLE",
}


class _RefusedError(Exception):
    """An option that this TensorRT does not take."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def configure(builder: Any, runtime: Runtime, options: BuildOptions, log: BuildLog, diagnostics: Diagnostics) -> Any:
    """TensorRT's IBuilderConfig with the options set.

    Raises BuildError with every option that this runtime refuses, each at its place; one that it has no use for is
    a warning.
    """
    config = builder.create_builder_config()
    refused = []
    for name, apply in _settings(builder, config, runtime, options, log, diagnostics):
        reason, hint = "", None
        try:
            apply()
        except _RefusedError as error:
            reason, hint = str(error), error.hint
        except (TypeError, ValueError, RuntimeError) as error:
            reason = f"{runtime} refuses {getattr(options, name)!r}: {error}"
        if said := log.take_errors():
            reason = "; ".join(filter(None, [reason, *said]))
        if reason:
            refused.append(Diagnostic("build-option", f"{name}: {reason}", options.spans.get(name), hint))
    if refused:
        raise BuildError(refused)
    return config


def _settings(
    builder: Any, config: Any, runtime: Runtime, options: BuildOptions, log: BuildLog, diagnostics: Diagnostics
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The options that say something, each with what sets it."""
    setter = _Setter(builder, config, runtime, options, log, diagnostics)
    for name in _SWITCHES:
        yield name, lambda name=name: setter.switch(name)  # type: ignore[misc]
    for name, value in options.as_dict().items():
        unsaid = value is None or value is False or (name in ("target", "profiles") and not value)
        if name not in _SWITCHES and not unsaid:
            yield name, getattr(setter, name)


class _Setter:
    """Sets one option in each method that bears an option's name. Raises _RefusedError, or what the bindings raise."""

    def __init__(
        self,
        builder: Any,
        config: Any,
        runtime: Runtime,
        options: BuildOptions,
        log: BuildLog,
        diagnostics: Diagnostics,
    ) -> None:
        self.builder = builder
        self.config = config
        self.log = log
        self.runtime = runtime
        self.trt = runtime.module
        self.options = options
        self.diagnostics = diagnostics

    def switch(self, name: str) -> None:
        flag = getattr(self.trt.BuilderFlag, _SWITCHES[name], None)
        wanted = getattr(self.options, name)
        if wanted and (flag is None or (name == "version_compatible" and not self.runtime.has_compatibility)):
            raise _RefusedError(f"{self.runtime} does not have it")
        if flag is not None:
            (self.config.set_flag if wanted else self.config.clear_flag)(flag)

    def workspace(self) -> None:
        self.config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, self.options.workspace)

    def optimization_level(self) -> None:
        self.config.builder_optimization_level = self.options.optimization_level

    def max_aux_streams(self) -> None:
        self.config.max_aux_streams = self.options.max_aux_streams

    def profiling_verbosity(self) -> None:
        name = self.options.profiling_verbosity.upper()
        self.config.profiling_verbosity = getattr(self.trt.ProfilingVerbosity, name)

    def hardware_compatibility(self) -> None:
        if self.options.hardware_compatibility == "none":
            return
        if not self.runtime.has_compatibility:
            raise _RefusedError(f"{self.runtime} does not have it", "`target` says which GPUs to build for")
        name = self.options.hardware_compatibility
        members = self.trt.HardwareCompatibilityLevel.__members__
        self.config.hardware_compatibility_level = self._member(members, name)

    def tactic_sources(self) -> None:
        members = self.trt.TacticSource.__members__
        sources = [self._member(members, name) for name in self.options.tactic_sources or ()]
        if not self.config.set_tactic_sources(sum(1 << int(source) for source in set(sources))):
            raise _RefusedError(f"{self.runtime} does not take these together")

    def target(self) -> None:
        """Name the GPUs to build for."""
        if not self.runtime.has_compute_capability:
            raise _RefusedError(f"{self.runtime} builds for the GPU that is there")
        members = self.trt.ComputeCapability.__members__
        known = {f"{name[2:-1]}.{name[-1]}": member for name, member in members.items() if name.startswith("SM")}
        targets = dict.fromkeys(self.options.target)
        if unknown := [target for target in targets if target not in known]:
            message = f"{self.runtime} does not build for {' or '.join(unknown)}"
            raise _RefusedError(message, f"it builds for {', '.join(known)}")
        self.config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            if not self.config.set_compute_capability(known[target], index):
                raise _RefusedError(f"{self.runtime} does not build for {target} here")

    def profiles(self) -> None:
        """They say nothing to TensorRT that could be refused before the network is there."""

    def dla_core(self) -> None:
        """Let layers run on a deep-learning accelerator."""
        if not self.runtime.has_dla:
            raise _RefusedError(f"{self.runtime} runs networks on GPUs only")
        count = self.builder.num_DLA_cores
        core = self.options.dla_core
        if core is not None and core >= count:
            has = f"has DLA cores 0 to {count - 1}" if count else "has no DLA core"
            raise _RefusedError(
                f"{core} is not there: this device {has}", "leave `dla_core` out" if not count else None
            )
        self.config.default_device_type = self.trt.DeviceType.DLA
        self.config.DLA_core = core

    def gpu_fallback(self) -> None:
        if self.options.dla_core is None:
            raise _RefusedError("it says what becomes of layers that a DLA core cannot run", "`dla_core` names one")
        if self.runtime.has_dla:  # else `dla_core` is refused
            self.config.set_flag(self.trt.BuilderFlag.GPU_FALLBACK)

    def strongly_typed(self) -> None:
        if not self.runtime.can_be_strongly_typed:
            raise _RefusedError(f"{self.runtime} does not have it", "`precision` is obeyed all the same")

    def timing_cache(self) -> None:
        """Begin with the tactics measured before, if they are of this GPU and this TensorRT."""
        path = self.options.timing_cache_path
        assert path is not None
        span = self.options.spans.get("timing_cache")
        if not self.runtime.has_timing_cache:
            message = f"timing_cache: {self.runtime} measures no tactics, so {path} is neither read nor written"
            self.diagnostics.warning("build-option", message, span)
            return
        if reason := _take_timings(self.config, self.log, path.read_bytes() if path.exists() else b""):
            self.diagnostics.warning("build-option", f"timing_cache: {path} is begun anew: {reason}", span)

    def _member(self, members: Mapping[str, Any], name: str) -> Any:
        if name.upper() in members:
            return members[name.upper()]
        known = [member.lower() for member in members]
        message = f"{self.runtime} knows no `{name}` (it knows {', '.join(known)})"
        raise _RefusedError(message, suggest(name, known))


def start_from(
    config: Any, runtime: Runtime, options: BuildOptions, log: BuildLog, timings: bytes, *, locked: bool
) -> str | None:
    """Begin with tactics that are known, unless the options name a file of them; gives the reason if it cannot.

    A `locked` build takes these in any case, and measures no others where the runtime can be told so.
    """
    if not runtime.has_timing_cache or (options.timing_cache is not None and not locked):
        return None
    if locked and (flag := getattr(runtime.module.BuilderFlag, "ERROR_ON_TIMING_CACHE_MISS", None)) is not None:
        config.set_flag(flag)
    return _take_timings(config, log, timings)


def _take_timings(config: Any, log: BuildLog, timings: bytes) -> str | None:
    """Give the builder a timing cache, or an empty one and the reason why it does not take that."""
    cache = config.create_timing_cache(timings)
    taken = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    # 8.6.1 cannot always read what it wrote itself: it says so in its log, and goes on without.
    said = log.take_errors()
    if taken and not said:
        return None
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    log.take_errors()  # it repeats itself, now of a cache that is empty
    return "; ".join(said) or "it is of another GPU or TensorRT, or damaged"


def fit_to_network(
    config: Any,
    builder: Any,
    graph: Graph,
    runtime: Runtime,
    strongly_typed: bool,
    options: BuildOptions | None = None,
) -> None:
    """Set what follows from the network: the sizes of dynamic dimensions, and the types that layers may compute in."""
    profiles = profiles_of(graph, options or BuildOptions())
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, sizes in shapes.items():
            profile.set_shape(name, *sizes)
        if config.add_optimization_profile(profile) < 0:
            raise AssertionError(f"{runtime} refuses the profile {dict(shapes)}")
    if profiles and runtime.shares_profiles_on_request:
        # Otherwise each context would want a profile for itself, and one thread at a time could run an engine.
        config.set_preview_feature(runtime.module.PreviewFeature.PROFILE_SHARING_0806, True)
    if not strongly_typed:
        _obey_precisions(config, graph, runtime)


def _obey_precisions(config: Any, graph: Graph, runtime: Runtime) -> None:
    """Make the precisions that the emitter set on layers binding, for the types that the network uses."""
    flags = runtime.module.BuilderFlag
    config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
    used = {tensor.dtype for tensor in graph.types.values()}
    for dtype, flag in (
        (DataType.FP16, "FP16"),
        (DataType.BF16, "BF16"),
        (DataType.INT8, "INT8"),
        (DataType.FP8, "FP8"),
    ):
        if dtype in used:
            config.set_flag(getattr(flags, flag))
