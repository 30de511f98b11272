"""A network and data to the text of a file of scales."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from trtdsl.calibration.histograms import Array, Run, count, find_limits
from trtdsl.calibration.methods import METHODS, kept_range
from trtdsl.errors import RunError
from trtdsl.graph import Graph, GraphOutput
from trtdsl.quantization import needed_scales, sharing_scales, wiring_hash
from trtdsl.quantization.scales import LARGEST, SMALLEST, ScalesText
from trtdsl.running.dataset import Dataset
from trtdsl.running.reference import inputs_in_fp32
from trtdsl.types import DataType

_COMMENTS = (
    "Written by `trtdsl calibrate`. What a step of int8 is worth in each tensor that may be quantised:",
    "round(x / scale), between -128 and 127, is what layers multiply.",
)
DIGITS = 6
"""Significant digits of a scale; what follows hangs on the order of sums."""


def calibrate(
    graph: Graph,
    data: Dataset,
    load: Callable[[Graph], Run],
    *,
    method: str = "entropy",
    percentile: float = 99.99,
) -> ScalesText:
    """The scales of all tensors that may be quantised, as a file of them says it.

    `graph` is an inferred one, `load` gives what runs it; its methods are those of METHODS. Tensors whose elements are
    moved from one to another share the largest scale among them, so that what is quantised once serves all. Raises
    RunError (`data`) for data that hold or give NaN or infinity, and where a tensor is zero throughout or has numbers
    so small or large that no file may have their scale; ValueError for another method, or a percentile that is none.
    """
    if method not in METHODS:
        raise ValueError(f"a method is one of {', '.join(METHODS)}, not {method!r}")
    if not 0 < percentile <= 100:
        raise ValueError(f"a percentile is more than 0 and at most 100, not {percentile:g}")
    names = tuple(needed_scales(graph))
    if not names:
        raise RunError.of("data", "no layer of the network multiplies in int8: there is nothing to calibrate")
    run = _observed(graph, names, load)
    limits = find_limits(run, _labelled(data), names)
    _check_excited(graph, limits)
    ranges = limits
    if method != "min-max":
        histograms = count(run, _labelled(data), limits)
        ranges = {name: kept_range(method, histogram, percentile) for name, histogram in histograms.items()}
    scales = {name: _rounded(largest / DataType.INT8.reach) for name, largest in ranges.items()}
    shared = {name: max(scales[other] for other in group) for group in sharing_scales(graph, names) for name in group}
    _check_readable(graph, shared)
    made: dict[str, str | int | float] = {"method": method}
    if method == "percentile":
        made["percentile"] = percentile
    made |= {"files": len(data.files), "data": data.digest, "weights": _weights_hash(graph)}
    return ScalesText(graph.name, wiring_hash(graph), made, {name: shared[name] for name in names}, _COMMENTS)


def _observed(graph: Graph, names: tuple[str, ...], load: Callable[[Graph], Run]) -> Run:
    """What gives these tensors, each of which is made an output of a name of its own."""
    span = graph.outputs[0].span
    outputs = {f"calibrated{index}": name for index, name in enumerate(names)}
    inputs = {entry.name for entry in graph.inputs}
    delivered = tuple(GraphOutput(label, name, None, span) for label, name in outputs.items() if name not in inputs)
    run = load(replace(graph, outputs=delivered or graph.outputs))

    def observe(given: Mapping[str, Array]) -> dict[str, Array]:
        found, numbers = run(given), inputs_in_fp32(graph, given)
        return {name: numbers[name] if name in inputs else found[label] for label, name in outputs.items()}

    return observe


def _labelled(data: Dataset) -> Iterator[tuple[str, Mapping[str, Array]]]:
    for index, inputs in enumerate(data):
        yield data.label(index), inputs


def _check_excited(graph: Graph, limits: Mapping[str, float]) -> None:
    """Refuse data that leave a tensor at zero, of which nothing can be learnt."""
    if still := [name for name, limit in limits.items() if limit == 0]:
        hint = "give data that make a difference there, or a scale under `quantization: {tensors: …}`"
        _refuse(graph, "zero for all of the data", still, hint)


def _check_readable(graph: Graph, scales: Mapping[str, float]) -> None:
    """Refuse scales that a file of them may not have."""
    if beyond := [name for name, scale in scales.items() if not SMALLEST <= scale <= LARGEST]:
        what = f"scales beyond {SMALLEST:g} to {LARGEST:g}, which fp16 cannot hand on"
        _refuse(graph, what, beyond, "give data as they are in use, or bring these tensors nearer to one")


def _refuse(graph: Graph, what: str, names: Sequence[str], hint: str) -> NoReturn:
    makers = {name: layer for layer in graph.layers for name in layer.outputs}
    places = [f"{name} ({makers[name].origin.span.file_and_line})" if name in makers else name for name in names]
    span = makers[names[0]].origin.span if names[0] in makers else None
    raise RunError.of("data", f"{what}: {', '.join(places)}", span, hint=hint)


def _rounded(scale: float) -> float:
    return float(f"{scale:.{DIGITS}g}")


def _weights_hash(graph: Graph) -> str:
    """A hash of the elements of all weights, which the scales hang on."""
    digest = hashlib.sha256()
    for layer in graph.all_layers():
        for name, weight in layer.weights.items():
            digest.update(f"{layer.name}.{name} {weight.shape} {weight.source.fingerprint()}\n".encode())
    return digest.hexdigest()[:16]
