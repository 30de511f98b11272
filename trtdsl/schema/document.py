"""The JSON Schema of a document, made from the catalogue of ops."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from trtdsl.build_options import BuildOptions
from trtdsl.names import IDENTIFIER, LAYER_NAME, OUTPUT_NAME
from trtdsl.ops.attributes import Schema
from trtdsl.ops.base import Op
from trtdsl.ops.raw import PATTERN as RAW_PATTERN
from trtdsl.ops.raw import RawLayer
from trtdsl.schema import forms
from trtdsl.schema.control import control_keys, control_required
from trtdsl.schema.forms import described, mapping_of, one_or_list, or_expression, record
from trtdsl.version import LANGUAGE_VERSION

Catalogue = Mapping[str, type[Op]]

SCHEMA_ID = "urn:trtdsl:schema:1"


def document_schema(catalogue: Catalogue) -> Schema:
    """The schema (draft 2020-12) of networks, and of files that networks include."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "trtdsl network",
        "description": "A TensorRT network: layers, weights, precision and dimensions.",
        "type": "object",
        "properties": document_keys(),
        "required": ["trtdsl"],
        "anyOf": [{"required": ["layers", "inputs"]}, {"required": ["modules"]}, {"required": ["params"]}],
        "additionalProperties": False,
        "$defs": definitions(catalogue),
    }


def document_keys() -> dict[str, Schema]:
    """What each key of the document may hold."""
    return {
        "trtdsl": {
            "const": LANGUAGE_VERSION,
            "title": f"{LANGUAGE_VERSION}",
            "description": "the version of the language",
        },
        "name": described(or_expression(forms.TEXT), "the name of the network"),
        "description": described(forms.TEXT, "what the network is, and where it comes from"),
        "include": described(
            one_or_list(forms.TEXT, "a file, or a list of files"),
            "files whose modules and params are used here; paths relative to this file",
        ),
        "params": described(
            mapping_of({}, "params with their defaults, {name: value}", IDENTIFIER),
            "values that `$name` stands for, with their defaults; `--set name=value` overrides; null: must be set",
        ),
        "dims": described(
            mapping_of(or_expression(forms.DIM), "dimensions by name", IDENTIFIER),
            "sizes that vary from run to run: name: [min, opt, max]; one number fixes the size",
        ),
        "inputs": described(
            {**mapping_of(_INPUT, "inputs, {name: shape}", LAYER_NAME), "minProperties": 1},
            "the network's inputs: name: {shape, dtype}, or name: shape",
        ),
        "weights": described(_WEIGHTS, "weights files, relative to this file; with prefixes: {prefix: file}"),
        "plugins": described(_PLUGINS, "libraries of plugins, relative to this file: {libraries: [libmine.so]}"),
        "impl": described(
            or_expression({"enum": ["native", "auto"], "title": "native or auto"}),
            "auto: layers take the plugins of trtdsl where there are any, unless they say otherwise; default: native",
        ),
        "precision": described(
            _PRECISION, "the type layers compute in; or {default, fallback, layers: {pattern: type}}"
        ),
        "quantization": described(
            _QUANTIZATION,
            "the scales of tensors in int8 and fp8: a file of them, or {scales: file, tensors: {name: scale}}",
        ),
        "build": described(_build(), "settings of the builder"),
        "modules": described(
            mapping_of({"$ref": "#/$defs/module"}, "modules by name", IDENTIFIER),
            "layers with a name, to be used like an op",
        ),
        "layers": described({"$ref": "#/$defs/body"}, "the layers of the network, in order"),
        "outputs": described(_OUTPUTS, "the network's outputs; default: the last layer's"),
    }


