"""Ops that take parts of a tensor, or put tensors together."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import MOVABLE, axes_of, axis_of, common_dtype, count_axes, is_at_most, of_type
from trtdsl.ops.attributes import ANY_SIGN, DimList, Int, Ints, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import Dim, Shape, TensorType, format_shape

ZERO = Dim.of(0)
MAX_PARTS = 65536
"""The most outputs that a split may have."""


class Concat(Op):
    """Tensors put one after another along an axis, as torch.cat."""

    kind = "concat"
    aliases = ("cat",)
    policy = Policy.TRANSPARENT
    example = "{op: concat, in: [left, right], dim: 1}"
    example_inputs = "{left: [1, 8, 32, 32], right: [1, 16, 32, 32]}"
    x = tensor(MOVABLE, variadic=True, help="the parts, in order")
    dim = attribute(Int(), default=0, help="the axis along which sizes add up")

    def infer(self, *inputs: TensorType) -> TensorType:
        first = inputs[0]
        axis = axis_of(self.dim, first.rank)
        for entry in inputs[1:]:
            if entry.rank != first.rank or not all(
                a.matches(b) for i, (a, b) in enumerate(zip(first.shape, entry.shape, strict=True)) if i != axis
            ):
                shapes = f"{format_shape(first.shape)} and {format_shape(entry.shape)}"
                raise OpError(f"concat of {shapes}: all axes but {axis} have to agree", at="in")
        total = ZERO
        for entry in inputs:
            total = total + entry.shape[axis]
        sizes = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        return TensorType(common_dtype(self.kind, inputs), sizes)

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        layer = net.add_concatenation(list(inputs))
        layer.axis = axis_of(self.dim, net.output_types[0].rank)
        return layer

    def to_onnx(self, net: OnnxNet, *inputs: str) -> str:
        return net.node("Concat", *inputs, axis=axis_of(self.dim, net.output_types[0].rank))


class Split(Op):
    """A tensor cut along an axis, as torch.chunk (`sections`) and torch.split (`split_size`).

    The parts are the ports `0`, `1`, ...: `split:0`.
    """

    kind = "split"
    policy = Policy.TRANSPARENT
    example = "{op: split, sections: 3, dim: -1}"
    example_inputs = "{x: [1, 197, 2304]}"
    x = tensor(MOVABLE)
    sections = attribute(Maybe(Int(minimum=1, maximum=MAX_PARTS)), default=None, help="number of equal parts")
    split_size = attribute(
        Maybe(DimList()), default=None, help="size of each part, one of which may be -1 for what is left"
    )
    dim = attribute(Int(), default=0, help="the axis that is cut")

    @property
    def output_names(self) -> tuple[str, ...]:
        # With neither parameter infer reports it; there has to be an output until then.
        count = self.sections or len(self.split_size or (ZERO,))
        return tuple(map(str, range(count)))

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        axis = axis_of(self.dim, x.rank)
        return tuple(x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in self._sizes(x.shape[axis]))

    def _sizes(self, total: Dim) -> tuple[Dim, ...]:
        if (self.sections is None) == (self.split_size is None):
            raise OpError("split needs `sections`, the number of equal parts, or `split_size`, a list of sizes")
        if self.sections is not None:
            if any(size % self.sections for size in total.sizes):
                raise OpError(f"size {total} is not divisible into {self.sections} equal parts", at="sections")
            return (total // self.sections,) * self.sections
        return _complete(self.split_size or (), total)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        rank = of_type(net.input_types[0]).rank
        axis = axis_of(self.dim, rank)
        parts, position = [], ZERO
        for part in net.output_types:
            start = tuple(position if i == axis else ZERO for i in range(rank))
            parts.append(net.slice(x, start, part.shape, (1,) * rank))
            position = position + part.shape[axis]
        return tuple(parts)

    def to_onnx(self, net: OnnxNet, x: str) -> tuple[str, ...]:
        if len(net.output_types) == 1:
            return (x,)
        axis = axis_of(self.dim, of_type(net.input_types[0]).rank)
        sizes = net.shape_tensor(tuple(part.shape[axis] for part in net.output_types))
        return net.nodes("Split", x, sizes, outputs=len(net.output_types), axis=axis)


def _complete(sizes: Shape, total: Dim) -> Shape:
    """The sizes with -1 replaced by what the others leave. Raises OpError unless they add up."""
    if any(size.expression == 0 for size in sizes):
        raise OpError("a part of size 0", at="split_size")
    unknown = [position for position, size in enumerate(sizes) if size.expression == -1]
    if len(unknown) > 1:
        raise OpError("split_size has more than one -1", at="split_size")
    rest = total
    for size in sizes:
        rest = rest if size.expression == -1 else rest - size
    if not unknown:
        if any(rest.sizes):
            raise OpError(f"the sizes {format_shape(sizes)} do not add up to {total}", at="split_size")
        return sizes
    if min(rest.sizes) <= 0:
        raise OpError(f"the sizes {format_shape(sizes)} leave nothing of {total} for -1", at="split_size")
    return tuple(rest if position == unknown[0] else size for position, size in enumerate(sizes))


class Slice(Op):
    """A range of positions of one or more axes, as Python's `x[start:end:step]`.

    Negative positions count from the end, and ranges that reach too far stop at the end, as in Python. With a negative
    step `start` is the last position by default, and without `end` the range goes down to the first.
    """

    kind = "slice"
    policy = Policy.TRANSPARENT
    example = "{op: slice, dim: 1, start: 0, end: -1}"
    x = tensor(MOVABLE)
    dim = attribute(
        Maybe(Ints()), default=None, help="the axes; by default the first ones, as many as there are positions"
    )
    start = attribute(
        Maybe(DimList(minimum=ANY_SIGN, single=True)),
        default=None,
        help="first position, one per axis; by default that of the axis",
    )
    end = attribute(
        Maybe(DimList(minimum=ANY_SIGN, single=True)),
        default=None,
        help="position after the last, one per axis; by default the end of the axis",
    )
    step = attribute(
        Ints(), default=(1,), help="distance between positions, one per axis; a negative one goes backwards"
    )

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(self._window(x)[1])

    def _window(self, x: TensorType) -> tuple[Shape, Shape, tuple[int, ...]]:
        """Start, size and stride of every axis."""
        starts, sizes, strides = [ZERO] * x.rank, list(x.shape), [1] * x.rank
        count = len(self.dim) if self.dim else max(len(self.start or ()), len(self.end or ()), len(self.step))
        axes = axes_of(self.dim or range(count), x.rank, "dim" if self.dim else "start")
        for position, axis in enumerate(axes):
            size, step = x.shape[axis], self._entry(self.step, position, count, "step")
            if step == 0:
                raise OpError("a step of 0", at="step")
            start = self._entry(self.start, position, count, "start")
            end = self._entry(self.end, position, count, "end")
            start, length = _range(start, end, size, step)
            # What data may have left empty stays so.
            if any(kept <= 0 < whole for kept, whole in zip(length.sizes, size.sizes, strict=True)):
                end = size if end is None else end
                raise OpError(f"nothing is left of axis {axis} of size {size} from {start} to {end}", at="start")
            starts[axis], sizes[axis], strides[axis] = start, length.ceil_div(abs(step)), step
        return tuple(starts), tuple(sizes), tuple(strides)

    def _entry(self, values: tuple[Any, ...] | None, position: int, count: int, at: str) -> Any:
        if values is None:
            return None
        if len(values) not in (1, count):
            raise OpError(f"{at} has {len(values)} values for {count_axes(count)}", at=at)
        return values[position] if len(values) == count else values[0]

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.slice(x, *self._window(of_type(net.input_types[0])))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.slice(x, *self._window(of_type(net.input_types[0])))


def _range(start: Dim | None, end: Dim | None, size: Dim, step: int) -> tuple[Dim, Dim]:
    """The first position of a range, counted from the front, and how far it goes."""
    if step > 0:
        first = ZERO if start is None else _position(start, size, 0, size, "start")
        behind = size if end is None else _position(end, size, 0, size, "end")
        return first, behind - first
    last = size - 1
    first = last if start is None else _position(start, size, -1, last, "start")
    return first, first - (Dim.of(-1) if end is None else _position(end, size, -1, last, "end"))


def _position(position: Dim, size: Dim, lowest: int, highest: Dim, at: str) -> Dim:
    """A position from the front, brought between the lowest and the highest."""
    if position.is_static and position.value < 0:
        position = size + position
        position = position if is_at_most(lowest, position) else position.maximum(lowest)
    elif not is_at_most(0, position):
        raise OpError(f"{position} is negative at {tuple(position.sizes)}", at=at)
    return position if is_at_most(position, highest) else position.minimum(highest)


class Crop(Op):
    """A part of the last axes: of a given `size`, without given `borders`, or as large as a second input.

    Without an `offset` the part is the middle; where that is half an element off, the odd one is left out at the end.
    """

    kind = "crop"
    policy = Policy.TRANSPARENT
    example = "{op: crop, in: [skip, up]}"
    example_inputs = "{skip: [1, 8, 34, 34], up: [1, 16, 32, 32]}"
    x = tensor(MOVABLE)
    like = tensor(MOVABLE, optional=True, help="a tensor whose sizes from axis 2 on the output takes")
    size = attribute(Maybe(DimList(minimum=1)), default=None, help="sizes of the last axes of the output")
    offset = attribute(Maybe(DimList(minimum=0)), default=None, help="where the part begins, per axis; with `size`")
    borders = attribute(
        Maybe(DimList(minimum=0)),
        default=None,
        help="elements to take away, in the order of `pad`: [left, right, top, bottom, ...]",
    )

    def infer(self, x: TensorType, like: TensorType | None = None) -> TensorType:
        return x.with_shape(self._window(x, like)[1])

    def _window(self, x: TensorType, like: TensorType | None) -> tuple[Shape, Shape]:
        """Start and size of every axis."""
        if [self.size is None, self.borders is None, like is None].count(False) != 1:
            raise OpError("crop needs one of `size`, `borders` and a second input to take the size of")
        if self.offset is not None and self.borders is not None:
            raise OpError("`offset` goes with a size, not with `borders`", at="offset")
        if self.borders is not None:
            return self._without_borders(x, self.borders)
        wanted = self.size or ()
        if like is not None:
            if like.rank != x.rank:
                raise OpError(f"crop of {format_shape(x.shape)} to the size of {format_shape(like.shape)}", at="in")
            wanted = like.shape[2:]
        return self._part(x, wanted)

    def _part(self, x: TensorType, wanted: Shape) -> tuple[Shape, Shape]:
        kept = x.rank - len(wanted)
        if kept < 0:
            raise OpError(f"size has {len(wanted)} entries, the input has {count_axes(x.rank)}", at="size")
        if self.offset is not None and len(self.offset) != len(wanted):
            raise OpError(f"offset has {len(self.offset)} entries, the size {len(wanted)}", at="offset")
        starts = []
        for position, (size, own) in enumerate(zip(wanted, x.shape[kept:], strict=True)):
            start = (own - size) // 2 if self.offset is None else self.offset[position]
            if not is_at_most(size, own) or not is_at_most(start + size, own):
                reach = f" from {start}" if self.offset is not None else ""
                raise OpError(f"a part of size {size}{reach} does not fit into an axis of size {own}", at="size")
            starts.append(start)
        return (ZERO,) * kept + tuple(starts), (*x.shape[:kept], *wanted)

    def _without_borders(self, x: TensorType, borders: Shape) -> tuple[Shape, Shape]:
        starts, sizes = [ZERO] * x.rank, list(x.shape)
        for axis, (before, after) in pairs_from_the_last(borders, x.rank, "borders").items():
            starts[axis], sizes[axis] = before, x.shape[axis] - before - after
            if min(sizes[axis].sizes) <= 0:
                raise OpError(f"nothing is left of axis {axis} of size {x.shape[axis]}", at="borders")
        return tuple(starts), tuple(sizes)

    def to_tensorrt(self, net: Net, x: Any, like: Any = None) -> Any:
        x_type = of_type(net.input_types[0])
        like_type = net.input_types[1] if len(net.input_types) > 1 else None
        start, size = self._window(x_type, like_type)
        return net.slice(x, start, size, (1,) * x_type.rank)

    def to_onnx(self, net: OnnxNet, x: str, like: str | None = None) -> str:
        x_type = of_type(net.input_types[0])
        like_type = net.input_types[1] if len(net.input_types) > 1 else None
        start, size = self._window(x_type, like_type)
        return net.slice(x, start, size, (1,) * x_type.rank)


def pairs_from_the_last(values: Shape, rank: int, at: str) -> dict[int, tuple[Dim, Dim]]:
    """Values in PyTorch's order of padding, [left, right, top, bottom, ...], as (before, after) of each axis."""
    if len(values) % 2:
        raise OpError(f"{at} has {len(values)} entries, each axis takes two: [left, right, top, bottom, ...]", at=at)
    if len(values) > 2 * rank:
        raise OpError(f"{at} has {len(values)} entries, the input has {count_axes(rank)}", at=at)
    return {rank - 1 - i: (values[2 * i], values[2 * i + 1]) for i in range(len(values) // 2)}
