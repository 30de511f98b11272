"""Ops that look elements up by index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.ops._axes import MOVABLE, axis_of, of_type
from trtdsl.ops.attributes import Int
from trtdsl.ops.base import Net, Op, OpError, Policy, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import INTEGERS, DataType, Dim, Shape, TensorType

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
            values = net.weight_array("indices")
            size = x_type.shape[axis]
            wrapped = values % size.value if size.is_static else values
            ids = net.constant(wrapped, DataType.INT32)
        return net.add_gather(x, ids, axis)


class Embedding(Op):
    """Rows of a learned table, picked by index, as torch.nn.Embedding."""

    kind = "embedding"
    example = "{op: embedding, num_embeddings: 50257, embedding_dim: 768}"
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
