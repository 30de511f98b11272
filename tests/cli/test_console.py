"""Colours of diagnostics, and small pieces of output."""

from __future__ import annotations

import click
import pytest

from trtdsl.cli.console import byte_size, plural, styled, table
from trtdsl.errors import Diagnostic, Note
from trtdsl.source import SourceFile, Span

FILE = SourceFile("dir/net.yaml", "layers:\n\t- relv | ^^^\n")
DIAGNOSTICS = {
    "bare": Diagnostic("file", "cannot read it"),
    "a place": Diagnostic("unknown-op", "no op `relv`", Span(FILE, 2, 4, 2, 8)),
    "a warning": Diagnostic("weight-range", "too large", Span(FILE, 1, 1, 1, 7), severity="warning"),
    "all": Diagnostic("c", "m", Span(FILE, 1, 1, 1, 7), "h", (Note("n", Span(FILE, 2, 2, 2, 3)), Note("o"))),
    "the tag in the message": Diagnostic("c", "not error[c]: again", None, "hint: note: ^^"),
}


@pytest.mark.parametrize("case", DIAGNOSTICS)
def test_colors_change_nothing_but_colors(case: str) -> None:
    diagnostic = DIAGNOSTICS[case]
    assert click.unstyle(styled(diagnostic)) == diagnostic.render()


def test_what_is_colored() -> None:
    lines = styled(DIAGNOSTICS["all"]).split("\n")
    assert lines[0].startswith("\x1b[1mdir/net.yaml:1:1: \x1b[0m\x1b[31m\x1b[1merror[c]\x1b[0m")
    assert "\x1b" not in lines[1]
    assert lines[2].endswith("\x1b[31m\x1b[1m^^^^^^\x1b[0m")
    assert lines[3].startswith("\x1b[36m  hint:\x1b[0m")
    assert "\x1b[33m" in styled(DIAGNOSTICS["a warning"])


def test_table() -> None:
    rows = [("a", "1", "x"), ("long", "1000", "")]
    assert table(rows, right=[1], indent="  ") == "  a        1  x\n  long  1000"
    assert table([]) == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (97_800_000, "97.8 MB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_byte_size(count: int, text: str) -> None:
    assert byte_size(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 layers"), (1, "1 layer"), (12345, "12,345 layers")])
def test_plural(count: int, text: str) -> None:
    assert plural(count, "layer") == text
