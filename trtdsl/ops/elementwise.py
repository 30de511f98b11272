"""Arithmetic on elements: of one tensor, of two that broadcast, and sums of any number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trtdsl.ops._axes import common_dtype, of_type
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops._ranges import check_elements
from trtdsl.ops.base import Net, Op, OpError, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, NUMBERS, DataType, Dim, TensorType

if TYPE_CHECKING:
    from trtdsl.weights import Weight


class _Binary(Op):
    """An operation on two operands that broadcast; the second is a tensor, or a weight or number.

    `operation` is the member of TensorRT's ElementWiseOperation that computes it.
    """

    operation: ClassVar[str]
    x = tensor(NUMBERS, help="the first operand")
    y = tensor(NUMBERS, optional=True, help="the second operand, unless `other` gives it")
    other = declare_weight(
        "the second operand, of any shape that broadcasts; instead of a second input",
        default=False,
        floats=False,
        initial=1.0,
    )

    def infer_with(self, weights: Mapping[str, Weight], x: TensorType, y: TensorType | None = None) -> TensorType:
        if (y is None) != self.other:
            found = "both a second input and `other`" if self.other else "one"
            raise OpError(
                f"{self.kind} takes two operands, it has {found}",
                at="other" if self.other else "in",
                hint=None if self.other else f"`in: [a, b]`, or `other: 0.5` to {self.kind} a number or weight",
            )
        if y is not None:
            shape = broadcast_shapes(self.kind, x.shape, y.shape)
            return TensorType(common_dtype(self.kind, (x, y)), shape)
        return self._with_weight(x, weights["other"])

    def _with_weight(self, x: TensorType, other: Weight) -> TensorType:
        if other.dtype not in NUMBERS or (other.dtype.is_float and not x.dtype.is_float):
            raise OpError(f"`other` is {other.dtype}, the input is {x.dtype}", at="other")
        check_elements(other, x.dtype, "other")
        return x.with_shape(broadcast_shapes(self.kind, x.shape, tuple(map(Dim.of, other.natural_shape))))

    def weight_shapes(self, x: TensorType, y: TensorType | None = None) -> dict[str, tuple[int, ...] | None]:
        return {"other": None}

    def to_tensorrt(self, net: Net, x: Any, y: Any = None) -> Any:
        rank = net.output_types[0].rank
        x_type = of_type(net.input_types[0])
        if self.other:
            y = _operand(net, "other", x_type.dtype, rank)
        else:
            y = net.broadcast(y, of_type(net.input_types[1]).shape, rank)
        return net.elementwise(self.operation, net.broadcast(x, x_type.shape, rank), y)


def _operand(net: Net, name: str, dtype: DataType, rank: int) -> Any:
    """A weight as a tensor of the given type and rank."""
    stored = net.weight_type(name)
    shape = (1,) * (rank - stored.rank) + tuple(dim.value for dim in stored.shape)
    if stored.dtype is dtype:
        return net.weight_tensor(name, shape)
    return net.constant(net.weight_array(name), dtype, shape)


class Add(_Binary):
    """`x + y`, as torch.add."""

    kind = "add"
    example = "{op: add, in: [left, right]}"
    operation = "SUM"


class Sub(_Binary):
    """`x - y`, as torch.sub."""

    kind = "sub"
    example = "{op: sub, in: [left, right]}"
    operation = "SUB"


class Mul(_Binary):
    """`x * y`, as torch.mul."""

    kind = "mul"
    example = "{op: mul, other: 0.5}"
    operation = "PROD"


class _FloatBinary(_Binary):
    """An operation whose operands are floats: of integers it would not give integers."""

    x = tensor(FLOATS, help="the first operand")
    y = tensor(FLOATS, optional=True, help="the second operand, unless `other` gives it")


class Div(_FloatBinary):
    """`x / y`, as torch.div."""

    kind = "div"
    example = "{op: div, other: 255}"
    operation = "DIV"


class Pow(_FloatBinary):
    """`x` to the power of `y`, as torch.pow."""

    kind = "pow"
    example = "{op: pow, other: 2}"
    operation = "POW"


class Min(_Binary):
    """The smaller of two elements, as torch.minimum."""

    kind = "min"
    example = "{op: min, in: [left, right]}"
    operation = "MIN"


class Max(_Binary):
    """The larger of two elements, as torch.maximum."""

    kind = "max"
    example = "{op: max, in: [left, right]}"
    operation = "MAX"


class Sum(Op):
    """The sum of any number of tensors that broadcast, added from the left."""

    kind = "sum"
    example = "{op: sum, in: [first, second, third]}"
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


class _Unary(Op):
    """A function of each element; `operation` is the member of TensorRT's UnaryOperation that computes it."""

    operation: ClassVar[str]
    x = tensor(FLOATS)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.unary(self.operation, x)


class Abs(_Unary):
    """The absolute value, as torch.abs."""

    kind = "abs"
    example = "abs"
    operation = "ABS"
    x = tensor(NUMBERS)


class Neg(_Unary):
    """`-x`, as torch.neg."""

    kind = "neg"
    example = "neg"
    operation = "NEG"
    x = tensor(NUMBERS)


class Exp(_Unary):
    """e to the power of `x`, as torch.exp."""

    kind = "exp"
    example = "exp"
    operation = "EXP"


class Log(_Unary):
    """The natural logarithm, as torch.log."""

    kind = "log"
    example = "log"
    operation = "LOG"


class Sqrt(_Unary):
    """The square root, as torch.sqrt."""

    kind = "sqrt"
    example = "sqrt"
    operation = "SQRT"


class Erf(_Unary):
    """The error function, as torch.erf."""

    kind = "erf"
    example = "erf"
    operation = "ERF"


class Reciprocal(_Unary):
    """`1 / x`, as torch.reciprocal."""

    kind = "reciprocal"
    example = "reciprocal"
    operation = "RECIP"
