"""Real builds with TensorRT-RTX, and what becomes of what it says meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtdsl
from tests.engine.building import Project
from trtdsl.build_options import BuildOptions
from trtdsl.cli.progress import BarProgress, PlainProgress
from trtdsl.engine.builder import build
from trtdsl.errors import BuildError, Diagnostics
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
