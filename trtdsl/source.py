"""Source files and the places in them that diagnostics point at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


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
        """The lines without their ends; only line feeds count, as in YAML marks."""
        return [line.rstrip("\r") for line in self.text.split("\n")]

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
        """The first line of the span with carets under it; empty when the file has no such line."""
        if not 1 <= self.line <= len(self.file.lines):
            return ""
        text = self.file.lines[self.line - 1]
        end = self.end_column if self.end_line == self.line else len(text) + 1
        # Tabs stay tabs in the caret line, so that both lines align however wide the terminal draws them.
        lead = "".join("\t" if character == "\t" else " " for character in text[: self.column - 1])
        carets = "^" * max(1, min(end, len(text) + 1) - self.column)
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
