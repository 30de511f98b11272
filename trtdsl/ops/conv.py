"""Convolution and its transpose, over one to three spatial axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from trtdsl.ops._spatial import (
    OnnxWindow,
    Plane,
    check_divides,
    extents,
    map_spatial,
    padding_per_axis,
    per_axis,
    spatial_rank,
    static_channels,
    window_count,
)
from trtdsl.ops.attributes import Int, Ints, Padding, Pairs
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, DataType, Dim, TensorType


class Conv(Op):
    """Convolution, as torch.nn.Conv1d, Conv2d and Conv3d: which one, the rank of the input says.

    `x` is [batch, channels, *spatial], `weight` [out_channels, channels / groups, *kernel_size].
    """

    kind = "conv"
    aliases = ("convolution",)
    example = "{op: conv, out_channels: 64, kernel_size: 3, padding: 1}"
    x = tensor(FLOATS, help="[batch, channels, ...] with 1 to 3 spatial axes")
    out_channels = attribute(Int(minimum=1), help="channels of the output")
    kernel_size = attribute(Ints(minimum=1), help="size of the kernel, one for all axes or one per axis")
    stride = attribute(Ints(minimum=1), default=(1,), help="step between two places of the kernel")
    padding = attribute(Padding(), default=((0, 0),), help="zeros around the spatial axes")
    dilation = attribute(Ints(minimum=1), default=(1,), help="step between two taps of the kernel")
    groups = attribute(Int(minimum=1), default=1, help="groups of channels that are convolved apart")
    weight = declare_weight("[out_channels, channels / groups, *kernel_size]")
    bias = declare_weight("[out_channels], added to every channel", optional=True, initial=0.0)
    quantized_weights: ClassVar[Mapping[str, int]] = {"weight": 0}

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(self.kind, x)
        check_divides(self.groups, static_channels(self.kind, x), "input channels")
        check_divides(self.groups, self.out_channels, "out_channels")
        windows = extents(self.kernel_size, self.dilation, rank)
        strides = per_axis(self.stride, rank, "stride")
        padding = padding_per_axis(self.padding, rank)

        def count(axis: int, size: Dim) -> Dim:
            if isinstance(padding, str):
                return size.ceil_div(strides[axis])
            return window_count(size, windows[axis], strides[axis], padding[axis])

        return map_spatial(x, self.out_channels, count)

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        kernel = per_axis(self.kernel_size, x.rank - 2, "kernel_size")
        per_group = static_channels(self.kind, x) // self.groups
        return {"weight": (self.out_channels, per_group, *kernel), "bias": (self.out_channels,)}

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        plane = Plane(net)
        kernel = plane.spread(self.kernel_size, "kernel_size", 1)
        layer = net.add_weighted("add_convolution_nd", plane.enter(x), self.out_channels, kernel)
        layer.stride_nd = plane.spread(self.stride, "stride", 1)
        layer.dilation_nd = plane.spread(self.dilation, "dilation", 1)
        layer.num_groups = self.groups
        plane.pad(layer, self.padding)
        return plane.leave(layer)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        window = OnnxWindow(net, self.kernel_size, self.stride, self.dilation)
        x, padding = window.pad(x, self.padding)
        return net.node(
            "Conv",
            x,
            net.weight("weight"),
            net.weight("bias") if self.bias else None,
            dilations=per_axis(self.dilation, window.rank, "dilation"),
            group=self.groups,
            **window.attributes,
            **padding,
        )


class Deconv(Op):
    """Transposed convolution, as torch.nn.ConvTranspose1d, ConvTranspose2d and ConvTranspose3d.

    An axis of size n becomes (n - 1) stride + (kernel_size - 1) dilation + 1 - padding + output_padding. With
    `padding: same` it becomes n stride, as ONNX's ConvTranspose with SAME_UPPER.
    """

    kind = "deconv"
    aliases = ("conv_transpose", "deconvolution")
    example = "{op: deconv, out_channels: 64, kernel_size: 3, stride: 2, padding: 1, output_padding: 1}"
    x = tensor(FLOATS, help="[batch, channels, ...] with 1 to 3 spatial axes")
    out_channels = attribute(Int(minimum=1), help="channels of the output")
    kernel_size = attribute(Ints(minimum=1), help="size of the kernel, one for all axes or one per axis")
    stride = attribute(Ints(minimum=1), default=(1,), help="step in the output for one step in the input")
    padding = attribute(Padding(), default=((0, 0),), help="elements cut off around the output")
    output_padding = attribute(Ints(minimum=0), default=(0,), help="elements added after each axis of the output")
    groups = attribute(Int(minimum=1), default=1, help="groups of channels that are convolved apart")
    dilation = attribute(Ints(minimum=1), default=(1,), help="step between two taps of the kernel")
    weight = declare_weight("[channels, out_channels / groups, *kernel_size]")
    bias = declare_weight("[out_channels], added to every channel", optional=True, initial=0.0)
    quantized_weights: ClassVar[Mapping[str, int]] = {"weight": 1}

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(self.kind, x)
        check_divides(self.groups, static_channels(self.kind, x), "input channels")
        check_divides(self.groups, self.out_channels, "out_channels")
        strides = per_axis(self.stride, rank, "stride")
        self._check_output_padding(rank)
        windows = extents(self.kernel_size, self.dilation, rank)
        cuts = self._cuts(rank)

        def size(axis: int, size: Dim) -> Dim:
            result = size * strides[axis] + (windows[axis] - strides[axis] - sum(cuts[axis]))
            if min(result.sizes) < 1:
                shown = " + ".join(map(str, cuts[axis]))
                raise OpError(f"padding {shown} leaves nothing of an axis of size {size}", at="padding")
            return result

        return map_spatial(x, self.out_channels, size)

    def _check_output_padding(self, rank: int) -> None:
        if isinstance(self.padding, str) and any(self.output_padding):
            raise OpError(f"output_padding says nothing beside `padding: {self.padding}`", at="output_padding")
        strides = per_axis(self.stride, rank, "stride")
        dilations = per_axis(self.dilation, rank, "dilation")
        for extra, step, dilation in zip(
            per_axis(self.output_padding, rank, "output_padding"), strides, dilations, strict=True
        ):
            if extra >= max(step, dilation):
                raise OpError(
                    f"output_padding {extra} is not smaller than the stride {step} or the dilation {dilation}",
                    at="output_padding",
                )

    def _cuts(self, rank: int) -> Pairs:
        """What is cut off before and after each axis; less than nothing where output_padding adds more."""
        padding = padding_per_axis(self.padding, rank)
        if isinstance(padding, str):
            windows = extents(self.kernel_size, self.dilation, rank)
            strides = per_axis(self.stride, rank, "stride")
            padding = tuple(_same_cut(w - s, padding) for w, s in zip(windows, strides, strict=True))
        extras = per_axis(self.output_padding, rank, "output_padding")
        return tuple((before, after - extra) for (before, after), extra in zip(padding, extras, strict=True))

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        kernel = per_axis(self.kernel_size, x.rank - 2, "kernel_size")
        shape = (static_channels(self.kind, x), self.out_channels // self.groups, *kernel)
        return {"weight": shape, "bias": (self.out_channels,)}

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        if net.dtype is DataType.BF16 and not net.runtime.has_bf16_deconvolution:
            raise OpError(
                f"{net.runtime} does not deconvolve in bf16", at="precision", hint="ask for fp16 or fp32 on this layer"
            )
        plane = Plane(net)
        gaps, steps, taps = self._taps(plane.rank)
        kernel = extents(self.kernel_size, gaps, plane.rank)
        cuts = self._cuts(plane.rank)
        cuts = tuple((cut[0], cut[1] + more * step) for cut, more, step in zip(cuts, taps, steps, strict=True))
        kernel = tuple(size + more for size, more in zip(kernel, taps, strict=True))
        window = plane.spread(kernel, "kernel_size", 1)
        if any(taps) or max(gaps) > 1:
            weights = _spread(net, gaps, kernel)
            layer = net.add_deconvolution_nd(plane.enter(x), self.out_channels, window, weights, net.weights("bias"))
        else:
            layer = net.add_weighted("add_deconvolution_nd", plane.enter(x), self.out_channels, window)
        layer.stride_nd = plane.spread(self.stride, "stride", 1)
        layer.dilation_nd = plane.spread(steps, "dilation", 1)
        layer.num_groups = self.groups
        plane.pad(layer, cuts)
        return plane.leave(layer)

    def _taps(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """How far apart TensorRT's kernel has its taps, its dilation, and the taps of zero after it, on each axis."""
        gaps, steps = (1,) * rank, per_axis(self.dilation, rank, "dilation")
        if max(self.stride) > 1 and max(steps) > 1:
            # Not every TensorRT does both at once: zeros between the taps do the same as a dilation.
            gaps, steps = steps, gaps
        # TensorRT cannot add to the output: taps of zero after the kernel make room for it.
        taps = (-(min(after, 0) // step) for (_, after), step in zip(self._cuts(rank), steps, strict=True))
        return gaps, steps, tuple(taps)

    def check_quantized(self, dtype: DataType, x: TensorType) -> None:
        gaps, _, taps = self._taps(x.rank - 2)
        if self.groups > 1:
            raise OpError(f"a deconv in groups does not multiply in {dtype}", at="groups")
        if any(taps) or max(gaps) > 1:
            at = "output_padding" if any(taps) else "dilation"
            raise OpError(f"a deconv whose kernel is spread out does not multiply in {dtype}", at=at)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        window = OnnxWindow(net, self.kernel_size, self.stride, self.dilation)
        cuts = self._cuts(window.rank)
        return net.node(
            "ConvTranspose",
            x,
            net.weight("weight"),
            net.weight("bias") if self.bias else None,
            dilations=per_axis(self.dilation, window.rank, "dilation"),
            group=self.groups,
            pads=(*(before for before, _ in cuts), *(max(after, 0) for _, after in cuts)),
            output_padding=tuple(-min(after, 0) for _, after in cuts),
            **window.attributes,
        )


def _same_cut(total: int, padding: str) -> tuple[int, int]:
    """What `same` cuts off, the odd element after and with `same_lower` before; negative where it adds after."""
    if total < 0:
        return 0, total
    half = total // 2
    return (half, total - half) if padding == "same" else (total - half, half)


def _spread(net: Net, gaps: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    """The weight with its taps `gaps` apart in a kernel of another size, zeros in all other places."""
    import numpy as np

    array = net.weight_array("weight")
    wide = np.zeros((*array.shape[:2], *kernel), array.dtype)
    places = tuple(slice(0, count * gap, gap) for count, gap in zip(array.shape[2:], gaps, strict=True))
    wide[(slice(None), slice(None), *places)] = array
    return net.typed_weights(wide)
