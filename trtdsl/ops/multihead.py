"""Attention of several heads, with its projections."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._attention import Attention, Mask
from trtdsl.ops._axes import of_type
from trtdsl.ops.attributes import Bool, Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType, format_shape

_ZERO, _ONE = Dim.of(0), Dim.of(1)
_MASKS = FLOATS | {DataType.BOOL}


class MultiHeadAttention(Op):
    """Projections to heads, attention within each, and a projection back, as torch.nn.MultiheadAttention.

    `softmax(q k^T / sqrt(size of a head) + mask) v` for each head, where q, k and v are parts of the projected inputs.
    Without a key the query attends to itself; without a value the key's is taken. The softmax is computed in fp32, the
    products in the layer's precision. A mask and `is_causal` may come together; then both apply.
    """

    kind = "multi_head_attention"
    aliases = ("multihead_attention",)
    example = "{op: multi_head_attention, num_heads: 12}"
    example_inputs = "{x: [1, 197, 768]}"
    query = tensor(FLOATS, help="[batch, L, features]")
    key = tensor(FLOATS, optional=True, help="[batch, S, features]; by default the query")
    value = tensor(FLOATS, optional=True, help="[batch, S, features]; by default the key")
    attn_mask = tensor(
        _MASKS,
        optional=True,
        help="[L, S] or [batch * heads, L, S]: floats are added, true leaves a key out, as in PyTorch",
    )
    key_padding_mask = tensor(_MASKS, optional=True, help="[batch, S]: floats are added, true leaves a key out")
    num_heads = attribute(Int(minimum=1), help="heads that share the features evenly")
    batch_first = attribute(
        Bool(), default=True, help="whether the batch is the first axis, else the second (PyTorch's own default)"
    )
    is_causal = attribute(Bool(), default=False, help="whether position i sees the keys 0 to i only")
    bias = attribute(Bool(), default=True, help="whether the projections have biases")
    in_proj_weight = declare_weight("[3 * features, features], the projections of query, key and value")
    in_proj_bias = declare_weight("[3 * features]", when="bias", initial=0.0)
    out_proj_weight = declare_weight("[features, features], the last projection", key="out_proj.weight")
    out_proj_bias = declare_weight("[features]", when="bias", initial=0.0, key="out_proj.bias")

    def infer(
        self,
        query: TensorType,
        key: TensorType | None = None,
        value: TensorType | None = None,
        attn_mask: TensorType | None = None,
        key_padding_mask: TensorType | None = None,
    ) -> TensorType:
        if key is None and value is not None:
            raise OpError("there is a value without a key", at="in", hint="`in: [query, key, value]`")
        features = self._features(query)
        if features % self.num_heads:
            raise OpError(f"{features} features are not {self.num_heads} heads of the same size", at="num_heads")
        key = key or query
        value = value or key
        batch, length = self._places(query)
        for name, entry in (("key", key), ("value", value)):
            if entry.rank != 3 or not entry.shape[-1].matches(Dim.of(features)):
                raise OpError(f"the {name} is {format_shape(entry.shape)}, its features are not {features}", at="in")
            if not self._places(entry)[0].matches(batch):
                raise OpError(f"a batch of {batch} in the query, of {self._places(entry)[0]} in the {name}", at="in")
        keys, values = self._places(key)[1], self._places(value)[1]
        if not keys.matches(values):
            raise OpError(f"there are {keys} keys and {values} values", at="in")
        self._check_masks(attn_mask, key_padding_mask, batch, length, keys)
        return query

    def _features(self, query: TensorType) -> int:
        if query.rank != 3 or not query.shape[-1].is_static:
            order = "batch, length" if self.batch_first else "length, batch"
            raise OpError(f"the query is {format_shape(query.shape)}, not [{order}, features]", at="in")
        return query.shape[-1].value

    def _places(self, entry: TensorType) -> tuple[Dim, Dim]:
        """Batch and length of an input."""
        first, second = entry.shape[:2]
        return (first, second) if self.batch_first else (second, first)

    def _check_masks(
        self, attn_mask: TensorType | None, padding: TensorType | None, batch: Dim, length: Dim, keys: Dim
    ) -> None:
        allowed = ((length, keys), (batch * self.num_heads, length, keys))
        if attn_mask is not None and not any(_all_match(attn_mask.shape, shape) for shape in allowed):
            wanted = " or ".join(map(format_shape, allowed))
            raise OpError(f"the mask is {format_shape(attn_mask.shape)}, not {wanted}", at="in")
        if padding is not None and not _all_match(padding.shape, (batch, keys)):
            wanted = format_shape((batch, keys))
            raise OpError(f"the mask of keys is {format_shape(padding.shape)}, not {wanted}", at="in")

    def weight_shapes(self, query: TensorType, *others: TensorType | None) -> dict[str, tuple[int, ...] | None]:
        features = self._features(query)
        return {
            "in_proj_weight": (3 * features, features),
            "in_proj_bias": (3 * features,),
            "out_proj_weight": (features, features),
            "out_proj_bias": (features,),
        }

    def _attention(self, net: Net | OnnxNet) -> Attention:
        query = of_type(net.input_types[0])
        key = net.input_types[1] if len(net.input_types) > 1 else None
        size = Dim.of(self._features(query) // self.num_heads)
        (batch, length), (_, keys) = self._places(query), self._places(key or query)
        heads = Dim.of(self.num_heads)
        rows, columns = (batch, heads, length, size), (batch, heads, keys, size)
        return Attention(rows, columns, columns, float(size.value**-0.5), self.is_causal)

    def _mask_shapes(self, net: Net | OnnxNet, attention: Attention) -> list[tuple[int, TensorType, Shape]]:
        """Number, type and shape beside the scores of the masks that are there."""
        batch, heads, length, _ = attention.query
        keys = attention.key[-2]
        found: list[tuple[int, TensorType, Shape]] = []
        for number, entry in enumerate(net.input_types[3:]):
            if entry is not None:
                alike = (batch, _ONE, _ONE, keys) if number else (_ONE, _ONE, length, keys)
                found.append((number, entry, (batch, heads, length, keys) if entry.rank == 3 else alike))
        return found

    def to_tensorrt(self, net: Net, query: Any, key: Any = None, value: Any = None, *masks: Any) -> Any:
        attention = self._attention(net)
        shapes = (attention.query, attention.key, attention.key)
        if key is None:
            projected = self._projected_together(net, query)
        else:
            sources = (query, key, key if value is None else value)
            projected = [self._projected(net, source, part) for part, source in enumerate(sources)]
        heads = [self._heads(net, x, shape) for x, shape in zip(projected, shapes, strict=True)]
        given = [
            Mask(net.reshape(masks[number], entry.shape, shape), shape, entry.dtype)
            for number, entry, shape in self._mask_shapes(net, attention)
        ]
        return self._project_out(net, attention.to_tensorrt(net, heads, given), attention.query)

    def _projected_together(self, net: Net, x: Any) -> list[Any]:
        """All three projections of one tensor, by one product."""
        y_type = net.output_types[0]
        features = y_type.shape[-1].value
        weight, is_transposed = net.matrix("in_proj_weight", 3)
        whole = _product(net, x, weight, transpose=not is_transposed)
        if self.bias:
            whole = net.elementwise("SUM", whole, net.weight_tensor("in_proj_bias", (1, 1, 3 * features)))
        return [net.slice(whole, _from(2, part * features), y_type.shape, (1, 1, 1)) for part in range(3)]

    def _projected(self, net: Net, x: Any, part: int) -> Any:
        """The projection by a third of the weight."""
        features = net.output_types[0].shape[-1].value
        weight, is_transposed = net.matrix("in_proj_weight", 3)
        square = (_ONE, Dim.of(features), Dim.of(features))
        third = net.slice(weight, _from(2 if is_transposed else 1, part * features), square, (1, 1, 1))
        projected = _product(net, x, third, transpose=not is_transposed)
        if not self.bias:
            return projected
        bias = net.weight_tensor("in_proj_bias", (1, 1, 3 * features))
        row = (_ONE, _ONE, Dim.of(features))
        return net.elementwise("SUM", projected, net.slice(bias, _from(2, part * features), row, (1, 1, 1)))

    def _heads(self, net: Net, x: Any, shape: Shape) -> Any:
        """A projection as [batch, heads, length, size]."""
        batch, heads, length, size = shape
        places = (batch, length) if self.batch_first else (length, batch)
        apart = net.reshape(x, (*places, heads * size), (*places, heads, size))
        return net.transpose(apart, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _project_out(self, net: Net, attended: Any, shape: Shape) -> Any:
        y_type = net.output_types[0]
        _, heads, _, size = shape
        together = net.transpose(attended, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        x = net.reshape(together, (*y_type.shape[:2], heads, size), y_type.shape)
        weight, is_transposed = net.matrix("out_proj_weight", 3)
        result = _product(net, x, weight, transpose=not is_transposed)
        if not self.bias:
            return result
        return net.elementwise("SUM", result, net.weight_tensor("out_proj_bias", (1, 1, y_type.shape[-1].value)))

    def to_onnx(
        self, net: OnnxNet, query: str, key: str | None = None, value: str | None = None, *masks: str | None
    ) -> str:
        attention = self._attention(net)
        shapes = (attention.query, attention.key, attention.key)
        y_shape = net.output_types[0].shape
        features = y_shape[-1].value
        weight = net.transpose(net.weight("in_proj_weight"), (1, 0))
        if key is None:
            whole = net.node("MatMul", query, weight)
            whole = net.node("Add", whole, net.weight("in_proj_bias")) if self.bias else whole
            projected = [net.slice(whole, _from(2, part * features), y_shape, (1, 1, 1)) for part in range(3)]
        else:
            sources = (query, key, value or key)
            projected = [self._onnx_projected(net, source, weight, part) for part, source in enumerate(sources)]
        heads = [self._onnx_heads(net, x, shape) for x, shape in zip(projected, shapes, strict=True)]
        given = [
            Mask(net.reshape(masks[number] or "", shape), shape, entry.dtype)
            for number, entry, shape in self._mask_shapes(net, attention)
        ]
        attended = attention.to_onnx(net, heads, given)
        together = net.transpose(attended, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        result = net.reshape(together, y_shape)
        result = net.node("MatMul", result, net.transpose(net.weight("out_proj_weight"), (1, 0)))
        return net.node("Add", result, net.weight("out_proj_bias")) if self.bias else result

    def _onnx_projected(self, net: OnnxNet, x: str, weight: str, part: int) -> str:
        features = net.output_types[0].shape[-1].value
        square = (Dim.of(features), Dim.of(features))
        third = net.slice(weight, (_ZERO, Dim.of(part * features)), square, (1, 1))
        projected = net.node("MatMul", x, third)
        if not self.bias:
            return projected
        row = net.slice(net.weight("in_proj_bias"), (Dim.of(part * features),), square[:1], (1,))
        return net.node("Add", projected, row)

    def _onnx_heads(self, net: OnnxNet, x: str, shape: Shape) -> str:
        batch, heads, length, size = shape
        places = (batch, length) if self.batch_first else (length, batch)
        apart = net.reshape(x, (*places, heads, size))
        return net.transpose(apart, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))


def _from(axis: int, position: int) -> Shape:
    """Where a slice of three axes begins."""
    return tuple(Dim.of(position) if i == axis else _ZERO for i in range(3))


def _product(net: Net, x: Any, weight: Any, *, transpose: bool = False) -> Any:
    matrix = net.trt.MatrixOperation
    return net.add_matrix_multiply(x, matrix.NONE, weight, matrix.TRANSPOSE if transpose else matrix.NONE).get_output(0)


def _all_match(shape: Shape, other: Shape) -> bool:
    return len(shape) == len(other) and all(a.matches(b) for a, b in zip(shape, other, strict=True))
