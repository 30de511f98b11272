"""The calls that make a network, written down instead of made, without TensorRT.

`trtdsl explain` prints them for people to read; `script.py` makes a program of them. The recorder stands in for an
INetworkDefinition: ops are lowered against it through the same LayerNet as for a real one. What it gives for a layer or
a tensor is a variable of the program, and each call and each attribute set on one becomes a statement. So whatever a
lowering does to what `add_*` gives has a counterpart on `_RecordedLayer`.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trtdsl.graph import Graph, GraphInput, GraphOutput, Layer
from trtdsl.ops.base import OpError
from trtdsl.plugins.fields import Field
from trtdsl.source import Span
from trtdsl.targets.lowering import Lowering, NetworkState, impossible
from trtdsl.targets.network import LayerNet, shape_of_input
from trtdsl.targets.plugins import SettledPlugin, plugins_of, refuse_undeclared_plugins
from trtdsl.targets.raw import declarations_for, refuse_undeclared
from trtdsl.targets.runtime import LATEST, Runtime
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


class Notation(Protocol):
    """How weights are written."""

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> str:
        """An expression for computed elements, in the storage of their type."""
        ...

    def weights_of(self, weight: Weight, label: str) -> str:
        """An expression for a parameter's elements."""
        ...


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
        self.recorder = _Recorder(runtime, notation)
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
        self.state.tensors[entry.name] = self.recorder.named(entry.name, _Symbol(call))

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

    def _finish_body_inputs(self, net: LayerNet, tensors: Mapping[str, _Symbol]) -> None:
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

    def _finish_layer(self, net: LayerNet, outputs: tuple[_Symbol, ...]) -> None:
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

    def _finish_identity(self, output: GraphOutput, identity: _RecordedLayer) -> None:
        """What follows the identity in front of an output."""

    def _finish_output(self, output: GraphOutput, tensor: _Symbol) -> None:
        """What follows the delivery of an output."""


class _FullRecording(_Recording):
    """The statements of one network, with all that emission says of its layers and tensors."""

    def __init__(self, graph: Graph, runtime: Runtime, notation: Notation, *, strongly_typed: bool) -> None:
        super().__init__(graph, runtime, notation)
        self._strongly_typed = strongly_typed
        self._names = Names()

    def _finish_layer(self, net: LayerNet, outputs: tuple[_Symbol, ...]) -> None:
        name_layers(net.layer, net.added, outputs, self._names, lambda made: _kind_of(made.recorded_method))
        self._constrain(net)

    def _finish_body_inputs(self, net: LayerNet, tensors: Mapping[str, _Symbol]) -> None:
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

    def _finish_output(self, output: GraphOutput, tensor: _Symbol) -> None:
        if not self._strongly_typed and (dtype := self.graph.types[output.tensor].dtype) in TOLD_AGAIN:
            tensor.dtype = self.recorder.data_type(dtype)

    def _finish_identity(self, output: GraphOutput, identity: _RecordedLayer) -> None:
        identity.name = f"{output.name}/output"
        identity.metadata = output.span.file_and_line


def _kind_of(method: str) -> str:
    """What a layer is called, as the names of TensorRT's classes do: `topk`, `matrixmultiply`."""
    kind = method.removeprefix("add_")
    versioned = kind if kind.startswith("plugin") else re.sub(r"_v\d+$", "", kind)
    return versioned.removesuffix("_nd").replace("_", "")


