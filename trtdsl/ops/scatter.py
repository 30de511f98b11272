"""Ops that write elements by index."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import MOVABLE, axis_of, common_dtype, of_type
from trtdsl.ops.attributes import Choice, Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.gather import check_along, position_length
from trtdsl.ops.generate import counted, counting
from trtdsl.types import FLOATS, INTEGERS, DataType, Dim, Shape, TensorType, format_shape, volume

ONE = Dim.of(1)
_LOWEST = {DataType.INT32: -(2**31), DataType.INT64: -(2**63)}
_ELEMENTWISE = {"sum": "SUM", "prod": "PROD", "amax": "MAX", "amin": "MIN"}
_NODES = {"sum": ("ReduceSum", "Add"), "prod": ("ReduceProd", "Mul"), "amax": ("ReduceMax", "Max")}
_NODES["amin"] = ("ReduceMin", "Min")
_ONNX_REDUCTIONS = {"none": "none", "sum": "add", "prod": "mul"}
"""What opset 16 knows; the largest and the smallest came later."""


class _Scatter(Op):
    """A tensor in which some elements are replaced, or combined with what is written there."""

    x = tensor(MOVABLE, help="what is written into")
    indices = tensor(INTEGERS, help="where, from 0")
    src = tensor(MOVABLE, help="what is written")
    reduce = attribute(
        Choice("none", *_ELEMENTWISE),
        default="none",
        help="what becomes of an element that is written: `none` replaces it, others combine it with what was there",
    )

    def check_reduce(self, x: TensorType) -> None:
        """Refuse to combine booleans. Raises OpError."""
        if self.reduce != "none" and x.dtype is DataType.BOOL:
            raise OpError(f"booleans have no {self.reduce}", at="reduce")

    def neutral(self, dtype: DataType) -> float:
        """The number that changes nothing."""
        if self.reduce in ("sum", "prod"):
            return 0 if self.reduce == "sum" else 1
        lowest = _LOWEST.get(dtype, -float("inf"))
        return lowest if self.reduce == "amax" else -lowest - (dtype in _LOWEST)

    def fold(self, net: Net, data: Any, hits: Any, src: Any, axis: int, rank: int) -> Any:
        """`data` combined along an axis with what hits it; TensorRT's own scatter only replaces."""
        dtype = net.output_types[0].dtype
        nothing = net.constant(self.neutral(dtype), dtype, (1,) * rank)
        written = net.add_select(hits, src, nothing).get_output(0)
        operation = _ELEMENTWISE[self.reduce]
        return net.elementwise(operation, data, net.reduce(operation, written, (axis,), False))

    def write_onnx(self, net: OnnxNet, operator: str, x: str, indices: str, src: str, **attributes: int) -> str:
        """The node itself; half precision is combined in fp32, for which ONNX Runtime has kernels."""
        dtype, reduction = net.output_types[0].dtype, _ONNX_REDUCTIONS[self.reduce]
        if reduction == "none" or dtype not in FLOATS:
            return net.node(operator, x, indices, src, reduction=reduction, **attributes)
        x, src = net.cast(x, DataType.FP32), net.cast(src, DataType.FP32)
        return net.cast(net.node(operator, x, indices, src, reduction=reduction, **attributes), dtype)

    def fold_onnx(self, net: OnnxNet, data: str, hits: str, src: str, axis: int) -> str:
        """`data` combined along an axis with what hits it."""
        dtype = net.output_types[0].dtype
        written = net.node("Where", hits, src, net.constant(self.neutral(dtype), dtype))
        reduction, combination = _NODES[self.reduce]
        return net.node(combination, data, net.reduce(reduction, written, (axis,), False))


