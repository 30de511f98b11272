"""Evaluation of what documents hold: nodes with expressions become nodes, words, numbers and flags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from trtdsl.errors import Diagnostics, Note, suggest, used_at
from trtdsl.expand.scope import Scope
from trtdsl.expressions import Budget, ExpressionError, Template, evaluate, parse
from trtdsl.nodes import Key, Mapping, Node, Scalar, Sequence, describe
from trtdsl.reader import MAX_DEPTH
from trtdsl.source import Origin, Span
from trtdsl.types import PRECISIONS, QUANTIZED_PRECISIONS, DataType

T = TypeVar("T")

MAX_VALUES = 5_000_000
"""The most values that expressions may make in one network."""

_MOST_USES = 6

FLOAT_WORDS = {dtype.value: dtype for dtype in PRECISIONS}
PRECISION_WORDS = {dtype.value: dtype for dtype in (*PRECISIONS, *QUANTIZED_PRECISIONS)}
DTYPE_WORDS = {dtype.value: dtype for dtype in DataType}


class Failed(Exception):
    """A value or a layer is wrong; the reason has been reported."""


class Evaluator:
    """Evaluates nodes in a scope and reports what is wrong with them."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.network_params: frozenset[str] = frozenset()
        self._templates: dict[str, Template] = {}
        self._budget = Budget()
        self._made = 0
        self._reported: set[tuple[str, str, Span]] = set()

    def error(
        self,
        scope: Scope,
        code: str,
        message: str,
        span: Span,
        *,
        hint: str | None = None,
        notes: Iterable[Note] = (),
    ) -> Failed:
        """Report; what a module repeats with every use of it is reported for the first one only."""
        if (code, message, span) not in self._reported:
            self._reported.add((code, message, span))
            around = used_at(Origin(span, scope.uses))
            # Modules that use each other without end would fill the screen.
            around = around if len(around) <= _MOST_USES else (*around[: _MOST_USES - 1], around[-1])
            self.diagnostics.error(code, message, span, hint=hint, notes=(*notes, *around))
        return Failed()

    def node(self, node: Node, scope: Scope) -> Node:
        """The same tree with every expression replaced by its value. Raises Failed."""
        if isinstance(node, Scalar):
            if isinstance(node.value, str) and "$" in node.value:
                return self._node_of(self._evaluate(node, node.value, scope), node.span, scope)
            return node
        if isinstance(node, Sequence):
            items = tuple([self.node(item, scope) for item in node.items])
            return node if _same(items, node.items) else Sequence(items, node.span)
        values = [self.node(value, scope) for _, value in node.entries]
        if _same(values, (value for _, value in node.entries)):
            return node
        return Mapping(tuple((key, value) for (key, _), value in zip(node.entries, values, strict=True)), node.span)

    def text(self, node: Node, scope: Scope, what: str) -> str:
        """A value that has to be text; a whole number that was computed stands for it. Raises Failed."""
        value = self.node(node, scope)
        text = as_text(value)
        if text is not None:
            return text
        raise self.error(scope, "value", f"{what} must be text, not {describe(value)}", node.span)

    def flag(self, node: Node, scope: Scope, what: str) -> bool:
        """A value that has to be true or false. Raises Failed."""
        value = self.node(node, scope)
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return value.value
        raise self.error(scope, "value", f"{what} must be true or false, not {describe(value)}", node.span)

    def count(self, node: Node, scope: Scope, what: str) -> int:
        """A value that has to be a whole number, zero or more. Raises Failed."""
        value = self.node(node, scope)
        if isinstance(value, Scalar) and isinstance(value.value, int) and not isinstance(value.value, bool):
            if value.value >= 0:
                return value.value
            raise self.error(scope, "value", f"{what} must not be negative, and is {value.value}", node.span)
        shown = str(value.value) if isinstance(value, Scalar) and isinstance(value.value, float) else describe(value)
        raise self.error(scope, "value", f"{what} must be a whole number, not {shown}", node.span)

    def word(self, node: Node, scope: Scope, what: str, words: dict[str, T]) -> T:
        """A value that has to be one of a few words. Raises Failed."""
        text = self.text(node, scope, what)
        if text in words:
            return words[text]
        hint = suggest(text, words)
        raise self.error(
            scope, "value", f"{what} must be one of {', '.join(words)}, not `{text}`", node.span, hint=hint
        )

    def _evaluate(self, node: Scalar, text: str, scope: Scope) -> Any:
        try:
            template = self._templates.get(text)
            if template is None:
                template = self._templates[text] = parse(text)
            return evaluate(template, scope.variables, self._budget)
        except ExpressionError as error:
            name = text[error.offset : error.offset + error.length]
            hygienic = error.code == "unknown-name" and scope.uses and name in self.network_params
            hint = f"a module sees its own params only: give it one called `{name}`" if hygienic else error.hint
            raise self.error(scope, error.code, error.message, _place(node, text, error), hint=hint) from None

    def _node_of(self, value: Any, span: Span, scope: Scope, depth: int = 1) -> Node:
        self._made += 1
        if depth > MAX_DEPTH:
            raise self.error(scope, "limit", f"values nest deeper than {MAX_DEPTH} levels", span)
        if self._made > MAX_VALUES:
            raise self.error(scope, "limit", f"expressions make more than {MAX_VALUES:,} values", span)
        if isinstance(value, list):
            return Sequence(tuple([self._node_of(item, span, scope, depth + 1) for item in value]), span)
        if isinstance(value, dict):
            entries = [(Key(key, span), self._node_of(item, span, scope, depth + 1)) for key, item in value.items()]
            return Mapping(tuple(entries), span)
        return Scalar(value, span, quoted=isinstance(value, str))


def as_text(node: Node) -> str | None:
    """Text, or the digits of a whole number: layers are named by numbers, which expressions count up."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _same(new: Iterable[Node], old: Iterable[Node]) -> bool:
    return all(a is b for a, b in zip(new, old, strict=True))


def _place(node: Scalar, text: str, error: ExpressionError) -> Span:
    """The place inside the text, when the file holds it letter for letter."""
    span, quotes = node.span, 1 if node.quoted else 0
    if span.line == span.end_line and span.end_column - span.column == len(text) + 2 * quotes:
        return span.within(error.offset + quotes, error.length)
    return span