def written(value: object) -> str:
    """A value as Python reads it: numbers that are not finite have no literal."""
    if isinstance(value, (list, tuple)):
        items = ", ".join(map(written, value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _elements(field: Field) -> object:
    """The value of a field as scripts have it: a text, or a list."""
    return field.elements if isinstance(field.elements, str) else list(field.elements)


def _given(arguments: Iterable[object], keywords: Mapping[str, object]) -> str:
    """The arguments of a call."""
    named = (f"{key}={written(value)}" for key, value in keywords.items())
    return ", ".join([*map(written, arguments), *named])


class _Symbol:
    """A Python expression that stands for a value of TensorRT; attributes of it are expressions as well."""

    text: str
    _recorder: _Recorder | None

    def __init__(self, text: str, recorder: _Recorder | None = None) -> None:
        """With a recorder it is a tensor, of which may be set what is then written down."""
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_recorder", recorder)

    def __setattr__(self, name: str, value: object) -> None:
        assert self._recorder is not None, f"{self.text} is no tensor"
        self._recorder.statements.append(f"{self.text}.{name} = {written(value)}")

    def __repr__(self) -> str:
        return self.text

    def __getattr__(self, name: str) -> _Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Symbol(f"{self.text}.{name}")


class _RecordedLayer:
    """Writes down what is set on a layer; `recorded_method` is the one that added it."""

    _text: str
    _recorder: _Recorder
    recorded_method: str

    def __init__(self, text: str, recorder: _Recorder, method: str) -> None:
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "_recorder", recorder)
        object.__setattr__(self, "recorded_method", method)

    def __setattr__(self, name: str, value: object) -> None:
        self._recorder.statements.append(f"{self._text}.{name} = {written(value)}")

    def __repr__(self) -> str:
        return self._text

    def get_output(self, index: int) -> _Symbol:
        return _Symbol(f"{self._text}.get_output({index})", self._recorder)

    def set_input(self, index: int, tensor: object) -> None:
        self._recorder.statements.append(f"{self._text}.set_input({index}, {tensor!r})")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Any other method, as raw layers call them; how many outputs there are is known to a real layer only."""
        if name.startswith("_") or name == "num_outputs":
            raise AttributeError(name)
        if self.recorded_method in _BOUNDARIES:
            boundary = _BOUNDARIES[self.recorded_method].get(name, name)
            return self._recorder.adding(f"{self._text}.{name}", boundary)

        def call(*arguments: object, **keywords: object) -> None:
            self._recorder.statements.append(f"{self._text}.{name}({_given(arguments, keywords)})")

        return call


_BOUNDARIES: Mapping[str, Mapping[str, str]] = {
    "add_loop": {},
    "add_if_conditional": {
        "set_condition": "add_condition",
        "add_input": "add_if_conditional_input",
        "add_output": "add_if_conditional_output",
    },
}
"""What add no layer but a construct whose own methods do, and those of these that are not called as their layers."""


class _Recorder:
    """Stands in for an INetworkDefinition."""

    def __init__(self, runtime: Runtime, notation: Notation) -> None:
        self._runtime = runtime
        self._notation = notation
        self.statements: list[str] = []
        self.trt = _Symbol("trt")
        self._count = 0
        self._variables: set[str] = set()

    def take(self) -> tuple[str, ...]:
        """The statements since the last call."""
        taken, self.statements = tuple(self.statements), []
        return taken

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return _Symbol(self._notation.weights(array, dtype, label))

    def weights_of(self, weight: Weight, label: str) -> Any:
        return _Symbol(self._notation.weights_of(weight, label))

    def no_weights(self, dtype: DataType) -> Any:
        return _Symbol(f"trt.Weights({self.data_type(dtype)!r})")

    def plugin(self, plugin: SettledPlugin, label: str) -> Any:
        fields = [(field.name, str(field.type), _elements(field)) for field in plugin.fields]
        arguments = (plugin.name, plugin.version, plugin.namespace, fields, label)
        return _Symbol(f"plugin({', '.join(map(written, arguments))})")

    def data_type(self, dtype: DataType) -> Any:
        return _Symbol(f"trt.DataType.{dtype.trt_name}")

    def has(self, name: str) -> bool:
        return self._runtime.has_method(name)

    def method(self, name: str) -> Callable[..., Any]:
        return self.adding(f"network.{name}", name)

    def adding(self, function: str, method: str) -> Callable[..., Any]:
        """A function that adds a layer, which has a variable of its own."""

        def call(*arguments: object, **keywords: object) -> _RecordedLayer:
            variable = f"layer{self._count}"
            self._count += 1
            self.statements.append(f"{variable} = {function}({_given(arguments, keywords)})")
            return _RecordedLayer(variable, self, method)

        return call

    def named(self, name: str, tensor: object) -> _Symbol:
        """Give a tensor the variable that later statements read."""
        if isinstance(tensor, _RecordedLayer):
            tensor = tensor.get_output(0)
        if isinstance(tensor, _Symbol) and tensor.text in self._variables:
            return tensor  # an op that adds nothing hands its input on
        variable = self._variable(name)
        self.statements.append(f"{variable} = {tensor!r}")
        return _Symbol(variable, self)

    def _variable(self, name: str) -> str:
        """A Python variable like a tensor's name, which nothing else has."""
        variable = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if variable[:1].isdigit():
            variable = f"_{variable}"
        while variable in self._variables or variable in _RESERVED or _NO_VARIABLE.fullmatch(variable):
            variable += "_"
        self._variables.add(variable)
        return variable


_RESERVED = {
    *keyword.kwlist,
    *("network", "trt", "np", "weights", "stored", "typing", "plugin", "load_plugins", "float", "builder"),
}
"""Names that mean something else in the statements."""
_NO_VARIABLE = re.compile(r"layer\d+|[lIO]?")
"""The variables of layers, and letters that look like digits."""
