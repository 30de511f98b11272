"""Where tensors are quantised, so that TensorRT fuses what is around: NVIDIA's rules for explicit quantisation.

What multiplies reads quantised inputs; nothing is quantised between a convolution and the normalisation, activation and
sum that are fused into it. The other operand of such a sum is quantised, or the sum is not fused. What only moves
elements stands between a tensor and the quantisation of what it becomes, past which TensorRT moves it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

from trtdsl.graph import Graph, Layer, read_from_outside
from trtdsl.ops.activation import Activation
from trtdsl.ops.base import Policy
from trtdsl.ops.conv import Conv
from trtdsl.ops.elementwise import Add
from trtdsl.ops.norm import BatchNorm
from trtdsl.ops.pool import MaxPool


def can_multiply(layer: Layer) -> bool:
    """Whether there are kernels in int8 or fp8 for the op of a layer."""
    return layer.op.quantized_weights is not None


def multiplications(convolution: Layer) -> int:
    """How many there are for each element that a convolution gives."""
    return prod(convolution.weights["weight"].settled_shape[1:])


@dataclass(frozen=True)
class Wiring:
    """Who makes and who reads the tensors of an inferred graph."""

    graph: Graph

    @cached_property
    def makers(self) -> dict[str, Layer]:
        return {name: layer for layer in self.graph.layers for name in layer.outputs}

    @cached_property
    def reader_counts(self) -> dict[str, int]:
        """How often a tensor is read, by bodies and outputs of the network too."""
        counts = dict.fromkeys(self.graph.types, 0)
        for layer in self.graph.layers:
            inside = (name for body in layer.bodies.values() for name in read_from_outside(body))
            for name in (*layer.inputs, *inside):
                if name is not None:
                    counts[name] += 1
        for output in self.graph.outputs:
            counts[output.tensor] += 1
        return counts

    def float_inputs(self, layer: Layer) -> tuple[int, ...]:
        """The positions of a layer's inputs that are floats."""
        return tuple(
            position
            for position, name in enumerate(layer.inputs)
            if name is not None and self.graph.types[name].dtype.is_float
        )

    def summands(self, layer: Layer, quantized: Collection[str]) -> Iterator[int]:
        """The inputs that a sum may add to what quantised convolutions make, by position, the best first.

        `quantized` are the names of quantised layers; of other layers than sums there are none.

        Of two convolutions the smaller is best summed into: kernels that sum are slower, in int8 as well. ResNet-50,
        whose projections are larger than what they are added to, is 1.3 % faster so on an H200 with TensorRT 8.6.1.
        """
        if not isinstance(layer.op, Add) or layer.op.other or len(layer.inputs) != 2:
            return
        first, second = ([dim.sizes for dim in self.graph.types[name or ""].shape] for name in layer.inputs)
        if first != second:
            return
        chains = [() if name is None else self.convolved(name) for name in layer.inputs]
        candidates = [position for position in (0, 1) if chains[position] and chains[position][0].name in quantized]
        for position in sorted(candidates, key=lambda position: multiplications(chains[position][0])):
            yield 1 - position

    def convolved(self, name: str) -> tuple[Layer, ...]:
        """The convolution that a tensor comes out of, with its normalisation, if it goes nowhere else; else nothing."""
        chain: tuple[Layer, ...] = ()
        while (maker := self.makers.get(name)) is not None and self.reader_counts[name] == 1:
            chain = (maker, *chain)
            if isinstance(maker.op, Conv):
                return chain
            if not isinstance(maker.op, BatchNorm) or maker.inputs[0] is None:
                break
            name = maker.inputs[0]
        return ()

    @cached_property
    def readers(self) -> dict[str, list[tuple[Layer, int]]]:
        """The layers that read a tensor, each with the position of the input."""
        found: dict[str, list[tuple[Layer, int]]] = {}
        for layer in self.graph.layers:
            for position, name in enumerate(layer.inputs):
                if name is not None:
                    found.setdefault(name, []).append((layer, position))
        return found

    def ends_quantized(self, name: str) -> bool:
        """Whether a tensor, with all that is fused into what makes it, is read quantised only."""
        readers = self.readers.get(name, [])
        if not readers or self.reader_counts[name] != len(readers):
            return False
        for layer, position in readers:
            if position in layer.quantized_inputs:
                continue
            is_fused = isinstance(layer.op, (Activation, BatchNorm)) or layer.quantized_inputs or moves(layer)
            if not is_fused or not all(map(self.ends_quantized, layer.outputs)):
                return False
        return True

    def moved_from(self, name: str) -> Iterator[str]:
        """The tensors whose elements a tensor has, in other places or fewer of them: those that its layer reads."""
        maker = self.makers.get(name)
        if maker is not None and moves(maker):
            yield from (given for given in maker.inputs if given is not None and self.graph.types[given].dtype.is_float)


def moves(layer: Layer) -> bool:
    """Whether a layer's outputs hold elements of its inputs, so that one scale does for all."""
    if isinstance(layer.op, MaxPool):
        return True
    return layer.op.precision_policy() is Policy.TRANSPARENT and not layer.bodies and len(layer.op.inputs) == 1
