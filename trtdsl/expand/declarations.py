"""Params, dimensions and inputs of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtdsl import nodes
from trtdsl.errors import suggest
from trtdsl.expand.overrides import Params
from trtdsl.expand.scope import Scope
from trtdsl.expand.values import DTYPE_WORDS, Evaluator, Failed
from trtdsl.flat import FlatInput
from trtdsl.nodes import Node, Scalar, describe, plain
from trtdsl.types import DataType, Dim, Sizes, Symbol, steps_back, symbols


def evaluate_params(params: Params, scope: Scope, evaluator: Evaluator) -> dict[str, Any]:
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
                    dtype = evaluator.word(fields["dtype"], scope, "`dtype`", DTYPE_WORDS)
            inputs.append(FlatInput(key.value, _shape(shape, dims, scope, evaluator), dtype, key.span))
        except Failed:
            continue
    return tuple(inputs)


def check_sources(
    section: Node | None, dims: Mapping[str, Dim], inputs: Sequence[FlatInput], scope: Scope, evaluator: Evaluator
) -> None:
    """Report the dimensions that no input tells the size of when the engine runs."""
    axes = [dim for entry in inputs for dim in entry.shape]
    for key, _ in section if isinstance(section, nodes.Mapping) else ():
        symbol = dims[key.value].expression
        if not isinstance(symbol, Symbol) or any(steps_back(dim.expression, symbol) is not None for dim in axes):
            continue
        within = next((dim for dim in axes if symbol in symbols(dim.expression)), None)
        message = f"no input has the dimension `{symbol}`, so that nothing would tell its size"
        hint = "give it to an axis of an input, or one size only"
        if within is not None:
            message = f"the size of `{symbol}` cannot be told from an axis of size `{within}`"
            hint = (
                f"give another axis of an input the size `{symbol}`, or declare a dimension for the whole of `{within}`"
            )
        evaluator.error(scope, "dimension", message, key.span, hint=hint)


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
        scope, "value", f"a size is a whole number from 1 or a dimension, not {_show(value, item)}", item.span
    )


def _show(value: object, item: Node) -> str:
    """A number as it is, anything else in words."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else describe(item)
