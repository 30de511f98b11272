"""Comparisons of elements, logic on booleans, and the choice between elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import MOVABLE, common_dtype, of_type
from trtdsl.ops._binary import HELP_X, HELP_Y, Binary, onnx_operand, operand, operand_type, second_operand
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import Float
from trtdsl.ops.base import Net, OnnxNet, Op, attribute, tensor
from trtdsl.types import DataType, Shape, TensorType

if TYPE_CHECKING:
    from trtdsl.weights import Weight

BOOLS = frozenset({DataType.BOOL})


class _Comparison(Binary):
    """A comparison of elements of one type, whose outputs are booleans."""

    def result(self, dtype: DataType, shape: Shape) -> TensorType:
        return TensorType(DataType.BOOL, shape)


class Equal(_Comparison):
    """Whether `x` equals `y`, as torch.eq; of numbers and of booleans. NaN equals nothing."""

    kind = "equal"
    aliases = ("eq",)
    example = "{op: equal, other: 0}"
    onnx_operator = "Equal"
    x = tensor(MOVABLE, help=HELP_X)
    y = tensor(MOVABLE, optional=True, help=HELP_Y)

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        if of_type(net.input_types[0]).dtype is DataType.BOOL:
            return net.unary("NOT", net.elementwise("XOR", x, y))
        return net.elementwise("EQUAL", x, y)


class NotEqual(_Comparison):
    """Whether `x` differs from `y`, as torch.ne; of numbers and of booleans. NaN differs from everything."""

    kind = "not_equal"
    aliases = ("ne",)
    example = "{op: not_equal, other: 0}"
    x = tensor(MOVABLE, help=HELP_X)
    y = tensor(MOVABLE, optional=True, help=HELP_Y)

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        if of_type(net.input_types[0]).dtype is DataType.BOOL:
            return net.elementwise("XOR", x, y)
        return net.unary("NOT", net.elementwise("EQUAL", x, y))

    def combine_onnx(self, net: OnnxNet, x: str, y: str) -> str:
        return net.node("Not", net.node("Equal", x, y))


class Less(_Comparison):
    """Whether `x < y`, as torch.lt."""

    kind = "less"
    aliases = ("lt",)
    example = "{op: less, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    operation = "LESS"
    onnx_operator = "Less"


class Greater(_Comparison):
    """Whether `x > y`, as torch.gt."""

    kind = "greater"
    aliases = ("gt",)
    example = "{op: greater, other: 0.5}"
    operation = "GREATER"
    onnx_operator = "Greater"


class LessEqual(_Comparison):
    """Whether `x <= y`, as torch.le."""

    kind = "less_equal"
    aliases = ("le",)
    example = "{op: less_equal, in: [left, right]}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 8, 32, 32]}"
    onnx_operator = "LessOrEqual"

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        return _or_equal(net, "LESS", "GREATER", x, y)


class GreaterEqual(_Comparison):
    """Whether `x >= y`, as torch.ge."""

    kind = "greater_equal"
    aliases = ("ge",)
    example = "{op: greater_equal, other: 0.5}"
    onnx_operator = "GreaterOrEqual"

    def combine(self, net: Net, x: Any, y: Any) -> Any:
        return _or_equal(net, "GREATER", "LESS", x, y)


def _or_equal(net: Net, operation: str, opposite: str, x: Any, y: Any) -> Any:
    """TensorRT has neither; a NaN would make the denial of the opposite true."""
    if of_type(net.input_types[0]).dtype.is_float:
        return net.elementwise("OR", net.elementwise(operation, x, y), net.elementwise("EQUAL", x, y))
    return net.unary("NOT", net.elementwise(opposite, x, y))


class _Logic(Binary):
    """An operation on booleans."""

    x = tensor(BOOLS, help=HELP_X)
    y = tensor(BOOLS, optional=True, help=HELP_Y)


class And(_Logic):
    """Whether both are true, as torch.logical_and."""

    kind = "and"
    aliases = ("logical_and",)
    example = "{op: and, in: [mask, other_mask]}"
    example_inputs = "{mask: {shape: [1, 64], dtype: bool}, other_mask: {shape: [1, 64], dtype: bool}}"
    operation = "AND"
    onnx_operator = "And"


class Or(_Logic):
    """Whether one or both are true, as torch.logical_or."""

    kind = "or"
    aliases = ("logical_or",)
    example = "{op: or, in: [mask, other_mask]}"
    example_inputs = "{mask: {shape: [1, 64], dtype: bool}, other_mask: {shape: [1, 64], dtype: bool}}"
    operation = "OR"
    onnx_operator = "Or"


class Xor(_Logic):
    """Whether exactly one is true, as torch.logical_xor."""

    kind = "xor"
    aliases = ("logical_xor",)
    example = "{op: xor, in: [mask, other_mask]}"
    example_inputs = "{mask: {shape: [1, 64], dtype: bool}, other_mask: {shape: [1, 64], dtype: bool}}"
    operation = "XOR"
    onnx_operator = "Xor"


class Not(Op):
    """Whether an element is false, as torch.logical_not."""

    kind = "not"
    aliases = ("logical_not",)
    example = "{op: not, in: mask}"
    example_inputs = "{mask: {shape: [1, 64], dtype: bool}}"
    x = tensor(BOOLS)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.unary("NOT", x)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Not", x)


class Where(Op):
    """`x` where the condition is true, `y` elsewhere, as torch.where; all three broadcast."""

    kind = "where"
    example = "{op: where, in: [mask, left, right]}"
    example_inputs = "{mask: {shape: [1, 64], dtype: bool}, left: [1, 64], right: [1, 64]}"
    condition = tensor(BOOLS, help="which of the two is taken")
    x = tensor(MOVABLE, help="what is taken where the condition is true")
    y = tensor(MOVABLE, optional=True, help="what is taken elsewhere, unless `other` gives it")
    other = second_operand()

    def infer_with(
        self, weights: Mapping[str, Weight], condition: TensorType, x: TensorType, y: TensorType | None = None
    ) -> TensorType:
        second = operand_type(self.kind, x, y, weights.get("other"))
        shape = broadcast_shapes(self.kind, condition.shape, x.shape, second.shape)
        return TensorType(common_dtype(self.kind, (x, second)), shape)

    def weight_shapes(
        self, condition: TensorType, x: TensorType, y: TensorType | None = None
    ) -> dict[str, tuple[int, ...] | None]:
        return {"other": None}

    def to_tensorrt(self, net: Net, condition: Any, x: Any, y: Any = None) -> Any:
        rank = net.output_types[0].rank
        tensors = [
            net.broadcast(entry, of_type(declared).shape, rank)
            for entry, declared in zip((condition, x, y), net.input_types, strict=False)
            if entry is not None
        ]
        if self.other:
            tensors.append(operand(net, of_type(net.input_types[1]).dtype, rank))
        return select(net, *tensors, dtype=net.output_types[0].dtype)

    def to_onnx(self, net: OnnxNet, condition: str, x: str, y: str | None = None) -> str:
        dtype = of_type(net.input_types[1]).dtype
        second = onnx_operand(net, dtype) if y is None else y
        if dtype is not DataType.BOOL:
            return net.node("Where", condition, x, second)
        # ONNX Runtime does not choose between booleans either.
        other = net.node("And", net.node("Not", condition), second)
        return net.node("Or", net.node("And", condition, x), other)


class MaskedFill(Op):
    """`value` where the mask is true, `x` elsewhere, as torch.masked_fill; both broadcast."""

    kind = "masked_fill"
    example = "{op: masked_fill, in: [scores, mask], value: -1e4}"
    example_inputs = "{scores: [1, 12, 64, 64], mask: {shape: [64, 64], dtype: bool}}"
    x = tensor(MOVABLE - BOOLS)
    mask = tensor(BOOLS, help="true where elements are replaced")
    value = attribute(Float(), help="what replaces them; `-.inf` is a number in YAML")

    def infer(self, x: TensorType, mask: TensorType) -> TensorType:
        check_number(self.value, x.dtype, "value")
        return x.with_shape(broadcast_shapes(self.kind, x.shape, mask.shape))

    def to_tensorrt(self, net: Net, x: Any, mask: Any) -> Any:
        output = net.output_types[0]
        shapes = (of_type(entry).shape for entry in net.input_types)
        x, mask = (net.broadcast(*pair, output.rank) for pair in zip((x, mask), shapes, strict=True))
        return select(net, mask, net.constant(self.value, output.dtype, (1,) * output.rank), x, dtype=output.dtype)

    def to_onnx(self, net: OnnxNet, x: str, mask: str) -> str:
        return net.node("Where", mask, net.constant(self.value, net.output_types[0].dtype), x)


def select(net: Net, condition: Any, x: Any, y: Any, *, dtype: DataType) -> Any:
    """`x` where the condition is true, `y` elsewhere; all have the same rank, `x` and `y` that type."""
    if dtype is not DataType.BOOL:
        return net.add_select(condition, x, y).get_output(0)
    # Not every TensorRT chooses between booleans.
    kept = net.elementwise("AND", condition, x)
    return net.elementwise("OR", kept, net.elementwise("AND", net.unary("NOT", condition), y))
