"""Short ways to expand a text and to look at what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.toy_ops import TOYS
from trtdsl.errors import Diagnostic, Diagnostics, NetworkError
from trtdsl.expand import expand, override_nodes
from trtdsl.flat import FlatNetwork
from trtdsl.includes import read_document
from trtdsl.schema import check
from trtdsl.source import SourceFile

Given = Mapping[str, object]

HEAD = "trtdsl: 1\ninputs: {x: [1, 3, 8, 8]}\n"


def expanded(
    text: str, params: Given | None = None, folder: Path = Path(), *, dims: Given | None = None
) -> FlatNetwork:
    """The flat network of a text, which is given a first line and an input unless it has its own."""
    whole = text if "inputs: {" in text.split("modules:")[0].split("layers:")[0] else HEAD + text
    diagnostics = Diagnostics()
    document = read_document(SourceFile(str(folder / "net.yaml"), whole), diagnostics)
    check(document, TOYS, diagnostics)
    given = override_nodes(params or {}, "parameters", diagnostics)
    return expand(document, TOYS, diagnostics, params=given, dims=override_nodes(dims or {}, "dims", diagnostics))


def refused(
    text: str, params: Given | None = None, folder: Path = Path(), *, dims: Given | None = None
) -> tuple[Diagnostic, ...]:
    """What is wrong with a text."""
    try:
        flat = expanded(text, params, folder, dims=dims)
    except NetworkError as error:
        return error.diagnostics
    raise AssertionError(f"nothing is wrong with it: {layers(flat)}")


def layers(flat: FlatNetwork) -> list[str]:
    """Each layer as `name = op(inputs)`, its tensors in place of its name where they differ."""
    lines = []
    for layer in flat.layers:
        outputs = "" if layer.outputs == (layer.name,) else f" -> {', '.join(layer.outputs)}"
        inputs = ", ".join("-" if name is None else name for name in layer.inputs)
        lines.append(f"{layer.name} = {layer.op}({inputs}){outputs}")
    return lines
