"""Normalisations by the size of the elements themselves: of neighbouring channels, or of a whole axis."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import axes_of, of_type
from trtdsl.ops.attributes import Float, Int, Ints
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import FLOATS, Dim, Shape, TensorType, format_shape, volume

_LARGEST_WINDOW = 15
_SMALLEST_BETA = 0.01
_SMALLEST_K = 1e-5
"""What TensorRT's own layer takes."""


class LRN(Op):
    """Division by the size of neighbouring channels, as torch.nn.LocalResponseNorm.

    `x / (k + alpha * mean)^beta`, where the mean is that of the squares of `size` channels around each, with zeros
    beyond the first and the last. An even size takes one channel more before than after.
    """

    kind = "lrn"
    aliases = ("local_response_norm",)
    policy = Policy.ACCUMULATE
    example = "{op: lrn, size: 5}"
    x = tensor(FLOATS, help="[batch, channels, ...]")
    size = attribute(Int(minimum=1), help="channels in each mean")
    alpha = attribute(Float(), default=1e-4, help="factor of the mean")
    beta = attribute(Float(), default=0.75, help="exponent")
    k = attribute(Float(), default=1.0, help="added to the mean")

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 3:
            raise OpError(f"lrn takes [batch, channels, ...] of 3 axes or more, the input is {format_shape(x.shape)}")
        return x

    @property
    def _is_native(self) -> bool:
        """Whether TensorRT's layer, and ONNX Runtime's, take these parameters."""
        is_centred = self.size % 2 == 1 and self.size <= _LARGEST_WINDOW
        return is_centred and self.alpha > 0 and self.beta >= _SMALLEST_BETA and self.k >= _SMALLEST_K

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = of_type(net.input_types[0]).shape
        if not self._is_native:
            return self._compose(net, x, shape)
        plane = _plane(shape)
        image = net.reshape(x, shape, plane) if len(shape) != 4 else x
        layer = net.add_lrn(image, self.size, self.alpha, self.beta, self.k)
        return net.reshape(layer.get_output(0), plane, shape) if len(shape) != 4 else layer

    def _compose(self, net: Net, x: Any, shape: Shape) -> Any:
        rows = _rows(shape)
        pool = net.add_pooling_nd(
            net.reshape(net.elementwise("PROD", x, x), shape, rows), net.trt.PoolingType.AVERAGE, (self.size, 1)
        )
        pool.stride_nd = (1, 1)
        pool.pre_padding, pool.post_padding = (self._before, 0), (self._after, 0)
        pool.average_count_excludes_padding = False
        mean = net.reshape(pool.get_output(0), rows, shape)
        alpha, beta, k = (net.constant(value, shape=(1,) * len(shape)) for value in (self.alpha, self.beta, self.k))
        base = net.elementwise("SUM", net.elementwise("PROD", mean, alpha), k)
        return net.elementwise("DIV", x, net.elementwise("POW", base, beta))

    @property
    def _before(self) -> int:
        return self.size // 2

    @property
    def _after(self) -> int:
        return (self.size - 1) // 2

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        shape = of_type(net.input_types[0]).shape
        if self._is_native:
            image = net.reshape(x, _plane(shape)) if len(shape) != 4 else x
            result = net.node("LRN", image, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k)
            return net.reshape(result, shape) if len(shape) != 4 else result
        square = net.reshape(net.node("Mul", x, x), _rows(shape))
        pads = (self._before, 0, self._after, 0)
        mean = net.node("AveragePool", square, kernel_shape=(self.size, 1), pads=pads, count_include_pad=1)
        scaled = net.node("Mul", net.reshape(mean, shape), net.constant(self.alpha))
        base = net.node("Add", scaled, net.constant(self.k))
        return net.node("Div", x, net.node("Pow", base, net.constant(self.beta)))


def _plane(shape: Shape) -> Shape:
    """The shape with its spatial axes as one, and a second of size 1."""
    return (*shape[:2], volume(shape[2:]), Dim.of(1))


def _rows(shape: Shape) -> Shape:
    """The shape in which the channels are a spatial axis."""
    return (shape[0], Dim.of(1), shape[1], volume(shape[2:]))


class L2Normalize(Op):
    """Division by the root of the sum of squares along axes, as torch.nn.functional.normalize with p = 2.

    `x / max(sqrt(sum(x^2)), eps)`.
    """

    kind = "l2_normalize"
    aliases = ("normalize",)
    policy = Policy.ACCUMULATE
    example = "{op: l2_normalize, dim: 1}"
    x = tensor(FLOATS)
    dim = attribute(Ints(), default=(1,), help="the axis, or the axes, whose squares are summed")
    eps = attribute(Float(minimum=0), default=1e-12, help="the least that is divided by")

    def infer(self, x: TensorType) -> TensorType:
        axes_of(self.dim, x.rank)
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        rank = of_type(net.input_types[0]).rank
        total = net.reduce("SUM", net.elementwise("PROD", x, x), axes_of(self.dim, rank), True)
        least = net.constant(self.eps, shape=(1,) * rank)
        return net.elementwise("DIV", x, net.elementwise("MAX", net.unary("SQRT", total), least))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        length = net.reduce("ReduceL2", x, axes_of(self.dim, of_type(net.input_types[0]).rank), True)
        return net.node("Div", x, net.node("Max", length, net.constant(self.eps)))
