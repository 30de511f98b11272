"""Normalisations: with stored statistics, and with those of the input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import of_type
from trtdsl.ops._spatial import check_divides, spatial_rank, static_channels
from trtdsl.ops.attributes import Bool, Float, Int, Ints, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType, format_shape, volume

if TYPE_CHECKING:
    import numpy as np

    from trtdsl.weights import Weight

_EPS = "added to the variance, so that it is never zero"


class BatchNorm(Op):
    """Normalisation by stored statistics, as torch.nn.BatchNorm1d, BatchNorm2d and BatchNorm3d in eval mode.

    `(x - running_mean) / sqrt(running_var + eps) * weight + bias` per channel, folded in fp32 to one scale and shift.
    """

    kind = "batch_norm"
    aliases = ("batchnorm",)
    example = "{op: batch_norm}"
    x = tensor(FLOATS, help="[batch, channels, ...] with up to 3 spatial axes")
    eps = attribute(Float(minimum=0), default=1e-5, help=_EPS)
    affine = attribute(Bool(), default=True, help="has a weight and a bias")
    weight = declare_weight("[channels], scale after normalisation", initial=1.0, when="affine")
    bias = declare_weight("[channels], shift after normalisation", initial=0.0, when="affine")
    running_mean = declare_weight("[channels], the mean to subtract", initial=0.0)
    running_var = declare_weight("[channels], the variance to divide by the root of", initial=1.0)

    def infer(self, x: TensorType) -> TensorType:
        if not 2 <= x.rank <= 5:
            raise OpError(
                f"batch_norm takes [batch, channels, ...] of 2 to 5 axes, the input is {format_shape(x.shape)}"
            )
        static_channels(self.kind, x)
        return x

    def infer_with(self, weights: Mapping[str, Weight], x: TensorType) -> TensorType:
        if (variance := weights.get("running_var")) is None:
            return self.infer(x)
        smallest = variance.source.load(variance.natural_shape, DataType.FP32).min(initial=1.0)
        if smallest + self.eps <= 0:
            message = f"{variance.source.describe()} is the variance, and holds {smallest:g}: it has no root"
            raise OpError(message, at="running_var", code="weight-value")
        return self.infer(x)

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return dict.fromkeys(self.weights, (static_channels(self.kind, x),))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        scale, shift = self._fold(net)
        if x_type.rank >= 4:
            weights = net.typed_weights(shift), net.typed_weights(scale), net.weights("power")
            return net.add_scale_nd(x, net.trt.ScaleMode.CHANNEL, *weights, 1)
        shape = (1, scale.size) + (1,) * (x_type.rank - 2)
        scaled = net.elementwise("PROD", x, net.constant(scale, shape=shape))
        return net.elementwise("SUM", scaled, net.constant(shift, shape=shape))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        channels = static_channels(self.kind, of_type(net.input_types[0]))
        scale, shift = _onnx_factors(net, self, (channels,))
        mean, variance = net.weight("running_mean"), net.weight("running_var")
        return net.node("BatchNormalization", x, scale, shift, mean, variance, epsilon=self.eps)

    def _fold(self, net: Net) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        scale = 1 / np.sqrt(net.weight_array("running_var") + np.float32(self.eps))
        if self.weight:
            scale = scale * net.weight_array("weight")
        shift = -net.weight_array("running_mean") * scale
        return scale, shift + net.weight_array("bias") if self.bias else shift


class InstanceNorm(Op):
    """Normalisation of each channel of each sample over its spatial axes, as torch.nn.InstanceNorm1d, 2d and 3d.

    `(x - mean) / sqrt(variance + eps)`, then `weight` and `bias` where `affine` asks for them.
    """

    kind = "instance_norm"
    aliases = ("instancenorm",)
    policy = Policy.ACCUMULATE
    example = "{op: instance_norm}"
    by_plugin = "InstanceNorm"
    plugin_weights = MappingProxyType({"weight": "scale", "bias": "bias"})
    x = tensor(FLOATS, help="[batch, channels, ...] with 1 to 3 spatial axes")
    eps = attribute(Float(minimum=0), default=1e-5, help=_EPS)
    affine = attribute(Bool(), default=False, help="has a weight and a bias")
    weight = declare_weight("[channels], scale after normalisation", initial=1.0, when="affine")
    bias = declare_weight("[channels], shift after normalisation", initial=0.0, when="affine")

    def infer(self, x: TensorType) -> TensorType:
        spatial_rank(self.kind, x)
        static_channels(self.kind, x)
        return x

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return dict.fromkeys(self.weights, (static_channels(self.kind, x),))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        shape = (1, x_type.shape[1].value) + (1,) * (x_type.rank - 2)
        scale, shift = _factor(net, "weight", self.weight, shape, 1.0), _factor(net, "bias", self.bias, shape, 0.0)
        return _add_normalization(net, x, scale, shift, range(2, x_type.rank), self.eps)

    def plugin_fields(self, x: TensorType) -> dict[str, object]:
        return {"epsilon": self.eps}

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        channels = static_channels(self.kind, of_type(net.input_types[0]))
        return net.node("InstanceNormalization", x, *_onnx_factors(net, self, (channels,)), epsilon=self.eps)


class _LastAxesNorm(Op):
    """What layer_norm and rms_norm share."""

    policy = Policy.ACCUMULATE
    x = tensor(FLOATS, help="[..., *normalized_shape]")
    normalized_shape = attribute(
        Maybe(Ints(minimum=1)), default=None, help="sizes of the axes that are normalised; by default the last axis"
    )
    eps = attribute(Float(minimum=0), default=1e-5, help=_EPS)
    elementwise_affine = attribute(Bool(), default=True, help="has a weight and a bias")
    weight = declare_weight("[*normalized_shape], scale after normalisation", initial=1.0, when="elementwise_affine")

    def infer(self, x: TensorType) -> TensorType:
        normalized = self._normalized(x)
        if self.weights:
            _static_sizes(self.kind, normalized)
        return x

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return {name: _static_sizes(self.kind, self._normalized(x)) for name in self.weights}

    def _normalized(self, x: TensorType) -> Shape:
        """The axes that are normalised. Raises OpError when the input does not end in `normalized_shape`."""
        if x.rank == 0:
            raise OpError(f"{self.kind} normalises the last axes, the input is a scalar")
        if self.normalized_shape is None:
            return x.shape[-1:]
        actual = x.shape[-len(self.normalized_shape) :]
        if tuple(dim.expression for dim in actual) != self.normalized_shape:
            wanted = format_shape(self.normalized_shape)
            raise OpError(
                f"the input {format_shape(x.shape)} does not end in normalized_shape {wanted}",
                at="normalized_shape",
                hint="without `normalized_shape` the last axis is normalised",
            )
        return actual


class LayerNorm(_LastAxesNorm):
    """Normalisation over the last axes, as torch.nn.LayerNorm: `(x - mean) / sqrt(variance + eps) * weight + bias`."""

    kind = "layer_norm"
    aliases = ("layernorm",)
    example = "{op: layer_norm, eps: 1e-6}"
    bias = declare_weight(
        "[*normalized_shape], shift after normalisation", initial=0.0, optional=True, when="elementwise_affine"
    )

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        normalized = self._normalized(x_type)
        first = x_type.rank - len(normalized)
        # Ones broadcast where nothing is learned, so those axes may be dynamic.
        shape = (1,) * first + tuple(dim.value if self.weights else 1 for dim in normalized)
        scale, shift = _factor(net, "weight", self.weight, shape, 1.0), _factor(net, "bias", self.bias, shape, 0.0)
        return _add_normalization(net, x, scale, shift, range(first, x_type.rank), self.eps)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type = of_type(net.input_types[0])
        normalized = self._normalized(x_type)
        bias = net.weight("bias") if self.bias else None
        if self.weight:
            scale = net.weight("weight")
        else:
            scale = net.node("Expand", net.constant(1.0), net.shape_tensor(normalized))
        axis = x_type.rank - len(normalized)
        return net.node("LayerNormalization", x, scale, bias, axis=axis, epsilon=self.eps)


class GroupNorm(Op):
    """Normalisation of groups of channels, each with its spatial axes, as torch.nn.GroupNorm."""

    kind = "group_norm"
    aliases = ("groupnorm",)
    policy = Policy.ACCUMULATE
    example = "{op: group_norm, num_groups: 32}"
    example_inputs = "{x: [1, 64, 32, 32]}"
    x = tensor(FLOATS, help="[batch, channels, ...]")
    num_groups = attribute(Int(minimum=1), help="groups that the channels are divided into")
    eps = attribute(Float(minimum=0), default=1e-5, help=_EPS)
    affine = attribute(Bool(), default=True, help="has a weight and a bias")
    weight = declare_weight("[channels], scale after normalisation", initial=1.0, when="affine")
    bias = declare_weight("[channels], shift after normalisation", initial=0.0, when="affine")

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise OpError(f"group_norm takes [batch, channels, ...], the input is {format_shape(x.shape)}")
        check_divides(self.num_groups, static_channels(self.kind, x), "input channels", "num_groups")
        return x

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return dict.fromkeys(self.weights, (static_channels(self.kind, x),))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        groups = self.num_groups
        # TensorRT's own groups take a scale per group or one per channel, as the version has it: make each group a row.
        rows = self._rows(x_type)
        ones, zeros = (
            net.constant([1.0] * groups, shape=(1, groups, 1)),
            net.constant([0.0] * groups, shape=(1, groups, 1)),
        )
        normalised = _add_normalization(net, net.reshape(x, x_type.shape, rows), ones, zeros, (2,), self.eps)
        result = net.reshape(normalised.get_output(0), rows, x_type.shape)
        shape = self._channel_shape(x_type)
        if self.weight:
            result = net.elementwise("PROD", result, net.weight_tensor("weight", shape))
        if self.bias:
            result = net.elementwise("SUM", result, net.weight_tensor("bias", shape))
        return result

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type = of_type(net.input_types[0])
        ones, zeros = net.constant([1.0] * self.num_groups), net.constant([0.0] * self.num_groups)
        rows = net.reshape(x, self._rows(x_type))
        result = net.node("InstanceNormalization", rows, ones, zeros, epsilon=self.eps)
        result = net.reshape(result, x_type.shape)
        shape = self._channel_shape(x_type)
        if self.weight:
            result = net.node("Mul", result, net.weight("weight", shape))
        return net.node("Add", result, net.weight("bias", shape)) if self.bias else result

    def _rows(self, x: TensorType) -> Shape:
        """The shape in which each group is a row."""
        batch, channels, *spatial = x.shape
        return batch, Dim.of(self.num_groups), volume(spatial) * (channels.value // self.num_groups)

    def _channel_shape(self, x: TensorType) -> tuple[int, ...]:
        return (1, x.shape[1].value) + (1,) * (x.rank - 2)


class RMSNorm(_LastAxesNorm):
    """Division by the root mean square of the last axes, as torch.nn.RMSNorm: `x / sqrt(mean(x^2) + eps) * weight`."""

    kind = "rms_norm"
    example = "{op: rms_norm, eps: 1e-6}"
    eps = attribute(
        Float(minimum=0), default=2.0**-23, help="added to the mean square; by default fp32's machine epsilon"
    )
    elementwise_affine = attribute(Bool(), default=True, help="has a weight")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        normalized = self._normalized(x_type)
        first = x_type.rank - len(normalized)
        square = net.elementwise("PROD", x, x)
        mean = net.reduce("AVG", square, tuple(range(first, x_type.rank)), True)
        padded = net.elementwise("SUM", mean, net.constant(self.eps, shape=(1,) * x_type.rank))
        result = net.elementwise("DIV", x, net.unary("SQRT", padded))
        if not self.weight:
            return result
        shape = (1,) * first + _static_sizes(self.kind, normalized)
        return net.elementwise("PROD", result, net.weight_tensor("weight", shape))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type = of_type(net.input_types[0])
        normalized = self._normalized(x_type)
        axes = tuple(range(x_type.rank - len(normalized), x_type.rank))
        mean = net.reduce("ReduceMean", net.node("Mul", x, x), axes, True)
        result = net.node("Div", x, net.node("Sqrt", net.node("Add", mean, net.constant(self.eps))))
        return net.node("Mul", result, net.weight("weight")) if self.weight else result


def _static_sizes(kind: str, normalized: Shape) -> tuple[int, ...]:
    for dim in normalized:
        if not dim.is_static:
            raise OpError(
                f"{kind} has weights for axes of a fixed size, {dim} is dynamic",
                hint="`elementwise_affine: false` normalises without weights",
            )
    return tuple(dim.value for dim in normalized)


def _factor(net: Net, name: str, present: bool, shape: tuple[int, ...], neutral: float) -> Any:
    """A weight in the shape that a normalization layer takes, or what changes nothing."""
    return net.weight_tensor(name, shape) if present else net.constant([neutral] * math.prod(shape), shape=shape)


def _onnx_factors(net: OnnxNet, op: Op, shape: tuple[int, ...]) -> tuple[str, str]:
    """Scale and shift of a normalisation, or what changes nothing."""
    import numpy as np

    scale, shift = (
        net.weight(name) if name in op.weights else net.constant(np.full(shape, neutral))
        for name, neutral in (("weight", 1.0), ("bias", 0.0))
    )
    return scale, shift


def _add_normalization(net: Net, x: Any, scale: Any, shift: Any, axes: Iterable[int], eps: float) -> Any:
    # The two differ in what they make of groups, which are not used here; each is missing from some TensorRT.
    add = net.add_normalization_v2 if net.has("add_normalization_v2") else net.add_normalization
    layer = add(x, scale, shift, sum(1 << axis for axis in axes))
    layer.epsilon = eps
    return layer
