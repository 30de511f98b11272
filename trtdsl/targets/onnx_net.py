"""An ONNX graph as data, and the view of it that one op has while it is lowered; needs no onnx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtdsl.graph import Graph, Layer, computed_in
from trtdsl.targets.sizes import SizeTensors, source_of
from trtdsl.types import Arithmetic, DataType, Dim, Expression, Shape, TensorType, symbols
from trtdsl.weights import Weight, to_storage
from trtdsl.weights.quantized import SCALES, in_steps

OPSET = 17
"""What is written unless element types need more: TensorRT 8.6's own parser reads it."""
_OPSET_OF = {DataType.FP8: 19, DataType.INT4: 21, DataType.BF16: 22, DataType.FP4: 23, DataType.E8M0: 24}
_DIM_OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "//": "Div", "%": "Mod", "min": "Min", "max": "Max"}
_ATTRIBUTE_AXES_UNTIL = 17
"""The last opset in which reductions other than sums take their axes as an attribute."""


def opset_for(graph: Graph) -> int:
    """The lowest opset from 17 on that knows every element type of a graph."""
    return max(OPSET, *(_OPSET_OF.get(entry.dtype, OPSET) for entry in graph.types.values()))


@dataclass(frozen=True)
class Node:
    """One node; attributes are Python values, a DataType for an element type, a Block for a graph inside."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    name: str
    place: str


@dataclass(frozen=True)
class Initializer:
    """Elements that are known: of a weight, read when they are written, or computed."""

    dtype: DataType
    shape: tuple[int, ...]
    content: Weight | np.ndarray[Any, Any]

    def array(self) -> np.ndarray[Any, Any]:
        """The elements in the storage of their type."""
        return self.content.array() if isinstance(self.content, Weight) else self.content


@dataclass
class Block:
    """A list of nodes: that of the model, or of a graph inside a node (the body of a loop, a branch)."""

    parent: Block | None = None
    nodes: list[Node] = field(default_factory=list)
    inputs: list[tuple[str, TensorType]] = field(default_factory=list)
    outputs: list[tuple[str, TensorType]] = field(default_factory=list)
    name: str = ""

    @property
    def depth(self) -> int:
        """How many graphs it lies in."""
        return 0 if self.parent is None else 1 + self.parent.depth


class OnnxState:
    """What all layers of one model share while it is being made."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.graph = graph
        self.opset = opset
        self.main = Block(name=graph.name)
        self.initializers: dict[str, Initializer] = {}
        self.tensors: dict[str, str] = {}
        """ONNX's names of the graph's tensors."""
        self.blocks: dict[str, Block] = {}
        """Where tensors of the graph are made that are not made in the main block."""
        self.sizes: dict[Expression, Any] = {}
        self._weights: dict[Any, str] = {}
        self._names: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """The name, with a number behind it from its second use on."""
        self._names[name] += 1
        return name if self._names[name] == 1 else self.unique(f"{name}#{self._names[name]}")

    def initializer(self, name: str, dtype: DataType, array: np.ndarray[Any, Any]) -> str:
        name = self.unique(name)
        self.initializers[name] = Initializer(dtype, array.shape, array)
        return name

    def weight(self, name: str, weight: Weight) -> str:
        """A weight as it is; one that several layers share is there once."""
        key = (weight.source, weight.shape, weight.dtype)
        if key not in self._weights:
            self._weights[key] = self.unique(name)
            self.initializers[self._weights[key]] = Initializer(weight.dtype, weight.settled_shape, weight)
        return self._weights[key]


