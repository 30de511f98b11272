"""What tuning may change: layers whose type nobody has fixed, in stretches that TensorRT is likely to fuse."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from trtdsl.flat import FlatNetwork, walk
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import Policy
from trtdsl.tuning.search import Unit

_PRODUCTS = frozenset({"matmul", "einsum", "attention", "multi_head_attention"})


def tunable(flat: FlatNetwork, graph: Graph) -> tuple[Layer, ...]:
    """The layers that compute floats and have neither a precision of their own nor one of a group around them.

    What only moves elements follows the layers around it.
    """
    free = {layer.name for layer in walk(flat.layers) if layer.precision is None and layer.group_precision is None}
    return tuple(layer for layer in graph.all_layers() if layer.name in free and _computes(layer, graph))


def _computes(layer: Layer, graph: Graph) -> bool:
    is_free = layer.op.precision_policy() in (Policy.COMPUTE, Policy.ACCUMULATE) and not layer.bodies
    return is_free and any(layer.inputs) and any(graph.types[name].dtype.is_float for name in layer.outputs)


def units_of(layers: tuple[Layer, ...], graph: Graph) -> tuple[Unit, ...]:
    """The layers in stretches: one that multiplies, and those after it up to the next that does."""
    return tuple(_units(layers, graph))


def _units(layers: tuple[Layer, ...], graph: Graph) -> Iterator[Unit]:
    names: list[str] = []
    work = 0.0
    for layer in layers:
        if names and _multiplies(layer):
            yield Unit(tuple(names), work)
            names, work = [], 0.0
        names.append(layer.name)
        work += _work(layer, graph)
    if names:
        yield Unit(tuple(names), work)


def _multiplies(layer: Layer) -> bool:
    return layer.op.kind in _PRODUCTS or any(len(weight.settled_shape) > 1 for weight in layer.weights.values())


def _work(layer: Layer, graph: Graph) -> float:
    """Multiplications and additions at the sizes of opt, roughly: enough to tell what is worth a narrow type."""
    size = float(sum(_volume(graph, name) for name in layer.outputs))
    for weight in layer.weights.values():
        if len(weight.settled_shape) > 1:
            return size * prod(weight.settled_shape[1:])
    if layer.op.kind in _PRODUCTS and layer.inputs[0] is not None:
        shape = graph.types[layer.inputs[0]].shape
        return size * (shape[-1].sizes.opt if shape else 1)
    return size


def _volume(graph: Graph, name: str) -> int:
    return prod(dim.sizes.opt for dim in graph.types[name].shape)
