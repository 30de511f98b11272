"""Which layers of a graph a layer of an engine was made of, and which of its tensors an engine's tensor is.

TensorRT joins the names of what it fuses, and drops some. What it drops lies between the tensors that the fused layer
reads and those that it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from trtdsl.engine.inspection import EngineLayer, Inspection
from trtdsl.graph import Graph, Layer

_COPY = "Reformatting CopyNode"
_ADDED = re.compile(r"^(copied_)?(reshape|squeeze|unsqueeze|transpose)_(node_)?(before|after)_(for_)?")
"""What TensorRT puts before the name of a layer that it adds beside one."""
_UNNAMED = re.compile(r"\(Unnamed Layer\* \d+\) \[\w+\]\w*")
"""What TensorRT calls layers that nobody named, whose numbers are no names."""
_WORD = re.compile(r"[\w./#:-]+")


class NamesOfLayers:
    """A graph's layers by what TensorRT calls them, in its messages and in engines."""

    def __init__(self, graph: Graph) -> None:
        self._layers = {layer.name: layer for layer in graph.all_layers()}
        # What trtdsl fuses bears the names of all its members.
        self._fused_by_us = [name for name in self._layers if " + " in name]

    def named_in(self, text: str) -> dict[str, Layer]:
        """The layers whose names stand in a text, by their names."""
        found = {name: self._layers[name] for name in self._fused_by_us if name in text}
        for word in _WORD.findall(_UNNAMED.sub(" ", text).replace("...", " ")):
            # What TensorRT adds beside a layer only moves elements.
            if not _ADDED.match(word) and (layer := self._named(word)):
                found[layer.name] = layer
        return found

    def _named(self, word: str) -> Layer | None:
        # Sentences end, and lists begin, behind a name.
        word = word.split("#")[0].rstrip(".:")
        while word not in self._layers and "/" in word:
            word = word.rpartition("/")[0]
        return self._layers.get(word)


class NamesInEngines:
    """A graph's layers and tensors by what an engine calls them."""

    def __init__(self, graph: Graph, inspection: Inspection) -> None:
        self._layers = NamesOfLayers(graph)
        self._makers = {name: layer for layer in graph.all_layers() for name in layer.outputs}
        self._tensors = _outside_names(graph)
        copies = [layer for layer in inspection.layers if layer.name.startswith(_COPY)]
        self._kernels = [layer for layer in inspection.layers if not layer.name.startswith(_COPY)]
        self._copied = {out.name: given.name for copy in copies for given in copy.inputs for out in copy.outputs}
        self._copies = {given.name: out.name for copy in copies for given in copy.inputs for out in copy.outputs}

    def tensor(self, name: str) -> str | None:
        """The tensor of the graph that an engine's tensor is."""
        return self._tensors.get(name)

    def maker(self, name: str) -> Layer | None:
        """The layer that makes a tensor of the graph."""
        return self._makers.get(name)

    def members(self) -> Iterator[tuple[EngineLayer, list[Layer]]]:
        """The layers of an engine, but for copies, each with those of the graph that it was made of."""
        named = [self._layers.named_in(kernel.name) for kernel in self._kernels]
        told = {name for members in named for name in members}
        known = {name for kernel in self._kernels for name in (*self._reads(kernel), *self._writes(kernel))}
        for kernel, members in zip(self._kernels, named, strict=True):
            between = (layer for layer in self._between(kernel, known) if layer.name not in told)
            yield kernel, [*members.values(), *between]

    def _reads(self, kernel: EngineLayer) -> set[str]:
        """The tensors of the graph that an engine's layer reads, be it a copy of them."""
        names = (self._copied.get(entry.name, entry.name) for entry in kernel.inputs)
        return {self._tensors[name] for name in names if name in self._tensors}

    def _writes(self, kernel: EngineLayer) -> set[str]:
        names = (self._copies.get(entry.name, entry.name) for entry in kernel.outputs)
        direct = (entry.name for entry in kernel.outputs)
        return {self._tensors[name] for name in (*names, *direct) if name in self._tensors}

    def _between(self, kernel: EngineLayer, known: set[str]) -> Iterator[Layer]:
        """The layers on the ways from what an engine's layer writes back to what it, or another one, has."""
        reads = self._reads(kernel)
        waiting, seen = [name for name in self._writes(kernel) if name not in reads], set[str]()
        while waiting:
            maker = self._makers.get(waiting.pop())
            if maker is None or maker.name in seen:
                continue
            seen.add(maker.name)
            yield maker
            waiting += [name for name in maker.inputs if name is not None and name not in known]


def _outside_names(graph: Graph) -> Mapping[str, str]:
    """The tensors of a graph by the names that they bear in engines, where outputs have theirs from outside."""
    outside = {output.name: output.tensor for output in graph.outputs}
    inner = {f"{name}/inner" if name in outside else name: name for name in graph.types}
    return {**inner, **outside}
