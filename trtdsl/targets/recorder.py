"""The calls that make a network, written down instead of made: what `trtdsl explain` prints, without TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.source import Span
from trtdsl.targets.network import LayerNet, NetworkState, impossible, shape_of_input
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.types import DataType, format_shape
from trtdsl.weights import Weight


@dataclass(frozen=True)
class Calls:
    """The statements that one input, layer or output of the YAML file becomes; `what` says which of them it is."""

    name: str
    what: str
    span: Span
    statements: tuple[str, ...]


def record(graph: Graph, runtime: Runtime = LATEST) -> Iterator[Calls]:
    """The calls that fill a network from a typed graph, in order, as Python statements on `network` and `trt`.

    Left out is what is the same for all layers: their names and the lines they come from. Raises BuildError for a
    layer that the runtime is known to lack.
    """
    recorder = _Recorder(runtime)
    state = NetworkState(recorder, runtime, graph)
    for entry in graph.inputs:
        shape = shape_of_input(entry.type)
        call = f"network.add_input({entry.name!r}, {recorder.data_type(entry.type.dtype)!r}, {shape!r})"
        state.tensors[entry.name] = recorder.named(entry.name, _Symbol(call))
        yield Calls(entry.name, f"input, {entry.type}", entry.span, recorder.take())
    for layer in graph.layers:
        _record_layer(layer, state, recorder)
        yield Calls(layer.name, f"{layer.op.kind}, {layer.precision}", layer.origin.span, recorder.take())
    delivered = {repr(state.tensors[entry.name]) for entry in graph.inputs}
    for output in graph.outputs:
        tensor = state.tensors[output.tensor]
        # As in emission: a tensor that the network takes or delivers already is delivered again through an identity.
        if repr(tensor) in delivered:
            tensor = recorder.named(output.name, recorder.method("add_identity")(tensor))
        delivered.add(repr(tensor))
        recorder.statements += [f"network.mark_output({tensor!r})", f"{tensor!r}.name = {output.name!r}"]
        yield Calls(output.name, f"output, {graph.types[output.tensor]}", output.span, recorder.take())


def _record_layer(layer: Layer, state: NetworkState, recorder: _Recorder) -> None:
    net = LayerNet(state, layer, state.graph.types)
    inputs = (None if name is None else state.tensors[name] for name in layer.inputs)
    try:
        result = layer.op.to_tensorrt(net, *inputs)
    except OpError as error:
        raise impossible(layer, error) from error
    outputs = result if isinstance(result, tuple) else (result,)
    for name, tensor in zip(layer.outputs, outputs, strict=True):
        state.tensors[name] = recorder.named(name, tensor)


class _Symbol:
    """A Python expression that stands for a value of TensorRT; attributes of it are expressions as well."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __getattr__(self, name: str) -> _Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Symbol(f"{self.text}.{name}")


class _RecordedLayer:
    """Writes down what is set on a layer."""

    _text: str
    _recorder: _Recorder

    def __init__(self, text: str, recorder: _Recorder) -> None:
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "_recorder", recorder)

    def __setattr__(self, name: str, value: object) -> None:
        self._recorder.statements.append(f"{self._text}.{name} = {value!r}")

    def __repr__(self) -> str:
        return self._text

    def get_output(self, index: int) -> _Symbol:
        return _Symbol(f"{self._text}.get_output({index})")

    def set_input(self, index: int, tensor: object) -> None:
        self._recorder.statements.append(f"{self._text}.set_input({index}, {tensor!r})")


class _Recorder:
    """Stands in for an INetworkDefinition."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.statements: list[str] = []
        self.trt = _Symbol("trt")
        self._count = 0
        self._variables: set[str] = set()

    def take(self) -> tuple[str, ...]:
        """The statements since the last call."""
        taken, self.statements = tuple(self.statements), []
        return taken

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return self._weights(array.shape, dtype, label)

    def weights_of(self, weight: Weight, label: str) -> Any:
        return self._weights(weight.settled_shape, weight.dtype, label)

    def _weights(self, shape: tuple[int, ...], dtype: DataType, label: str) -> Any:
        return _Symbol(f"weights[{label!r}, {dtype}{format_shape(shape)}]")

    def no_weights(self, dtype: DataType) -> Any:
        return _Symbol(f"trt.Weights({self.data_type(dtype)!r})")

    def data_type(self, dtype: DataType) -> Any:
        return _Symbol(f"trt.DataType.{dtype.trt_name}")

    def has(self, name: str) -> bool:
        return self._runtime.has_method(name)

    def method(self, name: str) -> Callable[..., Any]:
        def call(*arguments: object, **keywords: object) -> _RecordedLayer:
            written = [repr(value) for value in arguments] + [f"{key}={value!r}" for key, value in keywords.items()]
            variable = f"layer{self._count}"
            self._count += 1
            self.statements.append(f"{variable} = network.{name}({', '.join(written)})")
            return _RecordedLayer(variable, self)

        return call

    def named(self, name: str, tensor: object) -> _Symbol:
        """Give a tensor the variable that later statements read."""
        if isinstance(tensor, _RecordedLayer):
            tensor = tensor.get_output(0)
        if isinstance(tensor, _Symbol) and tensor.text in self._variables:
            return tensor  # an op that adds nothing hands its input on
        variable = self._variable(name)
        self.statements.append(f"{variable} = {tensor!r}")
        return _Symbol(variable)

    def _variable(self, name: str) -> str:
        """A Python variable like a tensor's name, which no other tensor has."""
        variable = "".join(character if character.isalnum() else "_" for character in name)
        if variable[:1].isdigit():
            variable = f"_{variable}"
        while variable in self._variables:
            variable += "_"
        self._variables.add(variable)
        return variable
