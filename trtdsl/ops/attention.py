"""Attention, composed of matrix products and a softmax."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import of_type
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops.attributes import Bool, Float, Maybe
from trtdsl.ops.base import Net, Op, OpError, attribute, tensor
from trtdsl.ops.reduce import softmax
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType, format_shape

LOWEST = -3.4028234663852886e38
"""The lowest fp32 number: after a softmax it is zero, and other than infinity it never makes a NaN."""


class ScaledDotProductAttention(Op):
    """`softmax(scale * query key^T + mask) value`, as torch.nn.functional.scaled_dot_product_attention.

    The softmax is computed in fp32, the products in the layer's precision. The axes before the last two broadcast.
    """

    kind = "scaled_dot_product_attention"
    aliases = ("sdpa",)
    example = "{op: scaled_dot_product_attention, in: [query, key, value], is_causal: true}"
    query = tensor(FLOATS, help="[..., L, E]")
    key = tensor(FLOATS, help="[..., S, E]")
    value = tensor(FLOATS, help="[..., S, V]")
    attn_mask = tensor(
        FLOATS | {DataType.BOOL},
        optional=True,
        help="broadcasts to [..., L, S]: floats are added, booleans say which keys take part",
    )
    is_causal = attribute(Bool(), default=False, help="whether position i sees the keys 0 to i only")
    scale = attribute(Maybe(Float()), default=None, help="factor of the products; by default 1 / sqrt(E)")

    def infer(
        self, query: TensorType, key: TensorType, value: TensorType, attn_mask: TensorType | None = None
    ) -> TensorType:
        for name, entry in (("query", query), ("key", key), ("value", value)):
            if entry.rank < 2:
                raise OpError(f"the {name} has the shape {format_shape(entry.shape)}, two axes are the least", at="in")
        if not query.shape[-1].matches(key.shape[-1]):
            raise OpError(f"the query's last axis is {query.shape[-1]}, the key's {key.shape[-1]}", at="in")
        if not key.shape[-2].matches(value.shape[-2]):
            raise OpError(f"there are {key.shape[-2]} keys and {value.shape[-2]} values", at="in")
        if self.scale is None and not query.shape[-1].is_static:
            raise OpError(f"the query's last axis {query.shape[-1]} is dynamic", at="in", hint="give `scale`")
        scores = self._scores(query, key)
        if attn_mask is not None:
            self._check_mask(attn_mask, scores)
        batch = broadcast_shapes(self.kind, scores[:-2], value.shape[:-2])
        return query.with_shape((*batch, query.shape[-2], value.shape[-1]))

    def _scores(self, query: TensorType, key: TensorType) -> Shape:
        """The shape of the products: [..., L, S]."""
        return (*broadcast_shapes(self.kind, query.shape[:-2], key.shape[:-2]), query.shape[-2], key.shape[-2])

    def _check_mask(self, mask: TensorType, scores: Shape) -> None:
        if self.is_causal:
            raise OpError("a mask and `is_causal` exclude each other", at="is_causal", hint="put both into the mask")
        together = broadcast_shapes(self.kind, mask.shape, scores)
        if len(together) != len(scores) or not all(a.matches(b) for a, b in zip(together, scores, strict=True)):
            raise OpError(f"a mask {format_shape(mask.shape)} for scores {format_shape(scores)}", at="in")

    def to_tensorrt(self, net: Net, query: Any, key: Any, value: Any, attn_mask: Any = None) -> Any:
        query_type, key_type, value_type = (of_type(entry) for entry in net.input_types[:3])
        rank = net.output_types[0].rank
        query = net.broadcast(query, query_type.shape, rank)
        key = net.broadcast(key, key_type.shape, rank)
        value = net.broadcast(value, value_type.shape, rank)
        matrix = net.trt.MatrixOperation
        # Scaling the query instead of the products keeps them within fp16's range.
        query = net.elementwise("PROD", query, net.constant(self._factor(query_type), shape=(1,) * rank))
        scores = net.add_matrix_multiply(query, matrix.NONE, key, matrix.TRANSPOSE).get_output(0)
        scores = _as_fp32(net, scores)
        shares = self._shares(net, scores, attn_mask, rank)
        if net.dtype is not DataType.FP32:
            shares = net.cast(shares, net.dtype)
        return net.add_matrix_multiply(shares, matrix.NONE, value, matrix.NONE)

    def _factor(self, query: TensorType) -> float:
        return float(query.shape[-1].value ** -0.5) if self.scale is None else self.scale

    def _shares(self, net: Net, scores: Any, attn_mask: Any, rank: int) -> Any:
        """How much each query takes of each value, in fp32: [..., L, S]."""
        last = rank - 1
        if self.is_causal:
            future = _is_future(net, rank, of_type(net.input_types[0]).shape[-2], of_type(net.input_types[1]).shape[-2])
            return softmax(net, _select(net, future, _number(net, LOWEST, rank), scores), last)
        if attn_mask is None:
            return softmax(net, scores, last)
        mask_type = of_type(net.input_types[3])
        mask = net.broadcast(attn_mask, mask_type.shape, rank)
        if mask_type.dtype is not DataType.BOOL:
            return softmax(net, net.elementwise("SUM", scores, _as_fp32(net, mask)), last)
        shares = softmax(net, _select(net, mask, scores, _number(net, LOWEST, rank)), last)
        # Where no key takes part the softmax spreads over all; PyTorch gives zeros.
        return _select(net, mask, shares, _number(net, 0.0, rank))


def _as_fp32(net: Net, x: Any) -> Any:
    return x if net.dtype is DataType.FP32 else net.cast(x, DataType.FP32)


def _select(net: Net, condition: Any, chosen: Any, otherwise: Any) -> Any:
    return net.add_select(condition, chosen, otherwise).get_output(0)


def _number(net: Net, value: float, rank: int) -> Any:
    return net.constant(value, DataType.FP32, (1,) * rank)


def _is_future(net: Net, rank: int, rows: Dim, columns: Dim) -> Any:
    """Whether a column's number is above its row's: [1, ..., rows, columns]."""
    return net.elementwise("LESS", _count(net, rank, -2, rows), _count(net, rank, -1, columns))


def _count(net: Net, rank: int, axis: int, size: Dim) -> Any:
    """0, 1, 2, ... along one axis: the beginning of a constant that is long enough for the largest size."""
    longest = max(size.sizes)
    at = rank + axis
    numbers = net.constant(list(range(longest)), DataType.INT32, tuple(longest if i == at else 1 for i in range(rank)))
    if size.is_static:
        return numbers
    wanted = tuple(size if i == at else Dim.of(1) for i in range(rank))
    return net.slice(numbers, (Dim.of(0),) * rank, wanted, (1,) * rank)
