"""Ops that give the same elements another shape, or hand them on as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import MOVABLE, axes_of, axis_of, count_axes, of_type, quotient
from trtdsl.ops._ranges import check_elements
from trtdsl.ops.attributes import DimList, DType, Float, Int, Ints, Maybe
from trtdsl.ops.base import ANY, Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import DataType, Dim, Shape, TensorType, format_shape, volume

if TYPE_CHECKING:
    from trtdsl.weights import Weight


class _Reshaping(Op):
    """The same elements in the same order: all there is to say is the output's shape."""

    policy = Policy.TRANSPARENT
    x = tensor(MOVABLE)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.reshape(x, of_type(net.input_types[0]).shape, net.output_types[0].shape)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.reshape(x, net.output_types[0].shape)


class Reshape(_Reshaping):
    """The elements, in their order, in another shape, as torch.reshape: one size may be -1, which takes what is left.

    There is no 0 for "as before" as in ONNX; name the dimension instead.
    """

    kind = "reshape"
    aliases = ("view",)
    example = "{op: reshape, shape: [N, -1, 64]}"
    example_inputs = "{x: [N, 12, 768]}"
    shape = attribute(DimList(), help="sizes: integers, dimensions, expressions, and at most one -1")

    def infer(self, x: TensorType) -> TensorType:
        wanted = self.shape
        if any(size.expression == 0 for size in wanted):
            raise OpError(
                "a size of 0", at="shape", hint="write the size, the dimension's name, or -1 for what is left"
            )
        unknown = [axis for axis, size in enumerate(wanted) if size.expression == -1]
        if len(unknown) > 1:
            raise OpError(f"{format_shape(wanted)} has more than one -1", at="shape")
        if not unknown:
            if not volume(wanted).matches(volume(x.shape)):
                raise OpError(_not_the_same(x.shape, wanted), at="shape")
            return x.with_shape(wanted)
        known = [size for size in wanted if size.expression != -1]
        rest = quotient(x.shape, known)
        if rest is None:
            raise OpError(_not_the_same(x.shape, wanted), at="shape")
        return x.with_shape(rest if axis == unknown[0] else size for axis, size in enumerate(wanted))


def _not_the_same(shape: Shape, wanted: Shape) -> str:
    counts = volume(shape).sizes
    listed = f"{counts.min}" if counts.min == counts.max else f"{counts.min} to {counts.max}"
    return f"the {listed} elements of {format_shape(shape)} do not fit {format_shape(wanted)}"


class Flatten(_Reshaping):
    """A range of axes made one, as torch.nn.Flatten: by default all but the first."""

    kind = "flatten"
    example = "flatten"
    start_dim = attribute(Int(), default=1, help="first of the axes")
    end_dim = attribute(Int(), default=-1, help="last of the axes")

    def infer(self, x: TensorType) -> TensorType:
        first, last = axis_of(self.start_dim, x.rank, "start_dim"), axis_of(self.end_dim, x.rank, "end_dim")
        if first > last:
            raise OpError(f"start_dim {self.start_dim} comes after end_dim {self.end_dim}", at="start_dim")
        return x.with_shape((*x.shape[:first], volume(x.shape[first : last + 1]), *x.shape[last + 1 :]))


class Squeeze(_Reshaping):
    """Axes of size 1 taken out, as torch.squeeze; one that is named and has another size is an error here."""

    kind = "squeeze"
    example = "{op: squeeze, dim: 1}"
    example_inputs = "{x: [8, 1, 64]}"
    dim = attribute(Maybe(Ints()), default=None, help="axes to take out; all whose size is 1 by default")

    def _axes(self, x: TensorType) -> tuple[int, ...]:
        if self.dim is None:
            return tuple(axis for axis, size in enumerate(x.shape) if size.is_one)
        return axes_of(self.dim, x.rank)

    def infer(self, x: TensorType) -> TensorType:
        axes = self._axes(x)
        for axis in axes:
            if not x.shape[axis].is_one:
                raise OpError(f"axis {axis} of {format_shape(x.shape)} has size {x.shape[axis]}, not 1", at="dim")
        return x.with_shape(size for axis, size in enumerate(x.shape) if axis not in axes)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        axes = self._axes(of_type(net.input_types[0]))
        return net.squeeze(x, axes) if axes else x


class Unsqueeze(_Reshaping):
    """Axes of size 1 put in, as torch.unsqueeze; several at once are positions in the output."""

    kind = "unsqueeze"
    example = "{op: unsqueeze, dim: 0}"
    dim = attribute(Ints(), help="position of the new axis in the output, or a list of them")

    def infer(self, x: TensorType) -> TensorType:
        rank = x.rank + len(self.dim)
        axes = axes_of(self.dim, rank)
        sizes = iter(x.shape)
        return x.with_shape(Dim.of(1) if axis in axes else next(sizes) for axis in range(rank))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.unsqueeze(x, axes_of(self.dim, net.output_types[0].rank))


class _Transposing(Op):
    """Axes in another order."""

    policy = Policy.TRANSPARENT
    x = tensor(MOVABLE)

    def order(self, rank: int) -> tuple[int, ...]:
        """The input's axis that each axis of the output is. Raises OpError."""
        raise NotImplementedError

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(x.shape[axis] for axis in self.order(x.rank))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.transpose(x, self.order(of_type(net.input_types[0]).rank))

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.transpose(x, self.order(of_type(net.input_types[0]).rank))


