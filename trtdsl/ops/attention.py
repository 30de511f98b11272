"""Attention of queries to keys and values."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._attention import Attention, Mask
from trtdsl.ops._axes import of_type
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops.attributes import Bool, Float, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType, format_shape

_ONE = Dim.of(1)


class ScaledDotProductAttention(Op):
    """`softmax(scale * query key^T + mask) value`, as torch.nn.functional.scaled_dot_product_attention.

    The softmax is computed in fp32, the products in the layer's precision. The axes before the last two broadcast. A
    mask and `is_causal` may come together; then both apply.
    """

    kind = "scaled_dot_product_attention"
    aliases = ("sdpa",)
    example = "{op: scaled_dot_product_attention, in: [query, key, value], is_causal: true}"
    example_inputs = "{query: [1, 12, 64, 64], key: [1, 12, 64, 64], value: [1, 12, 64, 64]}"
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
    enable_gqa = attribute(
        Bool(), default=False, help="whether several heads of the query, the third axis from the end, share a key's"
    )
    softcap = attribute(
        Maybe(Float()), default=None, help="a bound c of the products, which become `c * tanh(product / c)`"
    )

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
        if self.softcap is not None and not self.softcap > 0:
            raise OpError(f"softcap {self.softcap:g} is not above zero", at="softcap")
        groups = self._groups(query, key, value)
        batches = [entry.shape[:-2] for entry in (query, key, value)]
        if groups > 1:
            # Each head of the key and the value stands for a group of heads.
            batches[1:] = [(*batch[:-1], query.shape[-3]) for batch in batches[1:]]
        scores = (*broadcast_shapes(self.kind, *batches[:2]), query.shape[-2], key.shape[-2])
        if attn_mask is not None:
            self._check_mask(attn_mask, scores)
        batch = broadcast_shapes(self.kind, scores[:-2], batches[2])
        return query.with_shape((*batch, query.shape[-2], value.shape[-1]))

    def _groups(self, *entries: TensorType) -> int:
        """How many heads of the query share one of the key."""
        if not self.enable_gqa:
            return 1
        if any(entry.rank < 3 or not entry.shape[-3].is_static for entry in entries):
            shapes = ", ".join(format_shape(entry.shape) for entry in entries)
            raise OpError(f"grouped heads take [..., heads, length, size] with fixed heads, not {shapes}", at="in")
        heads, key_heads, value_heads = (entry.shape[-3].value for entry in entries)
        if key_heads != value_heads:
            raise OpError(f"the key has {key_heads} heads and the value {value_heads}", at="in")
        if heads % key_heads:
            raise OpError(f"{heads} heads of the query cannot share {key_heads} of the key evenly", at="in")
        return heads // key_heads

    def _check_mask(self, mask: TensorType, scores: Shape) -> None:
        together = broadcast_shapes(self.kind, mask.shape, scores)
        if len(together) != len(scores) or not all(a.matches(b) for a, b in zip(together, scores, strict=True)):
            raise OpError(f"a mask {format_shape(mask.shape)} for scores {format_shape(scores)}", at="in")

    def _shapes(self, net: Net | OnnxNet) -> tuple[Shape, ...]:
        """The shapes of query, key, value and mask with ones in front, up to one rank."""
        rank = max(of_type(entry).rank for entry in net.input_types[:3])
        return tuple((_ONE,) * (rank - entry.rank) + entry.shape for entry in net.input_types if entry is not None)

    def _grouped_shapes(self, net: Net | OnnxNet) -> tuple[Shape, ...]:
        """As `_shapes`, but heads that share a key stand on an axis of their own, along which the key broadcasts."""
        shapes = self._shapes(net)
        groups = self._groups(*map(of_type, net.input_types[:3]))
        if groups == 1:
            return shapes
        return tuple(_grouped(shape, groups, apart=position in (0, 3)) for position, shape in enumerate(shapes))

    def _attention(self, shapes: tuple[Shape, ...]) -> Attention:
        query, key, value = shapes[:3]
        scale = float(query[-1].value ** -0.5) if self.scale is None else self.scale
        return Attention(query, key, value, scale, self.is_causal, self.softcap)

    def _masks(self, net: Net | OnnxNet, tensors: list[Any], shapes: tuple[Shape, ...]) -> list[Mask]:
        dtype = of_type(net.input_types[3]).dtype if len(tensors) > 3 else DataType.BOOL
        return [Mask(mask, shape, dtype, keeps=True) for mask, shape in zip(tensors[3:], shapes[3:], strict=True)]

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        y_type = net.output_types[0]
        types = [entry for entry in net.input_types if entry is not None]
        given = [x for x in inputs if x is not None]
        shapes = self._shapes(net)
        attention = self._attention(shapes)
        if not attention.is_native(net, self._masks(net, given, shapes)):
            shapes = self._grouped_shapes(net)
            attention = self._attention(shapes)
        tensors = [
            x if shape == entry.shape else net.reshape(x, entry.shape, shape)
            for x, entry, shape in zip(given, types, shapes, strict=True)
        ]
        result = attention.to_tensorrt(net, tensors[:3], self._masks(net, tensors, shapes))
        return result if len(shapes[0]) == y_type.rank else net.reshape(result, _attended(shapes), y_type.shape)

    def to_onnx(self, net: OnnxNet, *inputs: str | None) -> str:
        y_type = net.output_types[0]
        types = [entry for entry in net.input_types if entry is not None]
        given = [x for x in inputs if x is not None]
        shapes = self._grouped_shapes(net)
        tensors = [
            x if shape == entry.shape else net.reshape(x, shape)
            for x, entry, shape in zip(given, types, shapes, strict=True)
        ]
        result = self._attention(shapes).to_onnx(net, tensors[:3], self._masks(net, tensors, shapes))
        return result if len(shapes[0]) == y_type.rank else net.reshape(result, y_type.shape)


def _grouped(shape: Shape, groups: int, *, apart: bool) -> Shape:
    """A shape whose heads are [heads of the key, heads that share it]; those that are all the same are a one."""
    heads = shape[-3]
    if not apart or heads.is_one:
        return (*shape[:-2], _ONE, *shape[-2:])
    return (*shape[:-3], heads // groups, Dim.of(groups), *shape[-2:])


def _attended(shapes: tuple[Shape, ...]) -> Shape:
    """The shape of what comes out of the two products."""
    query, key, value = shapes[:3]
    batch = broadcast_shapes("attention", query[:-2], key[:-2], value[:-2])
    return (*batch, query[-2], value[-1])
