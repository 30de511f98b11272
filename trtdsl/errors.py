"""Diagnostics, the collector that stages report to, and the exceptions that end a stage."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, TypeVar

from trtdsl.source import Origin, Span

Severity = Literal["error", "warning"]
E = TypeVar("E", bound="TrtdslError")

SHOWN_ALIKE = 3
"""How many errors of one kind at one place are told apart: rounds and modules repeat theirs under other names."""


@dataclass(frozen=True, slots=True)
class Note:
    """A second place that explains a diagnostic, such as where a module was used."""

    message: str
    span: Span | None = None


def layers_stay(count: int) -> str:
    """The subject and verb of a message about layers that stay as they are."""
    return "1 layer stays" if count == 1 else f"{count} layers stay"


def used_at(origin: Origin) -> tuple[Note, ...]:
    """Notes that say where the modules around a layer were used."""
    return tuple(Note(f"in `{use.name}`, used here", use.span) for use in origin.uses)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing the user has to know, and the place it is about.

    `code` is a stable name for the kind of problem (one of `trtdsl.codes.CODES`), for searching and for tests.
    """

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None
    notes: tuple[Note, ...] = ()
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.span}: {self._headline()}" if self.span else self._headline()

    def _headline(self) -> str:
        return f"{self.severity}[{self.code}]: {self.message}"

    def render(self) -> str:
        """The diagnostic as people read it: headline, the line with a caret, hint, notes."""
        lines = [str(self)]
        if self.span and (snippet := self.span.snippet()):
            lines.append(_indent(snippet))
        if self.hint:
            lines.append(_indent(f"hint: {self.hint}"))
        for note in self.notes:
            lines.append(_indent(f"note: {note.span}: {note.message}" if note.span else f"note: {note.message}"))
        return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))


class Diagnostics:
    """Collects what the stages of one run report; a stage reports all it finds before anything is raised."""

    def __init__(self) -> None:
        # An ordered set.
        self._reported: dict[Diagnostic, None] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        """Record a diagnostic unless the very same one was recorded already (modules repeat theirs)."""
        self._reported.setdefault(diagnostic)

    def error(
        self, code: str, message: str, span: Span | None = None, *, hint: str | None = None, notes: Iterable[Note] = ()
    ) -> None:
        self.add(Diagnostic(code, message, span, hint, tuple(notes)))

    def warning(
        self, code: str, message: str, span: Span | None = None, *, hint: str | None = None, notes: Iterable[Note] = ()
    ) -> None:
        self.add(Diagnostic(code, message, span, hint, tuple(notes), "warning"))

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self._reported if d.severity == "error")

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self._reported if d.severity == "warning")

    def end_stage(self) -> None:
        """Raise NetworkError when any error was reported: the next stage would only add to the confusion."""
        if self.errors:
            raise NetworkError(abridged(self.errors))


def abridged(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Diagnostics of which those of one kind at one place are shown a few times, and then counted."""
    kinds = Counter(map(_kind, diagnostics))
    seen: Counter[object] = Counter()
    shown = []
    for entry in diagnostics:
        kind = _kind(entry)
        seen[kind] += 1
        more = kinds[kind] - SHOWN_ALIKE
        if entry.span is None or more <= 1 or seen[kind] < SHOWN_ALIKE:
            shown.append(entry)
        elif seen[kind] == SHOWN_ALIKE:
            shown.append(replace(entry, notes=(*entry.notes, Note(f"and {more} more like it at this place"))))
    return tuple(shown)


def _kind(diagnostic: Diagnostic) -> tuple[str, Span | None]:
    return diagnostic.code, diagnostic.span


class TrtdslError(Exception):
    """What a user of trtdsl can mend; anything else that escapes is a bug of ours."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics))

    @classmethod
    def of(cls: type[E], code: str, message: str, span: Span | None = None, *, hint: str | None = None) -> E:
        """An exception that carries one diagnostic."""
        return cls([Diagnostic(code, message, span, hint)])


class NetworkError(TrtdslError):
    """The YAML file, or the weights it names, cannot become a network."""


class BuildError(TrtdslError):
    """TensorRT refused a layer or did not build the engine."""


class ExportError(TrtdslError):
    """The target that a network is exported to cannot say one of its layers."""


class RuntimeUnavailableError(TrtdslError):
    """No TensorRT of the kind asked for can be imported or used here."""


class RunError(TrtdslError):
    """A network was not run: for want of a package or a GPU, or for the inputs it was given."""


class EngineFileError(TrtdslError):
    """An engine or its manifest is missing, damaged, or not what it says."""


class BuildInterrupted(TrtdslError):
    """The user stopped a build; nothing was written."""


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Around imports: a package that is not installed is named, with the extra that brings it. Raises RunError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "trtdsl").partition(".")[0] == "trtdsl":
            raise
        message = f"{purpose} needs {error.name}, which is not installed"
        raise RunError.of("package-missing", message, hint=f"pip install 'trtdsl[{extra}]'") from None


def suggest(name: str, candidates: Iterable[str]) -> str | None:
    """A hint that names the candidate closest to a misspelt name, or None when none is close."""
    known = sorted(set(candidates))
    # Keys that differ in case only are the commonest slip, and difflib counts them as far apart.
    folded = {candidate.lower(): candidate for candidate in reversed(known)}
    if (same := folded.get(name.lower())) and same != name:
        return f"did you mean `{same}`?"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def reason_of(error: OSError) -> str:
    """What the system says of a file it could not open or write: `no such file or directory`."""
    return (error.strerror or str(error)).lower()


def unreachable(message: str) -> NoReturn:
    """Stop at a state the stages before should have refused: a bug of ours, not of the user."""
    raise AssertionError(message)
