"""Reductions over axes: sums and means, extremes, norms, logarithms of sums."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import axes_of, of_type
from trtdsl.ops._numbers import HIGHEST
from trtdsl.ops.attributes import Bool, Ints, Maybe
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


class _SumOf(_Reduce):
    """A sum with something done to each element before, or to the sums after."""

    operation = "SUM"
    x = tensor(FLOATS)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return self._after(net, super().to_tensorrt(net, self._before(net, x)))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if of_type(net.input_types[0]).rank == 0:
            return net.node(self.onnx_operator, x, keepdims=0)
        return super().to_onnx(net, x)

    def _before(self, net: Net, x: Any) -> Any:
        return x

    def _after(self, net: Net, total: Any) -> Any:
        return total


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


class ReduceL1(_SumOf):
    """The sum of absolute values over axes, as torch.linalg.vector_norm with `ord=1`."""

    kind = "reduce_l1"
    example = "{op: reduce_l1, dim: -1}"
    onnx_operator = "ReduceL1"

    def _before(self, net: Net, x: Any) -> Any:
        return net.unary("ABS", x)


class ReduceL2(_SumOf):
    """The root of the sum of squares over axes, as torch.linalg.vector_norm."""

    kind = "reduce_l2"
    example = "{op: reduce_l2, dim: -1, keepdim: true}"
    onnx_operator = "ReduceL2"

    def _before(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, x)

    def _after(self, net: Net, total: Any) -> Any:
        return net.unary("SQRT", total)


class ReduceSumSquare(_SumOf):
    """The sum of squares over axes, as torch.sum of torch.square."""

    kind = "reduce_sum_square"
    example = "{op: reduce_sum_square, dim: -1}"
    onnx_operator = "ReduceSumSquare"

    def _before(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, x)


class ReduceLogSum(_SumOf):
    """The logarithm of the sum over axes, as torch.log of torch.sum."""

    kind = "reduce_log_sum"
    example = "{op: reduce_log_sum, dim: -1}"
    onnx_operator = "ReduceLogSum"

    def _after(self, net: Net, total: Any) -> Any:
        return net.unary("LOG", total)


class ReduceLogSumExp(_SumOf):
    """The logarithm of the sum of exponentials over axes, as torch.logsumexp; large inputs do not overflow."""

    kind = "reduce_log_sum_exp"
    aliases = ("logsumexp",)
    example = "{op: reduce_log_sum_exp, dim: -1}"
    onnx_operator = "ReduceLogSumExp"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = of_type(net.input_types[0]).shape
        axes = self._axes(len(shape))
        if not axes:
            return x
        largest = _finite(net, net.reduce("MAX", x, axes, True), len(shape))
        shares = net.unary("EXP", net.elementwise("SUB", x, largest))
        total = net.unary("LOG", net.reduce("SUM", shares, axes, True))
        result = net.elementwise("SUM", total, largest)
        if self.keepdim:
            return result
        kept = tuple(Dim.of(1) if axis in axes else size for axis, size in enumerate(shape))
        return net.reshape(result, kept, net.output_types[0].shape)


def _finite(net: Net, x: Any, rank: int) -> Any:
    """Infinities as the numbers next to them: what is subtracted and added again must not make a NaN."""
    highest = HIGHEST[net.dtype]
    bounded = net.elementwise("MIN", x, net.constant(highest, shape=(1,) * rank))
    return net.elementwise("MAX", bounded, net.constant(-highest, shape=(1,) * rank))
