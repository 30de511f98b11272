"""What ops of control flow are told of their bodies: names, what is scanned, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trtdsl.ops.attributes import AttributeType as Type
from trtdsl.ops.attributes import Bool, Dims, Int, Schema, parse_dim, show
from trtdsl.types import Dim


class Names(Type["tuple[str, ...]"]):
    """A list of names."""

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}}

    def parse(self, value: object, dims: Dims) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return tuple(map(str, value))

    def describe(self) -> str:
        return "a list of names"


class Rounds(Type[Dim]):
    """A number of rounds."""

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}

    def parse(self, value: object, dims: Dims) -> Dim:
        return parse_dim(value, dims)

    def describe(self) -> str:
        return "an integer, at least 0, or a dimension"


@dataclass(frozen=True)
class Scan:
    """A tensor of which each round of a loop has one slice: its name inside, and the axis."""

    name: str
    dim: int
    reverse: bool


class Scans(Type["tuple[Scan, ...]"]):
    """What is scanned, by the names of the slices."""

    def schema(self) -> Schema:
        return {"type": "object"}

    def parse(self, value: object, dims: Dims) -> tuple[Scan, ...]:
        if not isinstance(value, dict):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return tuple(Scan(name, *_axis(entry, dims)) for name, entry in value.items())

    def describe(self) -> str:
        return "tensors, by the names of their slices"


@dataclass(frozen=True)
class LoopOutput:
    """What comes out of a loop: the last value of a state, or the values of all rounds put behind each other.

    `index` counts the states, or the tensors that are stacked.
    """

    port: str
    is_stack: bool
    index: int
    dim: int = 0
    reverse: bool = False


class LoopOutputs(Type["tuple[LoopOutput, ...]"]):
    """A loop's outputs in order."""

    def schema(self) -> Schema:
        return {"type": "array"}

    def parse(self, value: object, dims: Dims) -> tuple[LoopOutput, ...]:
        if not isinstance(value, list):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return tuple(_output(entry, dims) for entry in value)

    def describe(self) -> str:
        return "a list of outputs"


def _output(entry: Mapping[str, Any], dims: Dims) -> LoopOutput:
    if "last" in entry:
        return LoopOutput(entry["port"], False, entry["last"])
    return LoopOutput(entry["port"], True, entry["stack"], *_axis(entry, dims))


def _axis(entry: Mapping[str, Any], dims: Dims) -> tuple[int, bool]:
    """`dim` and `reverse`, with their defaults. Raises ValueError."""
    found = []
    for key, type, default in (("dim", Int(), 0), ("reverse", Bool(), False)):
        try:
            found.append(type.parse(entry.get(key, default), dims))
        except ValueError as error:
            raise ValueError(f"`{key}`: {error}") from None
    return int(found[0]), bool(found[1])
