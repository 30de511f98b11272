"""Shows the phases of a build: bars on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from trtdsl.engine.progress import ProgressReporter

_DEPTH = 3
"""Phases deeper than this come and go by the thousand, and tell a reader nothing."""


@contextmanager
def progress(color: bool | None = None) -> Iterator[ProgressReporter]:
    """A reporter that suits stderr, for the time of one build."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, no_color=color is False)
    with Progress(*columns, console=console, transient=True) as bars:
        yield BarProgress(bars)


class _Phases:
    """Which phases are under way, and how deep each lies. Names are unique while a phase lasts."""

    def __init__(self) -> None:
        self._depths: dict[str, int] = {}

    def start(self, phase: str, parent: str | None) -> int:
        depth = self._depths.get(parent, -1) + 1 if parent is not None else 0
        self._depths[phase] = depth
        return depth

    def finish(self, phase: str) -> int:
        return self._depths.pop(phase, _DEPTH)


class BarProgress:
    """One bar for each phase under way."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._phases = _Phases()

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        depth = self._phases.start(phase, parent)
        if depth < _DEPTH:
            self._tasks[phase] = self._bars.add_task("  " * depth + phase, total=steps)

    def step_complete(self, phase: str, step: int) -> None:
        if phase in self._tasks:
            self._bars.update(self._tasks[phase], completed=step + 1)

    def phase_finish(self, phase: str) -> None:
        self._phases.finish(phase)
        if phase in self._tasks:
            self._bars.remove_task(self._tasks.pop(phase))


@dataclass
class _Running:
    depth: int
    steps: int
    started: float
    reported: float


class PlainProgress:
    """A line when a phase begins, and one with the steps done every ten seconds of a phase that takes long."""

    _INTERVAL = 10.0

    def __init__(self) -> None:
        self._phases = _Phases()
        self._running: dict[str, _Running] = {}

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        depth = self._phases.start(phase, parent)
        if depth < _DEPTH:
            now = time.monotonic()
            self._running[phase] = _Running(depth, steps, now, now)
            self._print(depth, phase)

    def step_complete(self, phase: str, step: int) -> None:
        running = self._running.get(phase)
        now = time.monotonic()
        if running is not None and now - running.reported >= self._INTERVAL:
            running.reported = now
            self._print(running.depth, f"{phase}: {step + 1} of {running.steps}, {now - running.started:.0f} s")

    def phase_finish(self, phase: str) -> None:
        self._phases.finish(phase)
        self._running.pop(phase, None)

    def _print(self, depth: int, text: str) -> None:
        click.echo("  " * depth + text, err=True)
