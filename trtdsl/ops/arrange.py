"""Ops that repeat, turn around or move elements along axes, or keep those on one side of a diagonal."""

from __future__ import annotations

from typing import Any, ClassVar

from trtdsl.ops._axes import MOVABLE, axes_of, axis_of, count_axes, is_at_most, of_type, without_bool
from trtdsl.ops.attributes import DimList, Int, Ints
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.generate import counting
from trtdsl.types import INTEGERS, DataType, Dim, Shape, TensorType, format_shape

ZERO, ONE = Dim.of(0), Dim.of(1)


class Tile(Op):
    """The tensor repeated along its axes, as torch.tile: the last numbers go with the last axes."""

    kind = "tile"
    policy = Policy.TRANSPARENT
    example = "{op: tile, dims: [1, 3]}"
    x = tensor(MOVABLE)
    dims = attribute(
        DimList(minimum=1, single=True), help="how often, per axis: integers or dimensions; more make new axes in front"
    )

    def infer(self, x: TensorType) -> TensorType:
        shape, times = self._aligned(x)
        return x.with_shape(size * count for size, count in zip(shape, times, strict=True))

    def _aligned(self, x: TensorType) -> tuple[Shape, Shape]:
        """Sizes and repetitions, with ones in front of the shorter list."""
        rank = max(x.rank, len(self.dims))
        return (ONE,) * (rank - x.rank) + x.shape, (ONE,) * (rank - len(self.dims)) + self.dims

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type, wanted = of_type(net.input_types[0]), net.output_types[0].shape
        rank = len(wanted)

        def repeat(x: Any) -> Any:
            x = net.broadcast(x, x_type.shape, rank)
            return net.slice(x, (ZERO,) * rank, wanted, (1,) * rank, "WRAP")

        return without_bool(net, x, x_type.dtype, repeat) if rank else x

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        x_type = of_type(net.input_types[0])
        shape, times = self._aligned(x_type)
        if len(shape) > x_type.rank:
            x = net.unsqueeze(x, tuple(range(len(shape) - x_type.rank)))
        return net.node("Tile", x, net.shape_tensor(times)) if shape else x


class Flip(Op):
    """The elements in the opposite order along axes, as torch.flip."""

    kind = "flip"
    policy = Policy.TRANSPARENT
    example = "{op: flip, dims: -1}"
    x = tensor(MOVABLE)
    dims = attribute(Ints(), help="the axes")

    def infer(self, x: TensorType) -> TensorType:
        axes_of(self.dims, x.rank, "dims")
        return x

    def _window(self, x: TensorType) -> tuple[Shape, Shape, tuple[int, ...]]:
        """Start, size and stride of every axis."""
        axes = axes_of(self.dims, x.rank, "dims")
        start = tuple(size - 1 if axis in axes else ZERO for axis, size in enumerate(x.shape))
        return start, x.shape, tuple(-1 if axis in axes else 1 for axis in range(x.rank))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.slice(x, *self._window(of_type(net.input_types[0])))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.slice(x, *self._window(of_type(net.input_types[0])))


class Roll(Op):
    """The elements moved along axes, those that leave at one end coming in at the other, as torch.roll."""

    kind = "roll"
    policy = Policy.TRANSPARENT
    example = "{op: roll, shifts: [2, 2], dims: [1, 2]}"
    x = tensor(MOVABLE)
    shifts = attribute(Ints(), help="by how many positions, one per axis; negative ones move to the front")
    dims = attribute(Ints(), help="the axes")

    def infer(self, x: TensorType) -> TensorType:
        self._starts(x)
        return x

    def _starts(self, x: TensorType) -> dict[int, Dim]:
        """The position from which each of the axes is read."""
        axes = axes_of(self.dims, x.rank, "dims")
        if len(self.shifts) != len(axes):
            raise OpError(f"shifts has {len(self.shifts)} values for {count_axes(len(axes))}", at="shifts")
        starts = {}
        for axis, shift in zip(axes, self.shifts, strict=True):
            size = x.shape[axis]
            # The size itself may be where reading starts: there the first element comes next.
            moved = Dim.of(abs(shift)) if is_at_most(abs(shift), size) else Dim.of(abs(shift)) % _at_least_one(size)
            starts[axis] = size - moved if shift > 0 else moved
        return starts

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        starts = self._starts(x_type)
        start = tuple(starts.get(axis, ZERO) for axis in range(x_type.rank))
        ones = (1,) * x_type.rank
        return without_bool(net, x, x_type.dtype, lambda x: net.slice(x, start, x_type.shape, ones, "WRAP"))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        shape = of_type(net.input_types[0]).shape
        ones = (1,) * len(shape)
        for axis, position in self._starts(of_type(net.input_types[0])).items():
            first = tuple(position if i == axis else ZERO for i in range(len(shape)))
            rest = tuple(size - position if i == axis else size for i, size in enumerate(shape))
            front = tuple(position if i == axis else size for i, size in enumerate(shape))
            parts = net.slice(x, first, rest, ones), net.slice(x, (ZERO,) * len(shape), front, ones)
            x = net.node("Concat", *parts, axis=axis)
        return x


