"""Small networks for these tests, loaded from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trtdsl
from trtdsl.api import Network


def load(folder: Path, text: str, **given: Any) -> Network:
    """The network of a text, its weights made up unless it names a file."""
    path = folder / "net.yaml"
    path.write_text(f"trtdsl: 1\n{text}")
    return trtdsl.load(path, random_weights="weights:" not in text, **given)


def quantized_edges(network: Network) -> list[str]:
    """Each tensor that is read quantised with its readers: `x -> conv1, add`."""
    edges: dict[str, list[str]] = {}
    for layer in network.graph.layers:
        for position in layer.quantized_inputs:
            edges.setdefault(layer.inputs[position] or "", []).append(layer.name)
    return [f"{name} -> {', '.join(readers)}" for name, readers in edges.items()]
