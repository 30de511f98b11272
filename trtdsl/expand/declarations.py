"""Params, dimensions and inputs of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trtdsl import nodes
from trtdsl.errors import Diagnostics, NetworkError, suggest
from trtdsl.expand.scope import Scope
from trtdsl.expand.values import DTYPES, Evaluator, Failed
from trtdsl.flat import FlatInput
from trtdsl.modules import declared_params
from trtdsl.nodes import Key, Node, Scalar, describe, plain
from trtdsl.reader import read
from trtdsl.source import SourceFile, Span
from trtdsl.types import DataType, Dim, Sizes


def set_params(
    node: Node | None, overrides: Iterable[str], diagnostics: Diagnostics
) -> dict[str, tuple[Key | None, Node | None]]:
    """The network's params, with what `--set name=value` says in place of the defaults."""
    keys = {key.value: key for key, _ in node} if isinstance(node, nodes.Mapping) else {}
    params = declared_params(node)
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            diagnostics.error("override", f"`--set {text}` says nothing", hint="write `--set name=value`")
            continue
        try:
            written = read(SourceFile(f"--set {path}", value), Diagnostics()) if value else _nothing(path)
        except NetworkError as error:
            diagnostics.error("override", f"`--set {text}` has no YAML value: {error.diagnostics[0].message}")
            continue
        name, *rest = path.split(".")
        if name not in params:
            hint = suggest(name, params) or (f"the params are {', '.join(params)}" if params else "it has none")
            diagnostics.error("override", f"`--set {text}`: the network has no param `{name}`", hint=hint)
            continue
        replaced = _replace(params[name], rest, written)
        if replaced is None:
            diagnostics.error("override", f"`--set {text}`: the param `{name}` has no entry `{'.'.join(rest)}`")
            continue
        params[name] = replaced
    return {name: (keys.get(name), default) for name, default in params.items()}


def _nothing(path: str) -> Node:
    return Scalar(None, Span(SourceFile(f"--set {path}", ""), 1, 1, 1, 1))


def _replace(node: Node | None, path: list[str], value: Node) -> Node | None:
    """The tree with one entry replaced, or None where there is no such entry."""
    if not path:
        return value
    head, *rest = path
    if isinstance(node, nodes.Mapping) and (current := node.get(head)) is not None:
        replaced = _replace(current, rest, value)
        entries = tuple((key, replaced if key.value == head else entry) for key, entry in node)
        return None if replaced is None else nodes.Mapping(_known(entries), node.span)
    if isinstance(node, nodes.Sequence) and head.isdecimal() and int(head) < len(node.items):
        position = int(head)
        replaced = _replace(node.items[position], rest, value)
        items = (*node.items[:position], replaced, *node.items[position + 1 :])
        return None if replaced is None else nodes.Sequence(tuple(i for i in items if i is not None), node.span)
    return None


def _known(entries: Iterable[tuple[Key, Node | None]]) -> tuple[tuple[Key, Node], ...]:
    return tuple((key, node) for key, node in entries if node is not None)


def evaluate_params(
    params: Mapping[str, tuple[Key | None, Node | None]], scope: Scope, evaluator: Evaluator
) -> dict[str, Any]:
    """The value of every param; each may use those above it."""
    values: dict[str, Any] = {}
    for name, (key, node) in params.items():
        inner = Scope("", values, uses=scope.uses)
        if node is None:
            span = key.span if key else None
            evaluator.diagnostics.error(
                "missing-param", f"the param `{name}` has no value", span, hint=f"`--set {name}=…`"
            )
            values[name] = None
            continue
        try:
            values[name] = plain(evaluator.node(node, inner))
        except Failed:
            values[name] = None
    evaluator.diagnostics.end_stage()
    return values


def read_dims(node: Node | None, scope: Scope, evaluator: Evaluator) -> dict[str, Dim]:
    """The declared dimensions by name."""
    dims: dict[str, Dim] = {}
    for key, value in node if isinstance(node, nodes.Mapping) else ():
        if key.value in scope.variables:
            evaluator.error(scope, "duplicate-name", f"`{key.value}` is a param as well as a dimension", key.span)
            continue
        try:
            dims[key.value] = Dim.dynamic(key.value, _sizes(evaluator, scope, value))
        except Failed:
            dims[key.value] = Dim.of(1)
    evaluator.diagnostics.end_stage()
    return dims


def _sizes(evaluator: Evaluator, scope: Scope, node: Node) -> Sizes:
    value = plain(evaluator.node(node, scope))
    sizes = value if isinstance(value, list) else [value] * 3
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if len(sizes) == 3 and whole and 1 <= sizes[0] <= sizes[1] <= sizes[2] < 2**31:
        return Sizes(*sizes)
    raise evaluator.error(
        scope, "value", "a dimension is one size, or [min, opt, max] in rising order, from 1", node.span
    )


def dim_variables(dims: Mapping[str, Dim]) -> dict[str, Any]:
    """Dimensions as expressions see them: those of one size are numbers."""
    return {name: dim.value if dim.is_static else dim for name, dim in dims.items()}


def read_inputs(
    node: Node | None, dims: Mapping[str, Dim], scope: Scope, evaluator: Evaluator
) -> tuple[FlatInput, ...]:
    """The inputs of the network."""
    inputs = []
    for key, value in node if isinstance(node, nodes.Mapping) else ():
        shape, dtype = value, DataType.FP32
        try:
            if isinstance(value, nodes.Mapping):
                fields = value.as_dict()
                shape = fields["shape"]
                if "dtype" in fields:
                    dtype = evaluator.word(fields["dtype"], scope, "`dtype`", DTYPES)
            inputs.append(FlatInput(key.value, _shape(shape, dims, scope, evaluator), dtype, key.span))
        except Failed:
            continue
    return tuple(inputs)


def _shape(node: Node, dims: Mapping[str, Dim], scope: Scope, evaluator: Evaluator) -> tuple[Dim, ...]:
    value = evaluator.node(node, scope)
    if not isinstance(value, nodes.Sequence):
        raise evaluator.error(scope, "value", f"a shape is a list of sizes, not {describe(value)}", value.span)
    return tuple(_size(item, dims, scope, evaluator) for item in value.items)


def _size(item: Node, dims: Mapping[str, Dim], scope: Scope, evaluator: Evaluator) -> Dim:
    value = item.value if isinstance(item, Scalar) else None
    if isinstance(value, Dim):
        return value
    if isinstance(value, str):
        if value in dims:
            return dims[value]
        hint = suggest(value, dims) or "declare it under `dims`"
        raise evaluator.error(scope, "unknown-name", f"`{value}` is not a declared dimension", item.span, hint=hint)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31:
        return Dim.of(value)
    raise evaluator.error(
        scope, "value", f"a size is a whole number from 1 or a dimension, not {show(value, item)}", item.span
    )


def show(value: object, item: Node) -> str:
    """A number as it is, anything else in words."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else describe(item)
