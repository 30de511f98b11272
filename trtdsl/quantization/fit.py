"""What TensorRT 8.6 has no kernels for in int8 stays in floats there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trtdsl.errors import BuildError, Diagnostic, Diagnostics, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.conv import Conv, Deconv
from trtdsl.quantization.placement import Wiring

_FEW = 4
"""Channels, up to which 8.6.1 has no kernel that multiplies in int8 and gives floats."""


def without_missing_kernels(graph: Graph, runtime: str, diagnostics: Diagnostics | None = None) -> Graph:
    """The untyped graph for a runtime that lacks int8 kernels: the layers that these are for are in floats.

    They are deconvolutions, and convolutions of few channels that hand on floats. `diagnostics` are told which. Raises
    BuildError for those that were asked for themselves.
    """
    fitting, reasons = graph, dict[str, str]()
    # What no longer reads int8 may leave the one before without a kernel.
    while found := dict(_missing(fitting, runtime)):
        reasons |= found
        fitting = _in_floats(fitting, found)
    if not reasons:
        return graph
    layers = [layer for layer in graph.layers if layer.name in reasons]
    if asked := [layer for layer in layers if layer.explicit]:
        raise BuildError([_refusal(layer, reasons[layer.name]) for layer in asked])
    if diagnostics is not None:
        listed = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
        stay = "1 layer stays" if len(layers) == 1 else f"{len(layers)} layers stay"
        diagnostics.warning("quantization", f"{stay} in floats: {listed}", layers[0].origin.span)
    return fitting


def _missing(graph: Graph, runtime: str) -> list[tuple[str, str]]:
    wiring = Wiring(graph)
    found = []
    for layer in graph.layers:
        if layer.quantized is None:
            continue
        if isinstance(layer.op, Deconv):
            found.append((layer.name, f"{runtime} builds no quantised deconvolution"))
        elif isinstance(layer.op, Conv) and _few_channels(layer) and not wiring.ends_quantized(layer.outputs[0]):
            found.append((layer.name, f"{runtime} has no kernel of so few channels that gives floats"))
    return found


def _few_channels(layer: Layer) -> bool:
    return min(layer.weights["weight"].settled_shape[:2]) <= _FEW


def _in_floats(graph: Graph, reasons: Mapping[str, str]) -> Graph:
    """The graph without the quantisation of some layers, and of what is quantised for their sake only."""
    layers = tuple(
        replace(layer, quantized=None, quantized_inputs={}) if layer.name in reasons else layer
        for layer in graph.layers
    )
    kept = {layer.name for layer in layers if layer.quantized is not None}
    wiring = Wiring(replace(graph, layers=layers))
    fitting = tuple(
        layer
        if layer.quantized is not None or not layer.quantized_inputs or wiring.summand(layer, kept) is not None
        else replace(layer, quantized_inputs={})
        for layer in layers
    )
    return replace(graph, layers=fitting, unquantized={**graph.unquantized, **reasons})


def _refusal(layer: Layer, reason: str) -> Diagnostic:
    hint = "`precision: fp16` on this layer"
    message = f"{layer.name}: {reason}"
    return Diagnostic("quantization", message, layer.span("precision"), hint, used_at(layer.origin))
