"""Functions of each element of one tensor."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import of_type
from trtdsl.ops.base import Net, OnnxNet, Op, tensor
from trtdsl.types import FLOATS, NUMBERS, DataType, TensorType


class Unary(Op):
    """A function of each element.

    `operation` is the member of TensorRT's UnaryOperation that computes it, `onnx_operator` ONNX's name of it.
    """

    operation: ClassVar[str] = ""
    onnx_operator: ClassVar[str] = ""
    x = tensor(FLOATS)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.unary(self.operation, x)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node(self.onnx_operator, x)


class Abs(Unary):
    """The absolute value, as torch.abs."""

    kind = "abs"
    aliases = ("absval",)
    example = "abs"
    onnx_operator = "Abs"
    x = tensor(NUMBERS)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        return magnitude(net, x, x_type.dtype, x_type.rank)


class Neg(Unary):
    """`-x`, as torch.neg."""

    kind = "neg"
    example = "neg"
    onnx_operator = "Neg"
    x = tensor(NUMBERS)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        return _negative(net, x, x_type.dtype, x_type.rank)


class Sign(Unary):
    """-1, 0 or 1, as torch.sign."""

    kind = "sign"
    example = "sign"
    onnx_operator = "Sign"
    x = tensor(NUMBERS)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        return sign(net, x, x_type.dtype, x_type.rank)


def _negative(net: Net, x: Any, dtype: DataType, rank: int) -> Any:
    # Not every TensorRT has unary operations of whole numbers.
    return net.unary("NEG", x) if dtype.is_float else net.elementwise("SUB", net.constant(0, dtype, (1,) * rank), x)


def magnitude(net: Net, x: Any, dtype: DataType, rank: int) -> Any:
    """The absolute value of each element of `x`, which has that type and rank."""
    return net.unary("ABS", x) if dtype.is_float else net.elementwise("MAX", x, _negative(net, x, dtype, rank))


def sign(net: Net, x: Any, dtype: DataType, rank: int) -> Any:
    """-1, 0 or 1 for each element of `x`, which has that type and rank."""
    if dtype.is_float:
        return net.unary("SIGN", x)
    # Of whole numbers it is their limit to -1 and 1.
    low, high = (net.constant(limit, dtype, (1,) * rank) for limit in (-1, 1))
    return net.elementwise("MIN", net.elementwise("MAX", x, low), high)


class Exp(Unary):
    """e to the power of `x`, as torch.exp."""

    kind = "exp"
    example = "exp"
    operation = "EXP"
    onnx_operator = "Exp"


class Log(Unary):
    """The natural logarithm, as torch.log."""

    kind = "log"
    example = "log"
    operation = "LOG"
    onnx_operator = "Log"


class Sqrt(Unary):
    """The square root, as torch.sqrt."""

    kind = "sqrt"
    example = "sqrt"
    operation = "SQRT"
    onnx_operator = "Sqrt"


class Rsqrt(Unary):
    """`1 / sqrt(x)`, as torch.rsqrt."""

    kind = "rsqrt"
    example = "rsqrt"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.unary("RECIP", net.unary("SQRT", x))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Reciprocal", net.node("Sqrt", x))


class Square(Unary):
    """`x * x`, as torch.square."""

    kind = "square"
    example = "square"
    x = tensor(NUMBERS)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.elementwise("PROD", x, x)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Mul", x, x)


class Erf(Unary):
    """The error function, as torch.erf."""

    kind = "erf"
    example = "erf"
    operation = "ERF"
    onnx_operator = "Erf"


class Reciprocal(Unary):
    """`1 / x`, as torch.reciprocal."""

    kind = "reciprocal"
    example = "reciprocal"
    operation = "RECIP"
    onnx_operator = "Reciprocal"


class Floor(Unary):
    """The nearest whole number that is not larger, as torch.floor."""

    kind = "floor"
    example = "floor"
    operation = "FLOOR"
    onnx_operator = "Floor"


class Ceil(Unary):
    """The nearest whole number that is not smaller, as torch.ceil."""

    kind = "ceil"
    example = "ceil"
    operation = "CEIL"
    onnx_operator = "Ceil"


class Round(Unary):
    """The nearest whole number, of two the even one, as torch.round."""

    kind = "round"
    example = "round"
    operation = "ROUND"
    onnx_operator = "Round"


class Sin(Unary):
    """The sine, as torch.sin."""

    kind = "sin"
    example = "sin"
    operation = "SIN"
    onnx_operator = "Sin"


class Cos(Unary):
    """The cosine, as torch.cos."""

    kind = "cos"
    example = "cos"
    operation = "COS"
    onnx_operator = "Cos"


class Tan(Unary):
    """The tangent, as torch.tan."""

    kind = "tan"
    example = "tan"
    operation = "TAN"
    onnx_operator = "Tan"


class Asin(Unary):
    """The angle of a sine, from -pi/2 to pi/2, as torch.asin."""

    kind = "asin"
    example = "asin"
    operation = "ASIN"
    onnx_operator = "Asin"


class Acos(Unary):
    """The angle of a cosine, from 0 to pi, as torch.acos."""

    kind = "acos"
    example = "acos"
    operation = "ACOS"
    onnx_operator = "Acos"


class Atan(Unary):
    """The angle of a tangent, from -pi/2 to pi/2, as torch.atan."""

    kind = "atan"
    example = "atan"
    operation = "ATAN"
    onnx_operator = "Atan"


class Sinh(Unary):
    """The hyperbolic sine, as torch.sinh."""

    kind = "sinh"
    example = "sinh"
    operation = "SINH"
    onnx_operator = "Sinh"


class Cosh(Unary):
    """The hyperbolic cosine, as torch.cosh."""

    kind = "cosh"
    example = "cosh"
    operation = "COSH"
    onnx_operator = "Cosh"


class Asinh(Unary):
    """The number of a hyperbolic sine, as torch.asinh."""

    kind = "asinh"
    example = "asinh"
    operation = "ASINH"
    onnx_operator = "Asinh"


class Acosh(Unary):
    """The positive number of a hyperbolic cosine, as torch.acosh."""

    kind = "acosh"
    example = "acosh"
    operation = "ACOSH"
    onnx_operator = "Acosh"


class Atanh(Unary):
    """The number of a hyperbolic tangent, as torch.atanh."""

    kind = "atanh"
    example = "atanh"
    operation = "ATANH"
    onnx_operator = "Atanh"


class _Test(Unary):
    """A question about each element."""

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(DataType.BOOL)


class IsNan(_Test):
    """Whether an element is NaN, as torch.isnan."""

    kind = "isnan"
    aliases = ("is_nan",)
    example = "isnan"
    onnx_operator = "IsNaN"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        if net.runtime.has_isnan:
            return net.unary("ISNAN", x)
        # Every other number is less than one or greater than zero.
        shape = (1,) * of_type(net.input_types[0]).rank
        less, greater = (
            net.elementwise(operation, x, net.constant(limit, shape=shape))
            for operation, limit in (("LESS", 1.0), ("GREATER", 0.0))
        )
        return net.unary("NOT", net.elementwise("OR", less, greater))


class IsInf(_Test):
    """Whether an element is infinite, of either sign, as torch.isinf."""

    kind = "isinf"
    aliases = ("is_inf",)
    example = "isinf"
    operation = "ISINF"

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        # What fp16 and bf16 hold, fp32 holds as well, and it is the only one of them that all versions of IsInf take.
        wide = x if net.dtype is DataType.FP32 else net.cast(x, DataType.FP32)
        return net.node("IsInf", wide)
