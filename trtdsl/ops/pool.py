"""Pooling: sliding windows over one to three spatial axes, and whole axes at once."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import of_type
from trtdsl.ops._spatial import OnnxWindow, Plane, map_spatial, padding_per_axis, per_axis, spatial_rank, window_count
from trtdsl.ops.attributes import Bool, Ints, Maybe, Padding, Pairs, Same
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, Dim, Shape, TensorType, format_shape


class _WindowPool(Op):
    """What max_pool and avg_pool share."""

    pooling: ClassVar[str]
    """The member of `PoolingType`."""

    x = tensor(FLOATS, help="[batch, channels, ...] with 1 to 3 spatial axes")
    kernel_size = attribute(Ints(minimum=1), help="size of the window, one for all axes or one per axis")
    stride = attribute(Maybe(Ints(minimum=1)), default=None, help="step between windows; the kernel_size by default")
    padding = attribute(Padding(), default=((0, 0),), help="elements around the spatial axes; less than the window")
    ceil_mode = attribute(
        Bool(), default=False, help="keep a last window that sticks out, if it starts before the padding after the axis"
    )

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(self.kind, x)
        windows = per_axis(self.kernel_size, rank, "kernel_size")
        strides = self._strides(rank)
        padding = self._padding(rank)

        def count(axis: int, size: Dim) -> Dim:
            if isinstance(padding, str):
                return size.ceil_div(strides[axis])
            return window_count(size, windows[axis], strides[axis], padding[axis])

        return map_spatial(x, x.shape[1], count)

    def _strides(self, rank: int) -> tuple[int, ...]:
        return per_axis(self.stride or self.kernel_size, rank, "stride" if self.stride else "kernel_size")

    def _padding(self, rank: int) -> Same | Pairs:
        """The padding with which counting rounds down, as TensorRT is told to, whatever ceil_mode says.

        PyTorch's ceil_mode counts the windows that start before the padding after the axis. As many fit when that
        padding is `stride - 1` larger, but never as large as the window.
        """
        padding = padding_per_axis(self.padding, rank)
        if isinstance(padding, str):
            if self.ceil_mode:
                raise OpError(f"ceil_mode says nothing beside `padding: {padding}`", at="ceil_mode")
            return padding
        windows = per_axis(self.kernel_size, rank, "kernel_size")
        for pair, window in zip(padding, windows, strict=True):
            if max(pair) >= window:
                raise OpError(f"padding {max(pair)} is not smaller than the window of {window}", at="padding")
        if not self.ceil_mode:
            return padding
        strides = self._strides(rank)
        return tuple(
            (before, min(after + stride - 1, window - 1))
            for (before, after), stride, window in zip(padding, strides, windows, strict=True)
        )

    def _add_pooling(self, net: Net, plane: Plane, x: Any, padding: Same | Pairs) -> Any:
        window = plane.spread(self.kernel_size, "kernel_size", 1)
        layer = net.add_pooling_nd(x, getattr(net.trt.PoolingType, self.pooling), window)
        layer.stride_nd = plane.spread(self._strides(plane.rank), "stride", 1)
        plane.pad(layer, padding)
        return layer

    def _onnx_window(self, net: OnnxNet) -> OnnxWindow:
        return OnnxWindow(net, self.kernel_size, self.stride or self.kernel_size)


class MaxPool(_WindowPool):
    """The largest element of each window, as torch.nn.MaxPool1d, MaxPool2d and MaxPool3d."""

    kind = "max_pool"
    pooling = "MAX"
    example = "{op: max_pool, kernel_size: 3, stride: 2, padding: 1}"

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        plane = Plane(net)
        return plane.leave(self._add_pooling(net, plane, plane.enter(x), self._padding(plane.rank)))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        window = self._onnx_window(net)
        x, padding = window.pad(x, self._padding(window.rank))
        return net.node("MaxPool", x, **window.attributes, **padding)


class AvgPool(_WindowPool):
    """The mean of each window, as torch.nn.AvgPool1d, AvgPool2d and AvgPool3d."""

    kind = "avg_pool"
    pooling = "AVERAGE"
    example = "{op: avg_pool, kernel_size: 2}"
    count_include_pad = attribute(Bool(), default=True, help="divide by the elements of the padding too")

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        plane = Plane(net)
        x = plane.enter(x)
        padding = self._padding(plane.rank)
        include = self.count_include_pad
        if self.ceil_mode and include and not isinstance(padding, str):
            # The padding counts, but not what a last window sticks out beyond it: pad first, then count elements only.
            x, padding = self._pad_first(plane, x, padding)
            include = False
        layer = self._add_pooling(net, plane, x, padding)
        layer.average_count_excludes_padding = not include
        return plane.leave(layer)

    def _pad_first(self, plane: Plane, x: Any, padding: Pairs) -> tuple[Any, Pairs]:
        """The input with its padding as elements, and what is left to pad after it."""
        declared, rest = self._split_padding(padding)
        return (plane.zero_pad(x, declared) if any(map(any, declared)) else x), rest

    def _split_padding(self, padding: Pairs) -> tuple[Pairs, Pairs]:
        """The padding as it was declared, and what is more of it for the sake of ceil_mode."""
        declared = padding_per_axis(self.padding, len(padding))
        assert not isinstance(declared, str), "ceil_mode beside `same` is refused"
        return declared, tuple((0, after - given) for (_, after), (_, given) in zip(padding, declared, strict=True))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        window = self._onnx_window(net)
        padding = self._padding(window.rank)
        include = self.count_include_pad
        if self.ceil_mode and include and not isinstance(padding, str):
            declared, padding = self._split_padding(padding)
            x = window.zero_pad(x, declared) if any(map(any, declared)) else x
            include = False
        x, attributes = window.pad(x, padding)
        return net.node("AveragePool", x, count_include_pad=int(include), **window.attributes, **attributes)


class _GlobalPool(Op):
    """What the pools over whole spatial axes share."""

    operation: ClassVar[str]
    """The member of `ReduceOperation`."""
    onnx_operator: ClassVar[str]

    x = tensor(FLOATS, help="[batch, channels, ...] with at least 1 spatial axis")
    keepdim = attribute(Bool(), default=True, help="keep the spatial axes, with size 1")

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 3:
            raise OpError(
                f"{self.kind} takes [batch, channels, ...] with spatial axes, the input is {format_shape(x.shape)}"
            )
        ones: Shape = (Dim.of(1),) * (x.rank - 2) if self.keepdim else ()
        return x.with_shape((*x.shape[:2], *ones))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        return net.reduce(self.operation, x, tuple(range(2, x_type.rank)), self.keepdim)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if self.keepdim:
            return net.node(self.onnx_operator, x)
        return net.squeeze(net.node(self.onnx_operator, x), tuple(range(2, of_type(net.input_types[0]).rank)))


class GlobalAvgPool(_GlobalPool):
    """The mean over all spatial axes, as torch.nn.AdaptiveAvgPool2d(1)."""

    kind = "global_avg_pool"
    operation = "AVG"
    onnx_operator = "GlobalAveragePool"
    example = "{op: global_avg_pool}"


class GlobalMaxPool(_GlobalPool):
    """The maximum over all spatial axes, as torch.nn.AdaptiveMaxPool2d(1)."""

    kind = "global_max_pool"
    operation = "MAX"
    onnx_operator = "GlobalMaxPool"
    example = "{op: global_max_pool}"


class _AdaptivePool(_GlobalPool):
    """What the pools that name their output's size share."""

    output_size = attribute(Ints(minimum=1), default=(1,), help="size of the output's spatial axes: 1")

    def infer(self, x: TensorType) -> TensorType:
        if set(self.output_size) != {1}:
            raise OpError(
                f"{self.kind} makes spatial axes of size 1 only, not {list(self.output_size)}",
                at="output_size",
                hint=f"where the size divides the input's, `{self.kind.removeprefix('adaptive_')}` with "
                "`kernel_size` = input / output does the same",
            )
        per_axis(self.output_size, spatial_rank(self.kind, x), "output_size")
        return super().infer(x)


class AdaptiveAvgPool(_AdaptivePool):
    """The mean over all spatial axes, as torch.nn.AdaptiveAvgPool1d, 2d and 3d with output_size 1."""

    kind = "adaptive_avg_pool"
    operation = "AVG"
    onnx_operator = "GlobalAveragePool"
    example = "{op: adaptive_avg_pool, output_size: 1}"


class AdaptiveMaxPool(_AdaptivePool):
    """The maximum over all spatial axes, as torch.nn.AdaptiveMaxPool1d, 2d and 3d with output_size 1."""

    kind = "adaptive_max_pool"
    operation = "MAX"
    onnx_operator = "GlobalMaxPool"
    example = "{op: adaptive_max_pool, output_size: 1}"