def _at_least_one(size: Dim) -> Dim:
    """A size to divide by, where data may leave nothing of an axis."""
    return size.maximum(1) if min(size.sizes) < 1 else size


class ReverseSequence(Op):
    """The beginnings of sequences turned around: of each as many elements as its length says; the rest stays."""

    kind = "reverse_sequence"
    policy = Policy.TRANSPARENT
    example = "{op: reverse_sequence, in: [x, lengths], batch_axis: 0, sequence_axis: 1}"
    example_inputs = "{x: [4, 16, 64], lengths: {shape: [4], dtype: int32}}"
    x = tensor(MOVABLE)
    sequence_lens = tensor(INTEGERS, help="[batch], the length of each sequence")
    batch_axis = attribute(Int(), default=1, help="the axis that the sequences lie beside each other along")
    sequence_axis = attribute(Int(), default=0, help="the axis that each sequence runs along")

    def _axes(self, rank: int) -> tuple[int, int]:
        return axis_of(self.batch_axis, rank, "batch_axis"), axis_of(self.sequence_axis, rank, "sequence_axis")

    def infer(self, x: TensorType, sequence_lens: TensorType) -> TensorType:
        batch, sequence = self._axes(x.rank)
        if batch == sequence:
            raise OpError(f"axis {batch} cannot be both", at="sequence_axis")
        if sequence_lens.rank != 1 or not sequence_lens.shape[0].matches(x.shape[batch]):
            raise OpError(
                f"lengths {format_shape(sequence_lens.shape)} for {x.shape[batch]} sequences"
                f" of {format_shape(x.shape)}",
                at="in",
            )
        return x

    def to_tensorrt(self, net: Net, x: Any, sequence_lens: Any) -> Any:
        x_type, lens_type = (of_type(entry) for entry in net.input_types)
        if lens_type.dtype is not DataType.INT32:
            sequence_lens = net.cast(sequence_lens, DataType.INT32)

        def reverse(x: Any) -> Any:
            layer = net.add_reverse_sequence(x, sequence_lens)
            layer.batch_axis, layer.sequence_axis = self._axes(x_type.rank)
            return layer.get_output(0)

        return without_bool(net, x, x_type.dtype, reverse)

    def to_onnx(self, net: OnnxNet, x: str, sequence_lens: str) -> str:
        batch, sequence = self._axes(of_type(net.input_types[0]).rank)
        lengths = net.cast(sequence_lens, DataType.INT64)
        if batch <= 1 and sequence <= 1:
            return net.node("ReverseSequence", x, lengths, batch_axis=batch, time_axis=sequence)
        # ONNX wants both in front.
        rank = of_type(net.input_types[0]).rank
        order = (batch, sequence, *(axis for axis in range(rank) if axis not in (batch, sequence)))
        moved = net.node("ReverseSequence", net.transpose(x, order), lengths, batch_axis=0, time_axis=1)
        return net.transpose(moved, tuple(order.index(axis) for axis in range(rank)))


class _Triangle(Op):
    """The elements of matrices on one side of a diagonal, 0 on the other."""

    upper: ClassVar[int]
    policy = Policy.TRANSPARENT
    x = tensor(MOVABLE, help="matrices along the last two axes")
    diagonal = attribute(Int(), default=0, help="which diagonal: 0 is the main one, 1 that above it, -1 that below it")

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise OpError(f"matrices have two axes, the input is {format_shape(x.shape)}", at="in")
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        rank, (rows, columns) = x_type.rank, x_type.shape[-2:]
        front = (ONE,) * (rank - 2)
        # Row i begins to count at column i + diagonal.
        row = counting(net, rows, DataType.INT32, Dim.of(self.diagonal))
        row = net.reshape(row, (rows,), (*front, rows, ONE))
        column = net.reshape(counting(net, columns, DataType.INT32), (columns,), (*front, ONE, columns))
        left, right = (column, row) if not self.upper else (row, column)
        gone = net.elementwise("GREATER", left, right)
        if x_type.dtype is DataType.BOOL:
            return net.elementwise("AND", x, net.unary("NOT", gone))
        return net.add_select(gone, net.constant(0, x_type.dtype, (1,) * rank), x)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        dtype = of_type(net.input_types[0]).dtype
        wide = dtype if dtype.is_float else DataType.INT64
        kept = net.node("Trilu", net.cast(x, wide), net.constant(self.diagonal), upper=self.upper)
        return net.cast(kept, dtype)


class Triu(_Triangle):
    """The upper triangles of matrices, as torch.triu: 0 below the diagonal."""

    kind = "triu"
    example = "{op: triu, diagonal: 1}"
    upper = 1


class Tril(_Triangle):
    """The lower triangles of matrices, as torch.tril: 0 above the diagonal."""

    kind = "tril"
    example = "tril"
    upper = 0
