"""Scopes of names, and what a name stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trtdsl import nodes
from trtdsl.nodes import Node, Scalar
from trtdsl.source import Span, Use
from trtdsl.types import DataType


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a name stands for: tensors by port, a single one under `""`."""

    ports: Mapping[str, str]

    @classmethod
    def single(cls, tensor: str) -> Tensors:
        return cls({"": tensor})


UNKNOWN = "?"
"""The tensor of a layer that is wrong. Expansion goes on with it to find what else is wrong, and fails in the end."""

FAILED = Tensors.single(UNKNOWN)


@dataclass(slots=True)
class Scope:
    """The names and variables that the layers of one body see.

    `parent` is the scope around a sequence; a module has none, which makes it hygienic. `inputs` are the body's own
    names for tensors from outside. `previous` is what a layer without `in` reads.
    """

    prefix: str
    variables: Mapping[str, Any]
    inputs: Mapping[str, Tensors] = field(default_factory=dict)
    parent: Scope | None = None
    uses: tuple[Use, ...] = ()
    precision: DataType | None = None
    previous: Tensors | None = None
    given: frozenset[str] = frozenset()

    def outward(self) -> Iterator[Scope]:
        """This scope and those around it, the innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(frozen=True, slots=True)
class Source:
    """An input of a layer: what it stands for, and the place that says so (None when it is the layer before)."""

    tensor: str | None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer as YAML writes it, once: where it stands, its name there, its keys, and the tensors that it reads."""

    scope: Scope
    kind: str
    name: str
    fields: Mapping[str, Node]
    sources: tuple[Source, ...]
    span: Span
    precision: DataType | None = None

    @property
    def scoped(self) -> str:
        return self.scope.prefix + self.name

    @property
    def passed_on(self) -> Tensors | None:
        """What stands for the layer where it is left out, and what a group's first layer reads."""
        first = self.sources[0].tensor if self.sources else None
        return None if first is None else Tensors.single(first)


def given_names(items: Iterable[Node]) -> Iterator[str]:
    """The names that the layers of a body are given outright, which no made-up name may take."""
    for item in items:
        if not isinstance(item, nodes.Mapping):
            continue
        if item.get("foreach") is not None:
            if isinstance(layers := item.get("layers"), nodes.Sequence):
                yield from given_names(layers.items)
            continue
        for node in (item.get("name"), item.get("out")):
            for entry in node.items if isinstance(node, nodes.Sequence) else (node,):
                if isinstance(entry, Scalar) and isinstance(entry.value, str):
                    yield entry.value


@dataclass(slots=True)
class Names:
    """All scoped names of the network: what they stand for, where they were given, and which were made up."""

    tensors: dict[str, Tensors] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)
    automatic: set[str] = field(default_factory=set)
    counters: dict[str, int] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    """Names inside control flow that has been left, with that of the layer which holds them."""

    def automatic_name(self, scope: Scope, kind: str) -> str:
        """The next free name for a layer that has none: `relu`, then `relu_1`."""
        number = self.counters.get(scope.prefix + kind, 0)
        while True:
            name = f"{kind}_{number}" if number else kind
            number += 1
            if name not in scope.given and scope.prefix + name not in self.places:
                self.counters[scope.prefix + kind] = number
                return name
