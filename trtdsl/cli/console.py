"""What commands print: diagnostics in colour where the terminal has it, and plain tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from trtdsl.errors import Diagnostic

_TAG_COLORS = {"error": "red", "warning": "yellow"}
_CARETS = re.compile(r"^ +\| *\t*[ \t]*(\^+)$")
_LABEL = re.compile(r"^  (hint|note):")


def show(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics to stderr. click drops the colours when that is no terminal."""
    for diagnostic in diagnostics:
        click.echo(styled(diagnostic), err=True)


def styled(diagnostic: Diagnostic) -> str:
    """A diagnostic as `render` gives it, with ANSI colours."""
    headline, *rest = diagnostic.render().split("\n")
    tag = f"{diagnostic.severity}[{diagnostic.code}]"
    place, _, message = headline.partition(tag)
    color = _TAG_COLORS[diagnostic.severity]
    first = click.style(place, bold=True) + click.style(tag, fg=color, bold=True) + click.style(message, bold=True)
    return "\n".join([first, *(_styled_line(line, color) for line in rest)])


def _styled_line(line: str, color: str) -> str:
    if carets := _CARETS.match(line):
        return line[: carets.start(1)] + click.style(carets[1], fg=color, bold=True)
    if label := _LABEL.match(line):
        return click.style(label[0], fg="cyan") + line[label.end() :]
    return line


def error_count(diagnostics: Sequence[Diagnostic]) -> str:
    """The closing line: `3 errors`."""
    count = sum(entry.severity == "error" for entry in diagnostics)
    return plural(count, "error")


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 layer`, `1,200 layers`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = "") -> str:
    """Rows in aligned columns, two spaces apart; columns in `right` are aligned to the right."""
    if not rows:
        return ""
    right = set(right)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def written_files(paths: Iterable[Path]) -> str:
    """What a command says of the files it wrote."""
    return "wrote " + " and ".join(f"{path} ({byte_size(path.stat().st_size)})" for path in paths)


def byte_size(count: int) -> str:
    """A number of bytes as people read it: `97.8 MB`."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95 or unit == "TB":
            break
    return f"{size:.1f} {unit}"
