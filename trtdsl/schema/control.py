"""What layers of control flow may hold."""

from __future__ import annotations

from collections.abc import Mapping

from trtdsl.names import LAYER_NAME
from trtdsl.ops.attributes import Schema
from trtdsl.ops.base import Op
from trtdsl.schema import forms
from trtdsl.schema.forms import described, mapping_of, or_expression, record

_BODY: Schema = {"$ref": "#/$defs/body", "title": "a list of layers"}
_AXIS: dict[str, Schema] = {
    "dim": described({"type": "integer", "title": "an integer"}, "the axis; default: the first"),
    "reverse": described(forms.FLAG, "from the last to the first"),
}
_BRANCHES = record("what both branches give", {"then": forms.TENSOR, "else": forms.TENSOR}, ("then", "else"))
_STACK = record("the values of all rounds", {"stack": forms.TENSOR, **_AXIS}, ("stack",))
_LIST: Schema = {"type": "array", "items": forms.TENSOR, "minItems": 1}


def _outputs(alternative: Schema, title: str) -> Schema:
    """A tensor, several, or by port; or what else the op can give out."""
    one: Schema = {"title": f"a tensor, or {title}", "anyOf": [forms.TENSOR, alternative]}
    by_port = {**mapping_of(one, "tensors by port"), "minProperties": 1}
    # A key of the alternative is no port.
    by_port["propertyNames"] = {**forms.NAME, "not": {"enum": list(alternative["properties"])}}
    return or_expression(
        {
            "title": f"a tensor, a list of them, {title}, or any of these by port",
            "anyOf": [forms.TENSOR, _LIST, alternative, by_port],
        }
    )


_COUNT: Schema = {
    "title": "a whole number from 0, a dimension, or {tensor}",
    "anyOf": [
        {"type": "integer", "minimum": 0},
        forms.IDENTIFIER_FORM,
        record("a count", {"tensor": forms.TENSOR}, ("tensor",)),
    ],
}
_SCAN: Schema = {
    "title": "a tensor, or {tensor, dim, reverse}",
    "anyOf": [forms.TENSOR, record("a scan", {"tensor": forms.TENSOR, **_AXIS}, ("tensor",))],
}
_STATES: Schema = mapping_of(forms.TENSOR, "tensors by the names of states", LAYER_NAME)

_FORMS: Mapping[str, Mapping[str, Schema]] = {
    "if": {
        "in": {"$ref": "#/$defs/key:in"},
        "then": _BODY,
        "else": _BODY,
        "outputs": _outputs(_BRANCHES, "{then: …, else: …}"),
    },
    "loop": {
        "count": or_expression(_COUNT),
        "while": or_expression(forms.TENSOR),
        "state": or_expression(_STATES),
        "scan": or_expression(mapping_of(_SCAN, "tensors by the names of their slices", LAYER_NAME)),
        "layers": _BODY,
        "next": or_expression(_STATES),
        "outputs": _outputs(_STACK, "{stack, dim, reverse}"),
    },
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {"if": ("then",), "loop": ("layers",)}


def control_keys(op: type[Op]) -> dict[str, Schema]:
    """What each key of a layer of control flow may hold."""
    common = {key: forms.COMMON[key] for key in ("name", "out", "precision")}
    own = {key: described(_FORMS[op.kind][key], help) for key, help in op.structure.items()}
    return {"op": {"enum": [op.kind, *op.aliases]}, **common, **own}


def control_required(op: type[Op]) -> tuple[str, ...]:
    """The keys that every such layer must have."""
    return _REQUIRED[op.kind]
