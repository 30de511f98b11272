"""The logarithm of 1 + exp(x), without overflow, and what is made of it."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import of_type
from trtdsl.ops.activation import Activation
from trtdsl.ops.attributes import Float
from trtdsl.ops.base import Net, OnnxNet, OpError, attribute
from trtdsl.types import TensorType

_EXACT = 20.0
"""From here on log(1 + exp(a)) is a in fp32."""


class Softplus(Activation):
    """`log(1 + exp(beta * x)) / beta`, as torch.nn.Softplus.

    Computed so that large elements do not overflow. PyTorch hands elements on unchanged where `beta * x` is above
    `threshold`; at its default of 20 that is the same number in fp32.
    """

    kind = "softplus"
    example = "softplus"
    beta = attribute(Float(), default=1.0, help="how sharply the curve bends at 0; positive")
    threshold = attribute(Float(), default=20.0, help="`x` itself comes out where `beta * x` is above this")

    def infer(self, x: TensorType) -> TensorType:
        if self.beta <= 0:
            raise OpError(f"beta must be positive, got {self.beta:g}", at="beta")
        return x

    @property
    def _is_cut(self) -> bool:
        """Whether the threshold makes a difference."""
        return self.threshold < _EXACT

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        curve = softplus(net, x, self.beta)
        if not self._is_cut:
            return curve
        shape = (1,) * of_type(net.input_types[0]).rank
        limit = net.constant(self.threshold / self.beta, shape=shape)
        return net.add_select(net.elementwise("GREATER", x, limit), x, curve)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if self.beta == 1:
            curve = net.node("Softplus", x)
        else:
            bent = net.node("Softplus", net.node("Mul", x, net.constant(self.beta)))
            curve = net.node("Div", bent, net.constant(self.beta))
        if not self._is_cut:
            return curve
        return net.node("Where", net.node("Greater", x, net.constant(self.threshold / self.beta)), x, curve)


def softplus(net: Net, x: Any, beta: float = 1.0) -> Any:
    """`log(1 + exp(beta * x)) / beta` without overflow."""
    # log(1 + exp(a)) is max(a, 0) + log(1 + exp(-|a|)), in which the exponential is at most 1.
    negative = net.unary("NEG", net.unary("ABS", x))
    return net.elementwise("SUM", net.activation("RELU", x), net.activation("SOFTPLUS", negative, 1 / beta, beta))


class LogSigmoid(Activation):
    """`log(1 / (1 + exp(-x)))`, as torch.nn.LogSigmoid."""

    kind = "log_sigmoid"
    aliases = ("logsigmoid",)
    example = "log_sigmoid"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.unary("NEG", softplus(net, net.unary("NEG", x)))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Neg", net.node("Softplus", net.node("Neg", x)))
