"""The network as one op sees it while it is lowered: checked `add_*` calls and the helpers that ops share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from trtdsl.graph import Graph, Layer, computed_in, read_from_outside
from trtdsl.ops.base import Op
from trtdsl.ops.raw import RawLayer
from trtdsl.plugins.given import GivenField
from trtdsl.plugins.use import PluginUse
from trtdsl.targets import plugins, raw
from trtdsl.targets.lowering import Lowering, NetworkState, RefusedError
from trtdsl.targets.quantized import QuantizedWeights
from trtdsl.targets.sizes import SizeTensors
from trtdsl.types import DataType, Dim, Expression, Shape, TensorType
from trtdsl.weights import as_stored, to_storage

_DIM_OPERATIONS = {"+": "SUM", "-": "SUB", "*": "PROD", "//": "FLOOR_DIV", "min": "MIN", "max": "MAX"}


class LayerNet(SizeTensors, QuantizedWeights):
    """The `Net` of one layer. Keeps the TensorRT layers that were added, in order."""

    # The state knows neither of this nor of the lowering: a cycle would let the network outlive its builder.

    def __init__(
        self,
        state: NetworkState,
        layer: Layer,
        types: Mapping[str, TensorType],
        lowering: Lowering | None = None,
    ) -> None:
        """Without a `lowering` the layer has no bodies."""
        self.state = state
        self.lowering = lowering
        self.layer = layer
        self.input_types = tuple(None if name is None else types[name] for name in layer.inputs)
        self.output_types = tuple(types[name] for name in layer.outputs)
        self.added: list[Any] = []
        self.plugins: list[Any] = []
        """Those of the layers added that are plugins."""
        self.handing_on: list[Any] = []
        """Those that read int8 or fp8 and give floats of the layer's precision."""
        self.settled = 0
        """How many of those added have their types: those before the first layer of a body."""
        self.trt = state.api.trt
        self.runtime = state.runtime

    @property
    def dtype(self) -> DataType:
        """The type in which this layer computes."""
        return computed_in(self.input_types, self.output_types)

    @property
    def alike(self) -> Iterator[Op]:
        """The ops of the same kind in all other layers of the network."""
        layers = (layer for layer in self.state.graph.all_layers() if layer.name != self.layer.name)
        return (layer.op for layer in layers if layer.op.kind == self.layer.op.kind)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("add_"):
            raise AttributeError(name)
        return self.checked(name, self.state.api.method(name))

    def checked(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method that adds a layer: one that is refused is an error, others are kept."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            layer = method(*arguments, **keywords)
            if layer is None:
                raise RefusedError(f"{name} gave no layer")
            self.added.append(layer)
            return layer

        return call

    def loop(self) -> Any:
        """A new ILoop, whose own `add_*` are checked as the network's are."""
        return self._construct("add_loop")

    def conditional(self) -> Any:
        """A new IIfConditional, likewise."""
        return self._construct("add_if_conditional")

    def _construct(self, name: str) -> Any:
        made = self.state.api.method(name)()
        if made is None:
            raise RefusedError(f"{name} gave nothing")
        made.name = self.layer.name
        return _Construct(self, made)

    def body(
        self, name: str, inputs: tuple[Any, ...] = (), enter: Callable[[str, Any], Any] | None = None
    ) -> tuple[Any, ...]:
        """Add the layers of one of this layer's bodies, given these tensors; gives those that come out.

        `enter` makes of each tensor from outside, of which the name is given as well, the one that the layers read.
        """
        state, lowering, body = self.state, self.lowering, self.layer.bodies[name]
        assert lowering is not None, f"{self.layer.name} has bodies, which nothing lowers"
        entered = {outer: enter(outer, state.tensor(outer)) for outer in read_from_outside(body)} if enter else {}
        state.tensors.update(lowering.begin(self, dict(zip(body.inputs, inputs, strict=True))))
        state.entered.append(entered)
        for layer in body.layers:
            lowering.layer(layer)
        outputs = tuple(map(state.tensor, body.outputs))
        state.entered.pop()
        return outputs

    def raw(self, layer: RawLayer, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call the method of a raw layer, with what YAML gives turned into what the method takes. Raises OpErrors."""
        return raw.call(self, layer, tensors)

    def has(self, method: str) -> bool:
        """Whether this TensorRT's network has that `add_*` method."""
        return self.state.api.has(method)

    def plugin(
        self,
        name: str,
        inputs: Sequence[Any],
        fields: Mapping[str, object] | Sequence[GivenField],
        *,
        version: str | None = None,
        namespace: str | None = None,
        shape_inputs: Sequence[int] = (),
    ) -> Any:
        """The layer of a plugin. Raises OpError, and CreatorRefused for what only creators know."""
        use = PluginUse(name, version, namespace)
        return plugins.add(self, use, inputs, fields, shape_inputs)

    def constraints(self, layer: Any) -> tuple[list[Any] | None, Any]:
        """What a weakly typed network is told of a layer besides: the types of a plugin's outputs, and a precision."""
        if any(layer is plugin for plugin in self.plugins):
            return plugins.constraints(self, layer)
        if any(layer is one for one in self.handing_on):
            return [self.state.api.data_type(self.layer.precision)], None
        is_held = self.layer.explicit and self.layer.precision is DataType.FP32 and self.state.mixes_floats
        return None, self.state.api.data_type(DataType.FP32) if is_held else None

    def weight_array(self, name: str) -> np.ndarray[Any, Any]:
        """A weight's elements as fp32 (integers as they are), in its declared shape."""
        weight = self.layer.weights[name]
        return (weight.with_dtype(DataType.FP32) if weight.dtype.is_float else weight).array()

    def weights(self, name: str) -> Any:
        """A weight for an `add_*` that takes Weights; empty Weights for one that is not present."""
        if name not in self.layer.weights:
            return self.state.api.no_weights(self.dtype)
        weight = self.layer.weights[name]
        return self.state.api.weights_of(weight, f"{self.layer.name}.{name}")

    def typed_weights(self, array: np.ndarray[Any, Any]) -> Any:
        """Weights for computed values, converted to the layer's type."""
        return self.state.api.weights(to_storage(array, self.dtype), self.dtype, f"{self.layer.name}, computed")

    def weight_tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Any:
        """A weight as the output of a constant layer, reshaped when `shape` is given."""
        weight = self.layer.weights[name]
        shape = weight.settled_shape if shape is None else shape
        if prod(shape) == 1 and self._is_lone_infinity(array := weight.array()):
            return self._lone_infinity(array, weight.dtype, shape)
        return self.add_constant(shape, self.weights(name)).get_output(0)

    def matrix(self, name: str, rank: int) -> tuple[Any, bool]:
        """A weight of two axes as a constant of `rank`, as it lies in its file, and whether that is transposed."""
        weight, transposed = as_stored(self.layer.weights[name])
        ones = rank - len(weight.settled_shape)
        shape = (1,) * ones + weight.settled_shape
        if self.is_quantized(name):
            return self.quantized_weight(name, weight, shape, ones + int(transposed)), transposed
        weights = self.state.api.weights_of(weight, f"{self.layer.name}.{name}")
        return self.add_constant(shape, weights).get_output(0), transposed

    def weight_type(self, name: str) -> TensorType:
        """The element type and shape of a weight."""
        weight = self.layer.weights[name]
        return TensorType(weight.dtype, tuple(map(Dim.of, weight.settled_shape)))

    def constant(self, value: object, dtype: DataType | None = None, shape: tuple[int, ...] | None = None) -> Any:
        """A constant tensor; floats take the layer's type unless `dtype` says more."""
        array = np.asarray(value)
        if dtype is None:
            dtype = self.dtype if array.dtype.kind == "f" else DataType(array.dtype.name)
        array = to_storage(array, dtype)
        shape = array.shape if shape is None else shape
        if self._is_lone_infinity(array):
            return self._lone_infinity(array, dtype, shape)
        weights = self.state.api.weights(array, dtype, _label(value, self.layer))
        return self.add_constant(shape, weights).get_output(0)

    def _is_lone_infinity(self, array: np.ndarray[Any, Any]) -> bool:
        is_lone = not self.runtime.has_lone_infinities and array.size == 1 and array.dtype.kind == "f"
        return is_lone and bool(np.isinf(array).all())

    def _lone_infinity(self, array: np.ndarray[Any, Any], dtype: DataType, shape: tuple[int, ...]) -> Any:
        """The larger of two, for runtimes that would write down a number instead of an infinite one."""
        two = array.reshape(-1).repeat(2)
        weights = self.state.api.weights(two, dtype, _label(two, self.layer))
        pair = self.add_constant((*shape[:-1], 2), weights).get_output(0)
        return self.reduce("MAX", pair, (max(len(shape) - 1, 0),), bool(shape))

    def cast(self, x: Any, dtype: DataType) -> Any:
        """The tensor in another element type."""
        return self.add_cast(x, self.state.api.data_type(dtype)).get_output(0)

    def reshape(self, x: Any, shape: Shape, new_shape: Shape) -> Any:
        """`x`, which has `shape`, as `new_shape`."""
        layer = self.add_shuffle(x)
        sizes = [_reshape_size(axis, dim, shape) for axis, dim in enumerate(new_shape)]
        if sizes.count(-1) > 1:
            layer.set_input(1, self.shape_tensor(new_shape))
        else:
            layer.reshape_dims = tuple(sizes)
        return layer.get_output(0)

    def transpose(self, x: Any, permutation: tuple[int, ...]) -> Any:
        layer = self.add_shuffle(x)
        layer.first_transpose = permutation
        return layer.get_output(0)

    def broadcast(self, x: Any, shape: Shape, rank: int) -> Any:
        """`x` with ones in front of its shape, up to `rank`."""
        missing = rank - len(shape)
        return self.reshape(x, shape, (Dim.of(1),) * missing + shape) if missing > 0 else x

    @property
    def known_sizes(self) -> dict[Expression, Any]:
        return self.state.sizes

    @property
    def sized_graph(self) -> Graph:
        return self.state.graph

    def size_scalar(self, size: Dim) -> Any:
        """An int32 tensor of rank 0 that holds a size."""
        if size.is_static:
            return self.constant(np.int32(size.value))
        scalar = self.reshape(self.shape_tensor((size,)), (Dim.of(1),), ())
        return scalar if self.runtime.shape_dtype is DataType.INT32 else self.cast(scalar, DataType.INT32)

    def shape_numbers(self, sizes: list[int]) -> Any:
        return self.constant(sizes, self.runtime.shape_dtype)

    def size_of_axis(self, tensor: str, axis: int) -> Any:
        shape = self.add_shape(self.state.tensors[tensor]).get_output(0)
        return self.add_slice(shape, (axis,), (1,), (1,)).get_output(0)

    def combine_sizes(self, operator: str, left: Any, right: Any) -> Any:
        return self.elementwise(_DIM_OPERATIONS[operator], left, right)

    def join_sizes(self, pieces: list[Any]) -> Any:
        layer = self.add_concatenation(pieces)
        layer.axis = 0
        return layer.get_output(0)

    def unary(self, operation: str, x: Any) -> Any:
        return self.add_unary(x, getattr(self.trt.UnaryOperation, operation)).get_output(0)

    def elementwise(self, operation: str, a: Any, b: Any) -> Any:
        return self.add_elementwise(a, b, getattr(self.trt.ElementWiseOperation, operation)).get_output(0)

    def activation(self, operation: str, x: Any, alpha: float | None = None, beta: float | None = None) -> Any:
        layer = self.add_activation(x, getattr(self.trt.ActivationType, operation))
        if alpha is not None:
            layer.alpha = alpha
        if beta is not None:
            layer.beta = beta
        return layer.get_output(0)

    def slice(
        self,
        x: Any,
        start: Shape,
        size: Shape,
        stride: tuple[int, ...],
        mode: str = "STRICT_BOUNDS",
        fill: Any = None,
    ) -> Any:
        """A slice layer whose start and size may be dynamic."""
        layer = self.add_slice(x, _static_or_zero(start), _static_or_zero(size), stride)
        if mode != "STRICT_BOUNDS":
            layer.mode = getattr(self.trt.SampleMode, mode)
        if not all(dim.is_static for dim in start):
            layer.set_input(1, self.shape_tensor(start))
        if not all(dim.is_static for dim in size):
            layer.set_input(2, self.shape_tensor(size))
        if fill is not None:
            layer.set_input(4, fill)
        return layer.get_output(0)

    def data_behind(self, position: int) -> str | None:
        """The network input whose elements, not only its sizes, an input of this layer is computed from, if any."""
        makers = {name: layer for layer in self.state.graph.layers for name in layer.outputs}
        waiting, seen = [self.layer.inputs[position]], set[str | None]()
        while waiting:
            name = waiting.pop()
            if name is None or name in seen:
                continue
            seen.add(name)
            if name not in makers:
                return name
            if not makers[name].op.reads_sizes:
                waiting += makers[name].inputs
        return None

    def reduce(self, operation: str, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        mask = sum(1 << axis for axis in axes)
        return self.add_reduce(x, getattr(self.trt.ReduceOperation, operation), mask, keepdim).get_output(0)


class _Construct:
    """A loop or a conditional of TensorRT: what its methods add is checked, and kept with what its layer added."""

    def __init__(self, net: LayerNet, made: Any) -> None:
        self._net, self._made = net, made

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._net.checked(name, getattr(self._made, name))


def shape_of_input(type: TensorType) -> tuple[int, ...]:
    """The shape that `add_input` is given: -1 for sizes that differ from run to run."""
    return tuple(dim.value if dim.is_static else -1 for dim in type.shape)


def _reshape_size(axis: int, dim: Dim, shape: Shape) -> int:
    """TensorRT's word for one size of a reshape: itself, 0 for a copy of the same axis, or -1 for what is left."""
    if dim.is_static:
        return dim.value
    return 0 if axis < len(shape) and shape[axis].expression == dim.expression else -1


def _static_or_zero(dims: Shape) -> tuple[int, ...]:
    return tuple(dim.value if dim.is_static else 0 for dim in dims)


def _label(value: object, layer: Layer) -> str:
    """What a constant is called: by its elements, while they are few."""
    array = np.asarray(value)
    return str(array.tolist()) if array.size <= 8 else f"{layer.name}, computed"
