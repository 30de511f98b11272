"""Layers that one plugin does in one pass over memory, put together: norm, activation, residual, reflect pad."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from trtdsl.graph import Graph, Layer
from trtdsl.ops.activation import LeakyRelu, Relu
from trtdsl.ops.by_plugin import NO_PADDING, NormActivation, NormBlock, NormSteps
from trtdsl.ops.elementwise import Add
from trtdsl.ops.norm import InstanceNorm
from trtdsl.ops.padding import Pad

Fits = Callable[[Layer], bool]


def fuse_norms(graph: Graph, fits: Fits) -> Graph:
    """The graph with an instance norm and what follows it as one layer, wherever nobody else reads what lies between.

    One layer is norm, activation (relu, leaky_relu), residual sum and padding (reflect, edge), of which all but the
    norm may be missing. A sum that is read by a padding and by later sums is written padded, once: the sums read it
    inside its padding. `fits` says of a fused layer whether the plugin is there and takes it. Layers take part that
    agree in precision and whose `impl` is plugin or auto.
    """
    return graph.with_layers(_Fusion(graph, fits).fused(graph.layers), graph.types)


@dataclass(frozen=True)
class _Chain:
    """A norm and what follows it, up to the sum: the layers, and what else is added."""

    norm: Layer
    activation: Layer | None = None
    sum: Layer | None = None
    residual: str | None = None

    @property
    def members(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in (self.norm, self.activation, self.sum) if layer is not None)

    @property
    def last(self) -> Layer:
        return self.members[-1]

    @property
    def result(self) -> str:
        return self.last.outputs[0]


class _Fusion:
    def __init__(self, graph: Graph, fits: Fits) -> None:
        self.types = graph.types
        self.fits = fits
        self.readers: dict[str, list[Layer | None]] = defaultdict(list)
        """The layers that read a tensor; None for whatever else does: outputs, bodies."""
        for layer in graph.all_layers():
            for name in layer.inputs:
                if name is not None:
                    self.readers[name].append(layer)
            for body in layer.bodies.values():
                for name in body.outputs:
                    self.readers[name].append(None)
        for output in graph.outputs:
            self.readers[output.tensor].append(None)

    def fused(self, layers: Iterable[Layer]) -> tuple[Layer, ...]:
        """The layers of the network, or of a body, with blocks in the place of chains."""
        layers = tuple(self._with_fused_bodies(layer) for layer in layers)
        here = {layer.name for layer in layers}
        chains: dict[str, _Chain] = {}
        for layer in layers:
            # A sum of two norms is the first one's: the other is what that adds.
            if chain := self._chain(layer, here, chains.keys()):
                chains[chain.result] = chain
        pads = self._pads(chains, here)
        blocks = {chain.last.name: self._block(chain, pads) for chain in self._final(chains, pads)}
        gone = {layer.name for chain in chains.values() if chain.last.name in blocks for layer in chain.members}
        gone |= {pad.name for pad in pads.values()}
        kept = (blocks.get(layer.name, None if layer.name in gone else layer) for layer in layers)
        return tuple(layer for layer in kept if layer is not None)

    def _with_fused_bodies(self, layer: Layer) -> Layer:
        bodies = {name: replace(body, layers=self.fused(body.layers)) for name, body in layer.bodies.items()}
        return replace(layer, bodies=bodies) if bodies else layer

    def _chain(self, norm: Layer, here: set[str], results: Set[str]) -> _Chain | None:
        """The longest chain that begins with a layer and that the plugin takes; None if it is no norm or none is.

        `results` are those of other chains.
        """
        if not isinstance(norm.op, InstanceNorm) or norm.impl == "native":
            return None
        chain = _Chain(norm)
        follower = self._only_reader(chain, here)
        if follower is not None and isinstance(follower.op, (Relu, LeakyRelu)):
            chain = replace(chain, activation=follower)
            follower = self._only_reader(chain, here)
        is_free = follower is not None and follower.outputs[0] not in results
        if follower is not None and is_free and isinstance(follower.op, Add) and len(follower.inputs) == 2:
            others = [name for name in follower.inputs if name is not None and name != chain.result]
            if len(others) == 1 and self._sizes(others[0]) == self._sizes(chain.result):
                longer = replace(chain, sum=follower, residual=others[0])
                chain = longer if self._fits(longer, None) else chain
        return chain if self._fits(chain, None) else None

    def _only_reader(self, chain: _Chain, here: set[str]) -> Layer | None:
        """The one layer that reads a chain's result, if it may take part."""
        readers = self.readers[chain.result]
        return readers[0] if len(readers) == 1 and self._takes_part(readers[0], chain, here) else None

    def _takes_part(self, layer: Layer | None, chain: _Chain, here: set[str]) -> bool:
        return (
            layer is not None
            and layer.name in here
            and layer.precision is chain.norm.precision
            and layer.impl != "native"
        )

    def _sizes(self, name: str) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(dim.sizes) for dim in self.types[name].shape)

    def _pads(self, chains: Mapping[str, _Chain], here: set[str]) -> dict[str, Layer]:
        """The padding that a chain ends in, by its result: where all others who read that are sums of chains."""
        pads = {}
        sums = {chain.sum.name for chain in chains.values() if chain.sum is not None}
        for result, chain in chains.items():
            readers = self.readers[result]
            found = [one for one in readers if one is not None and isinstance(one.op, Pad)]
            others = [one for one in readers if one is None or not isinstance(one.op, Pad)]
            if len(found) != 1 or not self._takes_part(found[0], chain, here):
                continue
            if all(one is not None and one.name in sums for one in others) and self._fits(chain, found[0]):
                pads[result] = found[0]
        return pads

    def _final(self, chains: Mapping[str, _Chain], pads: Mapping[str, Layer]) -> Iterator[_Chain]:
        """The chains that are more than a norm."""
        return (chain for chain in chains.values() if len(chain.members) > 1 or chain.result in pads)

    def _fits(self, chain: _Chain, pad: Layer | None) -> bool:
        return self.fits(self._block(chain, {} if pad is None else {chain.result: pad}))

    def _block(self, chain: _Chain, pads: Mapping[str, Layer]) -> Layer:
        """A chain as one layer, with the padding that it ends in; what it adds may be padded as well."""
        norm, activation, pad = chain.norm.op, chain.activation and chain.activation.op, pads.get(chain.result)
        assert isinstance(norm, InstanceNorm)
        members = (*chain.members, *(() if pad is None else (pad,)))
        names = tuple(member.name for member in members)
        inputs: tuple[str | None, ...] = (chain.norm.inputs[0],)
        around: tuple[int, ...] = NO_PADDING
        if chain.residual is not None:
            around_residual = pads.get(chain.residual)
            inputs = (*inputs, chain.residual if around_residual is None else around_residual.outputs[0])
            around = NO_PADDING if around_residual is None else self._amounts(around_residual)
        steps = NormSteps(
            norm,
            activation if isinstance(activation, (Relu, LeakyRelu)) else None,
            chain.sum is not None,
            around,
            pad.op if pad is not None and isinstance(pad.op, Pad) else None,
        )
        block = NormActivation if chain.sum is None and pad is None else NormBlock
        return replace(
            chain.last,
            name=" + ".join(names),
            op=block(steps, names),
            inputs=inputs,
            outputs=members[-1].outputs,
            weights=chain.norm.weights,
            explicit=False,
            impl="auto",
        )

    def _amounts(self, pad: Layer) -> tuple[int, ...]:
        """What a padding puts around its input: [left, right, top, bottom]."""
        assert isinstance(pad.op, Pad)
        return pad.op.plugin_paddings(self.types[pad.inputs[0] or ""])
