"""Activations: one function applied to every element."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from trtdsl.ops._axes import of_type
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import Choice, Float, Int, Maybe
from trtdsl.ops.base import Net, Op, OpError, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, NUMBERS, TensorType, format_shape


class _Activation(Op):
    """A function of each element; `operation` is the member of TensorRT's ActivationType that computes it."""

    operation: ClassVar[str] = ""
    x = tensor(FLOATS)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation(self.operation, x)


class Relu(_Activation):
    """`max(x, 0)`, as torch.nn.ReLU."""

    kind = "relu"
    example = "relu"
    operation = "RELU"


class Sigmoid(_Activation):
    """`1 / (1 + exp(-x))`, as torch.nn.Sigmoid."""

    kind = "sigmoid"
    example = "sigmoid"
    operation = "SIGMOID"


class Tanh(_Activation):
    """The hyperbolic tangent, as torch.nn.Tanh."""

    kind = "tanh"
    example = "tanh"
    operation = "TANH"


class Softsign(_Activation):
    """`x / (1 + |x|)`, as torch.nn.Softsign."""

    kind = "softsign"
    example = "softsign"
    operation = "SOFTSIGN"


class LeakyRelu(_Activation):
    """`x` where it is positive, `negative_slope * x` elsewhere, as torch.nn.LeakyReLU."""

    kind = "leaky_relu"
    example = "{op: leaky_relu, negative_slope: 0.2}"
    negative_slope = attribute(Float(), default=0.01, help="factor of negative elements")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("LEAKY_RELU", x, self.negative_slope)


class PRelu(_Activation):
    """`x` where it is positive, `weight * x` elsewhere, with learned slopes, as torch.nn.PReLU.

    The slopes are one for all elements, or one per channel (axis 1).
    """

    kind = "prelu"
    example = "{op: prelu, num_parameters: 64}"
    num_parameters = attribute(Int(minimum=1), default=1, help="number of slopes: 1, or as many as there are channels")
    weight = declare_weight("[num_parameters], the slopes")

    def infer(self, x: TensorType) -> TensorType:
        if self.num_parameters > 1:
            if x.rank < 2:
                raise OpError(f"prelu takes [batch, channels, ...], the input is {format_shape(x.shape)}")
            if x.shape[1].expression != self.num_parameters:
                raise OpError(
                    f"num_parameters is {self.num_parameters}, axis 1 of the input is {x.shape[1]}", at="num_parameters"
                )
        elif x.rank == 0:
            raise OpError("prelu takes an input with axes, this one is a scalar")
        return x

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return {"weight": (self.num_parameters,)}

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        rank = of_type(net.input_types[0]).rank
        shape = (1,) if rank == 1 else (1, self.num_parameters, *(1,) * (rank - 2))
        return net.add_parametric_relu(x, net.weight_tensor("weight", shape))


class Elu(_Activation):
    """`x` where it is positive, `alpha * (exp(x) - 1)` elsewhere, as torch.nn.ELU."""

    kind = "elu"
    example = "{op: elu, alpha: 1.0}"
    alpha = attribute(Float(), default=1.0, help="what very negative elements approach, negated")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("ELU", x, self.alpha)


class Selu(_Activation):
    """The self-normalising ELU of Klambauer et al. (2017), as torch.nn.SELU."""

    kind = "selu"
    example = "selu"
    alpha: ClassVar[float] = 1.6732632423543772848170429916717
    scale: ClassVar[float] = 1.0507009873554804934193349852946

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("SELU", x, self.alpha, self.scale)


class HardSigmoid(_Activation):
    """`alpha * x + beta` limited to 0 and 1; the defaults are those of torch.nn.Hardsigmoid."""

    kind = "hard_sigmoid"
    aliases = ("hardsigmoid",)
    example = "hard_sigmoid"
    alpha = attribute(Float(), default=1 / 6, help="slope; ONNX's default is 0.2")
    beta = attribute(Float(), default=0.5, help="value at 0")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("HARD_SIGMOID", x, self.alpha, self.beta)


class Softplus(_Activation):
    """`log(1 + exp(beta * x)) / beta`, as torch.nn.Softplus.

    Computed so that large elements do not overflow; PyTorch's `threshold`, which is there for that, is not needed.
    """

    kind = "softplus"
    example = "softplus"
    beta = attribute(Float(), default=1.0, help="how sharply the curve bends at 0; positive")

    def infer(self, x: TensorType) -> TensorType:
        if self.beta <= 0:
            raise OpError(f"beta must be positive, got {self.beta:g}", at="beta")
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return _softplus(net, x, self.beta)


def _softplus(net: Net, x: Any, beta: float = 1.0) -> Any:
    # log(1 + exp(a)) is max(a, 0) + log(1 + exp(-|a|)), in which the exponential is at most 1.
    negative = net.unary("NEG", net.unary("ABS", x))
    return net.elementwise("SUM", net.activation("RELU", x), net.activation("SOFTPLUS", negative, 1 / beta, beta))


class Clip(_Activation):
    """Elements limited to a range, as torch.clamp; either end may be left out."""

    kind = "clip"
    aliases = ("clamp",)
    example = "{op: clip, min: 0, max: 1}"
    x = tensor(NUMBERS)
    min = attribute(Maybe(Float()), default=None, help="smallest element of the output")
    max = attribute(Maybe(Float()), default=None, help="largest element of the output")

    def infer(self, x: TensorType) -> TensorType:
        if self.min is None and self.max is None:
            raise OpError("clip needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise OpError(f"min {self.min:g} is above max {self.max:g}", at="min")
        for name, limit in (("min", self.min), ("max", self.max)):
            if limit is not None:
                check_number(limit, x.dtype, name)
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        if x_type.dtype.is_float and self.min is not None and self.max is not None:
            return net.activation("CLIP", x, self.min, self.max)
        for operation, limit in (("MAX", self.min), ("MIN", self.max)):
            if limit is not None:
                x = net.elementwise(operation, x, net.constant(limit, x_type.dtype, (1,) * x_type.rank))
        return x


class Relu6(_Activation):
    """`min(max(x, 0), 6)`, as torch.nn.ReLU6."""

    kind = "relu6"
    example = "relu6"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("CLIP", x, 0.0, 6.0)


class Gelu(_Activation):
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


class Silu(_Activation):
    """`x * sigmoid(x)`, as torch.nn.SiLU; also known as swish."""

    kind = "silu"
    aliases = ("swish",)
    example = "silu"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("SIGMOID", x))


class Mish(_Activation):
    """`x * tanh(softplus(x))` (Misra 2019), as torch.nn.Mish."""

    kind = "mish"
    example = "mish"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("TANH", _softplus(net, x)))


class HardSwish(_Activation):
    """`x * min(max(x / 6 + 1 / 2, 0), 1)` (Howard et al. 2019), as torch.nn.Hardswish."""

    kind = "hard_swish"
    aliases = ("hardswish",)
    example = "hard_swish"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, net.activation("HARD_SIGMOID", x, 1 / 6, 0.5))
