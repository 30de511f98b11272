"""The forms of values in a document, as JSON Schema; each `title` says in words what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from trtdsl.names import IDENTIFIER, LAYER_NAME, NameRule
from trtdsl.ops.attributes import Schema
from trtdsl.ops.base import WeightParameter
from trtdsl.types import PRECISIONS, QUANTIZED_PRECISIONS, DataType, Dim

EXPRESSION = {"$ref": "#/$defs/expression"}
EXPRESSION_FORM: Schema = {"type": "string", "pattern": "\\$", "title": "an expression: `$name` or `$(…)`"}


_WORDS = ("title", "description", "default")


def or_expression(form: Schema) -> Schema:
    """A form of which every part may also be an expression."""
    words = {key: value for key, value in form.items() if key in _WORDS}
    inner = {key: value for key, value in form.items() if key not in _WORDS}
    if "anyOf" in inner:
        return {**words, "anyOf": [_inside(branch) for branch in inner["anyOf"]] + [EXPRESSION]}
    return {**words, "anyOf": [_inside(inner), EXPRESSION]}


def _inside(form: Schema) -> Schema:
    if "items" in form:
        return {**form, "items": or_expression(form["items"])}
    if "properties" in form:
        return {**form, "properties": {name: or_expression(entry) for name, entry in form["properties"].items()}}
    if "anyOf" in form:
        return or_expression(form)
    return form


def one_or_list(item: Schema, title: str) -> Schema:
    """A value, or a list of such values."""
    return {"title": title, "anyOf": [item, {"type": "array", "items": item}]}


def mapping_of(value: Schema, title: str, keys: NameRule | None = None) -> Schema:
    """A mapping from names to values of one form."""
    form: Schema = {"type": "object", "title": title, "additionalProperties": value}
    if keys is not None:
        form["propertyNames"] = {"pattern": f"^({keys.pattern})$", "title": keys.words}
    return form


def record(title: str, properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """A mapping with known keys."""
    form: Schema = {"type": "object", "title": title, "properties": dict(properties), "additionalProperties": False}
    return {**form, "required": list(required)} if required else form


def described(form: Schema, description: str) -> Schema:
    """A form with a sentence for editors to show."""
    return {**form, "description": description}


TEXT: Schema = {"type": "string", "title": "text"}
FLAG: Schema = {"type": "boolean", "title": "true or false"}
NUMBER: Schema = {"type": "number", "title": "a number"}
SIZE: Schema = {"type": "integer", "minimum": 1, "title": "a whole number from 1"}
IDENTIFIER_FORM: Schema = {
    "type": "string",
    "pattern": f"^{IDENTIFIER.pattern}$",
    "title": f"a name: {IDENTIFIER.words}",
}
NAME: Schema = {"type": "string", "pattern": f"^({LAYER_NAME.pattern})$", "title": f"a name: {LAYER_NAME.words}"}
TENSOR: Schema = {
    "type": "string",
    "pattern": f"^/?({LAYER_NAME.pattern})(:[A-Za-z0-9_-]+)?$",
    "title": "the name of a layer or input, `name:port` where it has several outputs",
}
DTYPE: Schema = {"enum": [dtype.value for dtype in DataType], "title": f"one of {', '.join(d.value for d in DataType)}"}
FLOAT: Schema = {"enum": [dtype.value for dtype in PRECISIONS], "title": "fp32, fp16 or bf16"}
PRECISION: Schema = {
    "enum": [dtype.value for dtype in (*PRECISIONS, *QUANTIZED_PRECISIONS)],
    "title": "fp32, fp16, bf16, int8 or fp8",
}
SHAPE: Schema = {
    "type": "array",
    "items": {"title": "a whole number from 1, or a dimension", "anyOf": [SIZE, IDENTIFIER_FORM]},
    "title": "a list of sizes: whole numbers from 1, and dimensions",
}
DIM: Schema = {
    "title": "a size, or [min, opt, max]",
    "anyOf": [SIZE, {"type": "array", "items": SIZE, "minItems": 3, "maxItems": 3}],
}
_TENSOR_OR_NOTHING: Schema = {"title": TENSOR["title"], "anyOf": [TENSOR, {"type": "null"}]}
INPUTS: Schema = {
    "title": "a tensor, a list of them, or a mapping by the names of the inputs",
    "anyOf": [
        TENSOR,
        {"type": "array", "items": _TENSOR_OR_NOTHING},
        {"type": "object", "additionalProperties": {"anyOf": [TENSOR, {"type": "array", "items": TENSOR}, EXPRESSION]}},
    ],
}

_LAYER_KEYS: dict[str, Schema] = {
    "name": described(or_expression(NAME), "the layer's name; its weights and its output are known by it"),
    "in": described(or_expression(INPUTS), "the tensors it reads; default: the layer before"),
    "out": described(or_expression(one_or_list(NAME, "a name, or a list of names")), "other names for its outputs"),
    "when": described(or_expression(FLAG), "false: the layer is left out and passes its input on"),
    "repeat": described(
        or_expression({"type": "integer", "minimum": 0, "title": "a whole number from 0"}),
        "how many times in a row, named name.0, name.1, …",
    ),
    "index": described(IDENTIFIER_FORM, "what the number of the repetition is called in expressions; default: i"),
    "precision": described(or_expression(PRECISION), "the type it computes in"),
    "impl": described(
        or_expression({"enum": ["native", "plugin", "auto"], "title": "native, plugin or auto"}),
        "TensorRT's own layer or a plugin, where there are both",
    ),
}
OP_KEYS: dict[str, Schema] = {key: {"$ref": f"#/$defs/key:{key}"} for key in _LAYER_KEYS}
"""The keys of every op, besides `op` and its own."""
COMMON = {key: form for key, form in OP_KEYS.items() if key != "impl"}
"""Those that modules and sequences have as well."""

_STORED: dict[str, Schema] = {
    "key": TEXT,
    "file": TEXT,
    "transpose": {
        "title": "true, or the order of the axes",
        "anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}],
    },
    "dtype": DTYPE,
}
_WEIGHT: Schema = or_expression(
    {
        "title": "a key of the weights file, {key, file, transpose, dtype}, numbers, "
        "{normal: …}, {uniform: …}, {fill: …}, true or false",
        "anyOf": [
            # `bias: no` would be text in YAML 1.2, and is meant as a flag.
            {
                "type": "string",
                "minLength": 1,
                "not": {"enum": ["no", "yes", "off", "on"]},
                "title": "a key of the weights file",
            },
            NUMBER,
            {"type": "array", "minItems": 1, "title": "numbers"},
            FLAG,
            record("where the weight is kept", _STORED),
            record("normally distributed", {"normal": NUMBER, "mean": NUMBER}, ("normal",)),
            record("evenly distributed", {"uniform": NUMBER}, ("uniform",)),
            record("one value", {"fill": NUMBER}, ("fill",)),
        ],
    }
)
SHARED: dict[str, Schema] = {
    "expression": EXPRESSION_FORM,
    "weight": _WEIGHT,
    **{f"key:{key}": form for key, form in _LAYER_KEYS.items()},
}
"""The definitions that other forms refer to."""


def weight_form(declared: WeightParameter) -> Schema:
    """What may stand under a weight's name."""
    switch = "; `false` leaves it out" if declared.optional else ""
    return described({"$ref": "#/$defs/weight"}, f"weight: {declared.help}{switch}")


def json_value(value: object) -> Any:
    """A default as JSON holds it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Dim):
        return value.value if value.is_static else str(value)
    if isinstance(value, tuple):
        return [json_value(item) for item in value]
    return value
