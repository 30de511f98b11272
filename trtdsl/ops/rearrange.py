"""Ops that carry elements between the channels and the spatial axes, or between channels."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

from trtdsl.ops._axes import MOVABLE, of_type
from trtdsl.ops.attributes import Choice, Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import Dim, Shape, TensorType, format_shape


class Moves(NamedTuple):
    """A reshape to more axes, their permutation, and the shape that they are put together to."""

    apart: Shape
    permutation: tuple[int, ...]
    together: Shape


class _Rearrange(Op):
    """What all of these share: two reshapes with a transpose between them."""

    policy = Policy.TRANSPARENT

    @abstractmethod
    def _moves(self, x: TensorType) -> Moves:
        """How elements move. Raises OpError where the sizes do not divide."""

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(self._moves(x).together)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        apart, permutation, together = self._moves(x_type)
        x = net.transpose(net.reshape(x, x_type.shape, apart), permutation)
        return net.reshape(x, tuple(apart[axis] for axis in permutation), together)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        apart, permutation, together = self._moves(of_type(net.input_types[0]))
        return net.reshape(net.transpose(net.reshape(x, apart), permutation), together)


class PixelShuffle(_Rearrange):
    """Channels spread over space, as torch.nn.PixelShuffle: [..., C r², H, W] becomes [..., C, H r, W r].

    The element at row i and column j of a block of r x r comes from channel c r² + i r + j: ONNX's DepthToSpace in the
    mode CRD.
    """

    kind = "pixel_shuffle"
    example = "{op: pixel_shuffle, upscale_factor: 2}"
    x = tensor(MOVABLE, help="[..., channels, height, width]")
    upscale_factor = attribute(Int(minimum=1), help="r, by which height and width grow")

    def _moves(self, x: TensorType) -> Moves:
        front, channels, height, width = _plane(self, x)
        r = self.upscale_factor
        depth = _divided(channels, r * r, "channels", "upscale_factor")
        return _from_blocks(front, depth, height, width, r, depth_first=True)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if _has_operator(net):
            return net.node("DepthToSpace", x, blocksize=self.upscale_factor, mode="CRD")
        return super().to_onnx(net, x)


class PixelUnshuffle(_Rearrange):
    """Space gathered in channels, as torch.nn.PixelUnshuffle: [..., C, H r, W r] becomes [..., C r², H, W]."""

    kind = "pixel_unshuffle"
    example = "{op: pixel_unshuffle, downscale_factor: 2}"
    x = tensor(MOVABLE, help="[..., channels, height, width]")
    downscale_factor = attribute(Int(minimum=1), help="r, by which height and width shrink")

    def _moves(self, x: TensorType) -> Moves:
        return _to_blocks(self, x, self.downscale_factor, "downscale_factor", depth_first=True)


class DepthToSpace(_Rearrange):
    """Channels spread over space, as ONNX's DepthToSpace: [N, C b², H, W] becomes [N, C, H b, W b].

    The element at row i and column j of a block comes from channel (i b + j) C + c in the mode DCR, from
    c b² + i b + j in the mode CRD, which is that of pixel_shuffle.
    """

    kind = "depth_to_space"
    example = "{op: depth_to_space, blocksize: 2}"
    x = tensor(MOVABLE, help="[..., channels, height, width]")
    blocksize = attribute(Int(minimum=1), help="b, by which height and width grow")
    mode = attribute(
        Choice("DCR", "CRD"),
        default="DCR",
        help="whether the channels of one position lie apart (DCR) or together (CRD)",
    )

    def _moves(self, x: TensorType) -> Moves:
        front, channels, height, width = _plane(self, x)
        depth = _divided(channels, self.blocksize**2, "channels", "blocksize")
        return _from_blocks(front, depth, height, width, self.blocksize, depth_first=self.mode == "CRD")

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if _has_operator(net):
            return net.node("DepthToSpace", x, blocksize=self.blocksize, mode=self.mode)
        return super().to_onnx(net, x)


class SpaceToDepth(_Rearrange):
    """Space gathered in channels, as ONNX's SpaceToDepth: [N, C, H b, W b] becomes [N, C b², H, W].

    Channel (i b + j) C + c takes row i and column j of each block: depth_to_space in the mode DCR turns it back.
    """

    kind = "space_to_depth"
    example = "{op: space_to_depth, blocksize: 2}"
    x = tensor(MOVABLE, help="[..., channels, height, width]")
    blocksize = attribute(Int(minimum=1), help="b, by which height and width shrink")

    def _moves(self, x: TensorType) -> Moves:
        return _to_blocks(self, x, self.blocksize, "blocksize", depth_first=False)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if _has_operator(net):
            return net.node("SpaceToDepth", x, blocksize=self.blocksize)
        return super().to_onnx(net, x)


class ChannelShuffle(_Rearrange):
    """Channels of several groups in turn, as torch.nn.ChannelShuffle: [N, g C, ...] read as [N, C, g, ...]."""

    kind = "channel_shuffle"
    aliases = ("shuffle_channel",)
    example = "{op: channel_shuffle, groups: 4}"
    x = tensor(MOVABLE, help="[batch, channels, ...]")
    groups = attribute(Int(minimum=1), help="g, the groups that the channels are divided into")

    def _moves(self, x: TensorType) -> Moves:
        if x.rank < 2:
            raise OpError(f"channel_shuffle takes [batch, channels, ...], the input is {format_shape(x.shape)}")
        batch, channels, *spatial = x.shape
        depth = _divided(channels, self.groups, "channels", "groups")
        apart = (batch, Dim.of(self.groups), depth, *spatial)
        return Moves(apart, (0, 2, 1, *range(3, len(apart))), x.shape)


def _plane(op: Op, x: TensorType) -> tuple[Shape, Dim, Dim, Dim]:
    """The axes in front, the channels, and the two spatial axes."""
    if x.rank < 3:
        raise OpError(f"{op.kind} takes [..., channels, height, width], the input is {format_shape(x.shape)}")
    return x.shape[:-3], x.shape[-3], x.shape[-2], x.shape[-1]


def _divided(size: Dim, divisor: int, what: str, at: str) -> Dim:
    if any(length % divisor for length in size.sizes):
        lengths = "" if size.is_static else f" ({', '.join(map(str, dict.fromkeys(size.sizes)))})"
        raise OpError(f"{size} {what}{lengths} are not divisible by {divisor}", at=at)
    return size // divisor


def _from_blocks(front: Shape, depth: Dim, height: Dim, width: Dim, size: int, *, depth_first: bool) -> Moves:
    """Blocks of size x size out of the channels, in which the depth lies before the block or behind it."""
    count, block = len(front), (Dim.of(size), Dim.of(size))
    channels = (depth, *block) if depth_first else (*block, depth)
    d, i, j = (0, 1, 2) if depth_first else (2, 0, 1)
    permutation = (*range(count), *(count + axis for axis in (d, 3, i, 4, j)))
    return Moves((*front, *channels, height, width), permutation, (*front, depth, height * size, width * size))


def _to_blocks(op: Op, x: TensorType, size: int, at: str, *, depth_first: bool) -> Moves:
    """The way back."""
    front, depth, height, width = _plane(op, x)
    height, width = _divided(height, size, "rows", at), _divided(width, size, "columns", at)
    count, block = len(front), Dim.of(size)
    order = (0, 2, 4, 1, 3) if depth_first else (2, 4, 0, 1, 3)
    permutation = (*range(count), *(count + axis for axis in order))
    together = (*front, depth * size * size, height, width)
    return Moves((*front, depth, height, block, width, block), permutation, together)


def _has_operator(net: OnnxNet) -> bool:
    """Whether ONNX's own operator takes the input; ONNX Runtime has it for floats only."""
    x = of_type(net.input_types[0])
    return x.rank == 4 and x.dtype.is_float
