"""An assignment of types as the `precision` section says it: a default, and the layers that differ from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate

from trtdsl.flat import FlatPrecision
from trtdsl.source import Span
from trtdsl.tuning.search import Assignment
from trtdsl.types import DataType


@dataclass(frozen=True)
class Said:
    """A `precision` section as it was, the types that its entries are given now, by position, and what is added."""

    before: FlatPrecision
    default: DataType
    kept: tuple[DataType, ...]
    added: tuple[tuple[str, DataType], ...]

    @property
    def changed_default(self) -> DataType | None:
        """The default, if it is another one than before."""
        return None if self.default is self.before.default else self.default

    @property
    def changed(self) -> tuple[DataType | None, ...]:
        """The type of each entry that is there, if it is another one than before."""
        return tuple(
            None if dtype is old else dtype for (_, old, _), dtype in zip(self.before.patterns, self.kept, strict=True)
        )

    def flat(self, place: Span) -> FlatPrecision:
        """The section as the expander would read it; `place` is where what is added stands."""
        pairs = zip(self.before.patterns, self.kept, strict=True)
        kept = tuple((pattern, dtype, span) for (pattern, _, span), dtype in pairs)
        added = tuple((pattern, dtype, place) for pattern, dtype in self.added)
        return replace(self.before, default=self.default, patterns=kept + added)


def said(assignment: Assignment, before: FlatPrecision) -> Said:
    """How to say an assignment.

    The default is the float type of most layers, which is what stays beside int8 and fp8 as well. Patterns that are
    there stay; one that names a tuned layer gets its type.
    """
    counts = Counter(dtype for dtype in assignment.values() if dtype.is_float)
    default = max(counts, key=lambda dtype: (counts[dtype], dtype is before.default)) if counts else before.default
    kept = tuple((pattern, assignment.get(pattern, dtype)) for pattern, dtype, _ in before.patterns)
    found = _resolved(assignment, default, kept)
    wrong = {name: dtype for name, dtype in assignment.items() if found[name] is not dtype}
    taken = {pattern for pattern, _ in kept}
    settled = {name for name in assignment if name not in wrong}
    added = tuple((_free(pattern, taken), dtype) for pattern, dtype in _grouped(wrong, settled))
    return Said(before, default, tuple(dtype for _, dtype in kept), added)


def _resolved(
    names: Iterable[str], default: DataType, patterns: Sequence[tuple[str, DataType]]
) -> Mapping[str, DataType]:
    """The type that patterns give each name: of the last that matches."""
    matchers = [(re.compile(translate(pattern)).match, dtype) for pattern, dtype in reversed(patterns)]
    return {name: next((dtype for matches, dtype in matchers if matches(name)), default) for name in names}


def _grouped(wanted: Assignment, settled: set[str]) -> Iterator[tuple[str, DataType]]:
    """The wanted types by name, or by scope where all in a scope want the same, in the order of the network."""
    done: set[str] = set()
    for name, dtype in wanted.items():
        if name in done:
            continue
        pattern, members = name, {name}
        parts = name.split(".")
        for length in range(1, len(parts)):
            scope = ".".join(parts[:length]) + "."
            inside = {other for other in wanted if other.startswith(scope)}
            is_alike = all(wanted[other] is dtype for other in inside)
            if len(inside) > 1 and is_alike and not any(other.startswith(scope) for other in settled):
                pattern, members = f"{scope}*", inside
                break
        done |= members
        yield pattern, dtype


def _free(pattern: str, taken: set[str]) -> str:
    """The pattern, written otherwise where the section has it further up already: no key may be there twice."""
    return pattern if pattern not in taken else f"[{pattern[0]}]{pattern[1:]}"
