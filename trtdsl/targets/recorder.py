"""The calls that make a network, written down instead of made, without TensorRT.

`trtdsl explain` prints them for people to read; `script.py` makes a program of them. Ops are lowered through the same
LayerNet as for a real network, against the objects of `stand_ins.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.graph import Graph, GraphInput, GraphOutput, Layer
from trtdsl.ops.base import OpError
from trtdsl.source import Span
from trtdsl.targets.lowering import Lowering, NetworkState, impossible
from trtdsl.targets.network import LayerNet, shape_of_input
from trtdsl.targets.plugins import plugins_of, refuse_undeclared_plugins
from trtdsl.targets.raw import declarations_for, refuse_undeclared
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.targets.stand_ins import Notation, RecordedLayer, Recorder, Symbol, written
from trtdsl.targets.tensorrt import Names, name_layers, refuse_unknown_types
from trtdsl.targets.weak_typing import TOLD_AGAIN
from trtdsl.types import DataType, format_shape
from trtdsl.weights import Weight


@dataclass(frozen=True)
class Calls:
    """The statements that one input, layer or output of the YAML file becomes; `what` says which of them it is."""

    name: str
    what: str
    span: Span
    statements: tuple[str, ...]


class Labels:
    """Weights by what they are called and their type: for people, who have no use for the elements."""

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> str:
        return self._label(array.shape, dtype, label)

    def weights_of(self, weight: Weight, label: str) -> str:
        return self._label(weight.settled_shape, weight.dtype, label)

    def _label(self, shape: tuple[int, ...], dtype: DataType, label: str) -> str:
        return f"weights[{label!r}, {dtype}{format_shape(shape)}]"


def record(graph: Graph, runtime: Runtime = LATEST) -> Iterator[Calls]:
    """The calls that fill a network from a typed graph, in order, as Python statements on `network` and `trt`.

    Left out is what is the same for all layers: their names and the lines they come from. Raises BuildError for a
    layer that the runtime is known to lack.
    """
    yield from _Recording(graph, runtime, Labels()).calls()


def record_all(graph: Graph, runtime: Runtime, notation: Notation, *, strongly_typed: bool) -> Iterator[Calls]:
    """As `record`, with nothing left out: names, lines and, where typing is weak, calls of `typing.constrain`.

    Raises BuildError for element types that the runtime lacks, too, and for raw layers where it is not installed.
    """
    refuse_unknown_types(graph, runtime)
    refuse_undeclared(graph, runtime)
    refuse_undeclared_plugins(graph, runtime)
    yield from _FullRecording(graph, runtime, notation, strongly_typed=strongly_typed).calls()


class _Recording:
    """The statements of one network."""

    def __init__(self, graph: Graph, runtime: Runtime, notation: Notation) -> None:
        self.graph = graph
        self.recorder = Recorder(runtime, notation)
        self.state = NetworkState(
            self.recorder,
            runtime,
            graph,
            declarations=declarations_for(graph, runtime),
            plugins=plugins_of(graph, runtime, makes=False),
        )
        self._taken: list[Calls] = []

    def calls(self) -> Iterator[Calls]:
        for entry in self.graph.inputs:
            self._input(entry)
            yield Calls(entry.name, f"input, {entry.type}", entry.span, self.recorder.take())
        for layer in self.graph.layers:
            self._lower(layer)
            yield from self._taken
            self._taken.clear()
        delivered = {repr(self.state.tensors[entry.name]) for entry in self.graph.inputs}
        self._before_outputs()
        for output in self.graph.outputs:
            self._output(output, delivered)
            what = f"output, {self.graph.types[output.tensor]}"
            yield Calls(output.name, what, output.span, self.recorder.take())

    def _input(self, entry: GraphInput) -> None:
        shape = shape_of_input(entry.type)
        call = f"network.add_input({entry.name!r}, {self.recorder.data_type(entry.type.dtype)!r}, {shape!r})"
        self.state.tensors[entry.name] = self.recorder.named(entry.name, Symbol(call))

    def _lower(self, layer: Layer) -> None:
        """Take the calls of a layer; those of bodies come between what leads into them and what leads out."""
        self._layer(layer)
        self._take(layer)

    def _take(self, layer: Layer) -> None:
        precision = layer.precision if layer.quantized is None else f"{layer.quantized} and {layer.precision}"
        what = f"{layer.op.title}, {precision}"
        self._taken.append(Calls(layer.name, what, layer.origin.span, self.recorder.take()))

    def _before_body(self, net: LayerNet, given: Mapping[str, Any]) -> Mapping[str, Any]:
        tensors = {name: self.recorder.named(name, tensor) for name, tensor in given.items()}
        self._finish_body_inputs(net, tensors)
        if self.recorder.statements:
            self._take(net.layer)
        return tensors

    def _finish_body_inputs(self, net: LayerNet, tensors: Mapping[str, Symbol]) -> None:
        """What follows the calls that lead into a body."""

    def _layer(self, layer: Layer) -> None:
        net = LayerNet(self.state, layer, self.graph.types, Lowering(self._lower, self._before_body))
        inputs = (None if name is None else self.state.tensor(name) for name in layer.inputs)
        try:
            result = layer.op.to_tensorrt(net, *inputs)
        except OpError as error:
            raise impossible(layer, error) from error
        outputs = result if isinstance(result, tuple) else (result,)
        tensors = tuple(self.recorder.named(*pair) for pair in zip(layer.outputs, outputs, strict=True))
        self.state.tensors.update(zip(layer.outputs, tensors, strict=True))
        self._finish_layer(net, tensors)

    def _finish_layer(self, net: LayerNet, outputs: tuple[Symbol, ...]) -> None:
        """What follows the calls of a layer."""

    def _before_outputs(self) -> None:
        """What follows all layers."""

    def _output(self, output: GraphOutput, delivered: set[str]) -> None:
        """Deliver a tensor; one that the network takes or delivers already through an identity, as in emission."""
        tensor = self.state.tensors[output.tensor]
        if repr(tensor) in delivered:
            identity = self.recorder.method("add_identity")(tensor)
            self._finish_identity(output, identity)
            tensor = self.recorder.named(output.name, identity)
        delivered.add(repr(tensor))
        self.recorder.statements += [f"network.mark_output({tensor!r})", f"{tensor!r}.name = {output.name!r}"]
        self._finish_output(output, tensor)

    def _finish_identity(self, output: GraphOutput, identity: RecordedLayer) -> None:
        """What follows the identity in front of an output."""

    def _finish_output(self, output: GraphOutput, tensor: Symbol) -> None:
        """What follows the delivery of an output."""


class _FullRecording(_Recording):
    """The statements of one network, with all that emission says of its layers and tensors."""

    def __init__(self, graph: Graph, runtime: Runtime, notation: Notation, *, strongly_typed: bool) -> None:
        super().__init__(graph, runtime, notation)
        self._strongly_typed = strongly_typed
        self._names = Names()

    def _finish_layer(self, net: LayerNet, outputs: tuple[Symbol, ...]) -> None:
        name_layers(net.layer, net.added, outputs, self._names, lambda made: _kind_of(made.recorded_method))
        self._constrain(net)

    def _finish_body_inputs(self, net: LayerNet, tensors: Mapping[str, Symbol]) -> None:
        for name, tensor in tensors.items():
            tensor.name = name
        self._constrain(net)

    def _constrain(self, net: LayerNet) -> None:
        """Give the layers added since the last time their types."""
        if not self._strongly_typed:
            for made in net.added[net.settled :]:
                constraints = net.constraints(made)
                given = "" if constraints == (None, None) else "".join(f", {written(one)}" for one in constraints)
                self.recorder.statements.append(f"typing.constrain({made!r}{given})")
        net.settled = len(net.added)

    def _before_outputs(self) -> None:
        """Take the names of outputs from inner tensors that have them."""
        inputs = {entry.name for entry in self.graph.inputs}
        taken = {output.name: output.tensor for output in reversed(self.graph.outputs) if output.tensor not in inputs}
        outside = {output.name for output in self.graph.outputs}
        for name, tensor in self.state.tensors.items():
            if name in outside and name not in inputs and taken.get(name) != name:
                tensor.name = f"{name}/inner"

    def _finish_output(self, output: GraphOutput, tensor: Symbol) -> None:
        if not self._strongly_typed and (dtype := self.graph.types[output.tensor].dtype) in TOLD_AGAIN:
            tensor.dtype = self.recorder.data_type(dtype)

    def _finish_identity(self, output: GraphOutput, identity: RecordedLayer) -> None:
        identity.name = f"{output.name}/output"
        identity.metadata = output.span.file_and_line


def _kind_of(method: str) -> str:
    """What a layer is called, as the names of TensorRT's classes do: `topk`, `matrixmultiply`."""
    kind = method.removeprefix("add_")
    versioned = kind if kind.startswith("plugin") else re.sub(r"_v\d+$", "", kind)
    return versioned.removesuffix("_nd").replace("_", "")
