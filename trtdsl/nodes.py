"""The tree that a YAML document becomes: immutable nodes, each with the place it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trtdsl.scalars import PlainValue
from trtdsl.source import Span
from trtdsl.types import Dim

Value = PlainValue | Dim
"""What a scalar holds; a Dim only after expansion."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `quoted` tells `"1"` from `1` where only the places inside the text matter."""

    value: Value
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping in the order it was written; no key occurs twice."""

    entries: tuple[tuple[Key, Node], ...]
    span: Span

    def __iter__(self) -> Iterator[tuple[Key, Node]]:
        return iter(self.entries)

    def get(self, name: str) -> Node | None:
        """The value of a key."""
        for key, node in self.entries:
            if key.value == name:
                return node
        return None

    def key(self, name: str) -> Key | None:
        """A key as it stands in the file."""
        for key, _ in self.entries:
            if key.value == name:
                return key
        return None

    def as_dict(self) -> dict[str, Node]:
        """The values by key."""
        return {key.value: node for key, node in self.entries}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping; keys are always text."""

    value: str
    span: Span
    quoted: bool = field(default=False, compare=False)


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The value of a tree as dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.value: plain(item) for key, item in node.entries}


def describe(node: Node) -> str:
    """What a node is, for messages: `a list`, `text`."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, Dim):
        return f"the dimension `{node.value}`, which differs from run to run"
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return "text" if isinstance(node.value, str) else "a number"
