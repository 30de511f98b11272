"""What the YAML may say of a weight: a key, options of a stored one, numbers, or an initialiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.errors import suggest
from trtdsl.nodes import Mapping, Node, Scalar, Sequence, plain
from trtdsl.source import Span
from trtdsl.types import DataType, Dim
from trtdsl.weights.sources import Distribution, Initialiser, Inline

_INITIALISERS: tuple[Distribution, ...] = ("normal", "uniform", "fill")
_INLINE_TYPES = {"f": DataType.FP32, "i": DataType.INT64, "b": DataType.BOOL}


class OverrideError(Exception):
    """What is wrong with the YAML of a weight, and where."""

    def __init__(self, message: str, span: Span, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.span, self.hint = message, span, hint


@dataclass(frozen=True)
class Lookup:
    """Which entry of which file, and how its elements are taken; None where the default holds.

    `transpose` is true for a matrix, else the order of the axes as in numpy.
    """

    key: str | None = None
    file: str | None = None
    transpose: bool | tuple[int, ...] = False
    dtype: DataType | None = None


def read_override(node: Node | None, label: str) -> Lookup | Inline | Initialiser:
    """What a layer says of the weight that is called `label`. Raises OverrideError."""
    if isinstance(node, Sequence):
        return _inline(plain(node), node.span)
    if isinstance(node, Mapping):
        distribution = next((name for name in _INITIALISERS if node.get(name)), None)
        return _initialiser(label, node, distribution) if distribution else _lookup(node)
    if node is None or node.value is None or isinstance(node.value, bool):
        return Lookup()
    return Lookup(key=node.value) if isinstance(node.value, str) else _inline(node.value, node.span)


def _inline(value: object, span: Span) -> Inline:
    if isinstance(value, Dim):
        value = value.value if value.is_static else str(value)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise OverrideError("the lists have different lengths", span) from None
    if array.dtype.kind not in _INLINE_TYPES or array.size == 0:
        raise OverrideError("expected numbers", span)
    return Inline(array, _INLINE_TYPES[array.dtype.kind])


def _initialiser(label: str, node: Mapping, distribution: Distribution) -> Initialiser:
    allowed = (distribution, "mean") if distribution == "normal" else (distribution,)
    for key, _ in node:
        if key.value not in allowed:
            message = f"`{key.value}` does not go with `{distribution}`"
            raise OverrideError(message, key.span, suggest(key.value, allowed))
    values = {key.value: _number(value) for key, value in node}
    if distribution != "fill" and values[distribution] < 0:
        raise OverrideError(f"`{distribution}` is at least 0, got {values[distribution]:g}", node.span)
    return Initialiser(label, distribution, values[distribution], values.get("mean", 0.0))


def _lookup(node: Mapping) -> Lookup:
    options: dict[str, Any] = {}
    for key, value in node:
        if key.value not in _OPTIONS:
            hint = suggest(key.value, (*_OPTIONS, *_INITIALISERS))
            raise OverrideError(f"`{key.value}` is none of {', '.join(_OPTIONS)}", key.span, hint)
        options[key.value] = _OPTIONS[key.value](value)
    return Lookup(**options)


def _number(node: Node) -> float:
    value = plain(node)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OverrideError("expected a number", node.span)
    return float(value)


def _text(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        return node.value
    raise OverrideError("expected text", node.span)


def _transpose(node: Node) -> bool | tuple[int, ...]:
    value = plain(node)
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and all(type(axis) is int for axis in value) and sorted(value) == [*range(len(value))]:
        return tuple(value)
    raise OverrideError("transpose is true, or the order of the axes: `[1, 0]`", node.span)


def _dtype(node: Node) -> DataType:
    words = {dtype.value: dtype for dtype in DataType}
    value = plain(node)
    if isinstance(value, str) and value in words:
        return words[value]
    raise OverrideError(f"dtype is one of {', '.join(words)}", node.span, suggest(str(value), words))


_OPTIONS: dict[str, Callable[[Node], Any]] = {
    "key": _text,
    "file": _text,
    "transpose": _transpose,
    "dtype": _dtype,
}
