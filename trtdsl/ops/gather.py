"""Ops that read elements by index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import MOVABLE, axis_of, cut, is_at_most, of_type
from trtdsl.ops.attributes import Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import INTEGERS, DataType, Dim, Shape, TensorType, format_shape

if TYPE_CHECKING:
    from trtdsl.weights import Weight


class Gather(Op):
    """Slices of a tensor along an axis, picked by index, as ONNX's Gather and, for a list, torch.index_select.

    The axis is replaced by the axes of the indices; a single number takes the axis away.
    """

    kind = "gather"
    policy = Policy.TRANSPARENT
    example = "{op: gather, dim: 1, indices: 0}"
    x = tensor(MOVABLE)
    ids = tensor(INTEGERS, optional=True, help="the indices, from 0, unless `indices` gives them")
    indices = declare_weight(
        "the indices, instead of a second input; negative ones count from the end", default=False, floats=False
    )
    dim = attribute(Int(), default=0, help="the axis that is looked up in")

    def infer_with(self, weights: Mapping[str, Weight], x: TensorType, ids: TensorType | None = None) -> TensorType:
        if (ids is None) != self.indices:
            found = "both a second input and `indices`" if self.indices else "none"
            raise OpError(f"gather takes one tensor of indices, it has {found}", at="indices" if self.indices else "in")
        axis = axis_of(self.dim, x.rank)
        picked = self._fixed(weights["indices"], x.shape[axis]) if ids is None else ids.shape
        return x.with_shape((*x.shape[:axis], *picked, *x.shape[axis + 1 :]))

    def _fixed(self, indices: Weight, size: Dim) -> Shape:
        if indices.is_made_up:
            hint = "write them down, or read them from a file, which `--random-weights` does not"
            raise OpError("indices cannot be made up", at="indices", hint=hint)
        if indices.dtype.is_float or indices.dtype is DataType.BOOL:
            raise OpError(f"indices are whole numbers, these are {indices.dtype}", at="indices")
        shape = indices.natural_shape
        values = indices.source.load(shape, DataType.INT64)
        lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
        if highest >= min(size.sizes) or lowest < -min(size.sizes):
            wrong = highest if highest >= min(size.sizes) else lowest
            raise OpError(f"index {wrong} is out of range for an axis of size {size}", at="indices")
        if lowest < 0 and not size.is_static:
            raise OpError(
                f"index {lowest} counts from the end of the dynamic size {size}",
                at="indices",
                hint="`slice` takes positions from the end",
            )
        return tuple(map(Dim.of, shape))

    def weight_shapes(self, x: TensorType, ids: TensorType | None = None) -> dict[str, tuple[int, ...] | None]:
        return {"indices": None}

    def to_tensorrt(self, net: Net, x: Any, ids: Any = None) -> Any:
        x_type = of_type(net.input_types[0])
        axis = axis_of(self.dim, x_type.rank)
        if self.indices:
            ids = net.constant(self._wrapped(net, x_type.shape[axis]), DataType.INT32)
        return net.add_gather(x, ids, axis)

    def to_onnx(self, net: OnnxNet, x: str, ids: str | None = None) -> str:
        x_type = of_type(net.input_types[0])
        axis = axis_of(self.dim, x_type.rank)
        if self.indices:
            ids = net.constant(self._wrapped(net, x_type.shape[axis]), DataType.INT64)
        return net.node("Gather", x, ids, axis=axis)

    def _wrapped(self, net: Net | OnnxNet, size: Dim) -> Any:
        """The fixed indices, counted from the front."""
        values = net.weight_array("indices")
        return values % size.value if size.is_static else values


class Embedding(Op):
    """Rows of a learned table, picked by index, as torch.nn.Embedding."""

    kind = "embedding"
    example = "{op: embedding, num_embeddings: 50257, embedding_dim: 768}"
    example_inputs = "{x: {shape: [1, 64], dtype: int32}}"
    indices = tensor(INTEGERS, help="row numbers, from 0")
    num_embeddings = attribute(Int(minimum=1), help="rows of the table")
    embedding_dim = attribute(Int(minimum=1), help="length of a row")
    weight = declare_weight("[num_embeddings, embedding_dim], the table")

    def infer(self, indices: TensorType) -> TensorType:
        return TensorType(DataType.FP32, (*indices.shape, Dim.of(self.embedding_dim)))

    def weight_shapes(self, indices: TensorType) -> dict[str, tuple[int, ...] | None]:
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    def to_tensorrt(self, net: Net, indices: Any) -> Any:
        return net.add_gather(net.weight_tensor("weight"), indices, 0)

    def to_onnx(self, net: OnnxNet, indices: str) -> str:
        return net.node("Gather", net.weight("weight"), indices, axis=0)


class GatherElements(Op):
    """Single elements picked along an axis, `y[i, j] = x[i, indices[i, j]]` with `dim: 1`, as torch.gather.

    The output has the shape of the indices, which along the other axes may be shorter than the input.
    """

    kind = "gather_elements"
    policy = Policy.TRANSPARENT
    example = "{op: gather_elements, in: [x, order], dim: 1}"
    example_inputs = "{x: [4, 16], order: {shape: [4, 16], dtype: int32}}"
    x = tensor(MOVABLE)
    indices = tensor(INTEGERS, help="positions along the axis, from 0")
    dim = attribute(Int(), default=0, help="the axis that is looked up in")

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        check_along(x, indices, axis_of(self.dim, x.rank))
        return x.with_shape(indices.shape)

    def to_tensorrt(self, net: Net, x: Any, indices: Any) -> Any:
        x_type, shape = of_type(net.input_types[0]), net.output_types[0].shape
        axis = axis_of(self.dim, x_type.rank)
        # TensorRT wants all other axes to agree.
        wanted = (*shape[:axis], x_type.shape[axis], *shape[axis + 1 :])
        layer = net.add_gather_v2(cut(net, x, x_type.shape, wanted), indices, net.trt.GatherMode.ELEMENT)
        layer.axis = axis
        return layer

    def to_onnx(self, net: OnnxNet, x: str, indices: str) -> str:
        return net.node("GatherElements", x, indices, axis=axis_of(self.dim, of_type(net.input_types[0]).rank))


def check_along(x: TensorType, indices: TensorType, axis: int) -> None:
    """Refuse indices of single elements that reach beyond the tensor along the other axes. Raises OpError."""
    if indices.rank != x.rank:
        raise OpError(
            f"the indices {format_shape(indices.shape)} have another number of axes than {format_shape(x.shape)}",
            at="in",
            hint="`gather` picks whole slices",
        )
    for position, (count, size) in enumerate(zip(indices.shape, x.shape, strict=True)):
        if position != axis and not is_at_most(count, size):
            raise OpError(
                f"the indices {format_shape(indices.shape)} are longer than {format_shape(x.shape)}"
                f" along axis {position}",
                at="in",
            )


class GatherND(Op):
    """Elements or slices picked by whole positions, as ONNX's GatherND: `y[i] = x[indices[i, 0], indices[i, 1], ...]`.

    The last axis of the indices holds one position; it may be shorter than the input has axes, which picks slices.
    Behind `batch_dims` leading axes, which both have, positions count within each batch.
    """

    kind = "gather_nd"
    policy = Policy.TRANSPARENT
    example = "{op: gather_nd, in: [x, positions], batch_dims: 1}"
    example_inputs = "{x: [4, 16, 64], positions: {shape: [4, 1], dtype: int32}}"
    x = tensor(MOVABLE)
    indices = tensor(INTEGERS, help="positions, from 0, along the last axis")
    batch_dims = attribute(Int(minimum=0), default=0, help="leading axes that the input and the indices share")

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        depth = position_length(indices)
        if self.batch_dims >= min(x.rank, indices.rank):
            shapes = f"{format_shape(x.shape)} and {format_shape(indices.shape)}"
            raise OpError(f"batch_dims {self.batch_dims} leaves no axes of {shapes}", at="batch_dims")
        for own, other in zip(x.shape[: self.batch_dims], indices.shape[: self.batch_dims], strict=True):
            if not own.matches(other):
                raise OpError(f"of the batch axes one has size {own}, the indices' size {other}", at="in")
        first = self.batch_dims + depth
        if first > x.rank:
            raise OpError(
                f"positions of {depth} numbers behind {self.batch_dims} batch axes do not fit {format_shape(x.shape)}",
                at="in",
            )
        return x.with_shape((*indices.shape[:-1], *x.shape[first:]))

    def to_tensorrt(self, net: Net, x: Any, indices: Any) -> Any:
        layer = net.add_gather_v2(x, indices, net.trt.GatherMode.ND)
        layer.num_elementwise_dims = self.batch_dims
        return layer

    def to_onnx(self, net: OnnxNet, x: str, indices: str) -> str:
        return net.node("GatherND", x, net.cast(indices, DataType.INT64), batch_dims=self.batch_dims)


def position_length(indices: TensorType) -> int:
    """How many numbers make one position: the size of the indices' last axis. Raises OpError."""
    if not indices.rank or not indices.shape[-1].is_static or indices.shape[-1].value < 1:
        raise OpError(
            f"the indices {format_shape(indices.shape)} need a last axis of fixed size, which holds one position",
            at="in",
        )
    return indices.shape[-1].value
