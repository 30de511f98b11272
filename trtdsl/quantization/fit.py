"""What one TensorRT cannot build in int8 or fp8 stays in floats there."""

from __future__ import annotations

from dataclasses import replace

from trtdsl.errors import BuildError, Diagnostic, Diagnostics, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.conv import Deconv


def without_quantized_deconvolutions(graph: Graph, runtime: str, diagnostics: Diagnostics | None = None) -> Graph:
    """The untyped graph with its quantised deconvolutions in floats, for a runtime that has none.

    `diagnostics` are told which. Raises BuildError for those that were asked for themselves.
    """
    found = [layer for layer in graph.layers if layer.quantized is not None and isinstance(layer.op, Deconv)]
    if not found:
        return graph
    reason = f"{runtime} builds no quantised deconvolution"
    if asked := [layer for layer in found if layer.explicit]:
        raise BuildError([_refusal(layer, reason) for layer in asked])
    names = [layer.name for layer in found]
    if diagnostics is not None:
        diagnostics.warning("quantization", f"{', '.join(names)}: in floats, for {reason}", found[0].origin.span)
    kept = tuple(
        replace(layer, quantized=None, quantized_inputs={}) if layer.name in names else layer for layer in graph.layers
    )
    return replace(graph, layers=kept, unquantized={**graph.unquantized, **dict.fromkeys(names, reason)})


def _refusal(layer: Layer, reason: str) -> Diagnostic:
    hint = "`precision: fp16` on this layer"
    return Diagnostic("quantization", f"{layer.name}: {reason}", layer.span("precision"), hint, used_at(layer.origin))
