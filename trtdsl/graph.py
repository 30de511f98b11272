"""The network as data: typed ops that name the tensors they read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trtdsl.ops.base import Op
from trtdsl.plugins.libraries import LibraryUse
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
class Body:
    """Layers inside a layer, in execution order: a branch, or a round of a loop.

    `inputs` are the tensors that the op makes for it, `outputs` those that the op takes from it. The layers may read
    tensors from outside as well; what they make is seen by none but them.
    """

    inputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One use of an op. `inputs` are names of tensors, None where an optional one is left out.

    `precision` is the type the layer computes in; `explicit` says that the layer itself asked for that type, not a
    group, a pattern or the network. `quantized` is the type in which a quantised layer multiplies, its precision
    that in which it adds up and hands on. `quantized_inputs` are the types that inputs come through, by position:
    those of a quantised layer, and the one that a sum behind it adds. `spans` has the place of each parameter that
    YAML gives, and of each output of a body as `then:0`. `impl` is native, plugin or auto; of ops that are no
    plugin of their own it says whether they may be part of one. `bodies` are the layers inside, by the op's names
    for them.
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
    bodies: Mapping[str, Body] = field(default_factory=dict)
    impl: str = "native"
    quantized: DataType | None = None
    quantized_inputs: Mapping[int, DataType] = field(default_factory=dict)

    def span(self, key: str | None = None) -> Span:
        """The place of a parameter, or of the layer."""
        return self.spans.get(key or "", self.origin.span)


@dataclass(frozen=True)
class Graph:
    """A network in execution order. `types` has the type of every tensor, in bodies too, once infer has run.

    `libraries` are the files that the plugins of its layers come from. `scales` has, of tensors that may be quantised,
    what a step of int8 is worth; `unquantized` the reasons for which layers are not that were asked to be.
    """

    name: str
    inputs: tuple[GraphInput, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[GraphOutput, ...]
    dims: Mapping[str, Dim]
    types: Mapping[str, TensorType] = field(default_factory=dict)
    libraries: tuple[LibraryUse, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    unquantized: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are known before a run."""
        return all(tensor.is_static for tensor in self.types.values())

    def all_layers(self) -> Iterator[Layer]:
        """The layers and those inside them, each before what it holds."""
        return walk(self.layers)

    def with_layers(self, layers: tuple[Layer, ...], types: Mapping[str, TensorType]) -> Graph:
        return replace(self, layers=layers, types=types)


def computed_in(inputs: Iterable[TensorType | None], outputs: Sequence[TensorType]) -> DataType:
    """The type in which a layer computes: that of its first float input, else of its output."""
    for entry in (*inputs, *outputs):
        if entry is not None and entry.dtype.is_float:
            return entry.dtype
    return outputs[0].dtype


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Layers and those inside them, each before what it holds."""
    for layer in layers:
        yield layer
        for body in layer.bodies.values():
            yield from walk(body.layers)


def read_from_outside(body: Body) -> tuple[str, ...]:
    """The tensors around a body that it reads or hands out, in the order in which it first does."""
    inside = set(body.inputs)
    read: dict[str, None] = {}
    for layer in walk(body.layers):
        inside.update(layer.outputs)
        for inner in layer.bodies.values():
            inside.update(inner.inputs)
            read.update(dict.fromkeys(inner.outputs))
        read.update((name, None) for name in layer.inputs if name is not None)
    read.update(dict.fromkeys(body.outputs))
    return tuple(name for name in read if name not in inside)
