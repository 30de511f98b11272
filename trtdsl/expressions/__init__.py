"""`$name` and `$(expression)`: a small, bounded part of Python's expressions, over plain values and dimensions."""

from __future__ import annotations

from trtdsl.expressions.evaluation import evaluate
from trtdsl.expressions.operations import Budget
from trtdsl.expressions.parsing import ExpressionError, Part, Template, parse

__all__ = ["Budget", "ExpressionError", "Part", "Template", "evaluate", "parse"]
