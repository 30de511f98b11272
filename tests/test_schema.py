"""The JSON Schema, as a file for editors and as what the check stage goes by."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.toy_ops import TOYS
from trtdsl import nodes
from trtdsl.errors import Diagnostic, Diagnostics, NetworkError
from trtdsl.nodes import plain
from trtdsl.ops import CATALOGUE
from trtdsl.reader import read
from trtdsl.schema import check, document_schema, schema_text
from trtdsl.source import SourceFile

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "schema" / "trtdsl-1.schema.json"
HEAD = "trtdsl: 1\ninputs: {x: [1, 3, 8, 8]}\n"


def document(text: str) -> nodes.Mapping:
    node = read(SourceFile("net.yaml", text), Diagnostics())
    assert isinstance(node, nodes.Mapping)
    return node


def errors(text: str) -> list[Diagnostic]:
    diagnostics = Diagnostics()
    with contextlib.suppress(NetworkError):
        check(document(text), TOYS, diagnostics)
    return list(diagnostics.errors)


def test_the_published_file_is_fresh() -> None:
    fresh = schema_text(CATALOGUE)
    assert PUBLISHED.read_text(encoding="utf-8") == fresh, (
        f"run: python -m trtdsl.schema > {PUBLISHED.relative_to(ROOT)}"
    )


@pytest.mark.parametrize("catalogue", [CATALOGUE, TOYS], ids=["all ops", "toys"])
def test_it_is_a_schema(catalogue: Any) -> None:
    Draft202012Validator.check_schema(document_schema(catalogue))


@pytest.mark.parametrize("path", sorted((ROOT / "networks").glob("*.yaml")), ids=lambda path: path.stem)
def test_networks_agree_with_the_published_file(path: Path) -> None:
    value = plain(document(path.read_text(encoding="utf-8")))
    assert [error.message for error in Draft202012Validator(json.loads(PUBLISHED.read_text())).iter_errors(value)] == []


def test_editors_learn_what_an_op_takes() -> None:
    definitions = document_schema(TOYS)["$defs"]
    conv = definitions["op:conv"]
    assert conv["description"] == "Slides a kernel.\n\nMore of it."
    assert conv["required"] == ["op", "channels"]
    assert conv["properties"]["op"] == {"enum": ["conv", "convolution"]}
    assert conv["properties"]["mode"] == {
        "title": "one of zeros, reflect",
        "anyOf": [{"enum": ["zeros", "reflect"]}, {"$ref": "#/$defs/expression"}],
        "description": "beyond the edge",
        "default": "zeros",
    }
    assert conv["properties"]["size"]["default"] == [3]
    assert conv["properties"]["bias"] == {
        "$ref": "#/$defs/weight",
        "description": "weight: added; `false` leaves it out",
    }
    names = definitions["layer"]["else"]["else"]["properties"]["op"]["anyOf"]
    assert {"const": "conv", "description": "Slides a kernel."} in names


VALID = {
    "a word": "layers: [relu]",
    "all keys of a layer": "layers: [{op: relu, name: a.b-1, in: x, out: y, when: true, repeat: 0, index: j, "
    "precision: fp16, "
    "impl: auto}]",
    "an alias": "layers: [{op: convolution, channels: 3}]",
    "expressions anywhere": "layers: [{op: conv, channels: $c, size: [$(a), 3], mode: $m, in: [$x], name: a$i, repeat: "
    "$n}]",
    "an op that is computed": "layers: [{op: $block, whatever: 1}]",
    "a weight of a key": "layers: [{op: conv, channels: 1, weight: other.key}]",
    "a weight elsewhere": "layers: [{op: conv, channels: 1, weight: {key: k, file: f, transpose: [1, 0], dtype: "
    "fp16}}]",
    "numbers": "layers: [{op: conv, channels: 1, weight: [[1, 2], [.5, -3]], bias: 0}]",
    "an initialiser": "layers: [{op: conv, channels: 1, weight: {normal: 0.02, mean: 1}, bias: {fill: 0}}]",
    "no bias": "layers: [{op: conv, channels: 1, bias: false}]",
    "inputs by name": "layers: [{op: attention, in: {q: x, k: x, mask: a:1}}]",
    "an input left out": "layers: [{op: attention, in: [x, x, null]}]",
    "null where it may be": "layers: [{op: constant, trained: null}]",
    "sizes by name": "dims: {N: [1, 2, 4]}\nlayers: [{op: constant, shape: [N, $(N * 2), 3]}]",
    "a foreach": "layers: [{foreach: [a, b], rows: [[1, 2]], when: $a, layers: [relu]}]",
    "a sequence": "layers: [{op: sequence, name: s, in: x, repeat: 2, precision: fp32, layers: [relu]}]",
    "a module": "modules: {m: {description: d, params: {a: , b: 2}, inputs: [p, q], layers: [relu], outputs: {o: p}}}\n"
    "layers: [{op: m, in: [x, x], a: 1}]",
    "a list of params": "modules: {m: {params: [a], layers: [relu], outputs: relu}}\n"
    "layers: [{op: m, a: {any: thing}}]",
    "weights files by prefix": "weights: {'': [a, b], head: c}\nlayers: [relu]",
    "precision by pattern": "precision: {default: bf16, layers: {'a*': fp32, b: $p}}\nlayers: [relu]",
    "outputs": "layers: [relu]\noutputs: {y: relu:0, z: {tensor: relu, dtype: fp16}}",
    "build options": "layers: [relu]\nbuild: {workspace: 4GiB, tf32: false, optimization_level: $level}",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID.keys())
def test_valid(text: str) -> None:
    assert [error.render() for error in errors(HEAD + text)] == []
    whole = Draft202012Validator(document_schema(TOYS))
    assert [error.message for error in whole.iter_errors(plain(document(HEAD + text)))] == []


# The text that is wrong stands between « and »; the schema as a whole cannot see what is marked with ~.
WRONG = {
    "an unknown parameter": (
        "layers: [{op: conv, channels: 1, «chanels»: 2}]",
        "conv has no parameter `chanels`",
        "`channels`",
    ),
    "what was meant is not missing": (
        "layers: [{op: conv, «channel»: 2}]",
        "conv has no parameter `channel`",
        "`channels`",
    ),
    "inputs by another name": ("layers: [{op: add, «inputs»: [x, x]}]", "add has no parameter `inputs`", "in: [x, y]"),
    "one of its own": ("layers: [{op: relu, «zzz»: 2}]", "relu has no parameter `zzz`", "its parameters are slope"),
    "missing": ("layers: [{op: «conv»}]", "conv needs `channels`, integer, at least 1", None),
    "missing in a word": ("layers: [«conv»]", "conv needs `channels`", None),
    "the wrong type": (
        "layers: [{op: conv, channels: «1.5»}]",
        "conv: `channels`: expected integer, at least 1, got 1.5",
        None,
    ),
    "out of range": ("layers: [{op: conv, channels: «0»}]", "expected integer, at least 1, got 0", None),
    "one of a list": (
        "layers: [{op: conv, channels: 1, size: [3, «0»]}]",
        "`size`: expected integer, at least 1",
        None,
    ),
    "a list of nothing": (
        "layers: [{op: conv, channels: 1, size: «[]»}]",
        "`size`: expected integer, at least 1",
        None,
    ),
    "another word": ("layers: [{op: conv, channels: 1, mode: «zero»}]", "`mode`: expected one of zeros, reflect", None),
    "a flag for a number": ("layers: [{op: relu, slope: «true»}]", "`slope`: expected number, got true", None),
    "inside a module": (
        "modules: {m: {layers: [{op: relu, «slop»: 1}]}}\nlayers: [m]",
        "relu has no parameter `slop`",
        "`slope`",
    ),
    "inside a sequence": (
        "layers: [{op: sequence, layers: [{op: relu, «slop»: 1}]}]",
        "no parameter `slop`",
        "`slope`",
    ),
    "inside a foreach": (
        "layers: [{foreach: a, rows: [1], layers: [{op: relu, «slop»: 1}]}]",
        "no parameter `slop`",
        None,
    ),
    "~an unknown op": ("layers: [«rellu»]", "there is no op or module `rellu`", "`relu`"),
    "~a param of a module": (
        "modules: {m: {params: {abc: 1}, layers: [relu]}}\nlayers: [{op: m, «abd»: 1}]",
        "m has no parameter `abd`",
        "`abc`",
    ),
    "~a param left out": (
        "modules: {m: {params: {abc: }, layers: [relu]}}\nlayers: [{op: «m»}]",
        "m needs `abc`",
        None,
    ),
    "~an op for a module": ("modules: {«relu»: {layers: [relu]}}\nlayers: [relu]", "`relu` is an op", None),
    "a wrong option of a weight": (
        "layers: [{op: conv, channels: 1, weight: {key: a, «fil»: b}}]",
        "has no key `fil`",
        "`file`",
    ),
    "a wrong name": ("layers: [{op: relu, name: «a/b»}]", "`name`: expected a name: letters, digits", None),
    "a number as name": ("layers: [{op: relu, name: «1»}]", "`name`: expected a name: ", "put it in quotes"),
    "a comma in an expression": (
        "layers: [{op: conv, channels: $(min(4, «8))»}]",
        "conv has no parameter `8))`",
        "quote expressions",
    ),
    "a wrong reference": ("layers: [{op: relu, in: [x, «a b»]}]", "`in`: expected the name of a layer or input", None),
    "a key of the document": ("layers: [relu]\n«weight»: a", "the document has no key `weight`", "`weights`"),
    "a key of an input": (
        "layers: [relu]\noutputs: {y: {tensor: x, «type»: fp16}}",
        "an output has no key `type`",
        None,
    ),
    "the name of a dimension": ("dims: {«a-b»: 2}\nlayers: [relu]", "`a-b` is no name here: letters", None),
    "sizes of a dimension": (
        "dims: {N: «[1, 2]»}\nlayers: [relu]",
        "`N`: expected a size, or [min, opt, max]",
        None,
    ),
    "layers that are none": ("layers: «relu»", "`layers` must be a list of layers, not text", None),
    "a layer that is none": ("layers: [«3»]", "a layer is an op or a mapping with `op`, not a number", None),
    "a list of layers without dashes": ("layers: «{a: relu}»", "must be a list of layers", "begins with `- `"),
    "a foreach by another name": ("layers: [«{forech: a}»]", "a layer needs `op`", "`foreach`"),
    "a param without its dollar": (
        "params: {classes: 3}\nlayers: [{op: conv, channels: «classes»}]",
        'expected integer, at least 1, got "classes"',
        "`$classes` is the value of `classes`",
    ),
    "what PyTorch calls a type": ("precision: «float16»\nlayers: [relu]", 'got "float16"', "`fp16`"),
    "a type that precision does not know": ("precision: «int»\nlayers: [relu]", 'got "int"', ""),
    "no for false": ("layers: [{op: conv, channels: 1, bias: «no»}]", 'got "no"', "write `false`"),
    "a wrong key of a weight": (
        "layers: [{op: conv, channels: 1, weight: «{keys: a}»}]",
        "expected a key of the weights file",
        "`key`",
    ),
    "what PyTorch has and the language leaves out": (
        "layers: [{op: conv, «in_channels»: 3, channels: 1}]",
        "conv has no parameter `in_channels`",
        "leave it out: it follows from the input",
    ),
    "a build option": ("build: {«tf23»: true}\nlayers: [relu]", "`tf23` is not a build option", "`tf32`"),
    "a layer without op": ("layers: [«{relu: 1}»]", "a layer needs `op`", "`op: relu`"),
}


@pytest.mark.parametrize(("marked", "message", "hint"), WRONG.values(), ids=WRONG.keys())
def test_wrong(marked: str, message: str, hint: str | None, request: pytest.FixtureRequest) -> None:
    text = HEAD + marked.replace("«", "").replace("»", "")
    (error,) = errors(text)
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert error.span is not None
    offset = (HEAD + marked).index("«")
    line, start = (HEAD + marked)[:offset].count("\n") + 1, offset - (HEAD + marked).rfind("\n", 0, offset)
    length = marked.index("»") - marked.index("«") - 1
    assert (error.span.line, error.span.column, error.span.end_column) == (line, start, start + length)
    if "~" not in request.node.callspec.id:
        assert not Draft202012Validator(document_schema(TOYS)).is_valid(plain(document(text)))


def test_all_errors_at_once() -> None:
    text = HEAD + "layers:\n  - {op: conv, kernel: 1}\n  - rellu\n  - {op: relu, slope: a}\nprecison: fp16\n"
    assert [error.code for error in errors(text)] == [
        "unknown-key",
        "unknown-parameter",
        "missing-parameter",
        "unknown-op",
        "parameter-value",
    ]


def test_ten_thousand_layers_are_checked_quickly() -> None:
    layers = "".join(
        f"  - {{op: conv, name: c{n}, channels: {n % 50 + 1}, size: 3, bias: false}}\n" for n in range(10_000)
    )
    tree = document(f"{HEAD}layers:\n{layers}")
    started = time.process_time()
    check(tree, TOYS, Diagnostics())
    # It takes a tenth of this; what the test is to catch is a schema walked for every layer.
    assert time.process_time() - started < 2
