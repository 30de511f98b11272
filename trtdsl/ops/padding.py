"""Elements put around a tensor."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import MOVABLE, is_at_most, of_type
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import ANY_SIGN, Choice, DimOrList, Float
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.slicing import ZERO, pairs_from_the_last
from trtdsl.types import DataType, Dim, Shape, TensorType, format_shape

_SAMPLE_MODES = {
    "constant": "FILL",
    "reflect": "REFLECT",
    "replicate": "CLAMP",
    "edge": "CLAMP",
    "circular": "WRAP",
    "wrap": "WRAP",
}
_PLUGIN_MODES = {"reflect": "reflect", "replicate": "edge", "edge": "edge"}
_ONNX_MODES = {"FILL": "constant", "REFLECT": "reflect", "CLAMP": "edge"}


class Pad(Op):
    """Elements put around a tensor, as torch.nn.functional.pad: the order is [left, right, top, bottom, ...].

    One number goes around all spatial axes, as in torch.nn.ReflectionPad2d(3).
    `reflect` mirrors without repeating the border, `replicate` (or `edge`) repeats it, `circular` (or `wrap`)
    continues from the other side. A negative amount takes elements away, in the mode `constant` only.
    """

    kind = "pad"
    policy = Policy.TRANSPARENT
    example = "{op: pad, padding: 3, mode: reflect}"
    by_plugin = "ReflectPad"
    x = tensor(MOVABLE)
    padding = attribute(
        DimOrList(minimum=ANY_SIGN),
        help="elements before and after, beginning with the last axis: [left, right, ...]; or one number for all "
        "spatial axes",
    )
    mode = attribute(Choice(*_SAMPLE_MODES), default="constant", help="what the new elements are")
    value = attribute(Float(), default=0.0, help="the new elements of the mode `constant`")

    def infer(self, x: TensorType) -> TensorType:
        if self.mode == "constant":
            check_number(self.value, x.dtype, "value")
        return x.with_shape(self._window(x)[1])

    def _window(self, x: TensorType) -> tuple[Shape, Shape]:
        """Start, relative to the input, and size of every axis."""
        starts, sizes = [ZERO] * x.rank, list(x.shape)
        for axis, sides in pairs_from_the_last(self._amounts(x), x.rank, "padding").items():
            self._check(axis, x.shape[axis], sides)
            before, after = sides
            starts[axis], sizes[axis] = ZERO - before, x.shape[axis] + before + after
            if min(sizes[axis].sizes) <= 0:
                raise OpError(f"nothing is left of axis {axis} of size {x.shape[axis]}", at="padding")
        return tuple(starts), tuple(sizes)

    def _amounts(self, x: TensorType) -> Shape:
        if not isinstance(self.padding, Dim):
            return self.padding
        if x.rank < 3:
            raise OpError(
                f"the input {format_shape(x.shape)} has no spatial axes, which stand after batch and channels",
                at="padding",
                hint=f"a list goes by axes: `[{self.padding}, {self.padding}]` pads the last one",
            )
        return (self.padding,) * (2 * (x.rank - 2))

    def _check(self, axis: int, size: Dim, sides: tuple[Dim, Dim]) -> None:
        """Refuse amounts that the mode cannot fill."""
        if self.mode == "constant":
            return
        limit = {"reflect": size - 1, "circular": size, "wrap": size}.get(self.mode)
        for amount in sides:
            if not is_at_most(0, amount):
                raise OpError(f"{self.mode} padding of {amount} is negative", at="padding", hint="`crop` takes away")
            if limit is not None and not is_at_most(amount, limit):
                smallest = "" if size.is_static else f" ({min(size.sizes)} at its smallest)"
                raise OpError(
                    f"{self.mode} padding of {amount} is more than axis {axis} of size {size}{smallest} can give",
                    at="padding",
                )

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        if x_type.dtype is DataType.BOOL and not net.runtime.has_bool_padding:
            whole = x_type.with_dtype(DataType.INT32)
            return net.cast(self._pad(net, net.cast(x, DataType.INT32), whole), DataType.BOOL)
        return self._pad(net, x, x_type)

    def _pad(self, net: Net, x: Any, x_type: TensorType) -> Any:
        start, size = self._window(x_type)
        mode = _SAMPLE_MODES[self.mode]
        fill = net.constant(self.value, x_type.dtype) if mode == "FILL" else None
        return net.slice(x, start, size, (1,) * x_type.rank, mode, fill)

    def plugin_fields(self, x: TensorType) -> dict[str, object]:
        mode = _PLUGIN_MODES.get(self.mode)
        if mode is None:
            raise OpError(f"it pads in the modes {', '.join(_PLUGIN_MODES)}", at="mode")
        return {"paddings": list(self.plugin_paddings(x)), "mode": mode}

    def plugin_paddings(self, x: TensorType) -> tuple[int, ...]:
        """What the plugin puts around the last two axes: [left, right, top, bottom]. Raises OpError."""
        amounts = self._amounts(x)
        if len(amounts) > 4:
            raise OpError("it pads the last two axes only", at="padding")
        if not all(amount.is_static for amount in amounts):
            raise OpError("it pads by fixed amounts", at="padding")
        return tuple(amount.value for amount in amounts) + (0,) * (4 - len(amounts))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type = of_type(net.input_types[0])
        start, size = self._window(x_type)
        before = tuple(ZERO - position for position in start)
        after = tuple(after - before - whole for after, before, whole in zip(size, before, x_type.shape, strict=True))
        mode = _SAMPLE_MODES[self.mode]
        if mode == "WRAP":
            return _wrap(net, x, x_type.shape, before, after)
        value = net.constant(self._scalar(x_type.dtype), x_type.dtype) if mode == "FILL" else None
        return net.node("Pad", x, net.shape_tensor((*before, *after)), value, mode=_ONNX_MODES[mode])

    def _scalar(self, dtype: DataType) -> float | bool:
        return bool(self.value) if dtype is DataType.BOOL else self.value


def _wrap(net: OnnxNet, x: str, shape: Shape, before: Shape, after: Shape) -> str:
    """Each axis continued from its other side: ONNX has that mode from opset 19 on only."""
    for axis, (left, right) in enumerate(zip(before, after, strict=True)):
        zeros, ones = (ZERO,) * len(shape), (1,) * len(shape)
        parts = [x]
        if max(left.sizes) > 0:
            start = (*zeros[:axis], shape[axis] - left, *zeros[axis + 1 :])
            parts.insert(0, net.slice(x, start, (*shape[:axis], left, *shape[axis + 1 :]), ones))
        if max(right.sizes) > 0:
            parts.append(net.slice(x, zeros, (*shape[:axis], right, *shape[axis + 1 :]), ones))
        if len(parts) > 1:
            x = net.node("Concat", *parts, axis=axis)
            shape = (*shape[:axis], shape[axis] + left + right, *shape[axis + 1 :])
    return x
