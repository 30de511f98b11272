"""The largest and smallest elements along an axis, and where they are."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import axis_of, is_at_most, of_type
from trtdsl.ops.attributes import Bool, Int, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import INTEGERS, NUMBERS, DataType, Dim, Shape, TensorType, volume

MOST = 3840
"""The most elements that TensorRT picks."""
_LAST_AXES = 4
"""TensorRT picks along one of so many axes at the end."""


class TopK(Op):
    """The `k` largest or smallest elements along an axis, in order, and their positions, as torch.topk.

    The ports are `values` and `indices` (int32): `topk:indices`.
    """

    kind = "topk"
    aliases = ("top_k",)
    policy = Policy.TRANSPARENT
    example = "{op: topk, k: 5}"
    output_names = ("values", "indices")
    x = tensor(NUMBERS)
    k = attribute(Int(minimum=1, maximum=MOST), help="how many elements to take")
    dim = attribute(Int(), default=-1, help="the axis along which elements compete")
    largest = attribute(Bool(), default=True, help="take the largest elements, else the smallest")
    sorted = attribute(
        Bool(), default=True, help="whether the order of the results matters; they are in order in any case"
    )

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        axis = axis_of(self.dim, x.rank)
        size = x.shape[axis]
        if not is_at_most(self.k, size):
            smallest = "" if size.is_static else f" ({min(size.sizes)} at its smallest)"
            raise OpError(f"k {self.k} is more than the size {size}{smallest} of axis {axis}", at="k")
        values = x.with_shape(Dim.of(self.k) if i == axis else dim for i, dim in enumerate(x.shape))
        return values, values.with_dtype(DataType.INT32)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type, y_type = of_type(net.input_types[0]), net.output_types[0]
        if x_type.dtype in INTEGERS and not net.runtime.has_integer_topk:
            hint = "a `cast` to fp32 before it is exact up to 2^24"
            raise OpError(f"{net.runtime} picks no elements of {x_type.dtype}", at="in", hint=hint)
        axis = axis_of(self.dim, x_type.rank)
        return _pick(net, x, x_type.shape, y_type.shape, axis, "MAX" if self.largest else "MIN")

    def to_onnx(self, net: OnnxNet, x: str) -> tuple[str, str]:
        axis = axis_of(self.dim, of_type(net.input_types[0]).rank)
        values, indices = net.nodes("TopK", x, net.constant([self.k]), outputs=2, axis=axis, largest=int(self.largest))
        return values, net.cast(indices, DataType.INT32)


class _ArgOf(Op):
    """The position of an extreme element: `operation` is TensorRT's TopKOperation, `onnx_operator` ONNX's operator."""

    operation: ClassVar[str]
    onnx_operator: ClassVar[str]
    policy = Policy.TRANSPARENT
    x = tensor(NUMBERS)
    dim = attribute(
        Maybe(Int()), default=None, help="the axis along which elements compete; by default all elements do"
    )
    keepdim = attribute(Bool(), default=False, help="whether the axis stays, with size 1")
    select_last_index = attribute(Bool(), default=False, help="of equal elements take the last one, else the first")

    def infer(self, x: TensorType) -> TensorType:
        if self.dim is None:
            return TensorType(DataType.INT32, (Dim.of(1),) * x.rank if self.keepdim else ())
        axis = axis_of(self.dim, x.rank)
        kept = (Dim.of(1),) if self.keepdim else ()
        return TensorType(DataType.INT32, (*x.shape[:axis], *kept, *x.shape[axis + 1 :]))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type, y_type = of_type(net.input_types[0]), net.output_types[0]
        shape, axis = x_type.shape, 0
        if self.dim is not None:
            axis = axis_of(self.dim, x_type.rank)
        elif x_type.rank != 1:
            shape = (volume(x_type.shape),)
            x = net.reshape(x, x_type.shape, shape)
        if self.select_last_index:
            x = _reversed(net, x, shape, axis)
        if x_type.dtype in INTEGERS and not net.runtime.has_integer_topk:
            x = self._is_extreme(net, x, axis)
        kept = tuple(Dim.of(1) if i == axis else dim for i, dim in enumerate(shape))
        index = _pick(net, x, shape, kept, axis, self._operation(net, x_type.dtype))[1]
        if self.select_last_index:
            last = net.cast(net.shape_tensor((shape[axis] - 1,)), DataType.INT32)
            index = net.elementwise("SUB", net.reshape(last, (Dim.of(1),), (Dim.of(1),) * len(shape)), index)
        return index if kept == y_type.shape else net.reshape(index, kept, y_type.shape)

    def _operation(self, net: Net, dtype: DataType) -> str:
        return "MAX" if dtype in INTEGERS and not net.runtime.has_integer_topk else self.operation

    def _is_extreme(self, net: Net, x: Any, axis: int) -> Any:
        """One for the elements that are sought and zero for all others, as floats."""
        extreme = net.reduce(self.operation, x, (axis,), True)
        return net.cast(net.elementwise("EQUAL", x, extreme), DataType.FP32)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type, y_type = of_type(net.input_types[0]), net.output_types[0]
        axis, keepdims = 0, self.keepdim
        if self.dim is not None:
            axis = axis_of(self.dim, x_type.rank)
        else:
            x, keepdims = net.reshape(x, (volume(x_type.shape),)), False
        last = int(self.select_last_index)
        index = net.node(self.onnx_operator, x, axis=axis, keepdims=int(keepdims), select_last_index=last)
        if self.dim is None and self.keepdim:
            index = net.reshape(index, y_type.shape)
        return net.cast(index, DataType.INT32)


class ArgMax(_ArgOf):
    """The position of the largest element along an axis, as int32; torch.argmax, which gives int64."""

    kind = "argmax"
    example = "{op: argmax, dim: 1}"
    operation = "MAX"
    onnx_operator = "ArgMax"


class ArgMin(_ArgOf):
    """The position of the smallest element along an axis, as int32; torch.argmin, which gives int64."""

    kind = "argmin"
    example = "{op: argmin, dim: 1}"
    operation = "MIN"
    onnx_operator = "ArgMin"


def _pick(net: Net, x: Any, shape: Shape, result: Shape, axis: int, operation: str) -> tuple[Any, Any]:
    """Elements and positions of the size that `result` has along the axis, wherever that is."""
    rank, k = len(shape), result[axis].value
    kind = getattr(net.trt.TopKOperation, operation)
    if rank == 1:
        # TensorRT wants two axes.
        layer = net.add_topk(net.reshape(x, shape, (Dim.of(1), *shape)), kind, k, 1 << 1)
        row = (Dim.of(1), *result)
        return net.reshape(layer.get_output(0), row, result), net.reshape(layer.get_output(1), row, result)
    if rank - axis <= _LAST_AXES:
        layer = net.add_topk(x, kind, k, 1 << axis)
        return layer.get_output(0), layer.get_output(1)
    there = (*range(axis), *range(axis + 1, rank), axis)
    back = (*range(axis), rank - 1, *range(axis, rank - 1))
    layer = net.add_topk(net.transpose(x, there), kind, k, 1 << (rank - 1))
    return net.transpose(layer.get_output(0), back), net.transpose(layer.get_output(1), back)


def _reversed(net: Net, x: Any, shape: Shape, axis: int) -> Any:
    start = tuple(shape[i] - 1 if i == axis else Dim.of(0) for i in range(len(shape)))
    return net.slice(x, start, shape, tuple(-1 if i == axis else 1 for i in range(len(shape))))
