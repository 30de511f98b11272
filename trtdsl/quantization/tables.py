"""Scales as other programs write them: TensorRT's calibration caches, and tables of a line for each tensor."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from trtdsl.errors import Diagnostics, Note
from trtdsl.source import SourceFile, Span
from trtdsl.types import DataType

Found = list[tuple[str, float, Span]]
"""Names of tensors, what a step of int8 is worth in them, and where that stands."""

_CACHE = re.compile(r"TRT-\d+-\w*Calibration\d*\s*")
_CACHED = re.compile(r"(?P<name>.+): (?P<bits>[0-9a-fA-F]{8})\s*")
_ROW = re.compile(r"(?P<name>\S.*?)[ \t]+(?P<scale>[^\s]+)[ \t]+(?P<zero>-?\d{1,9})\s*")
_LARGEST_BYTE = 255
_KNOWN = "`trtdsl calibrate` writes files of scales; caches of TensorRT begin with `TRT-8601-EntropyCalibration2`"


def is_cache(source: SourceFile) -> bool:
    """Whether a file is a calibration cache of TensorRT's: its first line says so."""
    return _CACHE.fullmatch(source.lines[0]) is not None


def read_cache(source: SourceFile, diagnostics: Diagnostics) -> Found | None:
    """The entries of a calibration cache: `name: bits`, those of a big-endian fp32, as hexadecimal digits."""
    found, is_whole = [], True
    for number, line in _rows(source, start=2):
        match = _CACHED.fullmatch(line)
        if match is None:
            is_whole = _refuse(source, number, "is not `name: 3c010a14`, as in TensorRT's caches", diagnostics)
            continue
        [value] = struct.unpack(">f", bytes.fromhex(match["bits"]))
        found.append((match["name"], value, _span(source, number, match.span("bits"))))
    return found if is_whole and _names_once(found, diagnostics) else None


def read_table(source: SourceFile, diagnostics: Diagnostics) -> Found | None:
    """The rows `name scale zero_point` of a table, as Tengine's tools write for int8 and uint8.

    A zero point other than 0 tells that all rows are of uint8, whose numbers reach from there to 0 and 255.
    """
    rows, is_whole = [], True
    for number, line in _rows(source, start=1):
        match = _ROW.fullmatch(line)
        try:
            scale = float(match["scale"]) if match else None
        except ValueError:
            scale = None
        if match is None or scale is None:
            _refuse(source, number, "is no row of a table of scales: `name scale zero_point`", diagnostics)
            # Whatever this is, one line shows it.
            return None
        rows.append((match["name"], scale, int(match["zero"]), _span(source, number, match.span("scale"))))
        if not 0 <= int(match["zero"]) <= _LARGEST_BYTE:
            message = f"a zero point is 0, or of uint8 and up to {_LARGEST_BYTE}, not {match['zero']}"
            diagnostics.error("scale-file", message, _span(source, number, match.span("zero")))
            is_whole = False
    if not is_whole or not _names_once([(name, scale, span) for name, scale, _, span in rows], diagnostics):
        return None
    if not any(zero for _, _, zero, _ in rows):
        return [(name, scale, span) for name, scale, _, span in rows]
    return [
        (name, scale * max(zero, _LARGEST_BYTE - zero) / DataType.INT8.reach, span) for name, scale, zero, span in rows
    ]


def _rows(source: SourceFile, start: int) -> Iterator[tuple[int, str]]:
    """The lines that hold anything, with their numbers."""
    for number, line in enumerate(source.lines[start - 1 :], start):
        if line.strip():
            yield number, line


def _names_once(found: Found, diagnostics: Diagnostics) -> bool:
    """Whether each tensor has one scale; others are reported."""
    first: dict[str, Span] = {}
    for name, _, span in found:
        if name in first:
            notes = [Note("first given here", first[name])]
            diagnostics.error("scale-file", f"the scale of {name} is given twice", span, notes=notes)
        first.setdefault(name, span)
    return len(first) == len(found)


def _refuse(source: SourceFile, number: int, what: str, diagnostics: Diagnostics) -> bool:
    line = source.lines[number - 1]
    shown = line if len(line) <= 60 else f"{line[:57]}..."
    diagnostics.error("scale-file", f"`{shown}` {what}", _span(source, number, (0, len(line))), hint=_KNOWN)
    return False


def _span(source: SourceFile, number: int, columns: tuple[int, int]) -> Span:
    return Span(source, number, columns[0] + 1, number, columns[1] + 1)