_INPUT: Schema = {
    "title": "{shape, dtype}, or the shape",
    "anyOf": [
        or_expression(forms.SHAPE),
        record(
            "an input",
            {
                "shape": described(or_expression(forms.SHAPE), "its sizes: numbers, and names of `dims`"),
                "dtype": described(or_expression(forms.DTYPE), "its element type; default: fp32"),
            },
            ("shape",),
        ),
    ],
}
_FILES = or_expression(one_or_list(forms.TEXT, "a file, or a list of files"))
_WEIGHTS: Schema = {
    "title": "a file, a list of files, or {prefix: file}",
    "anyOf": [*_FILES["anyOf"], mapping_of(_FILES, "files by the prefix of the layers they serve")],
}
_PLUGINS: Schema = record(
    "plugins",
    {
        "libraries": described(
            or_expression(one_or_list(forms.TEXT, "a file, or a list of files")),
            "shared libraries that are loaded for the plugins in them, in order",
        )
    },
    ("libraries",),
)
_PRECISION: Schema = or_expression(
    {
        "title": "fp32, fp16, bf16, int8 or fp8, or {default, fallback, layers: {pattern: type}}",
        "anyOf": [
            forms.PRECISION,
            record(
                "precision",
                {
                    "default": described(
                        or_expression(forms.PRECISION), "the type of layers that nothing else is said of"
                    ),
                    "fallback": described(
                        or_expression(forms.FLOAT),
                        "what int8 and fp8 layers hand on, and layers that cannot be either compute in; default: fp16",
                    ),
                    "layers": mapping_of(or_expression(forms.PRECISION), "types by patterns over layers' names"),
                    "allow": described(
                        one_or_list(forms.TEXT, "a pattern, or a list of patterns, over layers' names"),
                        "layers that TensorRT may compute in another type than asked; of others that is an error",
                    ),
                },
            ),
        ],
    }
)
_QUANTIZATION: Schema = {
    "title": "a file, or {scales, tensors}",
    "anyOf": [
        or_expression(forms.TEXT),
        record(
            "quantization",
            {
                "scales": described(
                    or_expression(one_or_list(forms.TEXT, "a file, or a list of files")),
                    "files of scales, relative to this file: those that `trtdsl calibrate` writes, or others'",
                ),
                "tensors": described(
                    mapping_of(or_expression(forms.NUMBER), "scales by the names of tensors"),
                    "what a step of int8 is worth in a tensor, instead of what files say",
                ),
            },
        ),
    ],
}
_OUTPUT: Schema = {
    "title": "a tensor, or {tensor, dtype}",
    "anyOf": [
        or_expression(forms.TENSOR),
        record(
            "an output",
            {
                "tensor": described(or_expression(forms.TENSOR), "the layer whose output it is"),
                "dtype": described(or_expression(forms.DTYPE), "the type it is delivered in; default: fp32 for floats"),
            },
            ("tensor",),
        ),
    ],
}
_OUTPUTS: Schema = {
    "title": "a tensor, a list of them, or {name: tensor}",
    "anyOf": [
        forms.TENSOR,
        {"type": "array", "items": or_expression(forms.TENSOR), "minItems": 1},
        {**mapping_of(_OUTPUT, "outputs by the names they have outside", OUTPUT_NAME), "minProperties": 1},
        forms.EXPRESSION,
    ],
}


def _build() -> Schema:
    form = BuildOptions.schema()
    return {**form, "properties": {name: or_expression(option) for name, option in form["properties"].items()}}


def module_keys() -> dict[str, Schema]:
    """What each key of a module may hold."""
    names = {"type": "array", "items": forms.IDENTIFIER_FORM}
    return {
        "description": described(forms.TEXT, "what the module is for"),
        "params": described(
            {
                "title": "params with their defaults, or a list of names",
                "anyOf": [mapping_of({}, "params with their defaults", IDENTIFIER), names],
            },
            "what a use of the module gives; null, or no default: it must",
        ),
        "inputs": described(
            {"type": "array", "items": forms.NAME, "title": "a list of names"},
            "what the tensors it reads are called inside; default: [x]",
        ),
        "layers": described({"$ref": "#/$defs/body"}, "its layers, which see its params and inputs only"),
        "outputs": described(_MODULE_OUTPUTS, "what it gives out; default: the last layer's output"),
    }


_MODULE_OUTPUTS: Schema = or_expression(
    {
        "title": "a tensor, or {port: tensor}",
        "anyOf": [
            forms.TENSOR,
            {"type": "array", "items": forms.TENSOR},
            {**mapping_of(or_expression(forms.TENSOR), "tensors by port", LAYER_NAME), "minProperties": 1},
        ],
    }
)


def foreach_keys() -> dict[str, Schema]:
    """What each key of a foreach may hold."""
    return {
        "foreach": described(
            {
                "title": "a name, or a list of names",
                "anyOf": [forms.IDENTIFIER_FORM, {"type": "array", "items": forms.IDENTIFIER_FORM, "minItems": 1}],
            },
            "what the values of a row are called in expressions",
        ),
        "rows": described(
            {"title": "a list, or an expression of one", "anyOf": [{"type": "array"}, forms.EXPRESSION]},
            "one value, or one list of values, per round",
        ),
        "when": described(or_expression(forms.FLAG), "false: this row is left out"),
        "layers": described({"$ref": "#/$defs/body"}, "the layers of one round; rounds follow one another"),
    }


def sequence_keys() -> dict[str, Schema]:
    """What each key of a sequence may hold."""
    body = described({"$ref": "#/$defs/body"}, "its layers, known outside as name.layer")
    return {"op": {"const": "sequence"}, **forms.COMMON, "layers": body}


