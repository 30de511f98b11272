"""What ops on two operands share: the second one is a tensor, or a weight or number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trtdsl.ops._axes import common_dtype, of_type
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops._ranges import check_elements
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import NUMBERS, DataType, Dim, Shape, TensorType

if TYPE_CHECKING:
    from trtdsl.ops.base import WeightParameter
    from trtdsl.weights import Weight

HELP_X = "the first operand"
HELP_Y = "the second operand, unless `other` gives it"


def second_operand() -> WeightParameter:
    """The declaration of a weight that stands in for a second tensor."""
    return declare_weight(
        "the second operand, of any shape that broadcasts; instead of a second input",
        default=False,
        floats=False,
        initial=1.0,
    )


class Binary(Op):
    """An operation on two operands that broadcast; the second is a tensor, or a weight or number.

    `operation` is the member of TensorRT's ElementWiseOperation that computes it, `onnx_operator` ONNX's name of it.
    """

    operation: ClassVar[str] = ""
    onnx_operator: ClassVar[str] = ""
    x = tensor(NUMBERS, help=HELP_X)
    y = tensor(NUMBERS, optional=True, help=HELP_Y)
    other = second_operand()

    def result(self, dtype: DataType, shape: Shape) -> TensorType:
        """The output for operands of a type that broadcast to a shape."""
        return TensorType(dtype, shape)

    def infer_with(self, weights: Mapping[str, Weight], x: TensorType, y: TensorType | None = None) -> TensorType:
        operand = operand_type(self.kind, x, y, weights.get("other"))
        shape = broadcast_shapes(self.kind, x.shape, operand.shape)
        return self.result(common_dtype(self.kind, (x, operand)), shape)

    def weight_shapes(self, x: TensorType, y: TensorType | None = None) -> dict[str, tuple[int, ...] | None]:
        return {"other": None}

    def to_tensorrt(self, net: Net, x: Any, y: Any = None) -> Any:
        rank = net.output_types[0].rank
        x_type = of_type(net.input_types[0])
        if self.other:
            y = operand(net, x_type.dtype, rank)
        else:
            y = net.broadcast(y, of_type(net.input_types[1]).shape, rank)
        return self.combine(net, net.broadcast(x, x_type.shape, rank), y)

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        """The output for operands of one type and rank."""
        return net.elementwise(self.operation, x, y)

    def to_onnx(self, net: OnnxNet, x: str, y: str | None = None) -> str:
        dtype = of_type(net.input_types[0]).dtype
        return self.combine_onnx(net, x, onnx_operand(net, dtype) if y is None else y)

    def combine_onnx(self, net: OnnxNet, x: str, y: str) -> str:
        """As `combine`, for ONNX, which broadcasts."""
        return net.node(self.onnx_operator, x, y)


def operand_type(kind: str, x: TensorType, y: TensorType | None, other: Weight | None) -> TensorType:
    """The type of the second operand, whichever way it is given. Raises OpError unless it is given once."""
    if (y is None) == (other is None):
        found = "both a second input and `other`" if other else "one"
        raise OpError(
            f"{kind} takes two operands, it has {found}",
            at="other" if other else "in",
            hint=None if other else f"`in: [a, b]`, or `other: 0.5` to {kind} a number or weight",
        )
    if other is None:
        return of_type(y)
    countable = {other.dtype, x.dtype} <= NUMBERS and (x.dtype.is_float or not other.dtype.is_float)
    if other.dtype is not x.dtype and not countable:
        raise OpError(f"`other` is {other.dtype}, the input is {x.dtype}", at="other")
    check_elements(other, x.dtype, "other")
    return TensorType(x.dtype, tuple(map(Dim.of, other.natural_shape)))


def operand(net: Net, dtype: DataType, rank: int) -> Any:
    """The weight `other` as a tensor of the given type and rank."""
    stored = net.weight_type("other")
    shape = (1,) * (rank - stored.rank) + tuple(dim.value for dim in stored.shape)
    if stored.dtype is dtype:
        return net.weight_tensor("other", shape)
    return net.constant(net.weight_array("other"), dtype, shape)


def onnx_operand(net: OnnxNet, dtype: DataType) -> str:
    """The weight `other` as a tensor of the given type."""
    if net.weight_type("other").dtype is dtype:
        return net.weight("other")
    return net.constant(net.weight_array("other"), dtype)
