"""Which layers may be narrow: few measurements find the assignment that does most of the work in narrow types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trtdsl.types import DataType

Assignment = Mapping[str, DataType]
"""The type that each tuned layer is to compute in, by its name."""


@dataclass(frozen=True)
class Trial:
    """What an assignment comes to: its relative error (infinite where something is not finite), and milliseconds.

    `time` is None where nothing measures it.
    """

    error: float
    time: float | None = None


@dataclass(frozen=True)
class Unit:
    """Layers that belong together, as a convolution and what follows it up to the next; `work` counts operations."""

    layers: tuple[str, ...]
    work: float

    def parts(self) -> tuple[Unit, ...]:
        """The layers as units of their own, with equal shares of the work."""
        return tuple(Unit((name,), self.work / len(self.layers)) for name in self.layers)


class ExhaustedError(Exception):
    """The measurements that are allowed are used up."""


Measure = Callable[[Assignment], Trial]
"""Measures an assignment. Raises ExhaustedError."""


def narrow(
    units: Sequence[Unit], base: Assignment, dtype: DataType, tolerance: float, measure: Measure
) -> Iterator[tuple[Assignment, Trial, float]]:
    """The assignments within tolerance that are found on the way, with their trials and the work they do in `dtype`.

    Starts from an assignment within tolerance. If the units cannot all be in `dtype`, they are halved until each part
    alone is within tolerance or is a single layer; parts are then put together, those first that do most work for
    their error, as many as are within tolerance, and what is left is tried in halves. So k layers that cannot be
    narrow among n take about 2 k log2(n) measurements. Ends early when the measurements are used up.
    """
    narrowing = _Narrowing(base, dtype, tolerance, measure)
    with suppress(ExhaustedError):
        narrowing.run(tuple(units))
    yield from narrowing.found


@dataclass(frozen=True)
class _Part:
    units: tuple[Unit, ...]
    error: float

    @property
    def work(self) -> float:
        return sum(unit.work for unit in self.units)


class _Narrowing:
    def __init__(self, base: Assignment, dtype: DataType, tolerance: float, measure: Measure) -> None:
        self.base = base
        self.dtype = dtype
        self.tolerance = tolerance
        self.measure = measure
        self.found: list[tuple[Assignment, Trial, float]] = []

    def run(self, units: tuple[Unit, ...]) -> None:
        if not units or self._fits(units):
            return
        parts = [part for half in _halves(units) for part in self._parts(half)]
        if not parts:
            return
        # The sort keeps the order of the network among equals, so that every run asks the same questions.
        parts.sort(key=lambda part: part.error / max(part.work, 1e-30))
        taken = _Part(parts[0].units, parts[0].error)
        low, high = 1, len(parts)
        while low < high:
            middle = (low + high + 1) // 2
            joined = tuple(unit for part in parts[:middle] for unit in part.units)
            trial = self._measure(joined)
            if trial.error <= self.tolerance:
                low, taken = middle, _Part(joined, trial.error)
            else:
                high = middle - 1
        for number, part in enumerate(parts[low:]):
            # Together with the first of these it was too much.
            taken = self._filled(taken, part.units, part.error / len(part.units), is_known=number == 0)

    def _parts(self, units: tuple[Unit, ...]) -> Iterator[_Part]:
        """The stretches that are within tolerance while all else stays as it is; single layers that are not are out."""
        trial = self._measure(units)
        if trial.error <= self.tolerance:
            yield _Part(units, trial.error)
            return
        for half in _halves(units):
            yield from self._parts(half)

    def _filled(self, taken: _Part, units: tuple[Unit, ...], share: float, *, is_known: bool) -> _Part:
        """What is taken with what fits of some units; `is_known` says that all of them together do not.

        A unit alone adds about `share` to the error: where there is no room for that, nothing is asked.
        """
        if taken.error + share > self.tolerance:
            return taken
        if not is_known:
            joined = (*taken.units, *units)
            trial = self._measure(joined)
            if trial.error <= self.tolerance:
                return _Part(joined, trial.error)
        for half in _halves(units):
            taken = self._filled(taken, half, share, is_known=False)
        return taken

    def _fits(self, units: Iterable[Unit]) -> bool:
        return self._measure(units).error <= self.tolerance

    def _measure(self, units: Iterable[Unit]) -> Trial:
        units = tuple(units)
        narrowed = {name: self.dtype for unit in units for name in unit.layers}
        assignment = {**self.base, **narrowed}
        trial = self.measure(assignment)
        if trial.error <= self.tolerance:
            self.found.append((assignment, trial, sum(unit.work for unit in units)))
        return trial


def _halves(units: tuple[Unit, ...]) -> tuple[tuple[Unit, ...], ...]:
    """Both halves of a stretch, of a single unit those of its layers; nothing of a single layer."""
    if len(units) == 1:
        units = units[0].parts()
    if len(units) == 1:
        return ()
    middle = len(units) // 2
    return units[:middle], units[middle:]


def cheapest(found: Iterable[tuple[Assignment, Trial, float]]) -> tuple[Assignment, Trial]:
    """The assignment to take: the fastest where times are known, and among those of about its time the narrowest."""
    entries = list(found)
    times = [trial.time for _, trial, _ in entries if trial.time is not None]
    if times:
        limit = min(times) * _ALIKE
        entries = [entry for entry in entries if entry[1].time is not None and entry[1].time <= limit]
    assignment, trial, _ = max(entries, key=lambda entry: entry[2])
    return assignment, trial


_ALIKE = 1.02
"""Times that differ by less are of the same speed: measuring again gives as much."""
