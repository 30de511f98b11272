"""Real builds with TensorRT-RTX, and what becomes of what it says meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtdsl
from tests.engine.building import Project
from tests.engine.test_config import Config
from tests.engine.test_progress import end_of_work
from trtdsl.build_options import BuildOptions
from trtdsl.cli.progress import BarProgress, PlainProgress
from trtdsl.engine.builder import Built, Tactics, build, build_by_tactics
from trtdsl.engine.log import BuildLog
from trtdsl.errors import BuildError, BuildInterrupted, Diagnostics
from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime


class Phases:
    """A reporter that checks that phases come and go in order."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.seen: list[str] = []
        self.steps = 0

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        assert parent is None or parent in self.open
        assert steps > 0
        self.open.append(phase)
        self.seen.append(phase)

    def step_complete(self, phase: str, step: int) -> None:
        assert phase in self.open
        self.steps += 1

    def phase_finish(self, phase: str) -> None:
        self.open.remove(phase)


def test_progress_is_reported(project: Project) -> None:
    phases = Phases()
    trtdsl.load(project.path).build(project.output, runtime="rtx", cache=False, progress=phases)
    assert phases.open == []
    assert phases.seen[0] == "Building engine"
    assert phases.steps > 10


def test_progress_in_lines(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    trtdsl.load(project.path).build(project.output, runtime="rtx", cache=False, progress=PlainProgress())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Building engine"
    assert any(line.startswith("  ") for line in lines)


def test_progress_in_bars(project: Project) -> None:
    import io

    from rich.console import Console
    from rich.progress import Progress

    stream = io.StringIO()
    with Progress(console=Console(file=stream, force_terminal=True), auto_refresh=False) as bars:
        reporter = BarProgress(bars)
        trtdsl.load(project.path).build(project.output, runtime="rtx", cache=False, progress=reporter)
        assert bars.tasks == []


@pytest.mark.parametrize("method", ["phase_start", "step_complete", "phase_finish"])
def test_a_reporter_that_fails_ends_the_build_with_its_error(
    method: str, project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("no such bar")

    reporter: Any = Phases()
    setattr(reporter, method, fail)
    with pytest.raises(LookupError, match="no such bar"):
        trtdsl.load(project.path).build(project.output, runtime="rtx", cache=False, progress=reporter)
    assert not project.output.exists()
    assert "Exception caught" not in capfd.readouterr().err


def test_builds_of_several_threads_at_once(project: Project, tmp_path: Path) -> None:
    def build_some(number: int) -> list[bytes]:
        outputs = [tmp_path / f"{number}-{again}.engine" for again in range(3)]
        for output in outputs:
            trtdsl.load(project.path).build(output, runtime="rtx", cache=False)
        return [output.read_bytes() for output in outputs]

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(build_some, range(4)))
    assert all(len(plans) == 3 and all(plans) for plans in made)


SAYING = """\
trtdsl: 1
inputs: {x: [2, 4]}
layers:
  - {op: relu, name: part}
  - {op: relu, name: part.fc}
  - {op: relu, name: last}
  - {op: relu, name: fused}
"""

# Each: the severity and the text of what TensorRT says in a build that succeeds; the warning, and its line.
SAID: dict[str, tuple[str, str, str, int | None]] = {
    "a warning": ("WARNING", "it is slow", "it is slow", None),
    "an error": ("ERROR", "a tactic was left", "a tactic was left", None),
    "an error of its own": ("INTERNAL_ERROR", "a tactic was left", "a tactic was left", None),
    "of a layer": ("ERROR", "last: was left", "last: last: was left", 6),
    "of a part of a layer": ("ERROR", "in node part.fc/cast.", "part.fc: in node part.fc/cast.", 5),
    "of a layer and those within": ("WARNING", "part: part.fc, last: slow", "part.fc: part: part.fc, last: slow", 5),
    "of what trtdsl fused": ("WARNING", "norm + last: slow", "norm + last: norm + last: slow", 7),
    "of another of such a name": ("WARNING", "part.fc2 and last2", "part.fc2 and last2", None),
}


@pytest.mark.parametrize(("severity", "text", "message", "line"), SAID.values(), ids=SAID)
def test_what_a_build_says_that_succeeds_is_a_warning(
    severity: str, text: str, message: str, line: int | None, tmp_path: Path, rtx: Runtime
) -> None:
    def say(builder: AnotherBuilder, network: Any, config: Any) -> Any:
        builder.logger.log(SimpleNamespace(name=severity), text)
        return builder.real.build_serialized_network(network, config)

    diagnostics = Diagnostics()
    assert bytes(build(typed(tmp_path), building_by(say, rtx), BuildOptions(), diagnostics))
    [warning] = diagnostics.warnings
    assert (warning.code, warning.message) == ("tensorrt-warning", message)
    assert (warning.span and warning.span.line) == line


IN_FP32 = "there may be a kernel of it in fp32: `precision: {layers: {last: fp32}}`"
# Each: the network's precision, what TensorRT says, the line of the layer that it speaks of, and what helps.
FAILED: dict[str, tuple[str, str, int | None, str | None]] = {
    "no kernel in fp16": ("fp16", "10: Could not find any implementation for node last.", 6, IN_FP32),
    "no kernel in fp32": ("fp32", "10: Could not find any implementation for node last.", 6, None),
    "none of what Myelin fuses": (
        "fp16",
        "10: Could not find any implementation for node {ForeignNode[part/cast...last]}.",
        4,
        None,
    ),
    "something else": ("fp16", "2: last: out of memory", 6, None),
    "no layer is named": ("fp16", "2: out of memory", None, None),
}


@pytest.mark.parametrize(("precision", "text", "line", "hint"), FAILED.values(), ids=FAILED)
def test_a_build_that_fails(
    precision: str, text: str, line: int | None, hint: str | None, tmp_path: Path, rtx: Runtime
) -> None:
    def fail(builder: AnotherBuilder, *_: Any) -> None:
        builder.logger.log(SimpleNamespace(name="ERROR"), text)

    with pytest.raises(BuildError) as error:
        build(typed(tmp_path, precision), building_by(fail, rtx), BuildOptions(), Diagnostics())
    [found] = error.value.diagnostics
    assert (found.code, found.span and found.span.line, found.hint) == ("tensorrt-build", line, hint)
    assert text in found.message


def typed(folder: Path, precision: str = "fp32") -> Graph:
    (folder / "net.yaml").write_text(SAYING)
    graph = trtdsl.load(folder / "net.yaml", precision=precision).typed
    *others, last = graph.layers
    return replace(graph, layers=(*others, replace(last, name="norm + last")))  # as one plugin for several bears it


class AnotherBuilder:
    """TensorRT-RTX's builder, but for how it builds, and for its configuration where another is given."""

    def __init__(self, real: Any, logger: Any, how: Callable[..., Any], config: Any) -> None:
        self.real, self.logger, self.how, self.config = real, logger, how, config

    def create_builder_config(self) -> Any:
        return self.config or self.real.create_builder_config()

    def create_network(self, flags: int) -> Any:
        return self.real.create_network(flags)

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        return self.how(self, network, config)


def building_by(
    how: Callable[..., Any], rtx: Runtime, kind: type[Runtime] = Runtime, config: Any = None, **others: Any
) -> Runtime:
    """TensorRT-RTX with such a builder, and with other members of its module."""

    def make(logger: Any) -> AnotherBuilder:
        return AnotherBuilder(rtx.module.Builder(logger), logger, how, config)

    return kind(rtx.flavor, rtx.version, SimpleNamespace(**{**vars(rtx.module), "Builder": make, **others}))


class Unstoppable(Runtime):
    """TensorRT-RTX as if it told nothing of its progress, as 8.6 does."""

    @property
    def has_progress_monitor(self) -> bool:
        return False


# Each: a runtime, and how a build ends after the first Ctrl-C.
STOPPED: dict[str, tuple[type[Runtime], type[BaseException]]] = {
    "that can be stopped": (Runtime, BuildInterrupted),
    "that cannot": (Unstoppable, KeyboardInterrupt),
}


@pytest.mark.parametrize(("kind", "ends"), STOPPED.values(), ids=STOPPED)
def test_ctrl_c_in_a_build(kind: type[Runtime], ends: type[BaseException], tmp_path: Path, rtx: Runtime) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(ends):
        build(typed(tmp_path), building_by(interrupt, rtx, kind), BuildOptions(), Diagnostics())
    end_of_work()


class Measuring(Runtime):
    """TensorRT-RTX as if it measured tactics."""

    @property
    def has_timing_cache(self) -> bool:
        return True

    @property
    def has_algorithm_selector(self) -> bool:
        return True


class Measured(Config):
    """A configuration whose timing cache takes some bytes only, as that of another GPU does."""

    profiling_verbosity = algorithm_selector = progress_monitor = None

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: bytearray(b"new"))


