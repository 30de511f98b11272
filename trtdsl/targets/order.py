"""The order in which layers are added to a network, where TensorRT makes something of it.

Where two convolutions are summed, TensorRT computes the sum in the kernel of the one that was added first, and kernels
that sum are slower: of 8.6.1 on an H200 none is of the GPU's own generation. In ResNet-18 a sum adds 14 us to a
convolution of 14 us, and one to the projection beside it. So the one with less to do goes first.
"""

from __future__ import annotations

from dataclasses import replace

from trtdsl.graph import Graph
from trtdsl.ops.elementwise import Add
from trtdsl.quantization.placement import Wiring, multiplications


def in_order_of_adding(graph: Graph) -> Graph:
    """The same network, of two convolutions that are summed the smaller before the larger where it can stand there."""
    wiring = Wiring(graph)
    places = {layer.name: (index, 1, 0) for index, layer in enumerate(graph.layers)}
    for layer in graph.layers:
        if not isinstance(layer.op, Add) or len(layer.inputs) != 2:
            continue
        chains = [wiring.convolved(name) for name in layer.inputs if name is not None]
        if len(chains) == 2 and all(chains):
            smaller, larger = sorted(chains, key=lambda chain: multiplications(chain[0]))
            read = (maker for name in smaller[0].inputs if (maker := wiring.makers.get(name or "")))
            before, *_ = places[larger[0].name]
            is_smaller = multiplications(smaller[0]) < multiplications(larger[0])
            if is_smaller and all(places[maker.name][0] < before for maker in read):
                places |= {moved.name: (before, 0, number) for number, moved in enumerate(smaller)}
    return replace(graph, layers=tuple(sorted(graph.layers, key=lambda layer: places[layer.name])))
