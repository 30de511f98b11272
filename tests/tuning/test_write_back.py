"""Types written into a YAML file: the lines around them stay as they are, and the result says what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
from trtdsl.api import flatten
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
