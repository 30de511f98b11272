"""Arithmetic on two tensors that broadcast, and sums of any number."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import common_dtype, of_type
from trtdsl.ops._binary import HELP_X, HELP_Y, Binary
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops.base import Net, OnnxNet, Op, tensor
from trtdsl.ops.unary import magnitude, sign
from trtdsl.types import FLOATS, NUMBERS, TensorType


class Add(Binary):
    """`x + y`, as torch.add."""

    kind = "add"
    example = "{op: add, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    operation = "SUM"
    onnx_operator = "Add"


class Sub(Binary):
    """`x - y`, as torch.sub."""

    kind = "sub"
    example = "{op: sub, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    operation = "SUB"
    onnx_operator = "Sub"


class Mul(Binary):
    """`x * y`, as torch.mul."""

    kind = "mul"
    example = "{op: mul, other: 0.5}"
    operation = "PROD"
    onnx_operator = "Mul"


class _FloatBinary(Binary):
    """An operation whose operands are floats: of integers it would not give integers."""

    x = tensor(FLOATS, help=HELP_X)
    y = tensor(FLOATS, optional=True, help=HELP_Y)


class Div(_FloatBinary):
    """`x / y`, as torch.div; `floor_div` divides integers."""

    kind = "div"
    example = "{op: div, other: 255}"
    operation = "DIV"
    onnx_operator = "Div"


class FloorDiv(Binary):
    """`x / y` rounded down to a whole number, as torch.floor_divide and Python's `//`; of integers too."""

    kind = "floor_div"
    aliases = ("floor_divide",)
    example = "{op: floor_div, other: 2}"
    operation = "FLOOR_DIV"

    def combine_onnx(self, net: OnnxNet, x: str, y: str) -> str:
        if of_type(net.input_types[0]).dtype.is_float:
            return net.node("Floor", net.node("Div", x, y))
        # ONNX rounds quotients of integers towards zero, so the remainder goes first.
        return net.node("Div", net.node("Sub", x, net.node("Mod", x, y)), y)


class Mod(Binary):
    """What is left of `x` after `floor_div` by `y`, with the sign of `y`, as torch.remainder and Python's `%`."""

    kind = "mod"
    aliases = ("remainder",)
    example = "{op: mod, other: 2}"

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        return _remainder(net, x, y)

    def combine_onnx(self, net: OnnxNet, x: str, y: str) -> str:
        if not of_type(net.input_types[0]).dtype.is_float:
            return net.node("Mod", x, y)
        # ONNX's Mod of floats takes the sign of x.
        return net.node("Sub", x, net.node("Mul", net.node("Floor", net.node("Div", x, y)), y))


class Fmod(Binary):
    """What is left of `x` after division by `y`, rounded towards zero, with the sign of `x`, as torch.fmod and C."""

    kind = "fmod"
    example = "{op: fmod, other: 2}"

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        dtype, rank = net.output_types[0].dtype, net.output_types[0].rank
        size = _remainder(net, magnitude(net, x, dtype, rank), magnitude(net, y, dtype, rank))
        return net.elementwise("PROD", sign(net, x, dtype, rank), size)

    def combine_onnx(self, net: OnnxNet, x: str, y: str) -> str:
        return net.node("Mod", x, y, fmod=1)


def _remainder(net: Net, x: Any, y: Any) -> Any:
    return net.elementwise("SUB", x, net.elementwise("PROD", net.elementwise("FLOOR_DIV", x, y), y))


class Pow(_FloatBinary):
    """`x` to the power of `y`, as torch.pow."""

    kind = "pow"
    example = "{op: pow, other: 2}"
    operation = "POW"
    onnx_operator = "Pow"


class Min(Binary):
    """The smaller of two elements, as torch.minimum."""

    kind = "min"
    aliases = ("minimum",)
    example = "{op: min, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    operation = "MIN"
    onnx_operator = "Min"


class Max(Binary):
    """The larger of two elements, as torch.maximum."""

    kind = "max"
    aliases = ("maximum",)
    example = "{op: max, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    operation = "MAX"
    onnx_operator = "Max"


class Sum(Op):
    """The sum of any number of tensors that broadcast, added from the left."""

    kind = "sum"
    aliases = ("add_n", "addn")
    example = "{op: sum, in: [first, second, third]}"
    example_inputs = "{first: [1, 64], second: [1, 64], third: [1, 64]}"
    x = tensor(NUMBERS, variadic=True, help="the summands")

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = broadcast_shapes(self.kind, *(entry.shape for entry in inputs))
        return TensorType(common_dtype(self.kind, inputs), shape)

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        rank = net.output_types[0].rank
        total, *rest = (
            net.broadcast(x, of_type(x_type).shape, rank) for x, x_type in zip(inputs, net.input_types, strict=True)
        )
        for summand in rest:
            total = net.elementwise("SUM", total, summand)
        return total

    def to_onnx(self, net: OnnxNet, *inputs: str) -> str:
        # ONNX's own Sum is of floats only.
        total, *rest = inputs
        for summand in rest:
            total = net.node("Add", total, summand)
        return total
