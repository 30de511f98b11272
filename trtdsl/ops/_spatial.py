"""What ops on spatial axes share: values per axis, padding, window arithmetic, and 1-d done as 2-d."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trtdsl.ops._axes import count_axes, of_type
from trtdsl.ops.attributes import Pairs, Same
from trtdsl.ops.base import Net, OnnxNet, OpError
from trtdsl.types import Dim, Shape, TensorType, format_shape

T = TypeVar("T")


def spatial_rank(kind: str, x: TensorType) -> int:
    """The number of axes after batch and channels: 1 to 3. Raises OpError for inputs of other ranks."""
    if not 3 <= x.rank <= 5:
        raise OpError(
            f"{kind} takes [batch, channels, ...] with 1 to 3 spatial axes, the input is {format_shape(x.shape)}",
            hint="`unsqueeze` adds an axis" if x.rank == 2 else None,
        )
    return x.rank - 2


def per_axis(values: Sequence[T], rank: int, at: str) -> tuple[T, ...]:
    """One value for each of `rank` spatial axes; a single one stands for all of them."""
    if len(values) == 1:
        return tuple(values) * rank
    if len(values) != rank:
        raise OpError(f"{at} has {len(values)} values, the input has {count_axes(rank, 'spatial ')}", at=at)
    return tuple(values)


def padding_per_axis(padding: Same | Pairs, rank: int) -> Same | Pairs:
    """Elements before and after each spatial axis, or the word that stands for as many as it takes."""
    return padding if isinstance(padding, str) else per_axis(padding, rank, "padding")


def static_channels(kind: str, x: TensorType) -> int:
    """The size of axis 1. Raises OpError when it is dynamic: weights have a fixed one."""
    if not x.shape[1].is_static:
        raise OpError(f"{kind} needs a fixed number of channels, axis 1 of the input is {x.shape[1]}")
    return x.shape[1].value


def check_divides(groups: int, channels: int, what: str, at: str = "groups") -> None:
    if channels % groups:
        raise OpError(f"{at} {groups} does not divide the {channels} {what}", at=at)


def extents(kernel_size: Sequence[int], dilation: Sequence[int], rank: int) -> tuple[int, ...]:
    """The elements from the first to the last tap of a dilated kernel, on each spatial axis."""
    kernel = per_axis(kernel_size, rank, "kernel_size")
    return tuple((size - 1) * step + 1 for size, step in zip(kernel, per_axis(dilation, rank, "dilation"), strict=True))


def window_count(size: Dim, window: int, stride: int, pad: tuple[int, int]) -> Dim:
    """How many windows fit on one axis. Raises OpError when none does."""
    padded = size + sum(pad)
    if min(padded.sizes) < window:
        shown = f"{size}" if size.is_static else f"{size} = {min(size.sizes)}"
        with_padding = f" with padding {pad[0]} + {pad[1]}" if any(pad) else ""
        raise OpError(f"a window of {window} does not fit into an axis of size {shown}{with_padding}", at="kernel_size")
    return (padded - window + stride) // stride


class Plane:
    """How a lowering sees its spatial axes: TensorRT takes 2 or 3, so a single one is given a second of size 1.

    Made for a layer of one input and one output.
    """

    def __init__(self, net: Net) -> None:
        self._net, self._x, self._y = net, of_type(net.input_types[0]), net.output_types[0]
        self.rank = self._x.rank - 2
        self._is_line = self.rank == 1

    def enter(self, tensor: Any) -> Any:
        """The input as TensorRT's layer takes it."""
        return self._net.reshape(tensor, self._x.shape, self._shape()) if self._is_line else tensor

    def _shape(self) -> Shape:
        return _with_unit(self._x.shape) if self._is_line else self._x.shape

    def leave(self, layer: Any) -> Any:
        """The layer, or its output without the axis that was added."""
        if not self._is_line:
            return layer
        return self._net.reshape(layer.get_output(0), _with_unit(self._y.shape), self._y.shape)

    def spread(self, values: Sequence[T], at: str, neutral: T) -> tuple[T, ...]:
        """The values of parameter `at` for each axis of the layer; the added axis takes `neutral`."""
        spread = per_axis(values, self.rank, at)
        return (*spread, neutral) if self._is_line else spread

    def pad(self, layer: Any, padding: Same | Pairs) -> None:
        """Give a convolution, deconvolution or pooling layer its padding."""
        if isinstance(padding, str):
            modes = self._net.trt.PaddingMode
            layer.padding_mode = modes.SAME_UPPER if padding == "same" else modes.SAME_LOWER
            return
        pairs = self.spread(padding, "padding", (0, 0))
        layer.pre_padding = tuple(before for before, _ in pairs)
        layer.post_padding = tuple(after for _, after in pairs)

    def zero_pad(self, tensor: Any, padding: Pairs) -> Any:
        """What `enter` gave, with zeros around its spatial axes as elements like any other."""
        pairs = ((0, 0), (0, 0), *self.spread(padding, "padding", (0, 0)))
        start = tuple(Dim.of(-before) for before, _ in pairs)
        size = tuple(dim + sum(pair) for dim, pair in zip(self._shape(), pairs, strict=True))
        return self._net.slice(tensor, start, size, (1,) * len(size), "FILL")


