"""Which layers are plugins: `impl` becomes ops in the form of plugins, before types are settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from trtdsl.errors import Diagnostics, used_at
from trtdsl.fusion import fuse_norms
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError, Policy
from trtdsl.ops.by_plugin import ByPlugin, NormBlock
from trtdsl.types import DataType


def chooses_plugins(graph: Graph) -> bool:
    """Whether any layer may become a plugin."""
    return any(layer.impl == "plugin" or leaves_open(layer) for layer in graph.all_layers())


def leaves_open(layer: Layer) -> bool:
    """Whether a layer becomes a plugin if that is there and takes it, and else does not."""
    return layer.impl == "auto" and bool(layer.op.by_plugin) and not layer.op.by_plugin_if_asked


def check_implementations(graph: Graph, typed: Graph, diagnostics: Diagnostics) -> None:
    """Refuse `impl: plugin` where the plugin cannot do what the layer says. Raises NetworkError."""
    former = _Former(graph, typed)
    for layer in graph.all_layers():
        if layer.impl != "plugin":
            continue
        try:
            former.plugin_form(layer)
        except OpError as error:
            for one in error.errors:
                # Places in fields are none that YAML has here.
                at = one.at if one.at in layer.spans else None
                message = f"{layer.name} cannot be the plugin {layer.op.by_plugin}: {one.message}"
                notes = used_at(layer.origin)
                diagnostics.error("impl", message, layer.span(at), hint="`impl: native`, or auto", notes=notes)
    diagnostics.end_stage()


def implement(graph: Graph, typed: Graph, has_plugin: Callable[[str], bool]) -> Graph:
    """The graph with plugins for the layers that ask for them, and for those that may have them where they are there.

    Expects a graph that infer made, and what typing makes of it without plugins; gives one of the same tensors but
    those inside of what was fused. Layers in a row that one plugin does in one pass become one. `has_plugin` says
    which plugins are there.
    """
    if not chooses_plugins(graph):
        return graph
    former = _Former(graph, typed)

    def fits(layer: Layer) -> bool:
        return has_plugin(layer.op.by_plugin) and former.fits(layer)

    def formed(layers: Sequence[Layer]) -> Iterator[Layer]:
        for layer in layers:
            if layer.bodies:
                bodies = {name: replace(body, layers=tuple(formed(body.layers))) for name, body in layer.bodies.items()}
                yield replace(layer, bodies=bodies)
            elif layer.impl == "plugin" or (leaves_open(layer) and fits(layer)):
                yield former.plugin_form(layer)
            else:
                yield layer

    return graph.with_layers(tuple(formed(fuse_norms(graph, fits).layers)), graph.types)


@dataclass(frozen=True)
class _Former:
    """Brings layers into the form of their plugins."""

    graph: Graph
    typed: Graph

    def fits(self, layer: Layer) -> bool:
        """Whether a layer's plugin takes it."""
        try:
            self.plugin_form(layer)
        except OpError:
            return False
        return True

    def plugin_form(self, layer: Layer) -> Layer:
        """The layer with its op in the form of its plugin. Raises OpError for what that does not take."""
        inputs = tuple(None if name is None else self.graph.types[name] for name in layer.inputs)
        form = ByPlugin(layer.op, layer.op.plugin_fields(*inputs))
        form.check(self._precision(layer), inputs)
        return replace(layer, op=form)

    def _precision(self, layer: Layer) -> DataType:
        """The type of the elements that a layer works on."""
        if layer.op.precision_policy() is not Policy.TRANSPARENT:
            return layer.precision
        return self.typed.types[layer.inputs[0] or ""].dtype


def chosen_plugins(graph: Graph) -> dict[str, dict[str, object]]:
    """The layers that became plugins: which one, and the layers that it stands for where there are several.

    Layers that might have become one, and did not, have none.
    """
    chosen: dict[str, dict[str, object]] = {}
    for layer in graph.all_layers():
        if isinstance(layer.op, ByPlugin):
            members = {"layers": list(layer.op.op.members)} if isinstance(layer.op.op, NormBlock) else {}
            chosen[layer.name] = {"plugin": layer.op.op.by_plugin, **members}
        elif leaves_open(layer):
            chosen[layer.name] = {"plugin": None}
    return chosen