class OnnxLayerNet(SizeTensors):
    """The `OnnxNet` of one layer, whose nodes go into one block."""

    def __init__(self, state: OnnxState, layer: Layer, block: Block, lower: Callable[[Layer, Block], None]) -> None:
        """`lower` adds a layer of a body to a block."""
        self.state = state
        self.lower = lower
        self.layer = layer
        self.block = block
        self.opset = state.opset
        types = state.graph.types
        self.input_types = tuple(None if name is None else types[name] for name in layer.inputs)
        self.output_types = tuple(types[name] for name in layer.outputs)
        self.first = len(block.nodes)

    @property
    def dtype(self) -> DataType:
        """The type in which this layer computes."""
        return computed_in(self.input_types, self.output_types)

    def node(self, operator: str, *inputs: str | None, **attributes: Any) -> str:
        """The only output of a new node."""
        return self.nodes(operator, *inputs, outputs=1, **attributes)[0]

    def nodes(self, operator: str, *inputs: str | None, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """The outputs of a new node that has several."""
        label = f"{self.layer.name}/{operator.lower()}"
        made = tuple(self.state.unique(f"{label}:{index}" if outputs > 1 else label) for index in range(outputs))
        given = {key: value for key, value in attributes.items() if value is not None}
        names = tuple("" if name is None else name for name in inputs)
        place = self.layer.origin.span.file_and_line
        self.block.nodes.append(Node(operator, names, made, given, made[0], place))
        return made

    def constant(self, value: object, dtype: DataType | None = None) -> str:
        """A constant; floats take the layer's type unless `dtype` says more, integers are int64."""
        array = np.asarray(value)
        if dtype is None:
            kinds = {"f": self.dtype, "b": DataType.BOOL}
            dtype = kinds.get(array.dtype.kind, DataType.INT64)
        return self.state.initializer(f"{self.layer.name}/constant", dtype, to_storage(array, dtype))

    def weight(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """A weight in its declared layout, reshaped when `shape` is given; what is quantised has gone through that."""
        weight = self.layer.weights[name]
        if self.layer.quantized is not None and name in (self.layer.op.quantized_weights or {}):
            return self._quantized_weight(name, (self.layer.op.quantized_weights or {})[name], self.layer.quantized)
        if shape is not None and shape != weight.settled_shape:
            array = weight.array().reshape(shape)
            return self.state.initializer(f"{self.layer.name}.{name}", weight.dtype, array)
        return self.state.weight(f"{self.layer.name}.{name}", weight)

    def _quantized_weight(self, name: str, axis: int, dtype: DataType) -> str:
        """A weight out of numbers in int8 or fp8 and the scales of its channels."""
        elements, steps = self.weight_array(name), self.weight_array(SCALES.format(name))
        scales = self.constant(steps, DataType.FP32)
        if dtype is DataType.INT8:
            label = f"{self.layer.name}.{name}"
            small = self.state.initializer(label, DataType.INT8, in_steps(elements, steps, axis))
        else:
            zeros = self.cast(self.constant(np.zeros_like(steps), DataType.FP32), dtype)
            small = self.node("QuantizeLinear", self.constant(elements, DataType.FP32), scales, zeros, axis=axis)
        wide = self.node("DequantizeLinear", small, scales, axis=axis)
        return wide if self.dtype is DataType.FP32 else self.cast(wide, self.dtype)

    def weight_array(self, name: str) -> np.ndarray[Any, Any]:
        """A weight's elements as fp32 (integers as they are), in its declared shape."""
        weight = self.layer.weights[name]
        return (weight.with_dtype(DataType.FP32) if weight.dtype.is_float else weight).array()

    def weight_type(self, name: str) -> TensorType:
        """The element type and shape of a weight."""
        weight = self.layer.weights[name]
        return TensorType(weight.dtype, tuple(map(Dim.of, weight.settled_shape)))

    def cast(self, x: str, dtype: DataType) -> str:
        return self.node("Cast", x, to=dtype)

    def reshape(self, x: str, new_shape: Shape) -> str:
        """`x` as `new_shape`."""
        # A size of 0 would else stand for that of the input's axis.
        allowzero = 1 if any(min(size.sizes) < 1 for size in new_shape) else None
        return self.node("Reshape", x, self.shape_tensor(new_shape), allowzero=allowzero)

    def transpose(self, x: str, permutation: tuple[int, ...]) -> str:
        return self.node("Transpose", x, perm=permutation)

    def squeeze(self, x: str, axes: tuple[int, ...]) -> str:
        return self.node("Squeeze", x, self.constant(axes, DataType.INT64))

    def unsqueeze(self, x: str, axes: tuple[int, ...]) -> str:
        return self.node("Unsqueeze", x, self.constant(axes, DataType.INT64))

    def slice(self, x: str, start: Shape, size: Shape, stride: tuple[int, ...]) -> str:
        """`size` elements of each axis, `stride` apart."""
        ends = tuple(self._end(*axis) for axis in zip(start, size, stride, strict=True))
        axes = self.constant(tuple(range(len(start))), DataType.INT64)
        steps = self.constant(stride, DataType.INT64)
        return self.node("Slice", x, self.shape_tensor(start), self.shape_tensor(ends), axes, steps)

    def _end(self, start: Dim, size: Dim, stride: int) -> Dim:
        """Where ONNX stops: behind the last element, which going down from the first one is before the axis."""
        end = start + (size - 1) * stride + (1 if stride > 0 else -1)
        if stride > 0:
            return end
        # -1 would be the last position; what is far below counts as before the first.
        return end + end.minimum(0) * 2**30

    def reduce(self, operator: str, x: str, axes: tuple[int, ...], keepdim: bool) -> str:
        """`operator` is one of ONNX's `Reduce…`."""
        if operator != "ReduceSum" and self.opset <= _ATTRIBUTE_AXES_UNTIL:
            return self.node(operator, x, axes=axes, keepdims=int(keepdim))
        return self.node(operator, x, self.constant(axes, DataType.INT64), keepdims=int(keepdim))

    def inside(self) -> OnnxBodyNet:
        """A new graph inside a node that is yet to be made."""
        name = self.state.unique(f"{self.layer.name}/graph")
        return OnnxBodyNet(self.state, self.layer, Block(self.block, name=name), self.lower)

    def _make_size(self, expression: Expression) -> Any:
        # What is kept for others to use has to be where they see it.
        here, self.block = self.block, self._block_of(expression)
        try:
            return super()._make_size(expression)
        finally:
            self.block = here

    def _block_of(self, expression: Expression) -> Block:
        """The outermost block in which all that an expression is computed from is there."""
        graph, main = self.state.graph, self.state.main
        blocks = (self.state.blocks.get(source_of(graph, symbol)[0], main) for symbol in symbols(expression))
        return max(blocks, key=lambda block: block.depth, default=main)

    @property
    def known_sizes(self) -> dict[Expression, Any]:
        return self.state.sizes

    @property
    def sized_graph(self) -> Graph:
        return self.state.graph

    def shape_numbers(self, sizes: list[int]) -> str:
        return self.constant(sizes, DataType.INT64)

    def size_of_axis(self, tensor: str, axis: int) -> str:
        shape = self.node("Shape", self.state.tensors[tensor])
        return self.node("Gather", shape, self.constant([axis], DataType.INT64))

    def combine_sizes(self, operator: str, left: Any, right: Any) -> str:
        return self.node(_DIM_OPERATORS[operator], left, right)

    def _compute_size(self, expression: Arithmetic) -> Any:
        if expression.operator != "%":
            return super()._compute_size(expression)
        # Also because ONNX Runtime takes a 1 that is divided for a division by 1, and leaves it out.
        return self.combine_sizes("%", self._size(expression.left), self._size(expression.right))

    def join_sizes(self, pieces: list[Any]) -> str:
        return self.node("Concat", *pieces, axis=0)


class OnnxBodyNet(OnnxLayerNet):
    """The `OnnxBody` of one layer: a graph inside its node."""

    def parameter(self, label: str, type: TensorType) -> str:
        """A new input of the graph."""
        name = self.state.unique(f"{self.layer.name}/{label}")
        self.block.inputs.append((name, type))
        return name

    def layers(self, body: str, inputs: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Add the layers of one of the layer's bodies, given these tensors; gives those that come out."""
        state, inside = self.state, self.layer.bodies[body]
        state.tensors.update(zip(inside.inputs, inputs, strict=True))
        for layer in inside.layers:
            state.blocks.update(dict.fromkeys(layer.outputs, self.block))
            self.lower(layer, self.block)
        return tuple(state.tensors[name] for name in inside.outputs)

    def result(self, tensor: str, type: TensorType) -> None:
        """Give out a tensor, whichever it is, as the graph's next output."""
        made = {output for node in self.block.nodes for output in node.outputs}
        if tensor not in made or tensor in dict(self.block.outputs):
            tensor = self.node("Identity", tensor)
        self.block.outputs.append((tensor, type))
