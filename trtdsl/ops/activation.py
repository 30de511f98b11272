"""Activations: one function applied to every element."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import of_type
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import Float, Int, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, NUMBERS, TensorType, format_shape


class Activation(Op):
    """A function of each element.

    `operation` is the member of TensorRT's ActivationType that computes it, `onnx_operator` ONNX's name of it.
    """

    operation: ClassVar[str] = ""
    onnx_operator: ClassVar[str] = ""
    x = tensor(FLOATS)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation(self.operation, x)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node(self.onnx_operator, x)


class Relu(Activation):
    """`max(x, 0)`, as torch.nn.ReLU."""

    kind = "relu"
    example = "relu"
    operation = "RELU"
    onnx_operator = "Relu"


class Sigmoid(Activation):
    """`1 / (1 + exp(-x))`, as torch.nn.Sigmoid."""

    kind = "sigmoid"
    example = "sigmoid"
    operation = "SIGMOID"
    onnx_operator = "Sigmoid"


class Tanh(Activation):
    """The hyperbolic tangent, as torch.nn.Tanh."""

    kind = "tanh"
    example = "tanh"
    operation = "TANH"
    onnx_operator = "Tanh"


class Softsign(Activation):
    """`x / (1 + |x|)`, as torch.nn.Softsign."""

    kind = "softsign"
    example = "softsign"
    operation = "SOFTSIGN"
    onnx_operator = "Softsign"


class LeakyRelu(Activation):
    """`x` where it is positive, `negative_slope * x` elsewhere, as torch.nn.LeakyReLU."""

    kind = "leaky_relu"
    example = "{op: leaky_relu, negative_slope: 0.2}"
    by_plugin = "LeakyReLU"
    by_plugin_if_asked = True
    negative_slope = attribute(Float(), default=0.01, help="factor of negative elements")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("LEAKY_RELU", x, self.negative_slope)

    def plugin_fields(self, x: TensorType) -> dict[str, object]:
        return {"negSlope": self.negative_slope}

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("LeakyRelu", x, alpha=self.negative_slope)


class PRelu(Activation):
    """`x` where it is positive, `weight * x` elsewhere, with learned slopes, as torch.nn.PReLU.

    The slopes are one for all elements, or one per channel (axis 1).
    """

    kind = "prelu"
    example = "{op: prelu, num_parameters: 64}"
    example_inputs = "{x: [1, 64, 32, 32]}"
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
        return net.add_parametric_relu(x, net.weight_tensor("weight", self._slopes(of_type(net.input_types[0]).rank)))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("PRelu", x, net.weight("weight", self._slopes(of_type(net.input_types[0]).rank)))

    def _slopes(self, rank: int) -> tuple[int, ...]:
        """The shape in which the slopes meet an input."""
        return (1,) if rank == 1 else (1, self.num_parameters, *(1,) * (rank - 2))


class Elu(Activation):
    """`x` where it is positive, `alpha * (exp(x) - 1)` elsewhere, as torch.nn.ELU."""

    kind = "elu"
    example = "{op: elu, alpha: 1.0}"
    alpha = attribute(Float(), default=1.0, help="what very negative elements approach, negated")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("ELU", x, self.alpha)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Elu", x, alpha=self.alpha)


class Celu(Activation):
    """`x` where it is positive, `alpha * (exp(x / alpha) - 1)` elsewhere, as torch.nn.CELU."""

    kind = "celu"
    example = "{op: celu, alpha: 2.0}"
    alpha = attribute(Float(), default=1.0, help="what very negative elements approach, negated; positive")

    def infer(self, x: TensorType) -> TensorType:
        if self.alpha <= 0:
            raise OpError(f"alpha must be positive, got {self.alpha:g}", at="alpha")
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        # alpha * elu(x / alpha), which is x again where it is positive.
        if self.alpha == 1:
            return net.activation("ELU", x, 1.0)
        shape = (1,) * of_type(net.input_types[0]).rank
        scaled = net.elementwise("PROD", x, net.constant(1 / self.alpha, shape=shape))
        return net.elementwise("PROD", net.activation("ELU", scaled, 1.0), net.constant(self.alpha, shape=shape))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        # ONNX's Celu is of fp32 only.
        if self.alpha == 1:
            return net.node("Elu", x, alpha=1.0)
        scaled = net.node("Div", x, net.constant(self.alpha))
        return net.node("Mul", net.node("Elu", scaled, alpha=1.0), net.constant(self.alpha))


class Selu(Activation):
    """The self-normalising ELU of Klambauer et al. (2017), as torch.nn.SELU."""

    kind = "selu"
    example = "selu"
    alpha: ClassVar[float] = 1.6732632423543772848170429916717
    scale: ClassVar[float] = 1.0507009873554804934193349852946

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("SELU", x, self.alpha, self.scale)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Selu", x, alpha=self.alpha, gamma=self.scale)


class HardSigmoid(Activation):
    """`alpha * x + beta` limited to 0 and 1; the defaults are those of torch.nn.Hardsigmoid."""

    kind = "hard_sigmoid"
    aliases = ("hardsigmoid",)
    example = "hard_sigmoid"
    alpha = attribute(Float(), default=1 / 6, help="slope; ONNX's default is 0.2")
    beta = attribute(Float(), default=0.5, help="value at 0")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("HARD_SIGMOID", x, self.alpha, self.beta)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("HardSigmoid", x, alpha=self.alpha, beta=self.beta)


class ScaledTanh(Activation):
    """`alpha * tanh(beta * x)`, TensorRT's SCALED_TANH."""

    kind = "scaled_tanh"
    example = "{op: scaled_tanh, alpha: 1.7159, beta: 0.6667}"
    alpha = attribute(Float(), default=1.0, help="what large elements approach")
    beta = attribute(Float(), default=1.0, help="how steep the curve is at 0, relative to `alpha`")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("SCALED_TANH", x, self.alpha, self.beta)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        curve = net.node("Tanh", net.node("Mul", x, net.constant(self.beta)))
        return net.node("Mul", curve, net.constant(self.alpha))


