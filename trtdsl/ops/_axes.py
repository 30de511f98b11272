"""What ops that move elements share: axes counted from either end, and sizes that keep the number of elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

from trtdsl.ops.base import Net, OpError
from trtdsl.types import (
    NUMBERS,
    Arithmetic,
    DataType,
    Dim,
    Expression,
    Shape,
    Sizes,
    TensorType,
    format_shape,
    volume,
)

MOVABLE = NUMBERS | {DataType.BOOL}
"""The element types that layers which only move elements take."""


def axis_of(dim: int, rank: int, at: str = "dim") -> int:
    """An axis counted from the front. Raises OpError for one that a tensor of this rank does not have."""
    if not -rank <= dim < rank:
        span = f"use {-rank} to {rank - 1}" if rank else "a scalar has no axes"
        raise OpError(f"{at} {dim} is out of range for {count_axes(rank)}", at=at, hint=span)
    return dim % rank


def axes_of(dims: Sequence[int], rank: int, at: str = "dim") -> tuple[int, ...]:
    """Axes counted from the front, in the order given. Raises OpError for one given twice."""
    axes = tuple(axis_of(dim, rank, at) for dim in dims)
    if len(set(axes)) != len(axes):
        raise OpError(f"{at} {format_shape(dims)} names an axis twice", at=at)
    return axes


def count_axes(rank: int, which: str = "") -> str:
    """`1 axis`, `2 spatial axes`: for messages."""
    return f"{rank} {which}ax{'i' if rank == 1 else 'e'}s"


def of_type(x: TensorType | None) -> TensorType:
    """The type of an input that is not optional."""
    assert x is not None, "a required input is missing"
    return x


def common_dtype(kind: str, inputs: Iterable[TensorType]) -> DataType:
    """The element type that all inputs have. Floats agree once precisions are settled, whatever they are before."""
    dtypes = list(dict.fromkeys(entry.dtype for entry in inputs))
    if len(dtypes) > 1 and not all(dtype.is_float for dtype in dtypes):
        raise OpError(
            f"{kind} takes inputs of one element type, these are {' and '.join(map(str, dtypes))}",
            at="in",
            hint="a `cast` layer converts",
        )
    return dtypes[0]


def is_at_most(size: Dim | int, limit: Dim | int) -> bool:
    """Whether a size stays within a limit at min, opt and max."""
    sizes = size.sizes if isinstance(size, Dim) else Sizes(size, size, size)
    limits = limit.sizes if isinstance(limit, Dim) else Sizes(limit, limit, limit)
    return all(a <= b for a, b in zip(sizes, limits, strict=True))


def cut(net: Net, x: Any, shape: Shape, wanted: Shape) -> Any:
    """The first elements of each axis of `x`, which has `shape`."""
    if all(size.matches(kept) for size, kept in zip(shape, wanted, strict=True)):
        return x
    return net.slice(x, (Dim.of(0),) * len(shape), wanted, (1,) * len(shape))


def without_bool(net: Net, x: Any, dtype: DataType, work: Callable[[Any], Any]) -> Any:
    """`work(x)`, which moves elements; of booleans as int32 where this TensorRT cannot reach beyond theirs."""
    if dtype is not DataType.BOOL or net.runtime.has_bool_padding:
        return work(x)
    return net.cast(work(net.cast(x, DataType.INT32)), DataType.BOOL)


def quotient(shape: Sequence[Dim], divisors: Sequence[Dim]) -> Dim | None:
    """What is left of a shape's volume when other sizes are taken out of it, or None where it does not divide.

    Equal factors cancel as expressions, so that `[N, 3, H]` without `N` and `H` leaves the static 3.
    """
    total, part = volume(shape), volume(divisors)
    if any(not b or a % b for a, b in zip(total.sizes, part.sizes, strict=True)):
        return None
    sizes = Sizes(*(a // b for a, b in zip(total.sizes, part.sizes, strict=True)))
    above, below = _factors(total.expression), _factors(part.expression)
    for factor in list(below):
        if not isinstance(factor, int) and factor in above:
            above.remove(factor)
            below.remove(factor)
    number, divisor = _number(above), _number(below)
    if divisor and number % divisor == 0:
        number, divisor = number // divisor, 1
    expression = _product(above, number)
    remainder = _product(below, divisor)
    if remainder != 1:
        expression = Arithmetic("//", expression, remainder)
    return Dim.of(expression) if isinstance(expression, int) else Dim(expression, sizes)


def _factors(expression: Expression) -> list[Expression]:
    if isinstance(expression, Arithmetic) and expression.operator == "*":
        return _factors(expression.left) + _factors(expression.right)
    return [expression]


def _number(factors: Sequence[Expression]) -> int:
    return prod(factor for factor in factors if isinstance(factor, int))


def _product(factors: Sequence[Expression], number: int) -> Expression:
    """The product of the dynamic factors and one number."""
    product: Expression | None = None
    for factor in factors:
        if not isinstance(factor, int):
            product = factor if product is None else Arithmetic("*", product, factor)
    if product is None:
        return number
    return product if number == 1 else Arithmetic("*", product, number)
