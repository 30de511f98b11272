"""Source files and the places in them that diagnostics point at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line for YAML, which counts lines by it."""
_WIDEST = 200
"""Columns of a line that are shown."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would obey instead of showing it."""


@dataclass(frozen=True)
class SourceFile:
    """The text of one file, as it was read, under the name the user knows it by."""

    name: str
    text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> SourceFile:
        """Read a UTF-8 file. Raises OSError or UnicodeDecodeError."""
        return cls(str(path), path.read_text(encoding="utf-8-sig"))

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends, counted as in YAML marks."""
        return LINE_END.split(self.text)

    @property
    def directory(self) -> Path:
        """The folder that paths written in this file are relative to."""
        return Path(self.name).parent


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file. Lines and columns count from 1; the end column is one past the last character."""

    file: SourceFile
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}:{self.column}"

    @property
    def file_and_line(self) -> str:
        """The place without its column, as layers and lists of calls are marked: `net.yaml:12`."""
        return f"{self.file.name}:{self.line}"

    def within(self, offset: int, length: int) -> Span:
        """The part of a one-line span that starts `offset` characters in."""
        if self.line != self.end_line:
            return self
        start = min(self.column + offset, max(self.end_column - 1, self.column))
        return Span(self.file, self.line, start, self.line, min(start + max(length, 1), self.end_column))

    def snippet(self) -> str:
        """The first line of the span with carets under it, of a long one the part around it.

        Empty when the file has no such line.
        """
        if not 1 <= self.line <= len(self.file.lines):
            return ""
        text = _CONTROL.sub("\ufffd", self.file.lines[self.line - 1])
        end = self.end_column if self.end_line == self.line else len(text) + 1
        column = self.column
        if len(text) > _WIDEST:
            before = min(max(0, column - _WIDEST // 2), len(text) - _WIDEST)
            text = ("…" if before else "") + text[before : before + _WIDEST] + "…" * (before + _WIDEST < len(text))
            shift = before - 1 if before else 0
            column, end = column - shift, end - shift
        # Tabs stay tabs in the caret line, so that both lines align however wide the terminal draws them.
        lead = "".join("\t" if character == "\t" else " " for character in text[: column - 1])
        carets = "^" * max(1, min(end, len(text) + 1) - column)
        number = str(self.line)
        return f"{number} | {text}\n{' ' * len(number)} | {lead}{carets}"


@dataclass(frozen=True, slots=True)
class Use:
    """A place where a module was used, on the way to a layer inside it."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer comes from: its own lines, and the uses of modules that led there, innermost first."""

    span: Span
    uses: tuple[Use, ...] = ()
