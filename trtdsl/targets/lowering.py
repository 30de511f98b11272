"""What the layers of one network share while it is being made, and what makes it for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trtdsl.errors import BuildError, Diagnostic, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.targets.plugins import PluginSource, SettledPlugin
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.signatures import Declarations
from trtdsl.types import FLOATS, DataType, Expression
from trtdsl.weights import Weight

if TYPE_CHECKING:
    from trtdsl.targets.network import LayerNet


class RefusedError(Exception):
    """TensorRT gave no layer for a call."""


def impossible(layer: Layer, error: OpError) -> BuildError:
    """The error for what an op knows that this runtime cannot do."""
    notes = used_at(layer.origin)
    return BuildError(
        [
            Diagnostic(one.code or "tensorrt-type", f"{layer.name}: {one.message}", layer.span(one.at), one.hint, notes)
            for one in error.errors
        ]
    )


class Api(Protocol):
    """The INetworkDefinition being filled, or a recorder that stands in for one."""

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        """Weights over the array's memory; `label` says where they are from."""
        ...

    def weights_of(self, weight: Weight, label: str) -> Any:
        """Weights over a parameter's elements."""
        ...

    def no_weights(self, dtype: DataType) -> Any:
        """Empty Weights, which have a type all the same."""
        ...

    def plugin(self, plugin: SettledPlugin, label: str) -> Any:
        """A plugin of TensorRT's registry. Raises OpError, CreatorRefused."""
        ...

    @property
    def trt(self) -> Any:
        """TensorRT's module, for enumerations."""
        ...

    def data_type(self, dtype: DataType) -> Any: ...

    def has(self, name: str) -> bool:
        """Whether there is a method of that name."""
        ...

    def method(self, name: str) -> Callable[..., Any]: ...


@dataclass
class NetworkState:
    """What all layers of one network share while it is being made."""

    api: Api
    runtime: Runtime
    graph: Graph
    tensors: dict[str, Any] = field(default_factory=dict)
    sizes: dict[Expression, Any] = field(default_factory=dict)
    """Shape tensors of one element, by what they hold."""
    declarations: Declarations | None = None
    """What the TensorRT at hand declares, for raw layers; None where there is none."""
    plugins: PluginSource | None = None
    """What finds plugins; None for what is declared of them."""
    entered: list[Mapping[str, Any]] = field(default_factory=list)
    """What stands for tensors from outside in the branches around the layer that is being added, the innermost last."""

    @cached_property
    def mixes_floats(self) -> bool:
        """Whether there are floats of several types."""
        return len(FLOATS & {tensor.dtype for tensor in self.graph.types.values()}) > 1

    def tensor(self, name: str) -> Any:
        """A tensor of the graph, as layers at this point read it."""
        for branch in reversed(self.entered):
            if name in branch:
                return branch[name]
        return self.tensors[name]


@dataclass(frozen=True)
class Lowering:
    """How the layers of bodies are added.

    `layer` adds one. `begin` is called with what a body is given, by name, before that; it gives what stands for it.
    """

    layer: Callable[[Layer], None]
    begin: Callable[[LayerNet, Mapping[str, Any]], Mapping[str, Any]]
