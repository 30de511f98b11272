"""Modules as data: what each declares, read off the document once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trtdsl import nodes
from trtdsl.nodes import Node, Scalar
from trtdsl.source import Span


@dataclass(frozen=True)
class Module:
    """A module: its params with their defaults (None: required), its inputs, its body and what it gives out."""

    name: str
    params: Mapping[str, Node | None]
    inputs: tuple[str, ...]
    layers: tuple[Node, ...]
    outputs: Node | None
    span: Span

    @property
    def required(self) -> tuple[str, ...]:
        """The params that every use must give."""
        return tuple(name for name, default in self.params.items() if default is None)


def read_modules(document: nodes.Mapping) -> dict[str, Module]:
    """The modules of a checked document by name."""
    section = document.get("modules")
    if not isinstance(section, nodes.Mapping):
        return {}
    return {key.value: read_module(key.value, node) for key, node in section if isinstance(node, nodes.Mapping)}


def read_module(name: str, node: nodes.Mapping) -> Module:
    """One module; parts of the wrong form, which the check stage reports, are left out."""
    inputs = node.get("inputs")
    layers = node.get("layers")
    return Module(
        name,
        declared_params(node.get("params")),
        ("x",) if inputs is None else _texts(inputs),
        layers.items if isinstance(layers, nodes.Sequence) else (),
        node.get("outputs"),
        node.span,
    )


def declared_params(node: Node | None) -> dict[str, Node | None]:
    """Params with their defaults; `null`, or a mere list of names, leaves them required."""
    if isinstance(node, nodes.Mapping):
        return {key.value: None if isinstance(v, Scalar) and v.value is None else v for key, v in node}
    return dict.fromkeys(_texts(node) if node is not None else ())


def _texts(node: Node) -> tuple[str, ...]:
    items = node.items if isinstance(node, nodes.Sequence) else (node,)
    return tuple(item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
