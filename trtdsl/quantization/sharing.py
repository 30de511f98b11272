"""Which tensors of a network have scales, and which have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from trtdsl.graph import Graph
from trtdsl.ops.base import OpError
from trtdsl.quantization.placement import Wiring, can_multiply
from trtdsl.types import DataType


def needed_scales(graph: Graph) -> Iterator[str]:
    """The tensors that are quantised if all layers are that can be, or some, in the order in which they are read."""
    wiring, quantized = Wiring(graph), set()
    for layer in graph.layers:
        if can_multiply(layer):
            try:
                layer.op.check_quantized(DataType.INT8, *(graph.types[name] for name in layer.inputs if name))
            except OpError:
                continue
            quantized.add(layer.name)
    seen: set[str] = set()
    for layer in graph.layers:
        is_product = layer.name in quantized
        positions = wiring.float_inputs(layer) if is_product else sorted(wiring.summands(layer, quantized))
        for name in (layer.inputs[index] for index in positions):
            if name is not None and name not in seen:
                seen.add(name)
                yield name


def sharing_scales(graph: Graph, names: Iterable[str]) -> list[list[str]]:
    """These tensors in groups whose elements are moved from one to another, so that one scale serves a group."""
    wiring = Wiring(graph)
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while (other := leader.setdefault(name, name)) != name:
            name = other
        return name

    for layer in graph.layers:
        for output in layer.outputs:
            for source in wiring.moved_from(output):
                leader[lead(source)] = lead(output)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(lead(name), []).append(name)
    return list(groups.values())


def wiring_hash(graph: Graph) -> str:
    """A hash of what reads what in a network: scales are of its tensors, whatever sizes and weights these have."""
    lines = (f"{layer.name} {layer.op.kind} {layer.inputs} {layer.outputs}\n" for layer in graph.all_layers())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
