"""Conversion between element types, with bf16 held as the bits that numpy has no type for."""

from __future__ import annotations

import numpy as np

from trtdsl.types import DataType
from trtdsl.weights.base import Array

_BITS_ONLY = frozenset({DataType.FP8, DataType.FP4, DataType.E8M0, DataType.INT4})
"""Types whose bits are carried along and never computed."""


def is_convertible(stored: DataType, wanted: DataType) -> bool:
    """Whether elements of one type may be taken as another without being asked: floats as floats, and the same."""
    return stored is wanted or (stored.is_float and wanted.is_float)


def convert(array: Array, stored: DataType, wanted: DataType) -> Array:
    """Elements of type `stored` as C-contiguous `wanted.storage`, without a copy when nothing changes."""
    if stored is wanted and array.dtype == wanted.storage:
        return np.ascontiguousarray(array).reshape(array.shape)
    if stored in _BITS_ONLY:
        raise ValueError(f"{stored} is not converted to {wanted}")
    return to_storage(bf16_to_fp32(array) if stored is DataType.BF16 else array, wanted)


def to_storage(values: Array, dtype: DataType) -> Array:
    """Ordinary numbers as C-contiguous elements of `dtype.storage`, rounded to nearest even.

    Floats beyond the range become infinite. Raises ValueError for types that numbers are not converted to.
    """
    if dtype in _BITS_ONLY:
        raise ValueError(f"numbers are not converted to {dtype}")
    with np.errstate(over="ignore"):
        if dtype is DataType.BF16:
            return fp32_to_bf16(np.asarray(values, np.float32, order="C"))
        return np.asarray(values, dtype.storage, order="C")


def bf16_to_fp32(bits: Array) -> Array:
    """The numbers that bf16 bits stand for."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def fp32_to_bf16(values: Array) -> Array:
    """The bits of the nearest bf16 numbers, ties to even; a NaN stays one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(values.shape)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    nan = np.isnan(values)
    if nan.any():
        # Rounding up can carry a NaN's payload into the sign; setting the quiet bit keeps it a NaN.
        rounded = np.where(nan, (bits >> 16) | 0x40, rounded)
    return rounded.astype(np.uint16)


def largest(dtype: DataType) -> float:
    """The magnitude from which on fp32 numbers become infinite in a narrower float type."""
    return _LARGEST[dtype]


# Half a unit in the last place above the largest finite number: what rounds to nearest even no longer fits.
_LARGEST = {
    DataType.FP32: float("inf"),
    DataType.FP16: 65520.0,
    DataType.BF16: float(np.array(0x7F7F8000, np.uint32).view(np.float32)),
}


def extremes(array: Array) -> tuple[float, float]:
    """The smallest and the largest element, both NaN when there is a NaN; zeros for no elements."""
    if array.size == 0:
        return 0.0, 0.0
    return array.min().item(), array.max().item()