class Transpose(_Transposing):
    """Two axes exchanged, as torch.transpose: by default the last two. `permute` puts all axes into any order."""

    kind = "transpose"
    example = "{op: transpose, dim0: 1, dim1: 2}"
    dim0 = attribute(Int(), default=-2, help="one of the axes")
    dim1 = attribute(Int(), default=-1, help="the other one")

    def order(self, rank: int) -> tuple[int, ...]:
        first, second = axis_of(self.dim0, rank, "dim0"), axis_of(self.dim1, rank, "dim1")
        axes = list(range(rank))
        axes[first], axes[second] = second, first
        return tuple(axes)


class Permute(_Transposing):
    """The axes in any order, as torch.permute."""

    kind = "permute"
    example = "{op: permute, dims: [0, 2, 3, 1]}"
    dims = attribute(Ints(), help="for each axis of the output, the axis of the input")

    def order(self, rank: int) -> tuple[int, ...]:
        axes = axes_of(self.dims, rank, "dims")
        if len(axes) != rank:
            raise OpError(f"dims has {len(axes)} entries, the input has {count_axes(rank)}", at="dims")
        return axes


class Expand(Op):
    """Axes of size 1 repeated, as torch.Tensor.expand: -1 keeps a size, and there may be new axes in front."""

    kind = "expand"
    policy = Policy.TRANSPARENT
    example = "{op: expand, in: token, shape: [N, -1, -1]}"
    example_inputs = "{token: [1, 1, 768], x: [N, 196, 768]}"
    x = tensor(MOVABLE)
    shape = attribute(DimList(), help="sizes of the output: integers, dimensions, or -1 for the input's own")

    def infer(self, x: TensorType) -> TensorType:
        added = len(self.shape) - x.rank
        if added < 0:
            raise OpError(f"shape has {len(self.shape)} entries, the input has {count_axes(x.rank)}", at="shape")
        for size in self.shape[:added]:
            if size.expression == -1:
                raise OpError("-1 keeps a size, a new axis has none to keep", at="shape")
        kept = (self._size(size, own) for size, own in zip(self.shape[added:], x.shape, strict=True))
        return x.with_shape((*self.shape[:added], *kept))

    def _size(self, size: Dim, own: Dim) -> Dim:
        if size.expression == -1 or size.matches(own):
            return own
        if not own.is_one:
            raise OpError(f"size {own} does not expand to {size}", at="shape")
        return size

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        shape = of_type(net.input_types[0]).shape
        return repeat_ones(net, net.broadcast(x, shape, len(self.shape)), shape, net.output_types[0].shape)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.node("Expand", x, net.shape_tensor(net.output_types[0].shape))


def repeat_ones(net: Net, x: Any, shape: Shape, wanted: Shape) -> Any:
    """`x`, whose shape is `shape` with ones in front, with its axes of size 1 repeated up to `wanted`."""
    padded = (Dim.of(1),) * (len(wanted) - len(shape)) + shape
    stride = tuple(0 if size.is_one else 1 for size in padded)
    return net.slice(x, (Dim.of(0),) * len(wanted), wanted, stride)


class Identity(Op):
    """The input as it is; adds no layer to the engine."""

    kind = "identity"
    policy = Policy.TRANSPARENT
    example = "identity"
    x = tensor(ANY)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return x

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return x


class Dropout(Identity):
    """The input as it is, which is what torch.nn.Dropout does outside of training; adds no layer to the engine."""

    kind = "dropout"
    example = "{op: dropout, p: 0.1}"
    p = attribute(Float(minimum=0, maximum=1), default=0.5, help="share of elements dropped in training; has no effect")


class Constant(Op):
    """A tensor of fixed elements: written here, or from a weights file."""

    kind = "constant"
    example = "{op: constant, value: [0.485, 0.456, 0.406], shape: [3]}"
    value = declare_weight("the elements; a single number fills the shape", floats=False)
    shape = attribute(Maybe(DimList(minimum=1)), default=None, help="the shape; by default that of the value")
    dtype = attribute(
        Maybe(DType(*sorted(MOVABLE, key=list(DataType).index))),
        default=None,
        help="element type; by default the precision of the layer",
    )

    def precision_policy(self) -> Policy:
        return Policy.COMPUTE if self.dtype is None else Policy.TRANSPARENT

    def infer_with(self, weights: Mapping[str, Weight]) -> TensorType:
        stored = weights["value"]
        dtype = self.dtype or DataType.FP32
        if stored.dtype.is_float and not dtype.is_float:
            raise OpError(f"the value is {stored.dtype}, not {dtype}", at="dtype")
        check_elements(stored, dtype, "value")
        sizes = self._sizes()
        if sizes is None and stored.is_made_up:
            raise OpError(
                "a value that is made up has no shape of its own",
                at="value",
                hint="give `shape` the sizes of the value",
            )
        return TensorType(dtype, tuple(map(Dim.of, stored.natural_shape if sizes is None else sizes)))

    def _sizes(self) -> tuple[int, ...] | None:
        if self.shape is None:
            return None
        for size in self.shape:
            if not size.is_static:
                raise OpError(f"{size} is not a fixed size", at="shape", hint="make it 1, and `expand` it afterwards")
        return tuple(size.value for size in self.shape)

    def weight_shapes(self) -> dict[str, tuple[int, ...] | None]:
        return {"value": self._sizes()}

    def to_tensorrt(self, net: Net) -> Any:
        wanted = net.output_types[0]
        if net.weight_type("value").dtype is wanted.dtype:
            return net.weight_tensor("value")
        return net.constant(net.weight_array("value"), wanted.dtype)

    def to_onnx(self, net: OnnxNet) -> str:
        wanted = net.output_types[0]
        if net.weight_type("value").dtype is wanted.dtype:
            return net.weight("value")
        return net.constant(net.weight_array("value"), wanted.dtype)
