"""Typed Graph to INetworkDefinition: gives names and places to all layers and checks every result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from trtdsl.errors import BuildError, Diagnostic, TrtdslError, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.plugins.registry import CreatorRefused
from trtdsl.targets.lowering import Lowering, NetworkState, RefusedError, impossible
from trtdsl.targets.network import LayerNet, shape_of_input
from trtdsl.targets.plugins import SettledPlugin, make, plugins_of
from trtdsl.targets.raw import check_outputs, declarations_for
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.weak_typing import TOLD_AGAIN, WeakTyping, weak_typing
from trtdsl.types import DataType, TensorType
from trtdsl.weights import Weight


class MessageLog(Protocol):
    """What TensorRT's logger heard."""

    def take_errors(self) -> list[str]:
        """The error lines since the last call."""
        ...


class TensorRTApi:
    """A real INetworkDefinition. Keeps the arrays that its weights point into alive: TensorRT holds pointers only."""

    def __init__(self, network: Any, runtime: Runtime) -> None:
        self.network = network
        self.runtime = runtime
        self.trt = runtime.module
        self.arrays: list[np.ndarray[Any, Any]] = []
        self._parameters: dict[Any, np.ndarray[Any, Any]] = {}

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        array = np.ascontiguousarray(array)
        self.arrays.append(array)
        return self.runtime.weights(array, dtype)

    def weights_of(self, weight: Weight, label: str) -> Any:
        # What several layers share is converted once.
        key = (weight.source, weight.shape, weight.dtype)
        if key not in self._parameters:
            self._parameters[key] = weight.array()
        return self.weights(self._parameters[key], weight.dtype, label)

    def no_weights(self, dtype: DataType) -> Any:
        return self.trt.Weights(self.runtime.data_type(dtype))

    def plugin(self, plugin: SettledPlugin, label: str) -> Any:
        return make(plugin, label)

    def data_type(self, dtype: DataType) -> Any:
        return self.runtime.data_type(dtype)

    def has(self, name: str) -> bool:
        return hasattr(self.network, name)

    def method(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.network, name)
        return method


def emit(graph: Graph, network: Any, runtime: Runtime, log: MessageLog, *, strongly_typed: bool) -> TensorRTApi:
    """Fill an empty network from a typed graph. What is returned has to outlive the build.

    Raises BuildError with the YAML line of the layer that TensorRT refused, and what its logger said. Anything else
    that goes wrong is a mistake of ours, an AssertionError that names the layer.
    """
    api = TensorRTApi(network, runtime)
    network.name = graph.name
    typing = None if strongly_typed else weak_typing(graph, runtime)
    state = NetworkState(
        api, runtime, graph, declarations=declarations_for(graph, runtime), plugins=plugins_of(graph, runtime)
    )
    refuse_unknown_types(graph, runtime)
    for entry in graph.inputs:
        shape = shape_of_input(entry.type)
        tensor = network.add_input(entry.name, api.data_type(entry.type.dtype), shape)
        if tensor is None:
            raise BuildError.of("tensorrt-refused", f"TensorRT refused input {entry.name}: {_said(log)}", entry.span)
        state.tensors[entry.name] = tensor
    names = Names()
    for layer in graph.layers:
        _emit_layer(layer, state, log, names, typing)
    _mark_outputs(state, network, typing)
    if errors := log.take_errors():
        raise AssertionError(f"the outputs {[output.name for output in graph.outputs]}: {'; '.join(errors)}")
    return api


def refuse_unknown_types(graph: Graph, runtime: Runtime) -> None:
    """Name the first layer or input of each element type that this runtime lacks."""
    found: dict[DataType, Diagnostic] = {}
    places = [(entry.name, entry.span) for entry in graph.inputs]
    places += [(name, layer.span("precision")) for layer in graph.all_layers() for name in layer.outputs]
    for name, span in places:
        dtype = graph.types[name].dtype
        if dtype not in runtime.dtypes and dtype not in found:
            message = f"{name} is {dtype}, which {runtime} does not know"
            found[dtype] = Diagnostic("tensorrt-type", message, span, "ask for fp16 or fp32")
    if found:
        raise BuildError(tuple(found.values()))


def _emit_layer(layer: Layer, state: NetworkState, log: MessageLog, names: Names, typing: WeakTyping | None) -> None:
    lowering = Lowering(
        lambda inner: _emit_layer(inner, state, log, names, typing),
        lambda net, given: _begin_body(net, given, typing),
    )
    net = LayerNet(state, layer, state.graph.types, lowering)
    try:
        result = layer.op.to_tensorrt(net, *(None if name is None else state.tensor(name) for name in layer.inputs))
        outputs = _outputs(result)
        if layer.op.declares_outputs:
            check_outputs(net, outputs, weakly_typed=typing is not None)
        name_layers(layer, net.added, outputs, names, _kind_of)
        _constrain(net, typing)
        for name, tensor, expected in zip(layer.outputs, outputs, net.output_types, strict=True):
            _check_type(tensor, expected, state.runtime, typing)
            state.tensors[name] = tensor
    except OpError as error:
        raise impossible(layer, error) from error
    except (TrtdslError, OSError, MemoryError):
        raise  # reading a weight failed
    except CreatorRefused as error:
        raise _refused(layer, ": ".join([str(error), *filter(None, ["; ".join(log.take_errors())])])) from error
    except Exception as error:
        said = log.take_errors()
        if said or _is_refusal(error):
            raise _refused(layer, "; ".join(said) or str(error)) from error
        raise AssertionError(f"{_described(layer)}: {type(error).__name__}: {error}") from error
    if errors := log.take_errors():
        raise _refused(layer, "; ".join(errors))


