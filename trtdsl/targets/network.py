"""The network as one op sees it while it is lowered: checked `add_*` calls and the helpers that ops share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from trtdsl.errors import BuildError, Diagnostic, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.sizes import SizeTensors
from trtdsl.types import DataType, Dim, Expression, Shape, TensorType
from trtdsl.weights import Weight, as_stored, to_storage

_DIM_OPERATIONS = {"+": "SUM", "-": "SUB", "*": "PROD", "//": "FLOOR_DIV", "min": "MIN", "max": "MAX"}


class RefusedError(Exception):
    """TensorRT gave no layer for a call."""


def impossible(layer: Layer, error: OpError) -> BuildError:
    """The error for what an op knows that this runtime cannot do."""
    message = f"{layer.name}: {error.message}"
    return BuildError([Diagnostic("tensorrt-type", message, layer.span(error.at), error.hint, used_at(layer.origin))])


class Api(Protocol):
    """The INetworkDefinition being filled, or a recorder that stands in for one."""

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        """Weights over the array's memory; `label` says where they are from."""
        ...

    def weights_of(self, weight: Weight, label: str) -> Any:
        """Weights over a parameter's elements."""
        ...

    def no_weights(self, dtype: DataType) -> Any:
        """Empty Weights, which have a type all the same."""
        ...

    @property
    def trt(self) -> Any:
        """TensorRT's module, for enumerations."""
        ...

    def data_type(self, dtype: DataType) -> Any: ...

    def has(self, name: str) -> bool:
        """Whether there is a method of that name."""
        ...

    def method(self, name: str) -> Callable[..., Any]: ...


@dataclass
class NetworkState:
    """What all layers of one network share while it is being made."""

    api: Api
    runtime: Runtime
    graph: Graph
    tensors: dict[str, Any] = field(default_factory=dict)
    sizes: dict[Expression, Any] = field(default_factory=dict)
    """Shape tensors of one element, by what they hold."""


class LayerNet(SizeTensors):
    """The `Net` of one layer. Keeps the TensorRT layers that were added, in order."""

    def __init__(self, state: NetworkState, layer: Layer, types: Mapping[str, TensorType]) -> None:
        self.state = state
        self.layer = layer
        self.input_types = tuple(None if name is None else types[name] for name in layer.inputs)
        self.output_types = tuple(types[name] for name in layer.outputs)
        self.added: list[Any] = []
        self.trt = state.api.trt
        self.runtime = state.runtime

    @property
    def dtype(self) -> DataType:
        """The type in which this layer computes: that of its first float input, else of its output."""
        for entry in (*self.input_types, *self.output_types):
            if entry is not None and entry.dtype.is_float:
                return entry.dtype
        return self.output_types[0].dtype

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("add_"):
            raise AttributeError(name)
        method = self.state.api.method(name)

        def checked(*arguments: Any, **keywords: Any) -> Any:
            layer = method(*arguments, **keywords)
            if layer is None:
                raise RefusedError(f"{name} gave no layer")
            self.added.append(layer)
            return layer

        return checked

    def has(self, method: str) -> bool:
        """Whether this TensorRT's network has that `add_*` method."""
        return self.state.api.has(method)

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
        return self.add_constant(weight.settled_shape if shape is None else shape, self.weights(name)).get_output(0)

    def matrix(self, name: str, rank: int) -> tuple[Any, bool]:
        """A weight of two axes as a constant of `rank`, as it lies in its file, and whether that is transposed."""
        weight, transposed = as_stored(self.layer.weights[name])
        weights = self.state.api.weights_of(weight, f"{self.layer.name}.{name}")
        shape = (1,) * (rank - len(weight.settled_shape)) + weight.settled_shape
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
        weights = self.state.api.weights(array, dtype, _preview(value))
        return self.add_constant(shape, weights).get_output(0)

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

    def reduce(self, operation: str, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        mask = sum(1 << axis for axis in axes)
        return self.add_reduce(x, getattr(self.trt.ReduceOperation, operation), mask, keepdim).get_output(0)


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


def _preview(value: object) -> str:
    array = np.asarray(value)
    return str(array.tolist()) if array.size <= 8 else f"{array.size} values"
