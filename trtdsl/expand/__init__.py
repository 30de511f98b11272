"""From a checked document to one flat list of layers: params, modules, repeat, foreach, when and scopes end here."""

from __future__ import annotations

from collections.abc import Mapping

from trtdsl import nodes
from trtdsl.errors import Diagnostics
from trtdsl.expand.declarations import check_sources, dim_variables, evaluate_params, read_dims, read_inputs
from trtdsl.expand.dump import dump
from trtdsl.expand.ends import (
    read_impl,
    read_libraries,
    read_outputs,
    read_precision,
    read_quantization,
    read_weights,
)
from trtdsl.expand.layers import Expander, LimitReached
from trtdsl.expand.overrides import override_nodes, set_dims, set_params
from trtdsl.expand.scope import Scope, Tensors
from trtdsl.expand.values import Evaluator, Failed
from trtdsl.flat import FlatNetwork
from trtdsl.modules import read_modules
from trtdsl.nodes import Node
from trtdsl.ops.base import Op
from trtdsl.schema import LayerCheck

__all__ = ["dump", "expand", "override_nodes"]


def expand(
    document: nodes.Mapping,
    catalogue: Mapping[str, type[Op]],
    diagnostics: Diagnostics,
    *,
    params: Mapping[str, Node] | None = None,
    dims: Mapping[str, Node] | None = None,
) -> FlatNetwork:
    """The flat network of a document that has passed `schema.check`.

    `params` stands in for the defaults of params, or of entries inside them (`cfg.depth`), `dims` for the sizes of
    declared dimensions. Raises NetworkError after reporting all that is wrong.
    """
    fields = document.as_dict()
    evaluator = Evaluator(diagnostics)
    scope = Scope("", {})
    declared_params = set_params(fields.get("params"), params or {}, diagnostics)
    declared_dims = set_dims(fields.get("dims"), dims or {}, diagnostics)
    diagnostics.end_stage()
    scope.variables = evaluate_params(declared_params, scope, evaluator)
    evaluator.network_params = frozenset(scope.variables)
    sizes = read_dims(declared_dims, scope, evaluator)
    scope.variables = {**dim_variables(sizes), **scope.variables}
    inputs = read_inputs(fields.get("inputs"), sizes, scope, evaluator)
    diagnostics.end_stage()
    check_sources(declared_dims, sizes, inputs, scope, evaluator)

    modules = read_modules(document)
    checked = LayerCheck(catalogue, modules, diagnostics)
    expander = Expander(catalogue, modules, sizes, evaluator, checked.layer)
    for entry in inputs:
        expander.names.places[entry.name] = entry.span
        expander.names.tensors[entry.name] = Tensors.single(entry.name)
    scope.previous = Tensors.single(inputs[0].name) if inputs else None
    _expand_layers(expander, scope, fields["layers"])
    diagnostics.end_stage()
    network = FlatNetwork(
        name=_text("name", fields, scope, evaluator),
        description=_text("description", fields, scope, evaluator),
        dims=sizes,
        inputs=inputs,
        layers=tuple(expander.layers),
        outputs=read_outputs(fields.get("outputs"), scope, expander.references, document.span),
        file=document.span.file,
        weights=read_weights(fields.get("weights"), scope, evaluator),
        precision=read_precision(fields.get("precision"), expander.layers, scope, evaluator),
        build=_build(fields.get("build"), scope, evaluator),
        libraries=read_libraries(fields.get("plugins"), scope, evaluator),
        impl=read_impl(fields.get("impl"), scope, evaluator),
        quantization=read_quantization(fields.get("quantization"), scope, evaluator),
    )
    diagnostics.end_stage()
    return network


def _expand_layers(expander: Expander, scope: Scope, layers: Node) -> None:
    assert isinstance(layers, nodes.Sequence)
    scope.given = expander.given_names(layers.items)
    try:
        expander.body(scope, layers.items)
    except LimitReached:
        return


def _text(key: str, fields: Mapping[str, Node], scope: Scope, evaluator: Evaluator) -> str:
    try:
        return evaluator.text(fields[key], scope, f"`{key}`") if key in fields else ""
    except Failed:
        return ""


def _build(node: Node | None, scope: Scope, evaluator: Evaluator) -> nodes.Mapping | None:
    try:
        value = None if node is None else evaluator.node(node, scope)
    except Failed:
        return None
    return value if isinstance(value, nodes.Mapping) else None
