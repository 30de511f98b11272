"""Explicit quantisation: floats to a scale times small numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import axis_of, of_type
from trtdsl.ops.attributes import DType, Int, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, QUANTIZED, DataType, Dim, TensorType, format_shape

if TYPE_CHECKING:
    from trtdsl.weights import Weight


class _Quantization(Op):
    """What both directions share: one scale, or one for each element of an axis. Zero stands for zero."""

    x = tensor(FLOATS)
    scale_tensor = tensor(FLOATS, optional=True, help="the scale, unless `scale` gives it; TensorRT 8.6: a constant's")
    scale = declare_weight(
        "what a step of one is worth: a positive number, or as many as `dim` has elements; instead of a second input",
        default=False,
        initial=1.0,
    )
    dim = attribute(
        Maybe(Int()), default=None, help="the axis that has a scale for each element, which TensorRT knows for weights"
    )

    def _count(self, x: TensorType) -> tuple[int, ...]:
        """The shape of the scale."""
        if x.rank == 0:
            raise OpError(f"{self.kind} takes an input with axes, this one is a scalar", at="in")
        if self.dim is None:
            return ()
        size = x.shape[axis_of(self.dim, x.rank)]
        if not size.is_static:
            raise OpError(f"an axis with a scale for each element has a fixed size, this one is {size}", at="dim")
        return (size.value,)

    def _check_scale(self, x: TensorType, scale_tensor: TensorType | None, scale: Weight | None) -> None:
        if (scale_tensor is None) == (scale is None):
            found = "it has both a second input and `scale`" if scale else "it has none"
            raise OpError(
                f"{self.kind} takes one scale, {found}",
                at="scale" if scale else "in",
                hint=None if scale else "`scale: 0.05`, or `scale: true` for that of the weights file",
            )
        expected = self._count(x)
        if scale_tensor is not None:
            alike = [expected] if expected else [(), (1,)]
            if scale_tensor.shape not in [tuple(map(Dim.of, shape)) for shape in alike]:
                shapes = f"{format_shape(expected)}, it is {format_shape(scale_tensor.shape)}"
                raise OpError(f"the shape of the scale has to be {shapes}", at="in")
        elif scale is not None:
            elements = scale.source.load(scale.natural_shape, DataType.FP32)
            if elements.size != 1 and elements.shape != expected:
                hint = "`dim` names the axis that has a scale for each element" if self.dim is None else None
                shapes = f"{format_shape(expected)}, it is {format_shape(elements.shape)}"
                raise OpError(f"the shape of the scale has to be {shapes}", at="scale", hint=hint)
            if not (elements > 0).all():
                raise OpError(f"a scale is positive, the smallest here is {elements.min():g}", at="scale")

    def weight_shapes(self, x: TensorType, scale_tensor: TensorType | None = None) -> dict[str, tuple[int, ...] | None]:
        return {"scale": None}

    def _scale(self, net: Net, scale_tensor: Any) -> Any:
        """The scale as TensorRT wants it, a scalar or a list; a constant stays fp32 whatever the layer computes in."""
        count = self._count(of_type(net.input_types[0]))
        if self.scale:
            return net.constant(_filled(net.weight_array("scale"), count), DataType.FP32)
        shape = of_type(net.input_types[1]).shape
        return scale_tensor if len(shape) == len(count) else net.reshape(scale_tensor, shape, ())

    def _onnx_scale(self, net: OnnxNet, scale_tensor: str | None) -> str:
        """The scale in fp32, the only type that all versions take."""
        count = self._count(of_type(net.input_types[0]))
        if scale_tensor is None:
            return net.constant(_filled(net.weight_array("scale"), count), DataType.FP32)
        given = of_type(net.input_types[1])
        scale = scale_tensor if given.rank == len(count) else net.reshape(scale_tensor, ())
        return scale if given.dtype is DataType.FP32 else net.cast(scale, DataType.FP32)

    def _axis(self, net: Net | OnnxNet) -> int | None:
        return None if self.dim is None else axis_of(self.dim, of_type(net.input_types[0]).rank)


def _filled(scale: Any, count: tuple[int, ...]) -> Any:
    """One scale stands for all."""
    return scale.reshape(-1).repeat(prod(count)).reshape(count) if scale.size == 1 else scale


def _set_axis(layer: Any, axis: int | None) -> Any:
    if axis is not None:
        layer.axis = axis
    return layer.get_output(0)


class Quantize(_Quantization):
    """`x / scale` as int8, rounded to even and limited to -128 and 127, or as fp8; TensorRT's quantize layer."""

    kind = "quantize"
    example = "{op: quantize, scale: 0.05}"
    dtype = attribute(DType(DataType.INT8, DataType.FP8), default=DataType.INT8, help="what it becomes")

    def infer_with(
        self, weights: Mapping[str, Weight], x: TensorType, scale_tensor: TensorType | None = None
    ) -> TensorType:
        self._check_scale(x, scale_tensor, weights.get("scale"))
        return x.with_dtype(self.dtype)

    def to_tensorrt(self, net: Net, x: Any, scale_tensor: Any = None) -> Any:
        scale = self._scale(net, scale_tensor)
        if net.runtime.has_typed_quantization:
            return _set_axis(net.add_quantize(x, scale, _trt_type(net, self.dtype)), self._axis(net))
        _refuse_fp8(net, self.dtype, "dtype")
        return _set_axis(net.add_quantize(x, scale), self._axis(net))

    def to_onnx(self, net: OnnxNet, x: str, scale_tensor: str | None = None) -> str:
        scale = self._onnx_scale(net, scale_tensor)
        wide = x if of_type(net.input_types[0]).dtype is DataType.FP32 else net.cast(x, DataType.FP32)
        # The type of zero decides that of the output.
        count = self._count(of_type(net.input_types[0]))
        zero = net.constant([0.0] * count[0] if count else 0.0, DataType.FP32)
        return net.node("QuantizeLinear", wide, scale, net.cast(zero, self.dtype), axis=self._axis(net))


