"""Types written into a YAML file: the lines around them stay as they are, and the result says what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import pytest

import trtdsl
from trtdsl.api import flatten
from trtdsl.errors import RunError
from trtdsl.source import SourceFile
from trtdsl.tuning.patterns import said
from trtdsl.tuning.write_back import write_precision
from trtdsl.types import DataType

FP32, FP16 = DataType.FP32, DataType.FP16

HEAD = """\
trtdsl: 1   # the language
inputs: {x: [1, 4, 8, 8]}
"""
LAYERS = """\
layers:
  - {op: conv, name: a, out_channels: 4, kernel_size: 3}
  - {op: conv, name: b, out_channels: 4, kernel_size: 3}   # the one
  - {op: conv, name: c, out_channels: 4, kernel_size: 3}
"""

BRACES = "[" + ", ".join(f"{{op: conv, name: {name}, out_channels: 4, kernel_size: 3}}" for name in "abc") + "]"
JSON = json.dumps([{"op": "conv", "name": name, "out_channels": 4, "kernel_size": 3} for name in "abc"])

# Each: what stands between head and layers, the types of a, b and c, and what is to stand there then.
CASES: dict[str, tuple[str, tuple[DataType, ...], str]] = {
    "no section, one type": ("", (FP16, FP16, FP16), "precision: fp16\n\n"),
    "no section, and none needed": ("", (FP32, FP32, FP32), ""),
    "no section, two types": (
        "",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16\n  layers:\n    b: fp32\n\n",
    ),
    "no section, comments above the layers": (
        "\n# What follows\n# are layers.\n",
        (FP16, FP16, FP16),
        "\nprecision: fp16\n\n# What follows\n# are layers.\n",
    ),
    "a word": ("precision: fp32  # safe\n", (FP16, FP16, FP16), "precision: fp16  # safe\n"),
    "a word, already right": ("precision: fp16  # safe\n", (FP16, FP16, FP16), "precision: fp16  # safe\n"),
    "a word becomes a mapping": (
        "precision: fp32  # safe\nname: n\n",
        (FP16, FP32, FP16),
        "precision:  # safe\n  default: fp16\n  layers:\n    b: fp32\nname: n\n",
    ),
    "an expression stays": (
        "params: {p: fp16}\nprecision: $p\n",
        (FP16, FP32, FP16),
        "params: {p: fp16}\nprecision:\n  default: $p\n  layers:\n    b: fp32\n",
    ),
    "a block with layers": (
        "precision:\n    default: fp16   # quick\n    layers:\n        a: fp32      # by hand\n        # no more\n\n",
        (FP32, FP32, FP16),
        "precision:\n    default: fp32   # quick\n    layers:\n        a: fp32      # by hand\n        c: fp16\n"
        "        # no more\n\n",
    ),
    "a block, an entry changes in place": (
        "precision:\n  default: fp16\n  layers:\n    b: fp16   # was enough\n    a: fp16\n",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16\n  layers:\n    b: fp32   # was enough\n    a: fp16\n",
    ),
    "a block without layers": (
        "precision:\n  default: fp16  # quick\ndescription: d\n",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16  # quick\n  layers:\n    b: fp32\ndescription: d\n",
    ),
    "a block without a default": (
        "precision:\n  layers:\n    b: fp32\n",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16\n  layers:\n    b: fp32\n",
    ),
    "layers in braces": (
        "precision:\n  default: fp16\n  layers: {a: fp16}  # some\n",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16\n  layers: {a: fp16, b: fp32}  # some\n",
    ),
    "all in braces": (
        "precision: {default: fp16, layers: {a: fp32}}  # some\n",
        (FP16, FP32, FP16),
        "precision: {default: fp16, layers: {a: fp16, b: fp32}}  # some\n",
    ),
    "braces over lines, with a comma at the end": (
        "precision: {\n  default: fp16,\n  layers: {\n    a: fp16,\n  },\n}\n",
        (FP16, FP32, FP16),
        "precision: {\n  default: fp16,\n  layers: {\n    a: fp16,\n  b: fp32},\n}\n",
    ),
    "braces with a default alone": (
        "precision: {default: fp32}\n",
        (FP16, FP32, FP16),
        "precision: {default: fp16, layers: {b: fp32}}\n",
    ),
    "braces with layers alone": (
        "precision: {layers: {b: fp16}}\n",
        (FP16, FP16, FP16),
        "precision: {layers: {b: fp16}, default: fp16}\n",
    ),
    "empty layers": (
        "precision: {default: fp16, layers: {}}\n",
        (FP16, FP32, FP16),
        "precision: {default: fp16, layers: {b: fp32}}\n",
    ),
    "a later pattern would win": (
        'precision:\n  layers:\n    b: fp16\n    "?": fp16\n',
        (FP16, FP32, FP16),
        'precision:\n  default: fp16\n  layers:\n    b: fp32\n    "?": fp16\n    "[b]": fp32\n',
    ),
    "what is allowed stays": (
        "precision:\n  default: fp16\n  allow: [a]\n",
        (FP16, FP32, FP16),
        "precision:\n  default: fp16\n  allow: [a]\n  layers:\n    b: fp32\n",
    ),
    "an alias": (
        "name: &t fp16\nprecision: *t\n",
        (FP16, FP32, FP16),
        "name: &t fp16\nprecision:\n  default: *t\n  layers:\n    b: fp32\n",
    ),
    "an anchor stays": (
        "precision: &t fp16\nname: *t\n",
        (FP16, FP32, FP16),
        "precision:\n  default: &t fp16\n  layers:\n    b: fp32\nname: *t\n",
    ),
    "aliases in a block": (
        "precision:\n  default: &t fp16\n  layers:\n    b: *t\n",
        (FP32, FP32, FP16),
        "precision:\n  default: &t fp32\n  layers:\n    b: fp32\n    c: fp16\n",
    ),
    "an anchor of braces": (
        "precision: &t {default: fp16}  # some\n",
        (FP16, FP32, FP16),
        "precision: &t {default: fp16, layers: {b: fp32}}  # some\n",
    ),
    "other line ends inside text": (
        'name: "a\x85b\u2028c"\nprecision: {default: fp16}  # 漢字\n',
        (FP16, FP32, FP16),
        'name: "a\x85b\u2028c"\nprecision: {default: fp16, layers: {b: fp32}}  # 漢字\n',
    ),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("before", "types", "after"), CASES.values(), ids=CASES)
def test_lines(before: str, types: tuple[DataType, ...], after: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    text = (HEAD + before + LAYERS).replace("\n", end)
    path.write_bytes(text.encode())
    wanted = dict(zip("abc", types, strict=True))
    written = write_precision(SourceFile(str(path), text), said(wanted, flatten(path).precision))
    assert written == (HEAD + after + LAYERS).replace("\n", end)
    path.write_bytes(written.encode())
    graph = trtdsl.load(path, random_weights=True).graph
    assert {layer.name: layer.precision for layer in graph.layers} == wanted


# Each: a whole file, and what becomes of it where b stays in fp32 alone.
WHOLE = {
    "a byte order mark": (
        "\ufeffprecision: {default: fp16}\n" + HEAD + LAYERS,
        "\ufeffprecision: {default: fp16, layers: {b: fp32}}\n" + HEAD + LAYERS,
    ),
    "carriage returns": (
        (HEAD + "precision: fp16\n" + LAYERS).replace("\n", "\r"),
        (HEAD + "precision:\n  default: fp16\n  layers:\n    b: fp32\n" + LAYERS).replace("\n", "\r"),
    ),
    "an indented document": (
        indent(HEAD + "# What follows\n" + LAYERS, "  "),
        indent(HEAD + "precision:\n  default: fp16\n  layers:\n    b: fp32\n", "  ")
        + "\n"
        + indent("# What follows\n" + LAYERS, "  "),
    ),
    "an indented document, a word": (
        indent(HEAD + "precision: fp16\n" + LAYERS, "  "),
        indent(HEAD + "precision:\n  default: fp16\n  layers:\n    b: fp32\n" + LAYERS, "  "),
    ),
    "a document in braces": (
        "--- {trtdsl: 1, inputs: {x: [1, 4, 8, 8]},\n  layers: " + BRACES + "}\n",
        "--- {trtdsl: 1, inputs: {x: [1, 4, 8, 8]},\n  precision: {default: fp16, layers: {b: fp32}}, layers: "
        + BRACES
        + "}\n",
    ),
    "a document in braces, a word": (
        "{trtdsl: 1, precision: fp16, inputs: {x: [1, 4, 8, 8]}, layers: " + BRACES + "}\n",
        "{trtdsl: 1, precision: {default: fp16, layers: {b: fp32}}, inputs: {x: [1, 4, 8, 8]}, layers: "
        + BRACES
        + "}\n",
    ),
    "JSON": (
        '{"trtdsl": 1, "precision": {"default": "fp32"}, "inputs": {"x": [1, 4, 8, 8]}, "layers": ' + JSON + "}\n",
        '{"trtdsl": 1, "precision": {"default": "fp16", "layers": {"b": "fp32"}}, "inputs": {"x": [1, 4, 8, 8]}, '
        f'"layers": {JSON}}}\n',
    ),
}


@pytest.mark.parametrize(("before", "after"), WHOLE.values(), ids=WHOLE)
def test_documents(before: str, after: str, tmp_path: Path) -> None:
    assert _narrowed(before, tmp_path) == after


# Each: the section, and other lines, of which types cannot be written without changing more.
REFUSED = {
    "text over lines": ("precision: >-\n  fp16\n", ""),
    "keys with question marks": ("? precision\n: fp16\n", ""),
    "what `<<` brings": ("precision:\n  <<: {default: fp32}\n", ""),
    "an anchor that others use": ("precision: &t fp32\n", "description: *t\n"),
    "a mapping of another place": ("precision: *t\n", "params: {types: &t {default: fp32}}\n"),
}


@pytest.mark.parametrize(("section", "others"), REFUSED.values(), ids=REFUSED)
def test_nothing_else_is_changed(section: str, others: str, tmp_path: Path) -> None:
    first, second = (others, section) if "*t" in section else (section, others)
    with pytest.raises(RunError) as caught:
        _narrowed(HEAD + first + second + LAYERS, tmp_path)
    [error] = caught.value.diagnostics
    assert error.code == "tune"
    assert error.span is not None
    assert error.hint is not None
    assert "precision: {default: fp16, layers: {b: fp32}}" in error.hint


def _narrowed(text: str, folder: Path) -> str:
    """The text with b in fp32 and all else in fp16; what is loaded of it then says so."""
    path, wanted = folder / "net.yaml", {"a": FP16, "b": FP32, "c": FP16}
    path.write_bytes(text.encode())
    written = write_precision(SourceFile(str(path), text), said(wanted, flatten(path).precision))
    path.write_bytes(written.encode())
    graph = trtdsl.load(path, random_weights=True).graph
    assert {layer.name: layer.precision for layer in graph.layers} == wanted
    return written


def test_a_section_at_the_end_without_a_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    text = HEAD + LAYERS + "precision:\n  default: fp16"
    path.write_text(text)
    written = write_precision(
        SourceFile(str(path), text), said({"a": FP16, "b": FP32, "c": FP16}, flatten(path).precision)
    )
    assert written == text + "\n  layers:\n    b: fp32\n"


def test_names_that_yaml_takes_for_something_else_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    text = HEAD + LAYERS.replace("name: b", "name: 'null'").replace("name: c", "name: '1.0'")
    path.write_text(text)
    types = {"a": FP16, "null": FP32, "1.0": FP32}
    written = write_precision(SourceFile(str(path), text), said({**types, "a": FP16}, flatten(path).precision))
    path.write_text(written)
    graph = trtdsl.load(path, random_weights=True).graph
    assert {layer.name: layer.precision for layer in graph.layers} == types


def test_scopes_become_patterns_where_all_inside_want_the_same() -> None:
    from trtdsl.flat import FlatPrecision

    names = ["stem", "l1.0.a", "l1.0.b", "l1.1.a", "l1.1.b", "l2.a", "l2.b", "head"]
    wide = {"l1.0.a", "l1.0.b", "l1.1.a", "l2.a"}
    types = {name: FP32 if name in wide else FP16 for name in names}
    assert said(types, FlatPrecision(FP16)).added == (("l1.0.*", FP32), ("l1.1.a", FP32), ("l2.a", FP32))
