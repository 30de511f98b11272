"""The flat network: what is left of a document once params, includes, modules, repeat, foreach and when are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trtdsl import nodes
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.source import Origin, SourceFile, Span
from trtdsl.types import DataType, Dim, Shape
from trtdsl.weights.library import FileUse


@dataclass(frozen=True)
class FlatInput:
    """An input of the network."""

    name: str
    shape: Shape
    dtype: DataType
    span: Span


@dataclass(frozen=True)
class FlatBody:
    """Layers inside a layer: a branch, or a round of a loop.

    `inputs` are names of the tensors that the op makes for it, `outputs` of those that the op takes from it, whose
    places in YAML `output_spans` has. The layers read tensors from outside as well.
    """

    inputs: tuple[str, ...]
    layers: tuple[FlatLayer, ...]
    outputs: tuple[str, ...]
    output_spans: tuple[Span, ...]


@dataclass(frozen=True)
class FlatLayer:
    """One layer with everything evaluated.

    `name` is scoped and unique. `inputs` are names of tensors in the op's order, None where an optional one is left
    out. `parameters` holds what YAML gives of the op's attributes and weights; a scalar may hold a Dim. `outputs` are
    names of tensors, one per port of the op. `precision` is what the layer itself asks for, `group_precision` what the
    innermost module or sequence around it does. `input_spans` has the place of each input that YAML names. `bodies`
    are the layers inside, by the op's names for them.
    """

    op: str
    name: str
    inputs: tuple[str | None, ...]
    parameters: Mapping[str, nodes.Node]
    outputs: tuple[str, ...]
    precision: DataType | None
    impl: str | None
    origin: Origin
    input_spans: tuple[Span | None, ...] = ()
    group_precision: DataType | None = None
    bodies: Mapping[str, FlatBody] = field(default_factory=dict)


@dataclass(frozen=True)
class FlatOutput:
    """An output of the network: the name it has outside, the tensor, and the type asked for."""

    name: str
    tensor: str
    dtype: DataType | None
    span: Span


@dataclass(frozen=True)
class FlatPrecision:
    """The type that layers compute in: a default, and patterns over scoped names, of which the last match wins.

    `allowed` are patterns over the names of layers that an engine may compute in another type than asked. `fallback` is
    what YAML says of the float type beside int8 and fp8.
    """

    default: DataType = DataType.FP32
    patterns: tuple[tuple[str, DataType, Span], ...] = ()
    allowed: tuple[str, ...] = ()
    fallback: DataType | None = None

    @property
    def beside_quantized(self) -> DataType:
        """The float type that quantised layers hand on, and in which those compute that cannot be quantised."""
        return self.fallback or (self.default if self.default.is_float else DataType.FP16)


@dataclass(frozen=True)
class ScaleFile:
    """A file of scales. `path` is relative to the folder that this process works in; `span` None if named outside."""

    path: Path
    span: Span | None = None


@dataclass(frozen=True)
class FlatQuantization:
    """The scales of tensors: files of them, and what the network says itself, each with its place."""

    files: tuple[ScaleFile, ...]
    tensors: tuple[tuple[str, float, Span], ...] = ()
    span: Span | None = None


@dataclass(frozen=True)
class FlatNetwork:
    """A network as one list of layers in execution order.

    `sources` are the file and those that it includes, as absolute paths.
    """

    name: str
    description: str
    dims: Mapping[str, Dim]
    inputs: tuple[FlatInput, ...]
    layers: tuple[FlatLayer, ...]
    outputs: tuple[FlatOutput, ...]
    file: SourceFile
    weights: tuple[FileUse, ...] = ()
    precision: FlatPrecision = field(default_factory=FlatPrecision)
    build: nodes.Mapping | None = None
    libraries: tuple[LibraryUse, ...] = ()
    impl: str = "native"
    quantization: FlatQuantization | None = None
    sources: frozenset[Path] = frozenset()


def walk(layers: Iterable[FlatLayer]) -> Iterator[FlatLayer]:
    """Layers and those inside them, each before what it holds."""
    for layer in layers:
        yield layer
        for body in layer.bodies.values():
            yield from walk(body.layers)