def _constrain(net: LayerNet, typing: WeakTyping | None) -> None:
    """Give the layers added since the last time their types."""
    if typing is not None:
        for made in net.added[net.settled :]:
            typing.constrain(made, *net.constraints(made))
    net.settled = len(net.added)


def _begin_body(net: LayerNet, given: Mapping[str, Any], typing: WeakTyping | None) -> Mapping[str, Any]:
    """Settle what leads into a body before the layers in it ask for types."""
    for name, tensor in given.items():
        tensor.name = name
        _check_type(tensor, net.state.graph.types[name], net.state.runtime, typing)
    _constrain(net, typing)
    return given


def _is_refusal(error: Exception) -> bool:
    """Whether TensorRT gave no layer, or its bindings found an argument that they have no type for."""
    return isinstance(error, RefusedError) or (isinstance(error, TypeError) and "incompatible" in str(error))


def _described(layer: Layer) -> str:
    return f"{layer.name} ({layer.op.title}, {layer.origin.span.file_and_line})"


def _outputs(result: Any) -> tuple[Any, ...]:
    if isinstance(result, tuple):
        return result
    if hasattr(result, "get_output"):
        return tuple(result.get_output(index) for index in range(result.num_outputs))
    return (result,)


def _check_type(tensor: Any, expected: TensorType, runtime: Runtime, typing: WeakTyping | None) -> None:
    """Hold TensorRT's own shape and type against what infer said; a difference is a mistake of ours."""
    shape = tuple(tensor.shape)  # reading it makes TensorRT check the layer, and raises when it refuses
    fits = len(shape) == expected.rank and all(
        actual in (-1, dim.expression) or (actual >= 0 and not dim.is_static)
        for actual, dim in zip(shape, expected.shape, strict=True)
    )
    same_type = typing is not None or tensor.dtype == runtime.data_type(expected.dtype)
    if not fits or not same_type:
        raise AssertionError(f"infer says {expected}, TensorRT {tensor.dtype}{list(shape)}")


def _kind_of(layer: Any) -> str:
    return type(layer).__name__.removeprefix("I").removesuffix("Layer").lower()


def name_layers(
    layer: Layer, added: list[Any], outputs: tuple[Any, ...], names: Names, kind_of: Callable[[Any], str]
) -> None:
    """The last TensorRT layer carries the layer's name, those before it say what they are behind a slash."""
    place = layer.origin.span.file_and_line
    for made in added:
        made.name = names.unique(layer.name if made is added[-1] else f"{layer.name}/{kind_of(made)}")
        made.metadata = place
    for name, tensor in zip(layer.outputs, outputs, strict=True):
        # An op that adds nothing hands its input on, which has a name already.
        if added:
            tensor.name = name


class Names:
    """Gives each name once: a second use gets a number."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        self._uses[name] += 1
        return name if self._uses[name] == 1 else f"{name}#{self._uses[name]}"


def _mark_outputs(state: NetworkState, network: Any, typing: WeakTyping | None) -> None:
    """Deliver each output's tensor under its outside name, through a layer of its own where it has another use."""
    delivered = []
    for output in state.graph.outputs:
        tensor = state.tensors[output.tensor]
        if tensor.is_network_input or tensor.is_network_output:
            layer = network.add_identity(tensor)
            layer.name = f"{output.name}/output"
            layer.metadata = output.span.file_and_line
            tensor = layer.get_output(0)
        network.mark_output(tensor)
        if typing is not None and (dtype := state.graph.types[output.tensor].dtype) in TOLD_AGAIN:
            tensor.dtype = state.api.data_type(dtype)
        delivered.append((output.name, tensor))
    # An output often bears the name of another tensor: of what it was cast from, or of any other.
    taken = {name for name, _ in delivered}
    for name, tensor in state.tensors.items():
        if name in taken and not tensor.is_network_input:
            tensor.name = f"{name}/inner"
    for name, tensor in delivered:
        tensor.name = name


def _said(log: MessageLog) -> str:
    return "; ".join(log.take_errors()) or "it gave no reason"


def _refused(layer: Layer, reason: str) -> BuildError:
    message = f"TensorRT refused {layer.name} ({layer.op.title}): {reason}"
    return BuildError([Diagnostic("tensorrt-refused", message, layer.origin.span, None, used_at(layer.origin))])