class Dequantize(_Quantization):
    """`x * scale`, of int8 or fp8, in the precision of the layer; TensorRT's dequantize layer."""

    kind = "dequantize"
    example = "{op: dequantize, scale: 0.05}"
    example_inputs = "{x: {shape: [1, 8, 32, 32], dtype: int8}}"
    is_fused = False
    """Whether it only says how the layer behind it multiplies, so that nothing may stand between them."""
    x = tensor(QUANTIZED)

    def infer_with(
        self, weights: Mapping[str, Weight], x: TensorType, scale_tensor: TensorType | None = None
    ) -> TensorType:
        self._check_scale(x, scale_tensor, weights.get("scale"))
        return x.with_dtype(DataType.FP32 if scale_tensor is None else scale_tensor.dtype)

    def to_tensorrt(self, net: Net, x: Any, scale_tensor: Any = None) -> Any:
        scale = self._scale(net, scale_tensor)
        dtype = net.output_types[0].dtype
        if net.runtime.has_typed_quantization:
            return _set_axis(net.add_dequantize(x, scale, _trt_type(net, dtype)), self._axis(net))
        _refuse_fp8(net, of_type(net.input_types[0]).dtype, "in")
        layer = net.add_dequantize(x, scale)
        wide = _set_axis(layer, self._axis(net))
        if self.is_fused:
            net.hands_on(layer)
            return wide
        return wide if dtype is DataType.FP32 else net.cast(wide, dtype)

    def to_onnx(self, net: OnnxNet, x: str, scale_tensor: str | None = None) -> str:
        wide = net.node("DequantizeLinear", x, self._onnx_scale(net, scale_tensor), axis=self._axis(net))
        dtype = net.output_types[0].dtype
        return wide if dtype is DataType.FP32 else net.cast(wide, dtype)


class InputQuantize(Quantize):
    """What quantised layers read, rounded from the type that it has."""

    policy = Policy.TRANSPARENT


class InputDequantize(Dequantize):
    """What quantised layers read, as floats again."""

    is_fused = True


def _trt_type(net: Net, dtype: DataType) -> Any:
    return getattr(net.trt.DataType, dtype.trt_name)


def _refuse_fp8(net: Net, dtype: DataType, at: str) -> None:
    if dtype is DataType.FP8:
        raise OpError(f"{net.runtime} does not quantise to fp8", at=at, hint="int8 works everywhere")
