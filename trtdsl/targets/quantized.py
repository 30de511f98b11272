"""Weights of quantised layers as TensorRT takes them: constants that go through int8 or fp8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtdsl.types import QUANTIZED, DataType
from trtdsl.weights import Weight
from trtdsl.weights.quantized import SCALES

if TYPE_CHECKING:
    import numpy as np

    from trtdsl.graph import Layer
    from trtdsl.targets.lowering import NetworkState
    from trtdsl.targets.runtime import Runtime
    from trtdsl.types import TensorType


class QuantizedWeights:
    """The part of a `Net` that adds layers which multiply, in floats or in int8 or fp8."""

    state: NetworkState
    layer: Layer
    runtime: Runtime
    input_types: tuple[TensorType | None, ...]
    handing_on: list[Any]

    if TYPE_CHECKING:
        # What the rest of the net has.
        @property
        def dtype(self) -> DataType: ...
        def __getattr__(self, name: str) -> Any: ...
        def weights(self, name: str) -> Any: ...
        def weight_array(self, name: str) -> np.ndarray[Any, Any]: ...
        def constant(
            self, value: object, dtype: DataType | None = None, shape: tuple[int, ...] | None = None
        ) -> Any: ...

    def add_weighted(self, method: str, x: Any, channels: int, window: tuple[int, ...]) -> Any:
        """A convolution or deconvolution by `weight` and `bias`, in the type that this layer multiplies in."""
        if not self.is_quantized("weight"):
            return getattr(self, method)(x, channels, window, self.weights("weight"), self.weights("bias"))
        weight = self.layer.weights["weight"]
        axis = (self.layer.op.quantized_weights or {})["weight"]
        kernel = self.quantized_weight("weight", weight, (*weight.settled_shape[:2], *window), axis)
        layer = getattr(self, method)(x, channels, window, self.state.api.no_weights(self.dtype), self.weights("bias"))
        layer.set_input(1, kernel)
        self.hands_on(layer)
        return layer

    def hands_on(self, layer: Any) -> None:
        """Say of a layer that was added that, if it reads int8 or fp8, it gives floats of this layer's precision."""
        reads_quantized = any(entry is not None and entry.dtype in QUANTIZED for entry in self.input_types)
        if self.layer.quantized is not None or reads_quantized:
            self.handing_on.append(layer)

    def is_quantized(self, name: str) -> bool:
        """Whether this layer multiplies by a weight in int8 or fp8."""
        return self.layer.quantized is not None and name in (self.layer.op.quantized_weights or {})

    def quantized_weight(self, name: str, weight: Weight, shape: tuple[int, ...], axis: int) -> Any:
        """A weight that has gone through int8 or fp8, as floats again; it is stored in what lies between."""
        label = f"{self.layer.name}.{name}"
        wide = weight.with_dtype(DataType.FP32)
        elements = self.add_constant(shape, self.state.api.weights_of(wide, label)).get_output(0)
        scales = self.constant(self.weight_array(SCALES.format(name)), DataType.FP32)
        if self.runtime.has_typed_quantization:
            small = self.state.api.data_type(self.layer.quantized or DataType.INT8)
            quantize = self.add_quantize(elements, scales, small)
            quantize.axis = axis
            restore = self.add_dequantize(quantize.get_output(0), scales, self.state.api.data_type(self.dtype))
        else:
            quantize = self.add_quantize(elements, scales)
            quantize.axis = axis
            restore = self.add_dequantize(quantize.get_output(0), scales)
        restore.axis = axis
        return restore.get_output(0)