def op_keys(op: type[Op]) -> dict[str, Schema]:
    """What each key of a layer of one op may hold."""
    if op.structure:
        return control_keys(op)
    keys: dict[str, Schema] = {"op": {"enum": [op.kind, *op.aliases]}, **forms.OP_KEYS}
    for name, attribute in op.attributes.items():
        form = or_expression({**attribute.type.schema(), "title": attribute.type.describe()})
        keys[name] = described(form, attribute.help)
        if not attribute.is_required:
            keys[name]["default"] = forms.json_value(attribute.default)
    for name, declared in op.weight_parameters.items():
        keys[name] = forms.weight_form(declared)
    return keys


def op_required(op: type[Op]) -> tuple[str, ...]:
    """The parameters that every layer of an op must give."""
    if op.structure:
        return control_required(op)
    return tuple(name for name, attribute in op.attributes.items() if attribute.is_required)


def definitions(catalogue: Catalogue) -> dict[str, Schema]:
    """The parts that refer to one another: bodies, layers, modules, and each op by `op:<kind>`."""
    ops = {op.kind: op for op in catalogue.values()}
    return {
        **forms.SHARED,
        "body": {"type": "array", "items": {"$ref": "#/$defs/layer"}, "title": "a list of layers"},
        "module": record("a module", module_keys(), ("layers",)),
        "foreach": record("a foreach", foreach_keys(), ("foreach", "rows", "layers")),
        "layer": _layer(catalogue),
        "module_use": _module_use(),
        "op:sequence": described(record("sequence", sequence_keys(), ("op", "layers")), "A named group of layers."),
        **{f"op:{kind}": _op(op) for kind, op in ops.items()},
        "op:trt": _raw(),
    }


def _op(op: type[Op]) -> Schema:
    form = record(op.kind, op_keys(op), ("op", *op_required(op)))
    return described(form, inspect.cleandoc(op.__doc__ or ""))


def _raw() -> Schema:
    """Raw layers: what their methods take is known to the TensorRT at hand only."""
    form = _op(RawLayer)
    return {**form, "properties": {**form["properties"], "op": _RAW}, "additionalProperties": True}


_RAW: Schema = {"type": "string", "pattern": RAW_PATTERN, "title": "`trt.` and a method of TensorRT's networks"}


def _module_use() -> Schema:
    return {
        "type": "object",
        "title": "a use of a module",
        "description": "The module's params stand beside the keys of every layer.",
        "properties": {"op": or_expression(forms.IDENTIFIER_FORM), **forms.COMMON},
        "required": ["op"],
    }


def _layer(catalogue: Catalogue) -> Schema:
    """A layer: editors and validators alike pick the one form that its `op` names."""
    known = [*catalogue, "sequence"]
    names = {
        "title": "an op or a module",
        "anyOf": [
            *({"const": kind, "description": _summary(op)} for kind, op in catalogue.items()),
            {"const": "sequence"},
        ],
    }
    cases = [_case([op.kind, *op.aliases], op.kind) for op in dict.fromkeys(catalogue.values())]
    other = {
        "if": {"properties": {"op": {"not": {"anyOf": [{"enum": known}, _RAW]}}}, "required": ["op"]},
        "then": {"$ref": "#/$defs/module_use"},
    }
    raw = {"if": {"properties": {"op": _RAW}, "required": ["op"]}, "then": {"$ref": "#/$defs/op:trt"}}
    anything = {"anyOf": [*names["anyOf"], forms.IDENTIFIER_FORM, _RAW, forms.EXPRESSION]}
    mapping = {
        "type": "object",
        "if": {"required": ["foreach"]},
        "then": {"$ref": "#/$defs/foreach"},
        "else": {
            "required": ["op"],
            "properties": {"op": {**anything, "description": "what the layer does"}},
            "allOf": [*cases, _case(["sequence"], "sequence"), raw, other],
        },
    }
    wordy = [name for name, op in catalogue.items() if op_required(op)]
    bare = {**anything, "title": "an op with nothing to say", "type": "string", "not": {"enum": [*wordy, "sequence"]}}
    return {"title": "a layer", "if": {"type": "string"}, "then": bare, "else": mapping}


def _case(names: list[str], kind: str) -> Schema:
    return {
        "if": {"properties": {"op": {"enum": names}}, "required": ["op"]},
        "then": {"$ref": f"#/$defs/op:{kind}"},
    }


def _summary(op: type[Op]) -> str:
    return inspect.cleandoc(op.__doc__ or "").split("\n\n")[0].replace("\n", " ")
