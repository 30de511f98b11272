"""The network as data: typed ops that name the tensors they read and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trtdsl.ops.base import Op
from trtdsl.source import Origin, Span
from trtdsl.types import DataType, Dim, TensorType
from trtdsl.weights import Weight


@dataclass(frozen=True)
class GraphInput:
    """An input of the network."""

    name: str
    type: TensorType
    span: Span


@dataclass(frozen=True)
class GraphOutput:
    """An output of the network: the name it has outside, the tensor, and the type it is delivered in.

    Without a `dtype` a float output is delivered in fp32 and any other as it is.
    """

    name: str
    tensor: str
    dtype: DataType | None
    span: Span


@dataclass(frozen=True)
class Layer:
    """One use of an op. `inputs` are names of tensors, None where an optional one is left out.

    `precision` is the type the layer computes in; `explicit` says that the layer itself asked for that type, not a
    group, a pattern or the network. `spans` has the place of each parameter that YAML gives.
    """

    name: str
    op: Op
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    origin: Origin
    weights: Mapping[str, Weight] = field(default_factory=dict)
    precision: DataType = DataType.FP32
    explicit: bool = False
    spans: Mapping[str, Span] = field(default_factory=dict)

    def span(self, key: str | None = None) -> Span:
        """The place of a parameter, or of the layer."""
        return self.spans.get(key or "", self.origin.span)


@dataclass(frozen=True)
class Graph:
    """A network in execution order. `types` has the type of every tensor once infer has run."""

    name: str
    inputs: tuple[GraphInput, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[GraphOutput, ...]
    dims: Mapping[str, Dim]
    types: Mapping[str, TensorType] = field(default_factory=dict)

    def with_layers(self, layers: tuple[Layer, ...], types: Mapping[str, TensorType]) -> Graph:
        return replace(self, layers=layers, types=types)