class ThresholdedRelu(Activation):
    """`x` where it is above `alpha`, 0 elsewhere, as torch.nn.Threshold with the value 0."""

    kind = "thresholded_relu"
    example = "{op: thresholded_relu, alpha: 1.0}"
    alpha = attribute(Float(), default=1.0, help="what elements have to be above of")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("THRESHOLDED_RELU", x, self.alpha)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("ThresholdedRelu", x, alpha=self.alpha)


class _Shrink(Activation):
    """What small elements become 0 by."""

    lambd = attribute(Float(minimum=0), default=0.5, help="largest magnitude that becomes 0")


class HardShrink(_Shrink):
    """`x` where its magnitude is above `lambd`, 0 elsewhere, as torch.nn.Hardshrink."""

    kind = "hard_shrink"
    aliases = ("hardshrink",)
    example = "{op: hard_shrink, lambd: 0.5}"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = (1,) * of_type(net.input_types[0]).rank
        kept = net.elementwise("GREATER", net.unary("ABS", x), net.constant(self.lambd, shape=shape))
        return net.add_select(kept, x, net.constant(0.0, shape=shape))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        kept = net.node("Greater", net.node("Abs", x), net.constant(self.lambd))
        return net.node("Where", kept, x, net.constant(0.0))


class SoftShrink(_Shrink):
    """`x` brought `lambd` nearer to 0, and 0 where it is no further away, as torch.nn.Softshrink."""

    kind = "soft_shrink"
    aliases = ("softshrink",)
    example = "{op: soft_shrink, lambd: 0.5}"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("SUB", x, net.activation("CLIP", x, -self.lambd, self.lambd))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        taken = net.node("Clip", x, net.constant(-self.lambd), net.constant(self.lambd))
        return net.node("Sub", x, taken)


class Clip(Activation):
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

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        dtype = of_type(net.input_types[0]).dtype
        limits = (None if limit is None else net.constant(limit, dtype) for limit in (self.min, self.max))
        return net.node("Clip", x, *limits)


class HardTanh(Activation):
    """Elements limited to `min_val` and `max_val`, as torch.nn.Hardtanh."""

    kind = "hard_tanh"
    aliases = ("hardtanh",)
    example = "{op: hard_tanh, min_val: -2, max_val: 2}"
    min_val = attribute(Float(), default=-1.0, help="smallest element of the output")
    max_val = attribute(Float(), default=1.0, help="largest element of the output")

    def infer(self, x: TensorType) -> TensorType:
        if self.min_val > self.max_val:
            raise OpError(f"min_val {self.min_val:g} is above max_val {self.max_val:g}", at="min_val")
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("CLIP", x, self.min_val, self.max_val)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Clip", x, net.constant(self.min_val), net.constant(self.max_val))


class Relu6(Activation):
    """`min(max(x, 0), 6)`, as torch.nn.ReLU6."""

    kind = "relu6"
    example = "relu6"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.activation("CLIP", x, 0.0, 6.0)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Clip", x, net.constant(0.0), net.constant(6.0))
