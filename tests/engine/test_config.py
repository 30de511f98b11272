"""Each build option in TensorRT-RTX's own configuration, and what it refuses, at its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtdsl
from tests.engine.building import Project, is_whole
from trtdsl.build_options import BuildOptions
from trtdsl.engine.config import configure, start_from
from trtdsl.engine.log import BuildLog
from trtdsl.errors import BuildError, Diagnostic, Diagnostics
from trtdsl.targets.runtime import Runtime

NETWORK = "trtdsl: 1\ninputs: {x: [2, 4]}\nlayers: [relu]\nbuild:\n"


def parsed(values: dict[str, Any]) -> BuildOptions:
    diagnostics = Diagnostics()
    options = BuildOptions.parse({name: (value, None) for name, value in values.items()}, diagnostics)
    assert not diagnostics.errors
    return options


def configured(rtx: Runtime, values: dict[str, Any]) -> Any:
    log = BuildLog(rtx)
    builder = rtx.module.Builder(log.logger)
    return configure(builder, rtx, parsed(values), log, Diagnostics())


def flag(name: str) -> Callable[[Any, Any], Any]:
    return lambda config, trt: config.get_flag(getattr(trt.BuilderFlag, name))


def capabilities(config: Any, trt: Any) -> list[str]:
    return [config.get_compute_capability(index).name for index in range(config.num_compute_capabilities)]


def verbosity(config: Any, trt: Any) -> str:
    name: str = config.profiling_verbosity.name
    return name


SET: dict[str, tuple[dict[str, Any], Callable[[Any, Any], Any], Any]] = {
    "workspace": (
        {"workspace": "3MiB"},
        lambda config, trt: config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        3 << 20,
    ),
    "optimization_level": ({"optimization_level": 5}, lambda config, trt: config.builder_optimization_level, 5),
    "optimization_level 0": ({"optimization_level": 0}, lambda config, trt: config.builder_optimization_level, 0),
    "max_aux_streams": ({"max_aux_streams": 2}, lambda config, trt: config.max_aux_streams, 2),
    "max_aux_streams 0": ({"max_aux_streams": 0}, lambda config, trt: config.max_aux_streams, 0),
    "tf32 by default": ({}, flag("TF32"), True),
    "no tf32": ({"tf32": False}, flag("TF32"), False),
    "sparsity": ({"sparsity": True}, flag("SPARSE_WEIGHTS"), True),
    "refit": ({"refit": True}, flag("REFIT"), True),
    "no refit": ({}, flag("REFIT"), False),
    "strip": ({"strip": True}, flag("STRIP_PLAN"), True),
    "detailed by default": ({}, verbosity, "DETAILED"),
    "profiling_verbosity": ({"profiling_verbosity": "none"}, verbosity, "NONE"),
    "tactic_sources": (
        {"tactic_sources": ["jit_convolutions"]},
        lambda config, trt: config.get_tactic_sources(),
        1 << 1,
    ),
    "no tactic_sources": ({"tactic_sources": []}, lambda config, trt: config.get_tactic_sources(), 0),
    "no target": ({}, capabilities, []),
    "target": ({"target": 8.9}, capabilities, ["SM89"]),
    "targets": ({"target": [8.6, "12.0", "sm86"]}, capabilities, ["SM86", "SM120"]),
    "strongly_typed, as RTX is anyway": ({"strongly_typed": True}, flag("REFIT"), False),
    "what is off": ({"version_compatible": False, "hardware_compatibility": "none"}, flag("VERSION_COMPATIBLE"), False),
}


@pytest.mark.parametrize(("values", "read", "expected"), SET.values(), ids=SET)
def test_reaches_tensorrt(values: dict[str, Any], read: Callable[[Any, Any], Any], expected: Any, rtx: Runtime) -> None:
    assert read(configured(rtx, values), rtx.module) == expected


REFUSED: dict[str, tuple[str, str, str | None]] = {
    "unknown tactic source": (
        "tactic_sources: [jit_convolution]",
        "knows no `jit_convolution` (it knows edge_mask_convolutions, jit_convolutions)",
        "did you mean `jit_convolutions`?",
    ),
    "tactic source of TensorRT": ("tactic_sources: [cublas]", "knows no `cublas`", None),
    "no such GPU": (
        "target: 9.0",
        "does not build for 9.0",
        "it builds for 7.5, 8.0, 8.6, 8.9, 12.0, 12.1",
    ),
    "one GPU of several": ("target: [8.9, 6.1, 9.0]", "does not build for 6.1 or 9.0", None),
    "version_compatible": ("version_compatible: true", "does not have it", None),
    "dla_core": ("dla_core: 0", "runs networks on GPUs only", None),
    "hardware_compatibility": (
        "hardware_compatibility: ampere_plus",
        "does not have it",
        "`target` says which GPUs to build for",
    ),
}


@pytest.mark.parametrize(("line", "message", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_rtx_refuses_is_an_error_of_its_line(
    line: str, message: str, hint: str | None, tmp_path: Path, rtx: Runtime
) -> None:
    [diagnostic] = refused(tmp_path, f"  refit: true\n  {line}\n")
    assert diagnostic.code == "build-option"
    assert diagnostic.message.startswith(f"{line.partition(':')[0]}: {rtx} ")
    assert message in diagnostic.message
    assert hint is None or diagnostic.hint == hint
    assert diagnostic.span is not None
    assert (diagnostic.span.file.name, diagnostic.span.line) == (str(tmp_path / "net.yaml"), 6)
    assert not (tmp_path / "net.engine").exists()


def refused(folder: Path, section: str, **arguments: Any) -> tuple[Diagnostic, ...]:
    path = folder / "net.yaml"
    path.write_text(NETWORK + section)
    with pytest.raises(BuildError) as error:
        trtdsl.load(path).build(runtime="rtx", cache=False, **arguments)
    return error.value.diagnostics


def test_all_refused_options_are_reported_at_once(tmp_path: Path, rtx: Runtime) -> None:
    section = "  version_compatible: true\n  tactic_sources: [cublas]\n  target: 9.0\n"
    found = refused(tmp_path, section, options={"target": "3.0"})
    assert {diagnostic.span and diagnostic.span.line for diagnostic in found} == {5, 6, None}
    assert any("does not build for 3.0" in diagnostic.message for diagnostic in found)


def test_engines_of_other_targets_differ_and_say_so(project: Project) -> None:
    default, one, two = (project.build(target=target) for target in ([], "8.9", ["8.6", "12.0"]))
    targets = [engine.manifest["built_from"]["options"]["target"] for engine in (default, one, two)]
    assert targets == [[], ["8.9"], ["8.6", "12.0"]]
    assert len({engine.manifest["engine"]["sha256"] for engine in (default, one, two)}) == 3
    assert is_whole(project.output)


def test_rtx_has_no_timing_cache_and_says_so(tmp_path: Path, rtx: Runtime) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(NETWORK + "  timing_cache: tactics.bin\n")
    [warning] = trtdsl.load(path).build(runtime="rtx", cache=False).warnings
    assert (warning.severity, warning.span and warning.span.line) == ("warning", 5)
    assert f"{tmp_path / 'tactics.bin'} is neither read nor written" in warning.message
    assert not (tmp_path / "tactics.bin").exists()


def test_a_timing_cache_lies_beside_the_file_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(NETWORK + "  timing_cache: some/tactics.bin\n")
    network = trtdsl.load(path)
    assert network.options().timing_cache_path == tmp_path / "some" / "tactics.bin"
    assert network.options({"timing_cache": "here.bin"}).timing_cache_path == Path("here.bin")
    assert network.options({"timing_cache": None}).timing_cache_path is None


class Config:
    """Stands in for the IBuilderConfig of a TensorRT that needs a GPU."""

    def __init__(self, good: bytes, log: BuildLog) -> None:
        self.good = good
        self.log = log
        self.taken: list[bytes] = []
        self.flags: list[object] = []
        self.profiling_verbosity: Any = None

    def clear_flag(self, flag: object) -> None: ...

    def set_flag(self, flag: object) -> None:
        self.flags.append(flag)

    def create_timing_cache(self, content: bytes) -> bytes | None:
        return None if content == b"garbage" else content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache == b"unreadable" or b"unreadable" in self.taken:
            # As 8.6.1 did with a cache of its own: it says that it goes on without, here and at the next cache too.
            self.log.hear("ERROR", "1: [myelinCache.h::deserializeFromBuffer::52] Error Code 1: Myelin")
            self.taken.append(cache)
            return True
        if cache in (b"", self.good):
            self.taken.append(cache)
            return True
        return False


class Accelerated:
    """A builder on a device with some DLA cores, and its configuration, which keeps what it is told."""

    def __init__(self, cores: int) -> None:
        self.num_DLA_cores = cores
        self.flags: list[str] = []
        self.default_device_type: str | None = None
        self.DLA_core: int | None = None

    def create_builder_config(self) -> Accelerated:
        return self

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)

    def clear_flag(self, flag: str) -> None:
        self.flags = [entry for entry in self.flags if entry != flag]


def on_dla(cores: int, values: dict[str, Any]) -> Accelerated:
    module = SimpleNamespace(
        ILogger=_Logger,
        BuilderFlag=SimpleNamespace(TF32="tf32", GPU_FALLBACK="fallback"),
        ProfilingVerbosity=SimpleNamespace(DETAILED=1),
        DeviceType=SimpleNamespace(DLA="dla"),
    )
    runtime = Runtime("tensorrt", (8, 6, 1), module)
    builder = Accelerated(cores)
    configure(builder, runtime, parsed(values), BuildLog(runtime), Diagnostics())
    return builder


@pytest.mark.parametrize("fallback", [False, True])
def test_layers_run_on_a_dla_core(fallback: bool) -> None:
    told = on_dla(2, {"dla_core": 1, "gpu_fallback": fallback})
    assert (told.default_device_type, told.DLA_core) == ("dla", 1)
    assert ("fallback" in told.flags) is fallback


NO_DLA = {
    "none here": (0, {"dla_core": 0}, "dla_core: 0 is not there: this device has no DLA core", "leave `dla_core` out"),
    "too few": (2, {"dla_core": 2}, "dla_core: 2 is not there: this device has DLA cores 0 to 1", None),
    "no core": (2, {"gpu_fallback": True}, "gpu_fallback: it says what becomes of layers", "`dla_core` names one"),
}


@pytest.mark.parametrize("case", NO_DLA)
def test_no_dla_core(case: str) -> None:
    cores, values, message, hint = NO_DLA[case]
    with pytest.raises(BuildError) as error:
        on_dla(cores, values)
    [found] = error.value.diagnostics
    assert (found.code, found.hint) == ("build-option", hint)
    assert found.message.startswith(message)


class _Logger:
    def __init__(self) -> None: ...


TIMING: dict[str, tuple[bytes | None, list[bytes], bool]] = {
    "none yet": (None, [b""], False),
    "one of this GPU": (b"good", [b"good"], False),
    "one of another GPU": (b"other", [b""], True),
    "a damaged one": (b"garbage", [b""], True),
    "one that 8.6.1 cannot read back": (b"unreadable", [b"unreadable", b""], True),
}


@pytest.mark.parametrize(("stored", "taken", "warns"), TIMING.values(), ids=TIMING)
def test_a_timing_cache_is_read(stored: bytes | None, taken: list[bytes], warns: bool, tmp_path: Path) -> None:
    verbosities = SimpleNamespace(DETAILED=1)
    module = SimpleNamespace(ILogger=_Logger, BuilderFlag=SimpleNamespace(TF32=1), ProfilingVerbosity=verbosities)
    runtime = Runtime("tensorrt", (8, 6, 1), module)
    log, diagnostics = BuildLog(runtime), Diagnostics()
    config = Config(b"good", log)
    path = tmp_path / "tactics"
    if stored is not None:
        path.write_bytes(stored)
    builder = SimpleNamespace(create_builder_config=lambda: config)
    configure(builder, runtime, parsed({"timing_cache": str(path)}), log, diagnostics)
    assert config.taken == taken
    assert bool(diagnostics.warnings) is warns


# Each: the timings, the option, whether it is locked; what is taken, and whether there is a reason to say.
STARTING: dict[str, tuple[bytes, dict[str, Any], bool, list[bytes], bool]] = {
    "nothing known": (b"", {}, False, [b""], False),
    "timings of this GPU": (b"good", {}, False, [b"good"], False),
    "of another GPU": (b"other", {}, False, [b""], True),
    "unreadable": (b"unreadable", {}, False, [b"unreadable", b""], True),
    "beside a file of the user's": (b"good", {"timing_cache": "file"}, False, [], False),
    "locked": (b"good", {}, True, [b"good"], False),
    "locked, beside a file of the user's": (b"good", {"timing_cache": "file"}, True, [b"good"], False),
}


@pytest.mark.parametrize(("timings", "option", "locked", "taken", "says"), STARTING.values(), ids=STARTING)
def test_a_build_starts_from_known_tactics(
    timings: bytes, option: dict[str, Any], locked: bool, taken: list[bytes], says: bool
) -> None:
    flags = SimpleNamespace(ERROR_ON_TIMING_CACHE_MISS="no others")
    runtime = Runtime("tensorrt", (10, 15), SimpleNamespace(ILogger=_Logger, BuilderFlag=flags))
    log = BuildLog(runtime)
    config = Config(b"good", log)
    assert (start_from(config, runtime, parsed(option), log, timings, locked=locked) is not None) is says
    assert config.taken == taken
    assert config.flags == (["no others"] if locked else [])
    rtx = Runtime("rtx", (1, 7), runtime.module)
    config = Config(b"good", log)
    assert start_from(config, rtx, parsed(option), log, timings, locked=locked) is None
    assert config.taken == []


def test_86_refuses_what_it_lacks() -> None:
    module = SimpleNamespace(
        ILogger=_Logger, BuilderFlag=SimpleNamespace(TF32=1), ProfilingVerbosity=SimpleNamespace(DETAILED=1)
    )
    runtime = Runtime("tensorrt", (8, 6, 1), module)
    log = BuildLog(runtime)
    builder = SimpleNamespace(create_builder_config=lambda: Config(b"", log))
    options = parsed({"strongly_typed": True, "strip": True, "target": "8.9"})
    with pytest.raises(BuildError) as error:
        configure(builder, runtime, options, log, Diagnostics())
    assert [diagnostic.message for diagnostic in error.value.diagnostics] == [
        "strip: TensorRT 8.6.1 does not have it",
        "strongly_typed: TensorRT 8.6.1 does not have it",
        "target: TensorRT 8.6.1 builds for the GPU that is there",
    ]
