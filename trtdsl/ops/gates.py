"""Activations that weigh each element by a function of it, or of another one."""

from __future__ import annotations

import math
from typing import Any

from trtdsl.ops._axes import axis_of, of_type
from trtdsl.ops.activation import Activation
from trtdsl.ops.attributes import Choice, Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.softplus import softplus
from trtdsl.types import FLOATS, Dim, Shape, TensorType


class Gelu(Activation):
    """`x` times the normal distribution's cumulative function (Hendrycks and Gimpel 2016), as torch.nn.GELU.

    Where TensorRT has no such activation (8.6) it is composed of smaller layers.
    """

    kind = "gelu"
    example = "{op: gelu, approximate: tanh}"
    approximate = attribute(
        Choice("none", "tanh"), default="none", help="`tanh` computes the approximation that GPT-2 was trained with"
    )

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        if net.runtime.has_gelu:
            return net.activation("GELU_ERF" if self.approximate == "none" else "GELU_TANH", x)
        shape = (1,) * of_type(net.input_types[0]).rank

        def times(a: Any, factor: float) -> Any:
            return net.elementwise("PROD", a, net.constant(factor, shape=shape))

        if self.approximate == "none":
            curve = net.unary("ERF", times(x, math.sqrt(0.5)))
        else:
            cube = net.elementwise("PROD", net.elementwise("PROD", x, x), x)
            inner = net.elementwise("SUM", x, times(cube, 0.044715))
            curve = net.activation("TANH", times(inner, math.sqrt(2 / math.pi)))
        share = times(net.elementwise("SUM", curve, net.constant(1.0, shape=shape)), 0.5)
        return net.elementwise("PROD", x, share)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        # ONNX's Gelu came with opset 20.
        def times(a: str, factor: float) -> str:
            return net.node("Mul", a, net.constant(factor))

        if self.approximate == "none":
            curve = net.node("Erf", times(x, math.sqrt(0.5)))
        else:
            cube = net.node("Mul", net.node("Mul", x, x), x)
            inner = net.node("Add", x, times(cube, 0.044715))
            curve = net.node("Tanh", times(inner, math.sqrt(2 / math.pi)))
        return net.node("Mul", x, times(net.node("Add", curve, net.constant(1.0)), 0.5))


class Silu(Activation):
    """`x * sigmoid(x)`, as torch.nn.SiLU; also known as swish."""

    kind = "silu"
    aliases = ("swish",)
    example = "silu"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("SIGMOID", x))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Mul", x, net.node("Sigmoid", x))


class Mish(Activation):
    """`x * tanh(softplus(x))` (Misra 2019), as torch.nn.Mish."""

    kind = "mish"
    example = "mish"
    by_plugin = "Mish"
    by_plugin_if_asked = True

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("TANH", softplus(net, x)))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Mul", x, net.node("Tanh", net.node("Softplus", x)))


class HardSwish(Activation):
    """`x * min(max(x / 6 + 1 / 2, 0), 1)` (Howard et al. 2019), as torch.nn.Hardswish."""

    kind = "hard_swish"
    aliases = ("hardswish",)
    example = "hard_swish"
    by_plugin = "HardSwish"
    by_plugin_if_asked = True

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("HARD_SIGMOID", x, 1 / 6, 0.5))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Mul", x, net.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))


class Glu(Op):
    """The first half of an axis times the sigmoid of the second half (Dauphin et al. 2016), as torch.nn.GLU."""

    kind = "glu"
    example = "{op: glu, dim: 1}"
    x = tensor(FLOATS)
    dim = attribute(Int(), default=-1, help="the axis that is halved")

    def infer(self, x: TensorType) -> TensorType:
        axis = axis_of(self.dim, x.rank)
        if any(size % 2 for size in x.shape[axis].sizes):
            raise OpError(f"size {x.shape[axis]} is not divisible into two halves", at="dim")
        return x.with_shape((*x.shape[:axis], x.shape[axis] // 2, *x.shape[axis + 1 :]))

    def _starts(self, shape: Shape) -> tuple[Shape, Shape]:
        """Where each half begins; `shape` is that of one."""
        zero = (Dim.of(0),) * len(shape)
        axis = axis_of(self.dim, len(shape))
        return zero, (*zero[:axis], shape[axis], *zero[axis + 1 :])

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = net.output_types[0].shape
        kept, gate = (net.slice(x, start, shape, (1,) * len(shape)) for start in self._starts(shape))
        return net.elementwise("PROD", kept, net.activation("SIGMOID", gate))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        shape = net.output_types[0].shape
        kept, gate = (net.slice(x, start, shape, (1,) * len(shape)) for start in self._starts(shape))
        return net.node("Mul", kept, net.node("Sigmoid", gate))
