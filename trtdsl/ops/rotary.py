"""Rotary position embedding."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import of_type
from trtdsl.ops.attributes import Bool, Int, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, INTEGERS, Dim, Shape, TensorType, format_shape

_ZERO, _ONE = Dim.of(0), Dim.of(1)


class RotaryEmbedding(Op):
    """Pairs of each head's elements turned by an angle of their position, as ONNX's RotaryEmbedding.

    Of a pair (a, b) it makes `(a cos - b sin, a sin + b cos)`. The pairs are elements of the same number in the first
    and the second half of what turns, or neighbours where `interleaved` is set.
    """

    kind = "rotary_embedding"
    aliases = ("rope",)
    example = "{op: rotary_embedding, in: [query, cos, sin]}"
    example_inputs = "{query: [1, 12, 64, 32], cos: [1, 64, 16], sin: [1, 64, 16]}"
    x = tensor(FLOATS, help="[batch, heads, length, size], or [batch, length, heads * size] with `num_heads`")
    cos_cache = tensor(
        FLOATS,
        help="cosines of the angles: [batch, length, pairs] or [length, pairs]; with positions [positions, pairs]",
    )
    sin_cache = tensor(FLOATS, help="sines, in the shape of the cosines")
    position_ids = tensor(INTEGERS, optional=True, help="[batch, length]: rows of the caches")
    interleaved = attribute(Bool(), default=False, help="whether pairs are neighbours, else halves")
    rotary_embedding_dim = attribute(
        Int(minimum=0), default=0, help="how many elements of a head turn, the first ones; by default all"
    )
    num_heads = attribute(Maybe(Int(minimum=1)), default=None, help="heads that an input of three axes holds")

    def infer(
        self, x: TensorType, cos: TensorType, sin: TensorType, position_ids: TensorType | None = None
    ) -> TensorType:
        batch, length, _, size = self._heads(x)
        turned = self._turned(size.value)
        if turned % 2:
            at = "rotary_embedding_dim" if self.rotary_embedding_dim else "in"
            raise OpError(f"{turned} elements are no pairs", at=at)
        if not _all_match(cos.shape, sin.shape):
            raise OpError(f"the cosines are {format_shape(cos.shape)}, the sines {format_shape(sin.shape)}", at="in")
        self._check_cache(cos.shape, (batch, length, Dim.of(turned // 2)), position_ids)
        return x

    def _check_cache(self, cache: Shape, rows: Shape, position_ids: TensorType | None) -> None:
        """Refuse caches that do not hold rows of [batch, length, pairs], or that positions cannot look up."""
        if position_ids is None:
            if not any(_all_match(cache, shape) for shape in (rows, rows[1:])):
                wanted = f"{format_shape(rows)} or {format_shape(rows[1:])}"
                raise OpError(f"the caches are {format_shape(cache)}, not {wanted}", at="in")
            return
        if not _all_match(position_ids.shape, rows[:2]):
            wanted = format_shape(rows[:2])
            raise OpError(f"the positions are {format_shape(position_ids.shape)}, not {wanted}", at="in")
        if len(cache) != 2 or not cache[-1].matches(rows[-1]):
            raise OpError(f"with positions caches are [positions, {rows[-1]}], not {format_shape(cache)}", at="in")

    def _heads(self, x: TensorType) -> Shape:
        """The input's sizes as [batch, length, heads, size]."""
        if x.rank == 4:
            batch, heads, length, size = x.shape
            if self.num_heads is not None and not (heads.is_static and heads.value == self.num_heads):
                raise OpError(f"the input has {heads} heads", at="num_heads")
        elif x.rank == 3 and self.num_heads is not None:
            batch, length, hidden = x.shape
            if not hidden.is_static or hidden.value % self.num_heads:
                raise OpError(f"{hidden} elements are not {self.num_heads} heads of the same size", at="num_heads")
            heads, size = Dim.of(self.num_heads), hidden // self.num_heads
        else:
            hint = "`num_heads` tells the heads of an input of three axes" if x.rank == 3 else None
            raise OpError(f"the input {format_shape(x.shape)} is not [batch, heads, length, size]", at="in", hint=hint)
        if not size.is_static:
            raise OpError(f"the size {size} of a head is dynamic", at="in")
        if self.rotary_embedding_dim > size.value:
            raise OpError(f"{self.rotary_embedding_dim} of {size} elements cannot turn", at="rotary_embedding_dim")
        return batch, length, heads, size

    def _turned(self, size: int) -> int:
        return self.rotary_embedding_dim or size

    def to_tensorrt(self, net: Net, x: Any, cos: Any, sin: Any, position_ids: Any = None) -> Any:
        x_type, cache = of_type(net.input_types[0]), of_type(net.input_types[1])
        batch, length, _, size = self._heads(x_type)
        if net.has("add_rotary_embedding") and x_type.rank == 4 and (position_ids is not None or cache.rank == 3):
            layer = net.add_rotary_embedding(x, cos, sin, self.interleaved, self.rotary_embedding_dim)
            if position_ids is not None:
                layer.set_input(3, position_ids)
            return layer
        pairs = self._turned(size.value) // 2
        full, rows = self._composed_shapes(x_type, cache, pairs, gathered=position_ids is not None)
        if position_ids is not None:
            cos, sin = (net.add_gather(entry, position_ids, 0).get_output(0) for entry in (cos, sin))
            cache = cache.with_shape((batch, length, pairs))
        cos, sin = (net.reshape(entry, cache.shape, rows) for entry in (cos, sin))
        if x_type.rank == 3:
            x = net.reshape(x, x_type.shape, full)
        parts = _Parts(full, pairs, self.interleaved)
        first, second = (net.slice(x, *part) for part in (parts.first, parts.second))
        turned = [
            net.elementwise(operation, net.elementwise("PROD", first, a), net.elementwise("PROD", second, b))
            for operation, a, b in (("SUB", cos, sin), ("SUM", sin, cos))
        ]
        if self.interleaved:
            column = (*parts.half, _ONE)
            joined = _joined(net, [net.reshape(entry, parts.half, column) for entry in turned], len(full))
            turned = [net.reshape(joined, (*parts.half, Dim.of(2)), (*full[:-1], Dim.of(2 * pairs)))]
        if 2 * pairs < size.value:
            turned.append(net.slice(x, *parts.rest))
        result = turned[0] if len(turned) == 1 else _joined(net, turned, len(full) - 1)
        return net.reshape(result, full, x_type.shape) if x_type.rank == 3 else result

    def _composed_shapes(self, x: TensorType, cache: TensorType, pairs: int, *, gathered: bool) -> tuple[Shape, Shape]:
        """The shape in which the input turns, and that of the caches beside it."""
        batch, length, heads, size = self._heads(x)
        full = (batch, length, heads, size) if x.rank == 3 else (batch, heads, length, size)
        first = _ONE if cache.rank == 2 and not gathered else batch
        around = (length, _ONE) if x.rank == 3 else (_ONE, length)
        return full, (first, *around, Dim.of(pairs))

    def to_onnx(self, net: OnnxNet, x: str, cos: str, sin: str, position_ids: str | None = None) -> str:
        x_type, cache = of_type(net.input_types[0]), of_type(net.input_types[1])
        size = self._heads(x_type)[-1]
        pairs = self._turned(size.value) // 2
        full, rows = self._composed_shapes(x_type, cache, pairs, gathered=position_ids is not None)
        if position_ids is not None:
            cos, sin = (net.node("Gather", entry, position_ids, axis=0) for entry in (cos, sin))
        cos, sin = (net.reshape(entry, rows) for entry in (cos, sin))
        if x_type.rank == 3:
            x = net.reshape(x, full)
        parts = _Parts(full, pairs, self.interleaved)
        first, second = (net.slice(x, *part) for part in (parts.first, parts.second))
        turned = [
            net.node(operator, net.node("Mul", first, a), net.node("Mul", second, b))
            for operator, a, b in (("Sub", cos, sin), ("Add", sin, cos))
        ]
        if self.interleaved:
            columns = [net.unsqueeze(entry, (len(full),)) for entry in turned]
            turned = [net.reshape(net.node("Concat", *columns, axis=-1), (*full[:-1], Dim.of(2 * pairs)))]
        if 2 * pairs < size.value:
            turned.append(net.slice(x, *parts.rest))
        result = turned[0] if len(turned) == 1 else net.node("Concat", *turned, axis=-1)
        return net.reshape(result, x_type.shape) if x_type.rank == 3 else result


class _Parts:
    """Start, size and stride of what the first and the second of each pair are, and of what does not turn."""

    def __init__(self, full: Shape, pairs: int, interleaved: bool) -> None:
        self.half: Shape = (*full[:-1], Dim.of(pairs))
        step, distance = (2, 1) if interleaved else (1, pairs)
        self.first = self._part(0, self.half, step)
        self.second = self._part(distance, self.half, step)
        self.rest = self._part(2 * pairs, (*full[:-1], full[-1] - 2 * pairs), 1)

    def _part(self, start: int, size: Shape, step: int) -> tuple[Shape, Shape, tuple[int, ...]]:
        before = len(size) - 1
        return (*(_ZERO,) * before, Dim.of(start)), size, (*(1,) * before, step)


def _joined(net: Net, parts: list[Any], axis: int) -> Any:
    layer = net.add_concatenation(parts)
    layer.axis = axis
    return layer.get_output(0)


def _all_match(shape: Shape, other: Shape) -> bool:
    return len(shape) == len(other) and all(a.matches(b) for a, b in zip(shape, other, strict=True))
