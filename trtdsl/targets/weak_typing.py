"""Layer precisions for runtimes whose networks are weakly typed (TensorRT 8.6, and 10 unless asked otherwise).

There a cast is only a suggestion. Every output of a float type is given its type. Layers with kernels of their own are
given their precision, and so is the arithmetic of those that ask for fp32 beside other types; the builder's
OBEY_PRECISION_CONSTRAINTS flag then makes that binding.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime
from trtdsl.types import FLOATS, PRECISIONS, QUANTIZED, DataType

TOLD_AGAIN = frozenset({DataType.INT8, DataType.FP16, DataType.BF16})
"""Types in which an output of the network is delivered only if its tensor is told as well: what plugins give, and what
identities hand on, comes out in fp32 otherwise, and int8 as what it was quantised from."""


def weak_typing(graph: Graph, runtime: Runtime) -> WeakTyping:
    """The precisions of one network of a weakly typed runtime."""
    return WeakTyping(runtime.module, [runtime.data_type(dtype) for dtype in held_types(graph, runtime)])


def held_types(graph: Graph, runtime: Runtime) -> tuple[DataType, ...]:
    """The float types that TensorRT is held to; none where there is nothing but fp32 for it to choose from."""
    used = {tensor.dtype for tensor in graph.types.values()}
    if not used & ((FLOATS | QUANTIZED) - {DataType.FP32}):
        return ()
    return tuple(dtype for dtype in PRECISIONS if dtype in runtime.dtypes)


class WeakTyping:
    """Follows the float types through the layers of one network, in the order in which they are added.

    TensorRT itself reports fp32 for every float tensor of a weakly typed network until the builder decides, so the
    types are kept here, by the names of tensors.
    """

    # Written into scripts as it stands here, so it uses nothing but what it is given.

    def __init__(self, trt: Any, floats: Collection[Any]) -> None:
        """`trt` is TensorRT's module, `floats` its members of DataType that are floats."""
        self._kinds = trt.LayerType
        # All other layers are fused by a compiler inside TensorRT. 8.6.1's finds no implementation, or reads memory
        # that is not its own, where choices, shuffles, normalisations and products in fp16 have a precision as well.
        self._own_kernels = [
            trt.LayerType.CONVOLUTION,
            trt.LayerType.DECONVOLUTION,
            trt.LayerType.POOLING,
            trt.LayerType.SCALE,
        ]
        # It rounds what should be in fp32 to fp16 where it fuses both. These take a precision, which then costs speed.
        self._arithmetic = [
            trt.LayerType.ACTIVATION,
            trt.LayerType.ELEMENTWISE,
            trt.LayerType.REDUCE,
            trt.LayerType.SOFTMAX,
            trt.LayerType.UNARY,
        ]
        # In TensorRT 10 there are plugins of a third version.
        self._plugins = [
            getattr(trt.LayerType, name) for name in ("PLUGIN_V2", "PLUGIN_V3") if hasattr(trt.LayerType, name)
        ]
        # They choose their types themselves; later versions can be asked which.
        self._quantization = {
            trt.LayerType.QUANTIZE: trt.DataType.INT8,
            trt.LayerType.DEQUANTIZE: trt.DataType.FLOAT,
        }
        self._floats = floats
        self._types: dict[str, Any] = {}

    def constrain(self, layer: Any, outputs: Any = None, precision: Any = None) -> None:
        """Set the types of one layer's outputs, and its precision where it has one; integers are left alone.

        Of plugins, `outputs` are the types where they are known, and of layers that read int8 what they hand on.
        `precision` is what it computes in, if that matters.
        """
        kind = getattr(layer, "type", None)
        if kind in self._plugins:
            self._constrain_plugin(layer, outputs, precision)
            return
        if kind in self._quantization:
            chosen = getattr(layer, "to_type", None) or self._quantization[kind]
            self._types[layer.get_output(0).name] = chosen if outputs is None else outputs[0]
            return
        if outputs is not None:
            self._constrain_quantized(layer, outputs)
            return
        dtype = self._computes_in(layer)
        if dtype not in self._floats:
            return
        # An attention stands for several layers: it has no type of its own, and none can be set.
        is_single = hasattr(layer, "set_output_type")
        # Comparisons, shapes and indices come out as integers or booleans whatever the precision.
        outs = [index for index in range(layer.num_outputs) if layer.get_output(index).dtype in self._floats]
        is_asked = bool(outs) and kind in self._arithmetic and dtype == precision
        if is_single and (kind in self._own_kernels or is_asked):
            layer.precision = dtype
        for index in outs:
            if is_single:
                layer.set_output_type(index, dtype)
            self._types[layer.get_output(index).name] = dtype

    def _constrain_quantized(self, layer: Any, outputs: Any) -> None:
        """Say what a layer hands on that multiplies in int8; that it does, what it reads tells."""
        for index in range(layer.num_outputs):
            layer.set_output_type(index, outputs[index])
            self._types[layer.get_output(index).name] = outputs[index]

    def _constrain_plugin(self, layer: Any, outputs: Any, precision: Any) -> None:
        """Follow the types of a plugin; with a precision it has no other choice."""
        inputs = [layer.get_input(index).dtype for index in range(layer.num_inputs)]
        # One that reads integers as well has no kernel for a precision: then the types of its outputs have to do.
        if precision is not None and all(dtype in self._floats for dtype in inputs):
            layer.precision = precision
        for index in range(layer.num_outputs):
            output = layer.get_output(index)
            dtype = precision if outputs is None else outputs[index]
            if dtype in self._floats:
                self._types[output.name] = dtype
                if precision is not None:
                    layer.set_output_type(index, dtype)

    def _computes_in(self, layer: Any) -> Any:
        kind = getattr(layer, "type", None)
        if kind == self._kinds.CAST:
            return layer.to_type
        if kind == self._kinds.CONSTANT:
            return layer.get_output(0).dtype
        for index in range(layer.num_inputs):
            tensor = layer.get_input(index)
            if tensor is not None and (dtype := self._types.get(tensor.name, tensor.dtype)) in self._floats:
                return dtype
        return layer.get_output(0).dtype if layer.num_inputs == 0 else None
