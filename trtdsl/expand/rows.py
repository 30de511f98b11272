"""The rows of a foreach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trtdsl import nodes
from trtdsl.expand.scope import Scope
from trtdsl.expand.values import Evaluator
from trtdsl.nodes import Node, Scalar, describe, plain


def rows(evaluator: Evaluator, scope: Scope, fields: Mapping[str, Node]) -> Iterator[dict[str, Any]]:
    """What the names of a foreach stand for in each round. Raises Failed."""
    header = fields["foreach"]
    table = evaluator.node(fields["rows"], scope)
    if not isinstance(table, nodes.Sequence):
        is_count = isinstance(table, Scalar) and type(table.value) is int
        hint = f"`$(range({plain(table)}))` counts" if is_count else None
        message = f"`rows` must be a list, not {describe(table)}"
        raise evaluator.error(scope, "value", message, fields["rows"].span, hint=hint)
    if isinstance(header, Scalar):
        for row in table.items:
            yield {str(header.value): plain(row)}
        return
    names = [str(name) for name in plain(header)]
    for row in table.items:
        values = plain(row)
        if not isinstance(values, list) or len(values) != len(names):
            got = str(len(values)) if isinstance(values, list) else describe(row)
            message = f"each row needs {len(names)} values for {', '.join(names)}; this has {got}"
            raise evaluator.error(scope, "value", message, row.span)
        yield dict(zip(names, values, strict=True))
