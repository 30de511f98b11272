"""Files of scales: trtdsl's own, which are reviewed as text, and those of other programs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trtdsl import nodes
from trtdsl.errors import Diagnostics, suggest
from trtdsl.nodes import plain
from trtdsl.quantization.tables import is_cache, read_cache, read_table
from trtdsl.reader import read
from trtdsl.source import SourceFile, Span

VERSION = 1
KEY = "trtdsl-scales"
"""The key that tells trtdsl's own files."""
SMALLEST, LARGEST = 1e-10, 1e6
"""What a scale may be: beyond, fp16 holds no number of the tensor, or none but zero."""
_KEYS = (KEY, "network", "wiring", "made", "scales")
_HINT = "`trtdsl calibrate` writes a file with all that a network needs"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


@dataclass(frozen=True)
class Scale:
    """What a step of int8 is worth in a tensor, and where that is said."""

    value: float
    span: Span


@dataclass(frozen=True)
class ScaleTable:
    """The scales of one file, by the names of tensors.

    `is_foreign` says that another program wrote it, whose tensors need not all be in the network. `wiring` is a hash of
    the network that the scales were made of, where the file has one.
    """

    source: SourceFile
    scales: Mapping[str, Scale]
    is_foreign: bool = False
    wiring: str | None = None


def read_scales(source: SourceFile, diagnostics: Diagnostics) -> ScaleTable | None:
    """The scales of a file, whichever program wrote it; None where it is reported as none that is known.

    Own files are YAML with the key `trtdsl-scales`. Others are TensorRT's calibration caches, and tables with a line
    `name scale zero_point` for each tensor. Scales that are not sensible numbers are reported and left out.
    """
    if is_cache(source):
        found, is_foreign = read_cache(source, diagnostics), True
    elif re.search(rf"^[\s{{]*['\"]?{KEY}['\"]?\s*:", source.text, re.MULTILINE):
        return _read_own(source, diagnostics)
    else:
        found, is_foreign = read_table(source, diagnostics), True
    if found is None:
        return None
    if not found:
        diagnostics.error("scale-file", "the file holds no scales", Span(source, 1, 1, 1, 1), hint=_HINT)
        return None
    scales = {name: Scale(value, span) for name, value, span in found}
    return ScaleTable(source, _sensible(scales, diagnostics), is_foreign)


def _read_own(source: SourceFile, diagnostics: Diagnostics) -> ScaleTable | None:
    document = read(source, diagnostics)
    if not isinstance(document, nodes.Mapping):
        diagnostics.error("scale-file", "a file of scales is a mapping", document.span)
        return None
    for key, _ in document:
        if key.value not in _KEYS:
            message = f"`{key.value}` means nothing in a file of scales"
            diagnostics.error("scale-file", message, key.span, hint=suggest(key.value, _KEYS))
    version, entries, wiring = (document.get(key) for key in (KEY, "scales", "wiring"))
    if version is None or plain(version) != VERSION:
        place = document.span if version is None else version.span
        diagnostics.error("scale-file", f"the file is of another version than {VERSION}", place)
        return None
    if isinstance(entries, nodes.Mapping) and not entries.entries:
        diagnostics.error("scale-file", "the file holds no scales", entries.span, hint=_HINT)
        return None
    if not isinstance(entries, nodes.Mapping):
        diagnostics.error("scale-file", "the file has no `scales: {name: number}`", (entries or document).span)
        return None
    scales = {}
    for key, node in entries:
        value = plain(node)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            message = f"the scale of {key.value} is {nodes.describe(node)}, not a number"
            diagnostics.error("scale-value", message, node.span)
            continue
        scales[key.value] = Scale(float(value), node.span)
    return ScaleTable(source, _sensible(scales, diagnostics), wiring=None if wiring is None else str(plain(wiring)))


def _sensible(scales: Mapping[str, Scale], diagnostics: Diagnostics) -> dict[str, Scale]:
    return {name: scale for name, scale in scales.items() if check_scale(name, scale, diagnostics)}


def check_scale(name: str, scale: Scale, diagnostics: Diagnostics) -> bool:
    """Report a scale that quantises a tensor to nothing, or to no numbers; whether it is none such."""
    value = scale.value
    if SMALLEST <= value <= LARGEST:
        return True
    if not math.isfinite(value):
        wrong = "which is no number" if math.isnan(value) else "which is infinite"
    elif value <= 0:
        wrong = "and scales are positive"
    else:
        wrong = f"which is {'less' if value < SMALLEST else 'more'} than any tensor wants"
    diagnostics.error("scale-value", f"the scale of {name} is {value:g}, {wrong}", scale.span)
    return False


@dataclass(frozen=True)
class ScalesText:
    """What an own file says: the network and its wiring, how the scales were made, and the scales in their order."""

    network: str
    wiring: str
    made: Mapping[str, str | int | float]
    scales: Mapping[str, float]
    comments: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = [*(f"# {line}" for line in self.comments), f"{KEY}: {VERSION}"]
        lines += [f"network: {_quoted(self.network)}", f"wiring: {_quoted(self.wiring)}", "made:"]
        lines += [f"  {key}: {_quoted(value)}" for key, value in self.made.items()]
        lines += ["scales:", *(f"  {_quoted(name)}: {number(value)}" for name, value in self.scales.items())]
        return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """The shortest digits that give the same fp32."""
    return str(np.float32(value))


def _quoted(value: str | int | float) -> str:
    if not isinstance(value, str):
        return str(value)
    # Words that YAML takes for something else, and hashes that look like numbers, are quoted.
    words = {"true", "false", "null"}
    return value if _PLAIN.fullmatch(value) and value.lower() not in words else json.dumps(value)
