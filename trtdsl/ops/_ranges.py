"""Whether integer types hold what they are given: a conversion would wrap around, and say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtdsl.ops.base import OpError
from trtdsl.types import INTEGERS, DataType

if TYPE_CHECKING:
    from trtdsl.weights import Weight

_BITS = {DataType.INT64: 64, DataType.INT32: 32}


def check_number(number: float, dtype: DataType, at: str) -> None:
    """Refuse a number that is no element of a type; floats take any. Raises OpError."""
    if dtype.is_float:
        return
    if not float(number).is_integer():
        raise OpError(f"{at} {number:g} is not a whole number, the input is {dtype}", at=at)
    if dtype in _BITS and not -(2 ** (_BITS[dtype] - 1)) <= number < 2 ** (_BITS[dtype] - 1):
        raise OpError(f"{at} {number:.15g} is more than {dtype} holds", at=at)


def check_elements(weight: Weight, dtype: DataType, at: str) -> None:
    """Refuse a weight of integers that a narrower integer type does not hold. Raises OpError."""
    if dtype not in INTEGERS or weight.dtype not in INTEGERS or weight.dtype is dtype:
        return
    elements = weight.source.load(weight.natural_shape, weight.dtype)
    for number in (int(elements.min(initial=0)), int(elements.max(initial=0))):
        check_number(number, dtype, at)