class OnnxWindow:
    """How a lowering to ONNX says the padding of a convolution or pooling.

    Made for a layer of one input and one output.
    """

    def __init__(
        self, net: OnnxNet, kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1,)
    ) -> None:
        self._net = net
        self._shape = of_type(net.input_types[0]).shape[2:]
        self.rank = len(self._shape)
        self._strides = per_axis(stride, self.rank, "stride")
        self._windows = extents(kernel_size, dilation, self.rank)
        self._is_dense = set(dilation) == {1}
        self.attributes = {"kernel_shape": per_axis(kernel_size, self.rank, "kernel_size"), "strides": self._strides}
        """The attributes that stand for what this was made with, but the dilation, which pools do not have."""

    def pad(self, x: str, padding: Same | Pairs) -> tuple[str, dict[str, Any]]:
        """The input, and the attributes of what reads it; padded itself where attributes cannot say how much."""
        pairs = self._same(padding) if isinstance(padding, str) else per_axis(padding, self.rank, "padding")
        amounts = tuple(Dim.of(0) + pair[side] for side in (0, 1) for pair in pairs)
        if all(amount.is_static for amount in amounts):
            return x, {"pads": tuple(amount.value for amount in amounts)}
        if self._is_dense:
            return x, {"auto_pad": "SAME_UPPER" if padding == "same" else "SAME_LOWER"}
        return self.zero_pad(x, pairs), {}

    def zero_pad(self, x: str, pairs: Sequence[tuple[Dim | int, Dim | int]]) -> str:
        """The input with zeros around its spatial axes as elements like any other."""
        whole = ((0, 0), (0, 0), *pairs)
        amounts = tuple(Dim.of(0) + pair[side] for side in (0, 1) for pair in whole)
        return self._net.node("Pad", x, self._net.shape_tensor(amounts), self._net.constant(0.0))

    def _same(self, padding: Same) -> tuple[tuple[Dim, Dim], ...]:
        """As much as the windows of `same` take on each axis, the odd element after, with `same_lower` before."""
        pairs = []
        for size, window, stride in zip(self._shape, self._windows, self._strides, strict=True):
            total = ((size.ceil_div(stride) - 1) * stride + window - size).maximum(0)
            half = total // 2
            pairs.append((half, total - half) if padding == "same" else (total - half, half))
        return tuple(pairs)


def _with_unit(shape: Shape) -> Shape:
    return (*shape, Dim.of(1))


def map_spatial(x: TensorType, channels: Dim | int, change: Callable[[int, Dim], Dim]) -> TensorType:
    """The type with other channels, and each spatial axis changed by `change(axis, size)`, counted from 0."""
    spatial = tuple(change(axis, size) for axis, size in enumerate(x.shape[2:]))
    return x.with_shape((x.shape[0], channels, *spatial))