class ScatterElements(_Scatter):
    """Single elements written along an axis, `y[indices[i, j], j] = src[i, j]` with `dim: 0`, as torch.scatter.

    With `reduce` as torch.scatter_reduce; that takes memory for each pair of an index and a position of the axis.
    Where an index occurs twice and nothing is combined, either of the two may be what stays.
    """

    kind = "scatter_elements"
    aliases = ("scatter",)
    example = "{op: scatter_elements, in: [x, places, values], dim: 1}"
    example_inputs = "{x: [4, 16], places: {shape: [4, 2], dtype: int32}, values: [4, 2]}"
    dim = attribute(Int(), default=0, help="the axis along which the indices count")

    def infer(self, x: TensorType, indices: TensorType, src: TensorType) -> TensorType:
        axis = axis_of(self.dim, x.rank)
        check_along(x, indices, axis)
        common_dtype(self.kind, (x, src))
        self.check_reduce(x)
        if not _agree(indices.shape, src.shape):
            raise OpError(f"indices {format_shape(indices.shape)} for {format_shape(src.shape)} elements", at="in")
        if self.reduce != "none" and not _agree(_without(indices.shape, axis), _without(x.shape, axis)):
            raise OpError(
                f"with `reduce` the indices {format_shape(indices.shape)} have to be as long as"
                f" {format_shape(x.shape)} along all axes but {axis}",
                at="reduce",
            )
        return x

    def to_tensorrt(self, net: Net, x: Any, indices: Any, src: Any) -> Any:
        x_type = of_type(net.input_types[0])
        axis = axis_of(self.dim, x_type.rank)
        if self.reduce != "none":
            return self._combine(net, axis, x, indices, src)
        if x_type.dtype is DataType.BOOL:
            # TensorRT scatters booleans by whole positions only.
            x, src = (net.cast(entry, DataType.INT32) for entry in (x, src))
            return net.cast(self._scatter(net, axis, x, src, indices), DataType.BOOL)
        return self._scatter(net, axis, x, src, indices)

    def _scatter(self, net: Net, axis: int, x: Any, src: Any, indices: Any) -> Any:
        layer = net.add_scatter(x, indices, src, net.trt.ScatterMode.ELEMENT)
        layer.axis = axis
        return layer.get_output(0)

    def _combine(self, net: Net, axis: int, x: Any, indices: Any, src: Any) -> Any:
        """Every index beside every position of the axis, which stands behind it."""
        x_type, index_type = of_type(net.input_types[0]), of_type(net.input_types[1])
        size, rank = x_type.shape[axis], x_type.rank + 1
        spread = _with_one(index_type.shape, axis)
        indices = net.reshape(indices, index_type.shape, spread)
        line = (ONE,) * (axis + 1) + (size,) + (ONE,) * (rank - axis - 2)
        places = net.reshape(counting(net, size, index_type.dtype), (size,), line)
        hits = net.elementwise("EQUAL", indices, places)
        return self.fold(net, x, hits, net.reshape(src, index_type.shape, spread), axis, rank)

    def to_onnx(self, net: OnnxNet, x: str, indices: str, src: str) -> str:
        x_type = of_type(net.input_types[0])
        axis = axis_of(self.dim, x_type.rank)
        if self.reduce in _ONNX_REDUCTIONS:
            return self.write_onnx(net, "ScatterElements", x, indices, src, axis=axis)
        behind = x_type.rank - axis - 1
        places = net.reshape(counted(net, x_type.shape[axis]), (x_type.shape[axis],) + (ONE,) * behind)
        spread = net.unsqueeze(net.cast(indices, DataType.INT64), (axis + 1,))
        hits = net.node("Equal", spread, places)
        return self.fold_onnx(net, x, hits, net.unsqueeze(src, (axis + 1,)), axis)


