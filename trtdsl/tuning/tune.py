"""Finds the cheapest types that keep a network's outputs near those in fp32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from trtdsl.engine.files import sha256, sha256_of, write_atomically
from trtdsl.engine.manifest import Ingredients
from trtdsl.errors import RunError, reason_of
from trtdsl.expand import dump
from trtdsl.flat import FlatNetwork, FlatPrecision
from trtdsl.graph import Graph, Layer
from trtdsl.ops import CATALOGUE
from trtdsl.running.dataset import Dataset
from trtdsl.source import SourceFile, Span
from trtdsl.tuning.judges import Judge
from trtdsl.tuning.patterns import Said, said
from trtdsl.tuning.search import Assignment, ExhaustedError, Trial, Unit, cheapest, narrow
from trtdsl.tuning.state import Trials
from trtdsl.tuning.units import tunable, units_of
from trtdsl.tuning.write_back import write_precision
from trtdsl.types import QUANTIZED, DataType
from trtdsl.version import __version__

DTYPES = (DataType.FP16,)
"""What layers are brought into unless told otherwise."""


class Reporter(Protocol):
    """Is told of trials."""

    def trial(self, number: int, assignment: Assignment, trial: Trial) -> None:
        """One assignment was measured, now or in an earlier run."""
        ...


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    `assignment` has the type of every layer it was about, `error` is the relative error beside fp32, `time` and
    `base_time` are milliseconds of a run as it is and in fp32, None where nothing measured them. `measured` counts the
    trials that were made, `known` those that were there from an earlier run; `exhausted` says that more trials might
    have found more. `text` is the network's file with the types written into it, `before` as it was.
    """

    judge: str
    assignment: Assignment
    error: float
    time: float | None
    base_time: float | None
    measured: int
    known: int
    exhausted: bool
    path: Path
    before: str
    text: str

    def write(self) -> None:
        """Write the types into the network's file, unless they stand there. Raises OSError."""
        if self.text != self.before:
            write_atomically(self.path.resolve(), self.text.encode())

    @property
    def counts(self) -> dict[DataType, int]:
        """How many layers have which type."""
        return dict(Counter(self.assignment.values()))


@dataclass(frozen=True)
class Subject:
    """The network to tune: flat, and a function that gives its untyped graph for another precision section."""

    flat: FlatNetwork
    graph: Graph
    remade: Callable[[FlatPrecision], Graph]


def tune(
    subject: Subject,
    judge: Judge,
    tolerance: float,
    *,
    dtypes: Sequence[DataType] = DTYPES,
    trials: Trials,
    builds: int,
    reporter: Reporter | None = None,
) -> Tuned:
    """Try types for the layers whose precision neither they nor a group around them say.

    Starts from fp32, and brings as many into each of `dtypes`, one after the other, as the tolerance lets; int8 and fp8
    only those that have scales. Makes at most `builds` trials, besides those that are known. What is chosen was
    measured as it will be written. Raises RunError where nothing can be tuned.
    """
    layers = tunable(subject.flat, subject.graph)
    if not layers:
        raise RunError.of("tune", "no layer is left to tune: each has a precision of its own, or its group has one")
    if lacking := [dtype for dtype in dtypes if dtype not in judge.dtypes]:
        raise RunError.of("tune", f"{judge.name} cannot measure {' or '.join(map(str, lacking))}")
    place = Span(subject.flat.file, 1, 1, 1, 1)
    measuring = _Measuring(subject, judge, trials, builds, reporter, place)
    base: Assignment = {layer.name: DataType.FP32 for layer in layers}
    best = base, Trial(0.0, judge.base_time())
    for dtype in dtypes:
        free = _candidates(subject, layers, best[0], dtype, measuring.said, place)
        found = [(best[0], best[1], 0.0), *narrow(free, best[0], dtype, tolerance, measuring.measure)]
        best = cheapest(found)
    assignment, trial = best
    file = _unchanged(subject.flat.file, trials.path)
    text = write_precision(file, measuring.said(assignment))
    return Tuned(
        judge=judge.name,
        assignment=assignment,
        error=trial.error,
        time=trial.time,
        base_time=judge.base_time(),
        measured=measuring.made,
        known=trials.found,
        exhausted=measuring.is_exhausted,
        path=Path(file.name),
        before=file.text,
        text=text,
    )


