"""The calls that make a network, written down instead of made: what `trtdsl explain` prints, without TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.targets.network import LayerNet, NetworkState, impossible
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.types import DataType, format_shape
from trtdsl.weights import Weight


@dataclass(frozen=True)
class LayerCalls:
    """The statements that one layer of the YAML file becomes."""

    layer: Layer
    statements: tuple[str, ...]


def record(graph: Graph, runtime: Runtime = LATEST) -> Iterator[LayerCalls]:
    """The calls of each layer of a typed graph, in order, as Python statements on `network` and `trt`.

    Raises BuildError for a layer that the runtime is known to lack.
    """
    recorder = _Recorder(runtime)
    state = NetworkState(recorder, runtime, graph)
    for entry in graph.inputs:
        state.tensors[entry.name] = _Symbol(recorder.variable(entry.name))
    for layer in graph.layers:
        recorder.statements = []
        net = LayerNet(state, layer, graph.types)
        inputs = (None if name is None else state.tensors[name] for name in layer.inputs)
        try:
            result = layer.op.to_tensorrt(net, *inputs)
        except OpError as error:
            raise impossible(layer, error) from error
        outputs = result if isinstance(result, tuple) else (result,)
        for name, tensor in zip(layer.outputs, outputs, strict=True):
            state.tensors[name] = recorder.named(name, tensor)
        yield LayerCalls(layer, tuple(recorder.statements))


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

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return self._weights(array.shape, dtype, label)

    def weights_of(self, weight: Weight, label: str) -> Any:
        assert weight.shape is not None, "a weight has no shape before infer"
        return self._weights(weight.shape, weight.dtype, label)

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
        variable = self.variable(name)
        self.statements.append(f"{variable} = {tensor!r}")
        return _Symbol(variable)

    def variable(self, name: str) -> str:
        """A Python variable like a tensor's name, which no other tensor has."""
        variable = "".join(character if character.isalnum() else "_" for character in name)
        if variable[:1].isdigit():
            variable = f"_{variable}"
        while variable in self._variables:
            variable += "_"
        self._variables.add(variable)
        return variable
