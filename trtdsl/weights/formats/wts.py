"""tensorrtx's .wts: a text file, one line per weight: its key, the count, and that many fp32 numbers in hexadecimal."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trtdsl.errors import NetworkError
from trtdsl.types import DataType
from trtdsl.weights.base import Array
from trtdsl.weights.entries import Entry, WeightFile, unusable

_WORD = 9
"""Eight digits and the space after them."""
_MOST_DIGITS = 20


@dataclass(frozen=True)
class _Line:
    number: int
    count: int
    begin: int
    end: int


class WtsFile(WeightFile):
    """The weights of one .wts file: fp32 without shapes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if path.stat().st_size == 0:
            raise unusable(path, "an empty file, which is not in the .wts format")
        with path.open("rb") as stream:
            self._text = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._lines: dict[str, _Line] = {}
        self._index()

    def __getitem__(self, key: str) -> Entry:
        line = self._lines[key]
        return Entry(self.path, key, "fp32", DataType.FP32, None, line.count, 4, lambda: self._numbers(line))

    def _known(self) -> Mapping[str, object]:
        return self._lines

    def _index(self) -> None:
        """Find where each weight's words are; the first line tells how many weights there have to be."""
        lines = self._spans()
        _, begin, end = next(lines)
        declared = self._text[begin:end].strip()
        if not declared.isdigit() or len(declared) > _MOST_DIGITS:
            raise unusable(self.path, "the first line of a .wts file is the number of weights")
        for number, begin, end in lines:
            self._index_line(number, begin, end)
        if len(self._lines) != int(declared):
            raise unusable(self.path, f"{int(declared)} weights announced, {len(self._lines)} found; is it complete?")

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        begin, number = 0, 0
        while begin < len(self._text):
            found = self._text.find(b"\n", begin)
            end = len(self._text) if found < 0 else found
            number += 1
            yield number, begin, end
            begin = end + 1

    def _index_line(self, number: int, begin: int, end: int) -> None:
        end = self._trim(begin, end)
        if begin == end:
            return
        key_end = self._text.find(b" ", begin, end)
        # A count has few digits, so that two words are found without copying the line.
        words = self._text[key_end + 1 : min(key_end + 32, end)].split(maxsplit=1) if key_end > begin else []
        if not words or not words[0].isdigit():
            raise self._damaged(number, "a key and a count were expected")
        key = self._text[begin:key_end].decode(errors="replace")
        first = self._text.find(words[0], key_end) + len(words[0])
        while first < end and self._text[first] in b" \t":
            first += 1
        count = int(words[0])
        line = _Line(number, count, first, end)
        if end - first != max(count * _WORD - 1, 0) and len(self._text[first:end].split()) != count:
            raise self._damaged(number, f'"{key}" announces {count} numbers and has another number of them')
        if key in self._lines:
            raise self._damaged(number, f'"{key}" was there before')
        self._lines[key] = line

    def _trim(self, begin: int, end: int) -> int:
        while end > begin and self._text[end - 1] in b" \t\r":
            end -= 1
        return end

    def _numbers(self, line: _Line) -> Array:
        text = self._text[line.begin : line.end]
        try:
            return self._full_words(text, line.count)
        except ValueError:
            # Shorter words, or other blanks between them: rare, and slower to read.
            padded = b" ".join(word.zfill(_WORD - 1) for word in text.split())
        try:
            return self._full_words(padded, line.count)
        except ValueError:
            raise self._damaged(line.number, f"the {line.count} words are not fp32 in hexadecimal") from None

    @staticmethod
    def _full_words(text: bytes, count: int) -> Array:
        """Words of eight digits with one space between any two. Raises ValueError for anything else."""
        if len(text) != max(count * _WORD - 1, 0) or text[_WORD - 1 :: _WORD] != b" " * (count - 1):
            raise ValueError
        # Blanks anywhere else would leave too few digits for the count.
        return np.frombuffer(bytes.fromhex(text.decode("ascii")), ">f4", count).astype(np.float32)

    def _damaged(self, number: int, problem: str) -> NetworkError:
        return unusable(self.path, f"line {number}: {problem}")