def read_raw(path: Path) -> SourceFile:
    """A file as it lies on disk, with its line ends."""
    with path.open(encoding="utf-8", newline="") as file:
        return SourceFile(str(path), file.read())


def _unchanged(loaded: SourceFile, trials: Path) -> SourceFile:
    """The network's file as it lies on disk. Raises RunError where it is not what was loaded."""
    path = Path(loaded.name)
    try:
        if SourceFile.read(path).text == loaded.text:
            return read_raw(path)
        what = "has been changed"
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read any more ({reason_of(error) if isinstance(error, OSError) else 'not UTF-8'})"
    hint = f"the trials are in {trials}: tune again, and those of the same layers are not made again"
    raise RunError.of("tune", f"{path} {what} while it was tuned, and stays as it is", hint=hint)


def _candidates(
    subject: Subject,
    layers: tuple[Layer, ...],
    now: Assignment,
    dtype: DataType,
    say: Callable[[Assignment], Said],
    place: Span,
) -> tuple[Unit, ...]:
    """The units that may be brought into a type: those in fp32, and for int8 and fp8 all that can be quantised."""
    if dtype not in QUANTIZED:
        return units_of(tuple(layer for layer in layers if now[layer.name] is DataType.FP32), subject.graph)
    # Who can be quantised, and has scales, is known once it was asked for.
    asked = subject.remade(say({layer.name: dtype for layer in layers}).flat(place))
    able = {layer.name for layer in asked.all_layers() if layer.quantized is dtype}
    chosen = tuple(layer for layer in layers if layer.name in able)
    return tuple(part for unit in units_of(chosen, subject.graph) for part in unit.parts())


class _Measuring:
    """Measures assignments once each, as they will be written, as long as trials are left."""

    def __init__(
        self, subject: Subject, judge: Judge, trials: Trials, builds: int, reporter: Reporter | None, place: Span
    ) -> None:
        self.subject = subject
        self.judge = judge
        self.trials = trials
        self.builds = builds
        self.reporter = reporter
        self.place = place
        self.made = self.seen = 0
        self.is_exhausted = False

    def said(self, assignment: Assignment) -> Said:
        """How an assignment is written."""
        return said(assignment, self.subject.flat.precision)

    def measure(self, assignment: Mapping[str, DataType]) -> Trial:
        """The trial of an assignment. Raises ExhaustedError."""
        trial = self.trials.get(assignment)
        if trial is None:
            if self.made >= self.builds:
                self.is_exhausted = True
                raise ExhaustedError
            self.made += 1
            trial = self.judge.measure(self.subject.remade(self.said(assignment).flat(self.place)))
            self.trials.add(assignment, trial)
        self.seen += 1
        if self.reporter is not None:
            self.reporter.trial(self.seen, assignment, trial)
        return trial


def trials_of(path: Path, subject: Subject, data: Dataset, judge: Judge) -> Trials:
    """The trials of a network that a file has: those of the same layers, weights, scales, data and judge."""
    flat = subject.flat
    # Types change from trial to trial; what else the section says stays.
    precision = FlatPrecision(allowed=flat.precision.allowed, fallback=flat.precision.fallback)
    spec = dump(replace(flat, precision=precision), CATALOGUE)
    described = {
        "network": sha256(spec.encode()),
        "weights": Ingredients("", "", None, {}, {}, "").with_weights_of(subject.graph).weights,
        "scales": _scale_files(flat),
        "data": data.digest,
        "pictures": asdict(data.pictures),
        "judge": judge.name,
        "settings": dict(judge.settings),
        "trtdsl": __version__,
    }
    return Trials(path, described)


def _scale_files(flat: FlatNetwork) -> list[str]:
    """Hashes of the files of scales that are there; one that is not is missed where int8 is asked for."""
    paths = [use.path for use in flat.quantization.files] if flat.quantization is not None else []
    return [sha256_of(path) for path in paths if path.is_file()]
