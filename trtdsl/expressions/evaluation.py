"""The value of an expression over some variables."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trtdsl.errors import suggest
from trtdsl.expressions.operations import (
    BINARY,
    COMPARISONS,
    FUNCTIONS,
    UNARY,
    WORDS,
    Budget,
    LimitError,
    bounded,
    compare,
    describe,
    item,
    truth,
)
from trtdsl.expressions.parsing import ExpressionError, Part, Template
from trtdsl.types import Dim


def evaluate(template: Template, variables: Mapping[str, Any], budget: Budget) -> Any:
    """The value of a text; one that is a single expression keeps that expression's type. Raises ExpressionError."""
    if len(template) == 1 and isinstance(template[0], Part):
        return _Evaluation(template[0], variables, budget).run()
    texts = []
    for part in template:
        texts.append(part if isinstance(part, str) else _as_text(_Evaluation(part, variables, budget).run(), part))
    return "".join(texts)


class _Evaluation:
    """One expression, evaluated over some variables."""

    def __init__(self, part: Part, variables: Mapping[str, Any], budget: Budget) -> None:
        self.part, self.variables, self.budget = part, variables, budget

    def run(self) -> Any:
        return self.value(self.part.tree)

    def value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, (ast.List, ast.Tuple)):
            return self.guard(node, lambda: [self.value(element) for element in node.elts])
        if isinstance(node, ast.IfExp):
            return self.value(node.body if self.truth(node.test) else node.orelse)
        if isinstance(node, ast.BoolOp):
            return self.boolean(node)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self.truth(node.operand)
            return self.guard(node, partial(UNARY[type(node.op)], self.value(node.operand)))
        if isinstance(node, ast.BinOp):
            return self.guard(node, partial(BINARY[type(node.op)], self.value(node.left), self.value(node.right)))
        if isinstance(node, ast.Subscript):
            return self.guard(node, partial(item, self.value(node.value), self.value(node.slice)))
        if isinstance(node, ast.Slice):
            ends = (None if end is None else self.value(end) for end in (node.lower, node.upper, node.step))
            return slice(*ends)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return self.guard(node, partial(self.call, node.func.id, [self.value(argument) for argument in node.args]))

    def call(self, function: str, arguments: list[Any]) -> Any:
        for argument in arguments:
            self.budget.spend(argument)
        return FUNCTIONS[function].compute(*arguments)

    def name(self, node: ast.Name) -> Any:
        if node.id in self.variables:
            return self.variables[node.id]
        if node.id in WORDS:
            return WORDS[node.id]
        if node.id in FUNCTIONS:
            raise self.error("expression-syntax", f"`{node.id}` is a function: write `{node.id}(…)`", node)
        known = ", ".join(f"`{name}`" for name in self.variables)
        hint = suggest(node.id, self.variables) or (f"known here: {known}" if known else "no names are known here")
        raise self.error("unknown-name", f"nothing is called `{node.id}` here", node, hint)

    def truth(self, node: ast.expr) -> bool:
        value = self.value(node)
        return self.guard(node, lambda: truth(value))  # type: ignore[no-any-return]

    def boolean(self, node: ast.BoolOp) -> Any:
        """Python's `and` and `or`: the operand that decides."""
        decides = isinstance(node.op, ast.Or)
        value = None
        for operand in node.values:
            value = self.value(operand)
            if self.guard(operand, partial(truth, value)) is decides:
                break
        return value

    def comparison(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            if not self.guard(node, partial(compare, COMPARISONS[type(op)], left, right)):
                return False
            left = right
        return True

    def guard(self, node: ast.AST, compute: Callable[[], Any]) -> Any:
        """A computed value within bounds; what Python raises becomes an error at its place."""
        try:
            value = bounded(compute())
            self.budget.spend(value)
            return value
        except LimitError as error:
            raise self.error("limit", str(error), node) from None
        except ZeroDivisionError:
            raise self.error("expression-value", "division by zero", node) from None
        except (TypeError, ValueError, OverflowError, IndexError) as error:
            raise self.error("expression-value", str(error), node) from None

    def error(self, code: str, message: str, node: ast.AST, hint: str | None = None) -> ExpressionError:
        start: int = getattr(node, "col_offset", 0)
        end: int = getattr(node, "end_col_offset", None) or start + 1
        return ExpressionError(code, message, self.part.offset + start, end - start, hint)


def _as_text(value: Any, part: Part) -> str:
    """A value in the middle of a longer text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    what = f"the dimension `{value}`" if isinstance(value, Dim) else describe(value)
    raise ExpressionError(
        "expression-value", f"{what} cannot stand in the middle of text", part.offset, _length(part.tree)
    )


def _length(tree: ast.expr) -> int:
    return (tree.end_col_offset or 1) - tree.col_offset
