"""Places in files, and how they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtdsl.source import SourceFile, Span

FILE = SourceFile("net.yaml", "op: conv\n\tname:\tx\r\nwide: é→x\nlast")

LONG = SourceFile("long.yaml", "x" * 1000 + "\n" + "x" * 500 + "name" + "x" * 496)


def test_a_place_reads_as_editors_write_it() -> None:
    assert str(Span(FILE, 2, 7, 2, 8)) == "net.yaml:2:7"


SNIPPETS = {
    "one word": (Span(FILE, 1, 5, 1, 9), "1 | op: conv\n  |     ^^^^"),
    "tabs stay tabs": (Span(FILE, 2, 8, 2, 9), "2 | \tname:\tx\n  | \t     \t^"),
    "characters, not bytes": (Span(FILE, 3, 9, 3, 10), "3 | wide: é→x\n  |         ^"),
    "nothing is still shown": (Span(FILE, 4, 2, 4, 2), "4 | last\n  |  ^"),
    "to the end of the first line": (Span(FILE, 1, 5, 3, 2), "1 | op: conv\n  |     ^^^^"),
    "an end beyond the line": (Span(FILE, 1, 5, 1, 99), "1 | op: conv\n  |     ^^^^"),
    "a long line": (Span(LONG, 1, 1, 1, 4), f"1 | {'x' * 200}…\n  | ^^^"),
    "the middle of a long line": (Span(LONG, 2, 501, 2, 505), f"2 | …{'x' * 99}name{'x' * 97}…\n  | {' ' * 100}^^^^"),
    "the end of a long line": (Span(LONG, 1, 1000, 1, 1001), f"1 | …{'x' * 200}\n  | {' ' * 200}^"),
    "what a terminal would obey": (Span(SourceFile("x", "a\x1b[2Jb"), 1, 6, 1, 7), "1 | a\ufffd[2Jb\n  |      ^"),
    "line ends of YAML": (Span(SourceFile("x", "a\x85b\u2028c\rd\r\ne"), 5, 1, 5, 2), "5 | e\n  | ^"),
    "no such line": (Span(FILE, 9, 1, 9, 2), ""),
}


@pytest.mark.parametrize(("span", "snippet"), SNIPPETS.values(), ids=SNIPPETS.keys())
def test_snippet(span: Span, snippet: str) -> None:
    assert span.snippet() == snippet


WITHIN = {
    "a part": (Span(FILE, 1, 5, 1, 9), 1, 2, (6, 8)),
    "cut at the end": (Span(FILE, 1, 5, 1, 9), 2, 10, (7, 9)),
    "beyond the end": (Span(FILE, 1, 5, 1, 9), 20, 1, (8, 9)),
    "several lines stay whole": (Span(FILE, 1, 5, 2, 3), 1, 1, (5, 3)),
}


@pytest.mark.parametrize(("span", "offset", "length", "columns"), WITHIN.values(), ids=WITHIN.keys())
def test_within(span: Span, offset: int, length: int, columns: tuple[int, int]) -> None:
    part = span.within(offset, length)
    assert (part.column, part.end_column) == columns


def test_files_are_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes("\ufeffname: é\r\nx: 1\n".encode())
    file = SourceFile.read(path)
    assert file.lines == ["name: é", "x: 1", ""]
    assert file.directory == tmp_path
    path.write_bytes(b"\xe9")
    with pytest.raises(UnicodeDecodeError):
        SourceFile.read(path)
