"""The formulas of a plugin.yaml as C++: over numbers in checks, over sizes of any kind in shapes."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from enum import Enum, auto

from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.fields import FieldType
from trtdsl.plugins.reading import MAX_RANK


class UnsupportedFormula(Exception):
    """What of a formula has no form in C++; `node` is where."""

    def __init__(self, message: str, node: ast.expr) -> None:
        super().__init__(message)
        self.message, self.node = message, node


class Kind(Enum):
    """What a C++ expression is."""

    INT = auto()
    FLOAT = auto()
    BOOL = auto()
    SIZE = auto()
    INPUT = auto()
    LIST = auto()
    NULL = auto()


_NUMBERS = (Kind.INT, Kind.FLOAT, Kind.SIZE)
_LARGEST = 2**63 - 1
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


@dataclass(frozen=True)
class Code:
    """A C++ expression."""

    text: str
    kind: Kind


class FormulaWriter:
    """Writes the formulas of one plugin, in a scope that has `params` and the inputs' tensors or sizes.

    With `symbolic` they are over sizes that TensorRT knows later, and `inputs` is the vector of the Sizes of those
    that are there; else `inputs` are Tensors. Numbers are Whole and double, as Python's are whole or not; see
    common/numbers.h. Methods raise UnsupportedFormula.
    """

    def __init__(self, declaration: PluginDeclaration, *, symbolic: bool) -> None:
        self.declaration = declaration
        self.symbolic = symbolic
        self.positions = {entry.name: index for index, entry in enumerate(declaration.inputs)}

    def condition(self, node: ast.expr) -> str:
        """A formula as a truth value."""
        if isinstance(node, ast.BoolOp):
            word = " && " if isinstance(node.op, ast.And) else " || "
            return f"({word.join(map(self.condition, node.values))})"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return f"!{self.condition(node.operand)}"
        code = self._write(node)
        if code.kind is Kind.BOOL:
            return code.text
        if code.kind is Kind.INT:
            return f"({code.text} != Whole(0))"
        if code.kind is Kind.FLOAT:
            return f"({code.text} != 0.0)"
        raise UnsupportedFormula(f"{ast.unparse(node)} is neither true nor false", node)

    def size(self, node: ast.expr) -> str:
        """A formula as a Size."""
        return _converted(self._write(node), Kind.SIZE, node)

    def _write(self, node: ast.expr) -> Code:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise UnsupportedFormula(f"{ast.unparse(node)} has no form in C++", node)
        code: Code = method(node)
        return code

    def _constant(self, node: ast.Constant) -> Code:
        value = node.value
        if isinstance(value, bool):
            return Code("true" if value else "false", Kind.BOOL)
        if isinstance(value, int) and value <= _LARGEST:
            return Code(f"Whole({value})", Kind.INT)
        if isinstance(value, float) and math.isfinite(value):
            return Code(repr(value), Kind.FLOAT)
        raise UnsupportedFormula(f"{value!r} is no number that C++ has", node)

    def _name(self, node: ast.Name) -> Code:
        if node.id in ("true", "false"):
            return Code(node.id, Kind.BOOL)
        if node.id == "null":
            return Code("nullptr", Kind.NULL)
        if node.id in self.positions:
            return Code(f"inputs[{self.positions[node.id]}]", Kind.INPUT)
        declared = self.declaration.field(node.id)
        if declared is None or declared.type is None:
            raise UnsupportedFormula(f"{node.id} is no field and no input", node)
        text = f"params.{node.id}"
        if declared.is_list or declared.type in (FieldType.CHAR, FieldType.DIMS):
            return Code(text, Kind.LIST)
        if declared.type is FieldType.BOOL:
            return Code(f"({text} != 0)", Kind.BOOL)
        return _number(text, declared.type, node)

    def _subscript(self, node: ast.Subscript) -> Code:
        owner, index = self._write(node.value), node.slice
        if not isinstance(index, ast.Constant) or type(index.value) is not int:
            raise UnsupportedFormula("an index is a number, from 0 on", node)
        if owner.kind is Kind.INPUT:
            if index.value >= MAX_RANK:
                raise UnsupportedFormula(f"a tensor has at most {MAX_RANK} axes", node)
            if self.symbolic:
                position = owner.text.removeprefix("inputs[").removesuffix("]")
                return Code(f"inputs.at({position}).at({index.value})", Kind.SIZE)
            return Code(f"Whole({owner.text}.dims[{index.value}])", Kind.INT)
        declared = self.declaration.field(node.value.id) if isinstance(node.value, ast.Name) else None
        if owner.kind is not Kind.LIST or declared is None or declared.type in (None, FieldType.CHAR):
            raise UnsupportedFormula(f"{ast.unparse(node.value)} is no list of numbers", node)
        if declared.on_device:
            raise UnsupportedFormula(f"the elements of {declared.name} are on the device", node)
        assert declared.type is not None
        if not declared.is_list or declared.length is None:
            return _number(f"element({owner.text}, {index.value})", declared.type, node)
        if index.value >= declared.length:
            raise UnsupportedFormula(f"{declared.name} has {declared.length} elements", node)
        return _number(f"{owner.text}[{index.value}]", declared.type, node)

    def _binop(self, node: ast.BinOp) -> Code:
        left, right = self._write(node.left), self._write(node.right)
        kind = _common(left, right, node)
        pair = [_converted(one, kind, node) for one in (left, right)]
        if isinstance(node.op, ast.FloorDiv):
            return Code(f"floor_div({', '.join(pair)})", kind)
        if isinstance(node.op, ast.Mod):
            return Code(f"modulo({', '.join(pair)})", kind)
        operators: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
        operator = operators.get(type(node.op))
        if operator is None:
            raise UnsupportedFormula(f"{ast.unparse(node)} has no form in C++", node)
        return Code(f"({pair[0]} {operator} {pair[1]})", kind)

    def _unaryop(self, node: ast.UnaryOp) -> Code:
        if isinstance(node.op, ast.Not):
            return Code(self.condition(node), Kind.BOOL)
        operand = self._write(node.operand)
        kind = _common(operand, operand, node)
        if isinstance(node.op, ast.USub):
            return Code(f"(-{_converted(operand, kind, node)})", kind)
        if isinstance(node.op, ast.UAdd):
            return Code(_converted(operand, kind, node), kind)
        raise UnsupportedFormula(f"{ast.unparse(node)} has no form in C++", node)

    def _boolop(self, node: ast.BoolOp) -> Code:
        if any(self._write(value).kind is not Kind.BOOL for value in node.values):
            raise UnsupportedFormula(f"{ast.unparse(node)} is a number in some cases; write `a if … else b`", node)
        return Code(self.condition(node), Kind.BOOL)

    def _compare(self, node: ast.Compare) -> Code:
        parts, left = [], self._write(node.left)
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._write(right_node)
            parts.append(self._comparison(left, operator, right, node))
            left = right
        return Code(f"({' && '.join(parts)})", Kind.BOOL)

    def _comparison(self, left: Code, operator: ast.cmpop, right: Code, node: ast.expr) -> str:
        sign = _COMPARISONS.get(type(operator))
        if sign is None:
            raise UnsupportedFormula(f"{ast.unparse(node)} has no form in C++", node)
        if {left.kind, right.kind} == {Kind.INPUT, Kind.NULL} and sign in ("==", "!="):
            owner = left if left.kind is Kind.INPUT else right
            if self.symbolic:
                position = owner.text.removeprefix("inputs[").removesuffix("]")
                return f"inputs.size() {'<=' if sign == '==' else '>'} {position}"
            return f"{owner.text}.data {sign} nullptr"
        if Kind.SIZE in (left.kind, right.kind):
            raise UnsupportedFormula("sizes that are not known yet cannot be compared", node)
        # As in Python, true is 1 in comparisons; in arithmetic it is no number.
        left, right = (Code(f"Whole({one.text})", Kind.INT) if one.kind is Kind.BOOL else one for one in (left, right))
        kind = _common(left, right, node)
        return f"{_converted(left, kind, node)} {sign} {_converted(right, kind, node)}"

    def _ifexp(self, node: ast.IfExp) -> Code:
        then, otherwise = self._write(node.body), self._write(node.orelse)
        kind = Kind.BOOL if then.kind is otherwise.kind is Kind.BOOL else _common(then, otherwise, node)
        branches = " : ".join(_converted(one, kind, node) for one in (then, otherwise))
        return Code(f"({self.condition(node.test)} ? {branches})", kind)

    def _call(self, node: ast.Call) -> Code:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        arguments = [self._write(argument) for argument in node.args]
        if name == "len" and len(arguments) == 1:
            return self._length(node.args[0], arguments[0])
        if name == "int" and len(arguments) == 1:
            kind = _common(arguments[0], arguments[0], node)
            text = _converted(arguments[0], kind, node)
            return Code(f"truncated({text})", Kind.INT) if kind is Kind.FLOAT else Code(text, kind)
        if name == "abs" and len(arguments) == 1:
            kind = _common(arguments[0], arguments[0], node)
            return Code(f"absolute({_converted(arguments[0], kind, node)})", kind)
        if name in ("min", "max") and len(arguments) >= 2:
            result, function = arguments[0], "least" if name == "min" else "greatest"
            for argument in arguments[1:]:
                kind = _common(result, argument, node)
                pair = ", ".join(_converted(one, kind, node) for one in (result, argument))
                result = Code(f"{function}({pair})", kind)
            return result
        raise UnsupportedFormula(f"{ast.unparse(node)} has no form in C++", node)

    def _length(self, node: ast.expr, owner: Code) -> Code:
        if owner.kind is Kind.INPUT:
            size = f"static_cast<int64_t>({owner.text}.size())" if self.symbolic else f"{owner.text}.rank"
            return Code(f"Whole({size})", Kind.INT)
        declared = self.declaration.field(node.id) if isinstance(node, ast.Name) else None
        if owner.kind is not Kind.LIST or declared is None or declared.type is FieldType.CHAR:
            raise UnsupportedFormula(f"{ast.unparse(node)} has no length", node)
        if declared.is_list and declared.length is not None:
            return Code(f"Whole({declared.length})", Kind.INT)
        return Code(f"Whole({owner.text}.size)", Kind.INT)


def _number(text: str, kind: FieldType, node: ast.expr) -> Code:
    """A field, or an element of one, as a number."""
    if kind is FieldType.FP16:
        raise UnsupportedFormula(f"{ast.unparse(node)} is fp16, which formulas in C++ do not read", node)
    return Code(f"static_cast<double>({text})", Kind.FLOAT) if kind.is_float else Code(f"Whole({text})", Kind.INT)


def _common(left: Code, right: Code, node: ast.expr) -> Kind:
    """What the two are as operands of one operation."""
    kinds = {left.kind, right.kind}
    if not kinds <= {*_NUMBERS}:
        raise UnsupportedFormula(f"{ast.unparse(node)} is no arithmetic", node)
    if kinds == {Kind.SIZE, Kind.FLOAT}:
        raise UnsupportedFormula("TensorRT computes sizes in whole numbers only", node)
    return next((kind for kind in (Kind.SIZE, Kind.FLOAT) if kind in kinds), Kind.INT)


def _converted(code: Code, kind: Kind, node: ast.expr) -> str:
    if code.kind is kind:
        return code.text
    if code.kind is Kind.INT and kind in (Kind.FLOAT, Kind.SIZE):
        return f"{'static_cast<double>' if kind is Kind.FLOAT else 'Size'}({code.text})"
    raise UnsupportedFormula(f"{ast.unparse(node)} is no whole number", node)
