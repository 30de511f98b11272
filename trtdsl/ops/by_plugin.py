"""Ops in the form of plugins: what `impl` makes of layers. None of these is an op of the language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trtdsl.ops._axes import of_type
from trtdsl.ops.activation import LeakyRelu, Relu
from trtdsl.ops.base import Op, OpError, Policy, tensor
from trtdsl.ops.net import Net
from trtdsl.ops.norm import InstanceNorm
from trtdsl.ops.onnx_net import OnnxNet
from trtdsl.ops.padding import Pad
from trtdsl.ops.plugin import infer_bundled, settle_bundled
from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.plugins.declaration import NAMESPACE, PluginDeclaration
from trtdsl.plugins.given import read_given
from trtdsl.plugins.use import PluginUse
from trtdsl.types import FLOATS, DataType, Dim, TensorType


class ByPlugin(Op):
    """An op in the form of the plugin that does the same.

    It computes in the layer's precision, and sums in fp32 by itself; what only moves elements keeps their type. Its
    shapes, its weights and its ONNX form are the op's own.
    """

    kind = "by_plugin"
    x = tensor(FLOATS)
    residual = tensor(FLOATS, optional=True)

    def __init__(self, op: Op, fields: Mapping[str, object]) -> None:
        """`fields` are those that no weights become."""
        super().__init__({}, op.weights)
        self.op = op
        self.fields = fields

    def __repr__(self) -> str:
        return (
            f"{self.op!r} by {self.op.by_plugin}({', '.join(f'{key}={value!r}' for key, value in self.fields.items())})"
        )

    @property
    def title(self) -> str:
        return f"{self.op.title} by the plugin {self.op.by_plugin}"

    @property
    def declaration(self) -> PluginDeclaration:
        return bundled_plugins()[self.op.by_plugin]

    @property
    def plugin_uses(self) -> tuple[PluginUse, ...]:
        return (PluginUse(self.op.by_plugin, namespace=NAMESPACE),)

    def precision_policy(self) -> Policy:
        return Policy.TRANSPARENT if self.op.precision_policy() is Policy.TRANSPARENT else Policy.COMPUTE

    def infer(self, *inputs: Any) -> TensorType | tuple[TensorType, ...]:
        return self.op.infer(*inputs)

    def weight_shapes(self, *inputs: Any) -> dict[str, tuple[int, ...] | None]:
        return self.op.weight_shapes(*inputs)

    def check(self, precision: DataType, inputs: Sequence[TensorType | None]) -> None:
        """Refuse a precision, inputs and parameters that the plugin does not take. Raises OpError."""
        known = self.declaration.dtypes_of(self.declaration.inputs[0].name)
        if precision not in known:
            raise OpError(f"it has kernels for {', '.join(map(str, known))}, not for {precision}", at="precision")
        shapes = self.op.weight_shapes(*inputs)
        # How many elements there are is all that counts here.
        counts = {field: [0.0] * _count(shapes[name]) for name, field in self._fields_of_weights()}
        present = [entry.with_dtype(precision) for entry in inputs if entry is not None]
        infer_bundled(
            self.declaration, settle_bundled(self.declaration, read_given({**self.fields, **counts})), present
        )

    def _fields_of_weights(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, self.op.plugin_weights[name]) for name in self.weights)

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        weights = {field: net.weight_array(name).tolist() for name, field in self._fields_of_weights()}
        present = [entry for entry in inputs if entry is not None]
        return net.plugin(self.op.by_plugin, present, {**self.fields, **weights}, namespace=NAMESPACE)

    def to_onnx(self, net: OnnxNet, *inputs: Any) -> str | tuple[str, ...]:
        return self.op.to_onnx(net, *inputs)


def _count(shape: tuple[int, ...] | None) -> int:
    assert shape is not None, "a plugin takes weights whose shapes are known"
    return shape[0]


NO_PADDING = (0, 0, 0, 0)


@dataclass(frozen=True)
class NormSteps:
    """What a norm block does: `pad(activation(norm(x)) + residual)`.

    `residual_paddings` lie around the part of the residual that is added, [left, right, top, bottom].
    """

    norm: InstanceNorm
    activation: Relu | LeakyRelu | None = None
    adds: bool = False
    residual_paddings: tuple[int, ...] = NO_PADDING
    pad: Pad | None = None


class NormBlock(Op):
    """An instance norm and what follows it in the blocks of style transfer networks, as one pass over memory."""

    kind = "norm_block"
    by_plugin = "InstanceNormPad"
    plugin_weights = MappingProxyType({"weight": "scale", "bias": "bias"})
    policy = Policy.ACCUMULATE
    x = tensor(FLOATS, help="[batch, channels, height, width]")
    residual = tensor(FLOATS, optional=True, help="as large as x and residual_paddings together")

    def __init__(self, steps: NormSteps, members: tuple[str, ...]) -> None:
        """`members` are the names of the layers that it stands for."""
        super().__init__({}, steps.norm.weights)
        self.steps, self.members = steps, members

    def __repr__(self) -> str:
        return f"norm_block({self.steps})"

    @property
    def title(self) -> str:
        steps = self.steps
        parts = [steps.norm, steps.activation, "add" if steps.adds else None, steps.pad]
        return " + ".join(part.kind if isinstance(part, Op) else part for part in parts if part is not None)

    def declared_weights(self) -> Mapping[str, Any]:
        return self.steps.norm.declared_weights()

    def infer(self, x: TensorType, residual: TensorType | None = None) -> TensorType:
        normed = self.steps.norm.infer(x)
        return normed if self.steps.pad is None else self.steps.pad.infer(normed)

    def weight_shapes(self, x: TensorType, residual: TensorType | None = None) -> dict[str, tuple[int, ...] | None]:
        return self.steps.norm.weight_shapes(x)

    def plugin_fields(self, x: TensorType, residual: TensorType | None = None) -> dict[str, object]:
        steps = self.steps
        fields: dict[str, object] = {**steps.norm.plugin_fields(x)}
        if steps.activation is not None:
            fields["activation"] = steps.activation.kind
        if isinstance(steps.activation, LeakyRelu):
            fields["slope"] = steps.activation.negative_slope
        if steps.pad is not None:
            fields |= steps.pad.plugin_fields(x)
        return {**fields, "residualPaddings": list(steps.residual_paddings)} if steps.adds else fields

    def to_onnx(self, net: OnnxNet, x: str, residual: str | None = None) -> str:
        steps, x_type = self.steps, of_type(net.input_types[0])
        result = steps.norm.to_onnx(net, x)
        if steps.activation is not None:
            result = steps.activation.to_onnx(net, result)
        if residual is not None:
            left, _, top, _ = steps.residual_paddings
            start = tuple(map(Dim.of, (0, 0, top, left)))
            result = net.node("Add", result, net.slice(residual, start, x_type.shape, (1, 1, 1, 1)))
        return result if steps.pad is None else steps.pad.to_onnx(net, result)


class NormActivation(NormBlock):
    """The part of a norm block that is the norm and its activation, in any number of spatial axes."""

    by_plugin = "InstanceNorm"