class ScatterND(_Scatter):
    """Elements or slices written at whole positions, `y[indices[i, 0], ...] = src[i]`, as ONNX's ScatterND.

    The last axis of the indices holds one position; it may be shorter than the input has axes, which writes slices.
    `reduce` takes memory for each pair of a position that is written and one that there is. Where a position occurs
    twice and nothing is combined, either of the two may be what stays.
    """

    kind = "scatter_nd"
    example = "{op: scatter_nd, in: [x, positions, values]}"
    example_inputs = "{x: [16, 64], positions: {shape: [3, 1], dtype: int32}, values: [3, 64]}"

    def infer(self, x: TensorType, indices: TensorType, src: TensorType) -> TensorType:
        depth = position_length(indices)
        if depth > x.rank:
            raise OpError(f"positions of {depth} numbers do not fit {format_shape(x.shape)}", at="in")
        common_dtype(self.kind, (x, src))
        self.check_reduce(x)
        wanted = (*indices.shape[:-1], *x.shape[depth:])
        if not _agree(src.shape, wanted):
            raise OpError(f"{format_shape(src.shape)} is written where {format_shape(wanted)} belongs", at="in")
        return x

    def to_tensorrt(self, net: Net, x: Any, indices: Any, src: Any) -> Any:
        if self.reduce == "none":
            return net.add_scatter(x, indices, src, net.trt.ScatterMode.ND)
        x_type, index_type, src_type = (of_type(entry) for entry in net.input_types)
        rows, parts, count, strides = self._flat(x_type, index_type)
        lengths = net.shape_tensor(strides)
        if index_type.dtype is not net.runtime.shape_dtype:
            lengths = net.cast(lengths, index_type.dtype)
        lengths = net.broadcast(lengths, (index_type.shape[-1],), index_type.rank)
        products = net.elementwise("PROD", indices, lengths)
        flat = net.reduce("SUM", products, (index_type.rank - 1,), False)
        flat = net.reshape(flat, index_type.shape[:-1], (count, ONE, ONE))
        places = net.reshape(counting(net, rows, index_type.dtype), (rows,), (ONE, rows, ONE))
        hits = net.elementwise("EQUAL", flat, places)
        written = net.reshape(src, src_type.shape, (count, ONE, parts))
        data = net.reshape(x, x_type.shape, (rows, parts))
        return net.reshape(self.fold(net, data, hits, written, 0, 3), (rows, parts), x_type.shape)

    def _flat(self, x: TensorType, indices: TensorType) -> tuple[Dim, Dim, Dim, Shape]:
        """Positions there are, elements at each, positions written, and how far apart the numbers of one reach."""
        depth = indices.shape[-1].value
        strides = tuple(volume(x.shape[axis + 1 : depth]) for axis in range(depth))
        return volume(x.shape[:depth]), volume(x.shape[depth:]), volume(indices.shape[:-1]), strides

    def to_onnx(self, net: OnnxNet, x: str, indices: str, src: str) -> str:
        indices = net.cast(indices, DataType.INT64)
        if self.reduce in _ONNX_REDUCTIONS:
            return self.write_onnx(net, "ScatterND", x, indices, src)
        x_type, index_type = of_type(net.input_types[0]), of_type(net.input_types[1])
        rows, parts, count, strides = self._flat(x_type, index_type)
        products = net.node("Mul", indices, net.shape_tensor(strides))
        flat = net.reshape(net.reduce("ReduceSum", products, (index_type.rank - 1,), False), (count, ONE, ONE))
        hits = net.node("Equal", flat, net.reshape(counted(net, rows), (ONE, rows, ONE)))
        data, written = net.reshape(x, (rows, parts)), net.reshape(src, (count, ONE, parts))
        return net.reshape(self.fold_onnx(net, data, hits, written, 0), x_type.shape)


def _agree(shape: Shape, other: Shape) -> bool:
    return len(shape) == len(other) and all(a.matches(b) for a, b in zip(shape, other, strict=True))


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _with_one(shape: Shape, axis: int) -> Shape:
    """A shape with an axis of size 1 behind another one."""
    return (*shape[: axis + 1], ONE, *shape[axis + 1 :])
