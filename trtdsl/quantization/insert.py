"""Quantised inputs become layers of their own: each tensor is brought into small numbers and back before it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import Op
from trtdsl.ops.quantization import InputDequantize, InputQuantize
from trtdsl.types import DataType, TensorType
from trtdsl.weights.base import Weight
from trtdsl.weights.quantized import SCALES, ChannelScales
from trtdsl.weights.sources import Inline


def insert_quantization(graph: Graph) -> Graph:
    """The graph in which what layers read as `quantized_inputs` has gone through int8 or fp8.

    All who read a tensor in the same types share the layers, which stand before the first of them. The weights of
    quantised layers get their scales. Expects an inferred graph whose `scales` has those of all these tensors.
    """
    if not any(layer.quantized_inputs for layer in graph.layers):
        return graph
    types = dict(graph.types)
    return graph.with_layers(tuple(_Insertion(graph, types).layers()), types)


class _Insertion:
    def __init__(self, graph: Graph, types: dict[str, TensorType]) -> None:
        self.graph = graph
        self.types = types

    def layers(self) -> Iterator[Layer]:
        for layer in self.graph.layers:
            inputs = list(layer.inputs)
            for position, dtype in layer.quantized_inputs.items():
                name = inputs[position]
                assert name is not None
                yield from self._through(name, dtype, layer)
                inputs[position] = restored(name, dtype, layer.precision)
            layer = replace(layer, inputs=tuple(inputs))
            yield replace(layer, weights=with_scales(layer)) if layer.quantized else layer

    def _through(self, name: str, dtype: DataType, reader: Layer) -> Iterator[Layer]:
        """The layers that bring a tensor into a type and back into a reader's float type, unless they are there."""
        small, back = f"{name}/{dtype}", restored(name, dtype, reader.precision)
        scale = self.graph.scales[name] * (DataType.INT8.reach / dtype.reach)
        weights = {"scale": Weight(Inline(np.array(scale, np.float32), DataType.FP32), (), DataType.FP32)}
        if small not in self.types:
            self.types[small] = self.graph.types[name].with_dtype(dtype)
            op: Op = InputQuantize({"dtype": dtype}, ["scale"])
            yield Layer(small, op, (name,), (small,), reader.origin, weights, reader.precision)
        if back not in self.types:
            self.types[back] = self.graph.types[name].with_dtype(DataType.FP32)
            op = InputDequantize({}, ["scale"])
            yield Layer(back, op, (small,), (back,), reader.origin, weights, reader.precision)


def restored(name: str, dtype: DataType, precision: DataType) -> str:
    """What a tensor is called that went through a type, where it is back in a float type."""
    return f"{name}/{dtype}/{precision}"


def with_scales(layer: Layer) -> dict[str, Weight]:
    """The weights of a quantised layer, with a scale for each channel of those that it multiplies by.

    Scales that it was trained with stay, unless it is not int8 that they are for.
    """
    weights = dict(layer.weights)
    for name, axis in (layer.op.quantized_weights or {}).items():
        assert layer.quantized is not None
        trained = weights.get(SCALES.format(name)) if layer.quantized is DataType.INT8 else None
        source = ChannelScales(weights[name], axis, layer.quantized, trained)
        channels = weights[name].settled_shape[axis]
        weights[SCALES.format(name)] = Weight(source, (channels,), DataType.FP32)
    return weights
