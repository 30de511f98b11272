"""Checks that need the elements of weights: what is not finite, what does not fit its type, what no layer takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from trtdsl.errors import Diagnostics, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.types import INTEGERS, DataType
from trtdsl.weights.arrays import extremes, largest
from trtdsl.weights.base import Array, Weight
from trtdsl.weights.formats import open_weights
from trtdsl.weights.sources import Initialiser, Stored
from trtdsl.weights.trained import is_quantizers

_COUNTER = ".num_batches_tracked"
"""What the keys of PyTorch's counters of training steps end in; each batch norm has one."""


def check_weights(graph: Graph, diagnostics: Diagnostics, *, finite: bool = False) -> None:
    """Warn of floats that become infinite in the type their layer computes in, and refuse integers that do not fit.

    With `finite`, weights that hold NaN or infinity are errors. Expects a typed graph; reads every weight once.
    """
    for layer, name, weight in _read_weights(graph):
        if not weight.dtype.is_float:
            _check_integers(layer, name, weight, diagnostics)
            continue
        stored = weight.source.dtype
        # Whole numbers written in the network may be as large as fp32 allows.
        narrowed = largest(weight.dtype) < largest(stored if stored and stored.is_float else DataType.FP32)
        # What is not finite leaves its channel no scale.
        is_quantized = layer.quantized is not None and name in (layer.op.quantized_weights or {})
        if finite or narrowed or is_quantized:
            _check_floats(layer, name, weight, diagnostics, finite=finite or is_quantized)
    diagnostics.end_stage()


def unused_keys(graph: Graph, paths: Iterable[Path]) -> dict[Path, list[str]]:
    """What the files hold that no layer of the graph takes, in the files' order.

    Left aside are PyTorch's counters, and what quantisers left, which only layers in int8 take.
    """
    used = {(w.source.entry.path, w.source.entry.key) for _, _, w in _weights(graph) if isinstance(w.source, Stored)}
    return {
        path: [key for key in open_weights(path) if (path, key) not in used and not _is_beside(key)]
        for path in dict.fromkeys(paths)
    }


def _is_beside(key: str) -> bool:
    return key.endswith(_COUNTER) or is_quantizers(key)


def _weights(graph: Graph) -> Iterator[tuple[Layer, str, Weight]]:
    for layer in graph.all_layers():
        for name, weight in layer.weights.items():
            yield layer, name, weight


def _read_weights(graph: Graph) -> Iterator[tuple[Layer, str, Weight]]:
    """The weights whose elements are not made up here."""
    return (
        (layer, name, weight) for layer, name, weight in _weights(graph) if not isinstance(weight.source, Initialiser)
    )


def _check_floats(layer: Layer, name: str, weight: Weight, diagnostics: Diagnostics, *, finite: bool) -> None:
    array = weight.with_dtype(DataType.FP32).array()
    limit = largest(weight.dtype)
    low, high = extremes(array)
    # One pass settles it for nearly all weights; NaN fails both comparisons.
    if -limit < low and high < limit:
        return
    is_finite = np.isfinite(array)
    place = layer.span(name)
    if finite and not is_finite.all():
        found = f"{_count(~is_finite)} NaN or infinite, the first at {_first(~is_finite)}"
        message = f"{layer.name}: {weight.source.describe()} has {found}"
        diagnostics.error("weight-nonfinite", message, place, notes=used_at(layer.origin))
    lost = is_finite & (np.abs(array) >= limit)
    if lost.any():
        message = f"{layer.name}: {weight.source.describe()} has {_count(lost)} that {weight.dtype} makes infinite"
        hint = f"largest magnitude {np.abs(array[lost]).max():g}; compute this layer in another type: `precision: fp32`"
        diagnostics.warning("weight-overflow", message, place, hint=hint, notes=used_at(layer.origin))


def _check_integers(layer: Layer, name: str, weight: Weight, diagnostics: Diagnostics) -> None:
    source = weight.source
    if not isinstance(source, Stored) or source.dtype is source.entry.dtype or source.dtype not in INTEGERS:
        return
    limits = np.iinfo(source.dtype.storage)
    low, high = extremes(source.entry.read())
    if low < limits.min or high > limits.max:
        message = f"{layer.name}: {source.describe()} has {low:.0f} to {high:.0f}, more than {source.dtype} holds"
        diagnostics.error("weight-overflow", message, layer.span(name), notes=used_at(layer.origin))


def _count(mask: Array) -> str:
    count = int(np.count_nonzero(mask))
    return "1 element" if count == 1 else f"{count} elements"


def _first(mask: Array) -> list[int]:
    return [int(index) for index in np.unravel_index(int(mask.argmax()), mask.shape)]