DIFFERS = "it is of another GPU or TensorRT, or damaged"
# Each: what is known; why it is not used, and whether the builder is told tactics by their numbers.
KNOWN: dict[str, tuple[Tactics, str | None, bool]] = {
    "nothing": (Tactics(), None, False),
    "of this GPU": (Tactics(b"good"), None, False),
    "of another GPU": (Tactics(b"other"), DIFFERS, False),
    "locked": (Tactics(b"good", locked=True, chosen={"last": "0x7"}), None, False),
    "locked, of another GPU": (Tactics(b"other", locked=True, chosen={"last": "0x7"}), DIFFERS, True),
    "locked, without timings": (Tactics(locked=True, chosen={"last": "0x7"}), None, True),
}


@pytest.mark.parametrize(("known", "begun_anew", "selects"), KNOWN.values(), ids=KNOWN)
def test_tactics_that_are_known(
    known: Tactics, begun_anew: str | None, selects: bool, tmp_path: Path, rtx: Runtime
) -> None:
    config = Measured(b"good", BuildLog(rtx))
    runtime = building_by(lambda *_: b"plan", rtx, Measuring, config, IAlgorithmSelector=_Logger)
    built = build_by_tactics(typed(tmp_path), runtime, BuildOptions(), Diagnostics(), tactics=known)
    assert built == Built(b"plan", b"new", begun_anew)
    selector: Any = config.algorithm_selector
    assert (selector is not None) is selects
    if selector is not None:
        choices = [SimpleNamespace(algorithm_variant=SimpleNamespace(tactic=tactic)) for tactic in (5, 7)]
        assert selector.select_algorithms(SimpleNamespace(name="last"), choices) == [1]


class _Logger:
    def __init__(self) -> None: ...


def _null_pointer(logger: object) -> None:
    raise TypeError("pybind11::init(): factory function returned nullptr")


def test_no_builder_without_a_gpu_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("trtdsl: 1\ninputs: {x: [2, 4]}\nlayers: [relu]\n")
    runtime = Runtime("tensorrt", (10, 15, 1), SimpleNamespace(ILogger=_Logger, Builder=_null_pointer))
    with pytest.raises(BuildError, match=r"TensorRT 10.15.1 gave no builder") as error:
        build(trtdsl.load(path).typed, runtime, BuildOptions(), Diagnostics())
    assert error.value.diagnostics[0].hint == "TensorRT needs a GPU to build; `--runtime rtx` does not"
