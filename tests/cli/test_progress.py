"""Progress of a build: lines where there is no terminal, bars where there is one."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from trtdsl.cli.progress import BarProgress, PlainProgress, progress
from trtdsl.engine.progress import ProgressReporter


def play(reporter: ProgressReporter) -> None:
    """A build as TensorRT reports it, with phases inside phases."""
    reporter.phase_start("Building engine", None, 2)
    reporter.phase_start("Optimizing", "Building engine", 3)
    for step in range(3):
        reporter.step_complete("Optimizing", step)
    reporter.phase_finish("Optimizing")
    reporter.step_complete("Building engine", 0)
    reporter.phase_start("Timing", "Building engine", 1)
    reporter.phase_start("Timing a node", "Timing", 5)
    reporter.phase_start("Timing a tactic", "Timing a node", 5)
    reporter.step_complete("Timing a tactic", 0)
    reporter.phase_finish("Timing a tactic")
    reporter.phase_finish("Timing a node")
    reporter.phase_finish("Timing")
    reporter.step_complete("Building engine", 1)
    reporter.phase_finish("Building engine")


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    play(PlainProgress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Building engine\n  Optimizing\n  Timing\n    Timing a node\n"


def test_long_phases_report_their_steps(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Every look at the clock is four seconds after the one before.
    clock = itertools.count(0, 4)
    monkeypatch.setattr("trtdsl.cli.progress.time.monotonic", lambda: float(next(clock)))
    reporter = PlainProgress()
    reporter.phase_start("Timing", None, 8)
    for step in range(8):
        reporter.step_complete("Timing", step)
    reporter.phase_finish("Timing")
    # Begun at 0 s, steps at 4, 8, 12 (due), 16, 20, 24 (due), 28, 32 s.
    assert capsys.readouterr().err == "Timing\nTiming: 3 of 8, 12 s\nTiming: 6 of 8, 24 s\n"


def test_phases_that_were_never_announced_are_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = PlainProgress()
    reporter.step_complete("unheard of", 1)
    reporter.phase_finish("unheard of")
    assert capsys.readouterr().err == ""


def test_bars_come_and_go() -> None:
    stream = io.StringIO()
    with Progress(console=Console(file=stream, force_terminal=True, width=80)) as bars:
        reporter = BarProgress(bars)
        reporter.phase_start("Building engine", None, 2)
        reporter.phase_start("Optimizing", "Building engine", 4)
        reporter.phase_start("Timing a node", "Optimizing", 4)
        reporter.phase_start("Timing a tactic", "Timing a node", 4)
        reporter.step_complete("Optimizing", 2)
        reporter.step_complete("Timing a tactic", 2)
        shown = {task.description: (task.completed, task.total) for task in bars.tasks}
        assert shown == {"Building engine": (0, 2), "  Optimizing": (3, 4), "    Timing a node": (0, 4)}
        for phase in ("Timing a tactic", "Timing a node", "Optimizing", "Building engine"):
            reporter.phase_finish(phase)
        assert bars.tasks == []


def test_the_same_phase_twice() -> None:
    with Progress(console=Console(file=io.StringIO())) as bars:
        play(BarProgress(bars))
        play(BarProgress(bars))
        assert bars.tasks == []


def test_lines_are_chosen_where_there_is_no_terminal() -> None:
    code = (
        "import sys\nfrom trtdsl.cli.progress import PlainProgress, progress\n"
        "with progress() as reporter:\n    assert isinstance(reporter, PlainProgress)\n"
        "assert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_bars_are_chosen_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(color=False) as reporter:
        assert isinstance(reporter, BarProgress)
