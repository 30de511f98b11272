"""The softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import axis_of, of_type
from trtdsl.ops.attributes import Int
from trtdsl.ops.base import Net, OnnxNet, Op, Policy, attribute, tensor
from trtdsl.types import FLOATS, Dim, TensorType


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


class LogSoftmax(Op):
    """The logarithm of a softmax, as torch.nn.LogSoftmax: `x - max - log(sum(exp(x - max)))` along an axis.

    Computed so, shares that are too small for a number have a logarithm all the same.
    """

    kind = "log_softmax"
    policy = Policy.ACCUMULATE
    example = "{op: log_softmax, dim: 1}"
    x = tensor(FLOATS)
    dim = attribute(Int(), default=-1, help="the axis whose shares sum to one")

    def infer(self, x: TensorType) -> TensorType:
        axis_of(self.dim, x.rank)
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        axis = axis_of(self.dim, of_type(net.input_types[0]).rank)
        below = net.elementwise("SUB", x, net.reduce("MAX", x, (axis,), True))
        total = net.reduce("SUM", net.unary("EXP", below), (axis,), True)
        return net.elementwise("SUB", below, net.unary("LOG", total))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("LogSoftmax", x, axis=axis_of(self.dim, of_type(net.input_types[0]).rank))


def softmax(net: Net, x: Any, axis: int) -> Any:
    """A softmax layer's output."""
    layer = net.add_softmax(x)
    layer.axes = 1 << axis
    return layer.get_output(0)
