"""What quantisers that a network was trained with left in its weights files.

Of PyTorch's fake quantisation these are scales and zero points (`weight_fake_quant`, `activation_post_process`), of
NVIDIA's pytorch-quantization and Model Optimizer largest magnitudes (`_input_quantizer._amax`, later without `_`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from trtdsl.types import DataType
from trtdsl.weights.base import Array
from trtdsl.weights.entries import Entry
from trtdsl.weights.quantized import RangeScales
from trtdsl.weights.sources import Stored

Find = Callable[[str], Entry | None]
"""What finds the entry of a key behind a layer's name."""

_RANGES = ("_{}_quantizer._amax", "{}_quantizer._amax")
_WEIGHT = "weight_fake_quant"
_OUTPUT = "activation_post_process"
_LARGEST_BYTE = 255


_KEYS = re.compile(rf"(^|\.)(_?(input|output|weight)_quantizer|{_WEIGHT}|{_OUTPUT})\.")


def is_quantizers(key: str) -> bool:
    """Whether a key of a weights file is a quantiser's."""
    return _KEYS.search(key) is not None


class TrainedError(Exception):
    """Entries of quantisers that say nothing that symmetric int8 could take."""


@dataclass(frozen=True)
class Trained:
    """What a step of int8 is worth in what a layer reads and makes, and in the channels of its weight, where known."""

    input: float | None = None
    output: float | None = None
    weight: RangeScales | None = None


def read_trained(find: Find) -> Trained:
    """The scales that quantisers of a layer left. Raises TrainedError."""
    made = _range(find, "output")
    return Trained(_range(find, "input"), _affine(find) if made is None else made, _weight(find))


def _range(find: Find, which: str) -> float | None:
    entry = _first(find, which)
    if entry is None:
        return None
    return _positive(entry) / DataType.INT8.reach


def _first(find: Find, which: str) -> Entry | None:
    return next((entry for form in _RANGES if (entry := find(form.format(which))) is not None), None)


def _affine(find: Find) -> float | None:
    """The scale of an output that was quantised to int8 around zero, or to uint8 from a zero point."""
    scale, zero = find(f"{_OUTPUT}.scale"), find(f"{_OUTPUT}.zero_point")
    if scale is None:
        return None
    step, middle = _positive(scale), 0.0 if zero is None else _only(zero)
    if middle == 0:
        return step
    if zero is not None and not 0 < middle <= _LARGEST_BYTE:
        raise TrainedError(f'"{zero.key}" is {middle:g}, and zero points are of uint8, or 0')
    return step * max(middle, _LARGEST_BYTE - middle) / DataType.INT8.reach


def _weight(find: Find) -> RangeScales | None:
    entry = _first(find, "weight")
    if entry is not None:
        return RangeScales(_stored(entry), 1 / DataType.INT8.reach)
    scale, zero = find(f"{_WEIGHT}.scale"), find(f"{_WEIGHT}.zero_point")
    if scale is None:
        return None
    if zero is not None and _values(zero).any():
        raise TrainedError(f'"{zero.key}" is not zero, and weights are quantised around zero')
    return RangeScales(_stored(scale), 1.0)


def _positive(entry: Entry) -> float:
    """What a step or a range is worth."""
    value = _only(entry)
    if not (math.isfinite(value) and value > 0):
        raise TrainedError(f'"{entry.key}" is {value:g}, and steps and ranges are positive numbers')
    return value


def _only(entry: Entry) -> float:
    values = _values(entry)
    if values.size != 1:
        raise TrainedError(f'"{entry.key}" has {values.size} elements, and tensors have one scale')
    return float(values[0])


def _values(entry: Entry) -> Array:
    return _stored(entry).load(entry.shape or (entry.count,), DataType.FP32).reshape(-1)


def _stored(entry: Entry) -> Stored:
    return Stored(entry, entry.dtype or DataType.FP32)
