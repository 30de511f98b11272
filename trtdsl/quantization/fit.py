"""What TensorRT 8.6 has no kernels for in int8 stays in floats there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trtdsl.errors import BuildError, Diagnostic, Diagnostics, layers_stay, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.activation import Activation, Relu, Relu6
from trtdsl.ops.conv import Conv, Deconv
from trtdsl.ops.elementwise import Div, Max, Min, Pow, Sub
from trtdsl.ops.gates import Silu
from trtdsl.ops.norm import BatchNorm
from trtdsl.ops.unary import Unary
from trtdsl.quantization.placement import Wiring
from trtdsl.types import DataType

_FEW = 4
"""Channels, up to which 8.6.1 has no kernel that multiplies in int8 and gives floats."""
_LARGE = 5
"""Elements along a window, beyond which a network with int8 has no kernels in fp16 with most functions in them."""


def without_missing_kernels(graph: Graph, runtime: str, diagnostics: Diagnostics | None = None) -> Graph:
    """The untyped graph for a runtime that lacks int8 kernels: the layers that these are for are in floats.

    They are deconvolutions, convolutions of few channels that hand on floats, and layers that hand on fp16 through a
    function that TensorRT computes in their kernels. `diagnostics` are told which. Raises BuildError for those that
    were asked for themselves, and where nothing else is quantised.
    """
    fitting, reasons = graph, dict[str, str]()
    # What no longer reads int8 may leave the one before without a kernel.
    while found := dict(_missing(fitting, runtime)):
        reasons |= found
        fitting = _in_floats(fitting, found)
    layers = [layer for layer in graph.layers if layer.name in reasons]
    if asked := [layer for layer in layers if layer.explicit]:
        raise BuildError([_refusal(layer, reasons[layer.name], DataType.FP16) for layer in asked])
    if reasons:
        listed = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
        if all(layer.quantized is None for layer in fitting.layers):
            message = f"nothing is left to quantise: {listed}"
            hint = "`--precision fp16` builds it in floats"
            raise BuildError.of("quantization", message, layers[0].origin.span, hint=hint)
        if diagnostics is not None:
            message = f"{layers_stay(len(layers))} in floats: {listed}"
            diagnostics.warning("quantization", message, layers[0].origin.span)
    return _with_wide_windows(fitting, runtime, diagnostics)


def _with_wide_windows(graph: Graph, runtime: str, diagnostics: Diagnostics | None) -> Graph:
    """The graph in which large convolutions with a function behind them are in fp32 instead of fp16, beside int8.

    TensorRT means to compute the function in the convolution's kernel, for which in fp16 it has none. In fp32 it is a
    layer of its own. Raises BuildError for convolutions that were asked for fp16 themselves.
    """
    if all(layer.quantized is None for layer in graph.layers):
        return graph
    wiring = Wiring(graph)
    pairs = [
        (layer, function)
        for layer in graph.layers
        if isinstance(layer.op, Conv) and layer.quantized is None and layer.precision is DataType.FP16
        if max(layer.weights["weight"].settled_shape[2:]) > _LARGE
        if (function := _function_behind(layer, wiring)) is not None
    ]
    reason = f"beside int8 {runtime} has no fp16 kernel of so large a window with"
    if asked := [(layer, function) for layer, function in pairs if layer.explicit]:
        raise BuildError(
            [_refusal(layer, f"{reason} {function.op.title} in it", DataType.FP32) for layer, function in asked]
        )
    for layer, function in pairs:
        message = f"{layer.name} and {function.name} compute in fp32: {reason} {function.op.title} in it"
        if diagnostics is not None:
            diagnostics.warning("quantization", message, layer.origin.span)
    wide = {layer.name for pair in pairs for layer in pair if not layer.explicit}
    layers = (
        replace(layer, precision=DataType.FP32, explicit=True) if layer.name in wide else layer
        for layer in graph.layers
    )
    return replace(graph, layers=tuple(layers)) if wide else graph


def _missing(graph: Graph, runtime: str) -> list[tuple[str, str]]:
    """The names of quantised layers that there are no kernels for, with the reasons."""
    wiring = Wiring(graph)
    quantized = (layer for layer in graph.layers if layer.quantized is not None)
    return [(layer.name, f"{runtime} {reason}") for layer in quantized if (reason := _lack(layer, wiring))]


def _lack(layer: Layer, wiring: Wiring) -> str | None:
    if isinstance(layer.op, Deconv):
        return "builds no quantised deconvolution"
    if wiring.ends_quantized(layer.outputs[0]):
        return None
    if isinstance(layer.op, Conv) and _few_channels(layer):
        return "has no kernel of so few channels that gives floats"
    if layer.precision is DataType.FP16 and (function := _function_behind(layer, wiring)) is not None:
        return f"has no kernel with {function.op.title} in it that gives fp16"
    return None


def _function_behind(layer: Layer, wiring: Wiring) -> Layer | None:
    """The function of each element that TensorRT computes in the kernel of a layer, unless it has kernels for it."""
    name = layer.outputs[0]
    while len(readers := wiring.readers.get(name, [])) == wiring.reader_counts[name] == 1:
        [(reader, _)] = readers
        if not isinstance(reader.op, BatchNorm):
            return reader if _is_fused(reader) else None
        name = reader.outputs[0]
    return None


def _is_fused(layer: Layer) -> bool:
    if isinstance(layer.op, (Activation, Unary)):
        # For the first two there are kernels, and SiLU is a product of two tensors, which is not fused.
        return not isinstance(layer.op, (Relu, Relu6, Silu))
    return isinstance(layer.op, (Sub, Div, Pow, Min, Max)) and bool(layer.op.other)


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
        if layer.quantized is not None or set(layer.quantized_inputs) <= {*wiring.summands(layer, kept)}
        else replace(layer, quantized_inputs={})
        for layer in layers
    )
    return replace(graph, layers=fitting, unquantized={**graph.unquantized, **reasons})


def _refusal(layer: Layer, reason: str, possible: DataType) -> Diagnostic:
    hint = f"`precision: {possible}` on this layer"
    message = f"{layer.name}: {reason}"
    return Diagnostic("quantization", message, layer.span("precision"), hint, used_at(layer.origin))
