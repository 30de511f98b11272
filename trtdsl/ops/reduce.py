"""Reductions over axes, and the softmax."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import axes_of, axis_of, of_type
from trtdsl.ops.attributes import Bool, Int, Ints, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, Policy, attribute, tensor
from trtdsl.types import FLOATS, NUMBERS, Dim, TensorType


class _Reduce(Op):
    """One value for all elements along some axes.

    `operation` is the member of TensorRT's ReduceOperation, `onnx_operator` ONNX's name of it.
    """

    operation: ClassVar[str]
    onnx_operator: ClassVar[str]
    policy = Policy.ACCUMULATE
    x = tensor(NUMBERS)
    dim = attribute(Maybe(Ints()), default=None, help="the axes that are reduced; by default all")
    keepdim = attribute(Bool(), default=False, help="whether the reduced axes stay, with size 1")

    def _axes(self, rank: int) -> tuple[int, ...]:
        return tuple(range(rank)) if self.dim is None else axes_of(self.dim, rank)

    def infer(self, x: TensorType) -> TensorType:
        axes = self._axes(x.rank)
        sizes = (Dim.of(1) if axis in axes else size for axis, size in enumerate(x.shape))
        return x.with_shape(size for axis, size in enumerate(sizes) if self.keepdim or axis not in axes)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        axes = self._axes(of_type(net.input_types[0]).rank)
        return net.reduce(self.operation, x, axes, self.keepdim) if axes else x

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        axes = self._axes(of_type(net.input_types[0]).rank)
        return net.reduce(self.onnx_operator, x, axes, self.keepdim) if axes else x


class ReduceMean(_Reduce):
    """The mean over axes, as torch.mean."""

    kind = "reduce_mean"
    example = "{op: reduce_mean, dim: [2, 3], keepdim: true}"
    operation = "AVG"
    onnx_operator = "ReduceMean"
    x = tensor(FLOATS)


class ReduceSum(_Reduce):
    """The sum over axes, as torch.sum."""

    kind = "reduce_sum"
    example = "{op: reduce_sum, dim: -1}"
    operation = "SUM"
    onnx_operator = "ReduceSum"


class ReduceProd(_Reduce):
    """The product over axes, as torch.prod."""

    kind = "reduce_prod"
    example = "{op: reduce_prod, dim: -1}"
    operation = "PROD"
    onnx_operator = "ReduceProd"


class ReduceMax(_Reduce):
    """The largest element over axes, as torch.amax."""

    kind = "reduce_max"
    example = "{op: reduce_max, dim: 1}"
    # No sum that narrow types would spoil: the largest fp16 element is the same in fp32.
    policy = Policy.COMPUTE
    operation = "MAX"
    onnx_operator = "ReduceMax"


class ReduceMin(_Reduce):
    """The smallest element over axes, as torch.amin."""

    kind = "reduce_min"
    example = "{op: reduce_min, dim: 1}"
    policy = Policy.COMPUTE
    operation = "MIN"
    onnx_operator = "ReduceMin"


class Softmax(Op):
    """Exponentials of the input, normalised to sum to one along an axis, as torch.nn.Softmax."""

    kind = "softmax"
    policy = Policy.ACCUMULATE
    example = "{op: softmax, dim: 1}"
    x = tensor(FLOATS)
    dim = attribute(Int(), default=-1, help="the axis that sums to one")

    def infer(self, x: TensorType) -> TensorType:
        axis_of(self.dim, x.rank)
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = of_type(net.input_types[0]).shape
        axis = axis_of(self.dim, len(shape))
        if len(shape) > 1:
            return softmax(net, x, axis)
        # TensorRT wants two axes.
        row = (Dim.of(1), *shape)
        return net.reshape(softmax(net, net.reshape(x, shape, row), 1), row, shape)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Softmax", x, axis=axis_of(self.dim, of_type(net.input_types[0]).rank))


def softmax(net: Net, x: Any, axis: int) -> Any:
    """A softmax layer's output."""
    layer = net.add_softmax(x)
    layer.axes = 1 << axis
    return layer.get_output(0)
