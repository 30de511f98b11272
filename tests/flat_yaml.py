"""Flat networks for the tests of later stages, from YAML without anything that expansion would have to do.

Layers are chained; `in` is a list of tensors. An input's type is written `fp32[N, 3, 8, 8]`.
"""

from __future__ import annotations

import re
from pathlib import Path

from trtdsl.errors import Diagnostic, Diagnostics
from trtdsl.flat import FlatInput, FlatLayer, FlatNetwork, FlatOutput, FlatPrecision
from trtdsl.nodes import Mapping, Node, Sequence, plain
from trtdsl.ops import CATALOGUE
from trtdsl.reader import read
from trtdsl.source import Origin, SourceFile, Span
from trtdsl.types import DataType, Dim, Sizes
from trtdsl.weights.library import FileUse

DIMS = {"N": Dim.dynamic("N", Sizes(1, 4, 8))}


def flatten(text: str, folder: Path = Path()) -> FlatNetwork:
    """The network of a mapping with `inputs` and `layers`, and `outputs`, `weights`, `precision` if any."""
    document = read(SourceFile(str(folder / "net.yaml"), text), Diagnostics())
    assert isinstance(document, Mapping)
    fields = document.as_dict()
    inputs = tuple(_input(key.value, plain(node), key.span) for key, node in _entries(fields["inputs"]))
    layers = []
    previous = inputs[0].name if inputs else ""
    for node in _items(fields["layers"]):
        layers.append(_layer(node, previous))
        previous = layers[-1].outputs[0]
    outputs = _entries(fields["outputs"]) if "outputs" in fields else ()
    files = _entries(fields["weights"]) if "weights" in fields else ()
    return FlatNetwork(
        name="test",
        description="",
        dims=DIMS,
        inputs=inputs,
        layers=tuple(layers),
        outputs=tuple(_output(key.value, plain(node), key.span) for key, node in outputs)
        or (FlatOutput("y", previous, None, document.span),),
        file=document.span.file,
        weights=tuple(FileUse(key.value, folder / plain(node), node.span) for key, node in files),
        precision=_precision(fields.get("precision")),
    )


def _entries(node: Node) -> tuple[tuple[object, Node], ...]:
    assert isinstance(node, Mapping)
    return node.entries


def _items(node: Node) -> tuple[Node, ...]:
    assert isinstance(node, Sequence)
    return node.items


def _input(name: str, text: str, span: Span) -> FlatInput:
    match = re.fullmatch(r"(\w+)\[(.*)\]", text)
    assert match is not None, text
    sizes = [size.strip() for size in match[2].split(",")] if match[2] else []
    return FlatInput(name, tuple(DIMS[s] if s in DIMS else Dim.of(int(s)) for s in sizes), DataType(match[1]), span)


def _layer(node: Node, previous: str) -> FlatLayer:
    assert isinstance(node, Mapping)
    fields = node.as_dict()
    op = CATALOGUE.get(plain(fields["op"]))
    name = plain(fields.get("name", fields["op"]))
    given = plain(fields["in"]) if "in" in fields else [previous] if op is None or op.inputs else []
    precision = fields.get("precision")
    keys = ("op", "name", "in", "out", "precision", "impl")
    return FlatLayer(
        op=plain(fields["op"]),
        name=name,
        inputs=tuple(given),
        parameters={key: value for key, value in fields.items() if key not in keys},
        outputs=tuple(plain(fields["out"])) if "out" in fields else (name,),
        precision=DataType(plain(precision)) if precision else None,
        impl=plain(fields["impl"]) if "impl" in fields else None,
        origin=Origin(node.span),
        input_spans=tuple(item.span for item in _items(fields["in"])) if "in" in fields else (),
    )


def _output(name: str, value: str, span: Span) -> FlatOutput:
    tensor, _, dtype = value.partition(" ")
    return FlatOutput(name, tensor, DataType(dtype) if dtype else None, span)


def _precision(node: Node | None) -> FlatPrecision:
    if node is None:
        return FlatPrecision()
    (_, default), *patterns = _entries(node)
    return FlatPrecision(
        DataType(plain(default)), tuple((key.value, DataType(plain(value)), key.span) for key, value in patterns)
    )


def lines(diagnostics: tuple[Diagnostic, ...]) -> list[str]:
    """Diagnostics as `line code: message`, for comparison."""
    return [f"{d.span.line if d.span else 0} {d.code}: {d.message}" for d in diagnostics]
