"""Conversion between element types; ml_dtypes, which is not ours, says what bf16 is."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from trtdsl.types import DataType
from trtdsl.weights.arrays import bf16_to_fp32, convert, extremes, fp32_to_bf16, is_convertible, largest, to_storage

EDGES = np.array(
    [
        *(0x00000000, 0x80000000, 0x3F808000, 0x3F818000, 0x7F7F7FFF, 0x7F7F8000, 0x7F800000, 0xFF800000, 0x7F800001),
        *(0x7FFFFFFF, 0xFFFFFFFF, 0x00000001, 0x00008000, 0x00018000, 0x007FFFFF),
    ],
    np.uint32,
).view(np.float32)
"""Zeros, ties to both sides, the end of the range, infinities, NaNs of every kind, subnormals."""


def random_floats() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    bits = np.random.default_rng(7).integers(0, 2**32, 100_000, np.uint32)
    return bits.view(np.float32)


@pytest.mark.parametrize("values", [EDGES, random_floats()], ids=["edges", "random bits"])
def test_rounding_to_bf16(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    with np.errstate(invalid="ignore"):
        expected = values.astype(ml_dtypes.bfloat16)
    actual = fp32_to_bf16(values)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(actual[numbers], expected[numbers].view(np.uint16))
    assert np.isnan(actual.view(ml_dtypes.bfloat16)[~numbers]).all()


def test_widening_from_bf16() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    np.testing.assert_array_equal(bf16_to_fp32(bits), bits.view(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("wanted", [DataType.FP32, DataType.FP16, DataType.BF16])
@pytest.mark.parametrize("stored", [DataType.FP32, DataType.FP16, DataType.BF16])
def test_floats_convert_to_floats(stored: DataType, wanted: DataType) -> None:
    types = {DataType.FP32: np.float32, DataType.FP16: np.float16, DataType.BF16: ml_dtypes.bfloat16}
    values = np.random.default_rng(3).normal(size=(4, 5)).astype(types[stored])
    expected = values.astype(np.float32).astype(types[wanted])
    actual = convert(values.view(stored.storage), stored, wanted)
    assert actual.dtype == wanted.storage
    np.testing.assert_array_equal(actual, expected.view(wanted.storage))


def test_nothing_is_copied_when_nothing_changes() -> None:
    values = np.ones((2, 3), np.float32)
    assert np.shares_memory(convert(values, DataType.FP32, DataType.FP32), values)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_shapes_stay(shape: tuple[int, ...]) -> None:
    for wanted in (DataType.FP32, DataType.FP16, DataType.BF16):
        assert convert(np.ones(shape, np.float32), DataType.FP32, wanted).shape == shape


def test_the_result_is_contiguous() -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    result = convert(transposed, DataType.FP32, DataType.FP32)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, transposed)


def test_fp64_becomes_fp32() -> None:
    result = convert(np.array([0.1]), DataType.FP32, DataType.FP32)
    assert result.dtype == np.float32
    assert result[0] == np.float32(0.1)


def test_too_large_becomes_infinite_without_a_word() -> None:
    assert to_storage(np.array([65519.0, 65520.0]), DataType.FP16).tolist() == [65504.0, float("inf")]


@pytest.mark.parametrize("dtype", [DataType.FP16, DataType.BF16])
def test_largest_is_where_infinity_begins(dtype: DataType) -> None:
    limit = np.float32(largest(dtype))
    below = np.nextafter(limit, np.float32(0))
    result = convert(np.array([below, limit], np.float32), DataType.FP32, dtype)
    numbers = convert(result, dtype, DataType.FP32)
    assert np.isfinite(numbers).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [DataType.FP8, DataType.FP4, DataType.E8M0, DataType.INT4])
def test_bits_are_not_computed(dtype: DataType) -> None:
    with pytest.raises(ValueError, match=f"not converted to {dtype}"):
        to_storage(np.ones(1), dtype)
    with pytest.raises(ValueError, match=f"{dtype} is not converted to fp32"):
        convert(np.ones(1, dtype.storage), dtype, DataType.FP32)


@pytest.mark.parametrize(
    ("stored", "wanted", "convertible"),
    [
        (DataType.FP32, DataType.BF16, True),
        (DataType.INT64, DataType.INT64, True),
        (DataType.INT64, DataType.FP32, False),
        (DataType.FP32, DataType.INT32, False),
        (DataType.FP8, DataType.FP16, False),
    ],
)
def test_is_convertible(stored: DataType, wanted: DataType, convertible: bool) -> None:
    assert is_convertible(stored, wanted) == convertible


def test_extremes() -> None:
    assert extremes(np.array([3.0, -1.0, 2.0])) == (-1.0, 3.0)
    assert extremes(np.zeros((0,))) == (0.0, 0.0)
    assert np.isnan(extremes(np.array([1.0, np.nan]))).all()
