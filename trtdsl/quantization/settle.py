"""Which layers multiply in int8 or fp8, and the scales of what they read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod

from trtdsl.errors import Diagnostics, NetworkError, layers_stay, suggest, used_at
from trtdsl.flat import FlatQuantization
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.quantization.placement import Wiring, can_multiply
from trtdsl.quantization.scales import LARGEST, SMALLEST, Scale, ScaleTable, check_scale, read_scales
from trtdsl.quantization.sharing import wiring_hash
from trtdsl.reader import open_source
from trtdsl.source import Span
from trtdsl.weights import Weight
from trtdsl.weights.base import Array
from trtdsl.weights.quantized import SCALES, RangeScales, largest_of_channels

_MOST_NAMES = 40
"""How many names a message lists."""


def settle_quantization(graph: Graph, quantization: FlatQuantization | None, diagnostics: Diagnostics) -> Graph:
    """The graph in which those layers are quantised that were asked to be, can be, and have scales.

    Expects an inferred graph whose layers say what was asked of them, and whose `scales` are those of a trained
    network's own quantisers. Layers that only the network, a group or a pattern asks fall back to their float type, and
    are listed in `unquantized` and a warning if they do multiply. Raises NetworkError for layers that were asked
    themselves, for scales that make no sense or belong to no tensor, and where nothing is left to quantise.
    """
    asked = {layer.name: layer.quantized for layer in graph.all_layers() if layer.quantized is not None}
    if not asked:
        for use in quantization.files if quantization is not None else ():
            if use.span is None:
                message = f"{use.path} is not read: no layer is to multiply in int8 or fp8"
                diagnostics.warning("quantization", message, hint="`precision: int8` or `--precision int8` asks for it")
        return replace(graph, scales={})
    scales = _known_scales(graph, quantization, diagnostics)
    diagnostics.end_stage()
    settling = _Settling(graph, Wiring(graph), scales, quantization, diagnostics)
    settled = settling.graph_of(graph.layers)
    settling.report(asked.keys())
    diagnostics.end_stage()
    return settled


def scale_of(name: str, scales: dict[str, float], wiring: Wiring) -> float | None:
    """The scale of a tensor: its own, else that of what its elements were moved from, the largest of several."""
    if name in scales:
        return scales[name]
    found = [scale_of(source, scales, wiring) for source in wiring.moved_from(name)]
    known = [scale for scale in found if scale is not None]
    return max(known) if known and len(known) == len(found) else None


@dataclass
class _Settling:
    graph: Graph
    wiring: Wiring
    scales: dict[str, float]
    quantization: FlatQuantization | None
    diagnostics: Diagnostics
    used: dict[str, float] = field(default_factory=dict)
    unscaled: dict[str, str] = field(default_factory=dict)
    """Layers without a scale, each with the tensor that lacks one."""
    unable: dict[str, str] = field(default_factory=dict)
    """Layers that cannot be quantised as they are, with the reason."""
    quantized: set[str] = field(default_factory=set)

    def graph_of(self, layers: tuple[Layer, ...]) -> Graph:
        multiplying = tuple(self._multiplying(layer) for layer in layers)
        settled = tuple(
            self._sum(made, layer) if made.quantized is None else made
            for made, layer in zip(multiplying, layers, strict=True)
        )
        reasons = {name: f"no scale of {tensor}" for name, tensor in self.unscaled.items()}
        return replace(self.graph, layers=settled, scales=self.used, unquantized={**self.unable, **reasons})

    def _multiplying(self, layer: Layer) -> Layer:
        """The layer with its inputs quantised, or without any word of it."""
        dtype = layer.quantized
        if layer.bodies:
            bodies = {
                name: replace(body, layers=tuple(self._inside(inner) for inner in body.layers))
                for name, body in layer.bodies.items()
            }
            layer = replace(layer, bodies=bodies)
        floats = replace(layer, quantized=None)
        if dtype is None or not can_multiply(layer):
            self._refuse_explicit(layer)
            return floats
        positions = self.wiring.float_inputs(layer)
        try:
            layer.op.check_quantized(dtype, *(self.graph.types[name] for name in layer.inputs if name is not None))
        except OpError as error:
            self._cannot(layer, error.message, error.at)
            return floats
        if not self._has_whole_scales(layer) or not self._find(layer, positions):
            return floats
        self.quantized.add(layer.name)
        return replace(layer, quantized_inputs=dict.fromkeys(positions, dtype))

    def _has_whole_scales(self, layer: Layer) -> bool:
        """Whether scales that the weights bring along are one or as many as channels, and make sense."""
        for name, axis in (layer.op.quantized_weights or {}).items():
            known = layer.weights.get(SCALES.format(name))
            if known is None:
                continue
            channels, found = layer.weights[name].settled_shape[axis], known.settled_shape
            what = f"{layer.name}: {known.source.describe()}"
            if found not in ((1,), (channels,)):
                message = f"{what} has {prod(found)} scales, and {name} has {channels} channels"
                self._error("scale-value", layer, message, layer.span(name))
                return False
            if isinstance(known.source, RangeScales) and known.source.axis not in (None, axis):
                message = f"{what} has scales along axis {known.source.axis}, and channels of {name} are on axis {axis}"
                self._error("scale-value", layer, message, layer.span(name))
                return False
            scales = known.array()
            if not _are_sensible(scales, layer.weights[name], axis):
                message = f"{what} has a scale of {scales.min():g} to {scales.max():g}, which no weight could have"
                self._error("scale-value", layer, message, layer.span(name))
                return False
        return True

    def _inside(self, layer: Layer) -> Layer:
        """A layer of a body, in which nothing is quantised."""
        bodies = {
            name: replace(body, layers=tuple(self._inside(inner) for inner in body.layers))
            for name, body in layer.bodies.items()
        }
        if layer.quantized is not None and can_multiply(layer):
            self._cannot(layer, "layers inside loops and branches are not quantised", None)
        return replace(layer, quantized=None, bodies=bodies)

    def _sum(self, layer: Layer, asked: Layer) -> Layer:
        """A sum behind a quantised convolution, with what it adds quantised as well."""
        if asked.quantized is None:
            return layer
        positions = list(self.wiring.summands(layer, self.quantized))
        # The best has no scale in files of scales that were made before it was the best.
        positions.sort(key=lambda position: scale_of(layer.inputs[position] or "", self.scales, self.wiring) is None)
        if not positions or not self._find(asked, positions[:1]):
            return layer
        return replace(layer, quantized_inputs={positions[0]: asked.quantized})

    def _find(self, layer: Layer, positions: Iterable[int]) -> bool:
        """Take note of the scales of inputs; whether there are all."""
        names = [name for position in positions if (name := layer.inputs[position]) is not None]
        found = {name: scale_of(name, self.scales, self.wiring) for name in names}
        lacking = [name for name, scale in found.items() if scale is None]
        if lacking:
            self.unscaled[layer.name] = lacking[0]
            if layer.explicit:
                message = f"{layer.name} is to multiply in {layer.quantized}, and {lacking[0]} has no scale"
                self._error("scale-missing", layer, message, layer.span("precision"), hint=self._how_to_scale())
            return False
        self.used |= {name: scale for name, scale in found.items() if scale is not None}
        return True

    def _refuse_explicit(self, layer: Layer) -> None:
        if layer.quantized is not None and layer.explicit:
            message = f"{layer.name}: {layer.op.kind} does not multiply in {layer.quantized}"
            hint = "conv, deconv, linear and matmul do; leave `precision` out, or ask for a float type"
            self._error("quantization", layer, message, layer.span("precision"), hint=hint)

    def _cannot(self, layer: Layer, reason: str, at: str | None) -> None:
        if layer.explicit:
            self._error("quantization", layer, f"{layer.name}: {reason}", layer.span(at))
        self.unable[layer.name] = reason

    def _error(self, code: str, layer: Layer, message: str, span: Span, *, hint: str | None = None) -> None:
        self.diagnostics.error(code, message, span, hint=hint, notes=used_at(layer.origin))

    def _how_to_scale(self) -> str:
        file = self.graph_file
        if self.quantization is None:
            return f"`trtdsl calibrate {file} --data FOLDER` writes scales, and `quantization: FILE` names them"
        return f"`trtdsl calibrate {file} --data FOLDER` writes scales of all tensors that need one"

    @property
    def graph_file(self) -> str:
        return self.graph.layers[0].origin.span.file.name if self.graph.layers else "net.yaml"

    def report(self, asked: Iterable[str]) -> None:
        """Tell of what stays in floats, which is an error where that is everything."""
        span = _place(self.quantization)
        if not self.quantized and not self.diagnostics.errors:
            layers = {layer.name: layer for layer in self.graph.all_layers()}
            first = layers[next(iter(asked))]
            place = span or first.span("precision")
            if not self.unscaled:
                dtype = first.quantized
                reasons = f": {next(iter(self.unable.values()))}" if self.unable else ""
                message = f"the network is to compute in {dtype}, and no layer can{reasons}"
                self.diagnostics.error("quantization", message, place)
            else:
                message = f"no scale is known of what layers read: {_listed(self.unscaled.values())}"
                self.diagnostics.error("scale-missing", message, place, hint=self._how_to_scale())
            return
        if self.unscaled:
            pairs = [f"{layer} (reads {tensor})" for layer, tensor in self.unscaled.items()]
            message = f"{layers_stay(len(pairs))} in floats for want of a scale: {_listed(pairs)}"
            self.diagnostics.warning("scale-missing", message, span, hint=self._how_to_scale())
        if self.unable:
            pairs = [f"{layer} ({reason})" for layer, reason in self.unable.items()]
            self.diagnostics.warning("quantization", f"{layers_stay(len(pairs))} in floats: {_listed(pairs)}", span)


def _are_sensible(scales: Array, weight: Weight, axis: int) -> bool:
    """Whether scales are such as weights may have, or zeros for channels of zeros."""
    outside = ~((scales >= SMALLEST) & (scales <= LARGEST))
    return not outside.any() or not (outside & ((scales != 0) | (largest_of_channels(weight, axis) > 0))).any()


def _place(quantization: FlatQuantization | None) -> Span | None:
    """Where the file names scales, unless others were given instead of them."""
    if quantization is None or any(use.span is None for use in quantization.files):
        return None
    return quantization.span


def _listed(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return ", ".join(known[:_MOST_NAMES]) + more


def _known_scales(graph: Graph, quantization: FlatQuantization | None, diagnostics: Diagnostics) -> dict[str, float]:
    """All scales by the names of tensors: of quantisers in the weights, of files, of the network itself."""
    makers = {name: layer for layer in graph.all_layers() for name in layer.outputs}
    spans = {name: layer.origin.span for name, layer in makers.items()} | {e.name: e.span for e in graph.inputs}
    scales = {
        name: value
        for name, value in graph.scales.items()
        if check_scale(f"{name} in the weights", Scale(value, spans[name]), diagnostics)
    }
    if quantization is None:
        return scales
    for use in quantization.files:
        try:
            table = read_scales(open_source(use.path), diagnostics)
        except NetworkError as error:
            for found in error.diagnostics:
                hint = found.hint
                if found.code == "file":
                    hint = "`trtdsl calibrate` writes such a file"
                diagnostics.add(replace(found, span=found.span or use.span, hint=hint))
            continue
        if table is not None:
            _check_names(graph, table, use.span, diagnostics)
            scales |= {name: scale.value for name, scale in table.scales.items() if name in graph.types}
    for name, value, span in quantization.tensors:
        if name not in graph.types:
            _unknown(graph, name, span, diagnostics)
        elif check_scale(name, Scale(value, span), diagnostics):
            scales[name] = value
    return scales


def _check_names(graph: Graph, table: ScaleTable, span: Span | None, diagnostics: Diagnostics) -> None:
    """Report scales of tensors that the network does not have."""
    if table.wiring is not None and table.wiring != wiring_hash(graph):
        message = f"{table.source.name} has the scales of a network of other layers"
        diagnostics.warning("scale-file", message, span, hint="`trtdsl calibrate` makes them anew")
    unknown = [name for name in table.scales if name not in graph.types]
    if not unknown:
        return
    if not table.is_foreign:
        for name in unknown:
            _unknown(graph, name, table.scales[name].span, diagnostics)
    elif len(unknown) == len(table.scales):
        message = f"{table.source.name} has scales of no tensor of this network: {_listed(unknown)}"
        hint = "tensors are called as their layers in YAML, as in engines that trtdsl builds"
        diagnostics.error("scale-unknown", message, span, hint=hint)
    else:
        count = "a scale" if len(unknown) == 1 else f"{len(unknown)} scales"
        message = f"{table.source.name} has {count} of tensors that are not in this network: {_listed(unknown)}"
        diagnostics.warning("scale-unknown", message, span)


def _unknown(graph: Graph, name: str, span: Span, diagnostics: Diagnostics) -> None:
    message = f"`{name}` is no tensor of the network"
    diagnostics.error("scale-unknown", message, span, hint=suggest(name, graph.types))


def in_floats(graph: Graph) -> Graph:
    """The graph in which nothing is quantised, whatever was asked."""
    return replace(graph, layers=tuple(map(_in_floats, graph.layers)), scales={}, unquantized={})


def _in_floats(layer: Layer) -> Layer:
    bodies = {name: replace(body, layers=tuple(map(_in_floats, body.layers))) for name, body in layer.bodies.items()}
    return replace(layer, quantized=None, quantized_inputs={}, bodies=bodies)
