"""Writes docs/onnx-vectors.md: per operator, how many published cases YAML reproduces, and why others are left out."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.vectors.outcome import Outcome, dynamic, outcomes

PAGE = Path(__file__).parents[2] / "docs" / "onnx-vectors.md"
_HEAD = """# ONNX's test cases

The `onnx` package publishes test cases of its operators, with inputs and outputs. `tests/vectors` writes each as a
network file, op by op, and a test holds the outputs of `YAML → our ONNX form → ONNX Runtime` against the published
ones, within the tolerances of ONNX's own runner. A case that is mapped has passed; every other one has a reason.

*As other types*: the case is about `int64`, `double` or the like, and was run as `int32` or `fp32`, which hold its
numbers (those of `double` rounded). *Dynamic*: passed as well with the first axis of its input dynamic; the others'
sizes stand in parameters. *Bodies*: cases that write the operator as other operators, each of which is mapped.

This page is written by `python -m tests.vectors.report`.
"""


@dataclass
class Row:
    """The figures of one operator."""

    cases: int = 0
    bodies: int = 0
    mapped: int = 0
    converted: int = 0
    dynamic: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, folder: Path) -> None:
        self.cases += 1
        self.bodies += outcome.case.is_function_body
        if outcome.left_out is not None:
            self.reasons[str(outcome.left_out)] += 1
            return
        assert outcome.document is not None
        self.mapped += 1
        self.converted += bool(outcome.document.as_types)
        self.dynamic += dynamic(outcome, folder) is not None

    def cells(self) -> list[str]:
        counts = (self.cases, self.bodies, self.mapped, self.converted, self.dynamic, self.cases - self.mapped)
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        return [*(str(count) if count else "" for count in counts), reasons]


@dataclass
class Figures:
    """Those of all operators, and what the tests want to know besides."""

    rows: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    refusals: set[int] = field(default_factory=set)
    without_inputs: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)


def measure(folder: Path) -> Figures:
    """Map and load every case; nothing is run."""
    figures = Figures()
    for outcome in outcomes(folder):
        figures.rows[outcome.case.group].add(outcome, folder)
        if outcome.refusal is not None:
            figures.refusals.add(outcome.refusal)
        if outcome.document is None or outcome.left_out is not None:
            continue
        if outcome.document.is_unfed:
            figures.without_inputs.add(outcome.case.group)
        if outcome.document.unread:
            figures.unread.add(outcome.case.group)
    return figures


def page(figures: Figures) -> str:
    """The page's text."""
    total = Row()
    for row in figures.rows.values():
        total.cases += row.cases
        total.bodies += row.bodies
        total.mapped += row.mapped
        total.converted += row.converted
        total.dynamic += row.dynamic
        total.reasons.update(reason.partition(":")[0] for reason in row.reasons.elements())
    header = ["operator", "cases", "bodies", "mapped", "as other types", "dynamic", "left out", "why"]
    table = [header, ["---", *["--:"] * 6, "---"]]
    table += [[name, *row.cells()] for name, row in sorted(figures.rows.items(), key=lambda entry: entry[0].lower())]
    table.append(["**all**", *total.cells()[:-1], ""])
    reasons = [["left out", "cases"], ["---", "--:"], *([reason, str(n)] for reason, n in total.reasons.most_common())]
    return "\n".join([_HEAD, *map(_line, reasons), "", *map(_line, table), ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(page(measure(Path(scratch))))
