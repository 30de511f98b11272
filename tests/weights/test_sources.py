"""Stored entries, inline values and initialisers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from trtdsl.types import DataType
from trtdsl.weights import Weight, open_weights
from trtdsl.weights.initial import normal, uniform
from trtdsl.weights.sources import Distribution, Initialiser, Inline, Stored, can_take


@pytest.fixture
def file(tmp_path: Path) -> Path:
    numbers = np.arange(6).reshape(2, 3)
    arrays = {
        "fp32": numbers.astype(np.float32),
        "fp64": numbers.astype(np.float64),
        "bf16": numbers.astype(ml_dtypes.bfloat16),
        "int64": numbers,
        "int16": numbers.astype(np.int16),
        "uint16": numbers.astype(ml_dtypes.bfloat16).view(np.uint16),
        "uint8": numbers.astype(np.uint8),
        "conv": np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5),
    }
    save_file(arrays, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    ("key", "taken_as", "wanted"),
    [
        ("fp32", DataType.FP32, DataType.FP32),
        ("fp32", DataType.FP32, DataType.BF16),
        ("fp32", DataType.FP16, DataType.FP32),
        ("fp64", DataType.FP32, DataType.FP32),
        ("fp64", DataType.FP32, DataType.FP16),
        ("bf16", DataType.BF16, DataType.FP32),
        ("int64", DataType.INT32, DataType.INT32),
        ("int64", DataType.FP32, DataType.FP16),
        ("int16", DataType.INT32, DataType.INT32),
        ("uint16", DataType.BF16, DataType.FP32),
    ],
)
def test_stored_numbers_are_taken(file: Path, key: str, taken_as: DataType, wanted: DataType) -> None:
    entry = open_weights(file)[key]
    assert can_take(entry, taken_as)
    loaded = Stored(entry, taken_as).load((2, 3), wanted)
    numbers = loaded.view(ml_dtypes.bfloat16) if wanted is DataType.BF16 else loaded
    assert loaded.dtype == wanted.storage
    assert numbers.astype(np.float64).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_bits_of_bf16_in_any_order(tmp_path: Path, order: str, layout: Literal["C", "F"]) -> None:
    # By hand: 3f80 is 1, c000 is -2, 3e00 is 2^-3.
    bits = np.array([[0x3F80, 0xC000], [0x3E00, 0]])
    np.savez(tmp_path / "w.npz", x=np.asarray(bits, f"{order}u2", order=layout))
    source = Stored(open_weights(tmp_path / "w.npz")["x"], DataType.BF16)
    assert source.load((2, 2), DataType.FP32).tolist() == [[1.0, -2.0], [0.125, 0.0]]
    assert source.load((2, 2), DataType.BF16).tolist() == bits.tolist()


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("fp32", DataType.INT32),
        ("fp32", DataType.FP8),
        ("bf16", DataType.INT64),
        ("uint16", DataType.FP8),
        ("int64", DataType.BOOL),
    ],
)
def test_what_cannot_be_taken(file: Path, key: str, wanted: DataType) -> None:
    assert not can_take(open_weights(file)[key], wanted)


def test_matching_elements_are_not_copied(file: Path) -> None:
    entry = open_weights(file)["fp32"]
    loaded = Weight(Stored(entry, DataType.FP32), (2, 3), DataType.FP32).array()
    assert np.shares_memory(loaded, entry.read())


@pytest.mark.parametrize("axes", [(3, 2, 0, 1), (1, 0, 2, 3), (0, 1, 2, 3), (2, 3, 1, 0)])
def test_axes_are_numpys(file: Path, axes: tuple[int, ...]) -> None:
    entry = open_weights(file)["conv"]
    expected = entry.read().transpose(axes)
    source = Stored(entry, DataType.FP32, axes)
    assert source.shape == expected.shape
    loaded = source.load(expected.shape, DataType.FP32)
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, expected)


def test_axes_of_a_flat_file(tmp_path: Path) -> None:
    (tmp_path / "a.wts").write_text("1\nw 6 00000000 3f800000 40000000 40400000 40800000 40a00000\n")
    source = Stored(open_weights(tmp_path / "a.wts")["w"], DataType.FP32, (1, 0))
    assert (source.shape, source.count) == (None, 6)
    # The file has [2, 3] row by row: 0 1 2 / 3 4 5.
    assert source.load((3, 2), DataType.FP32).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_an_inline_number_fills_any_shape() -> None:
    source = Inline(np.asarray(0.5), DataType.FP32)
    assert (source.shape, source.count) == (None, None)
    assert source.load((2, 1), DataType.FP16).tolist() == [[0.5], [0.5]]


def test_an_inline_list_has_a_shape() -> None:
    source = Inline(np.asarray([[1, 2]]), DataType.INT64)
    assert (source.shape, source.count) == ((1, 2), 2)
    assert source.load((1, 2), DataType.FP32).dtype == np.float32


def reference_bits(name: str, count: int) -> list[int]:
    """The raw bits of PCG64, which numpy promises to keep as they are."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big")
    return [int(bits) for bits in np.random.PCG64(seed).random_raw(count)]


def test_normal_numbers_follow_from_the_raw_bits() -> None:
    def reference(bits: int) -> float:
        total = sum((bits >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
        # Four numbers from 0 to 65535: mean 4 * 65535 / 2, variance 4 * (65536^2 - 1) / 12.
        return (total - 131070) / (4 * (65536**2 - 1) / 12) ** 0.5

    expected = [np.float32(0.1 * reference(bits) + 2) for bits in reference_bits("conv1.weight", 6)]
    np.testing.assert_allclose(normal("conv1.weight", (2, 3), 0.1, 2.0).reshape(-1), expected, rtol=1e-6)


def test_uniform_numbers_follow_from_the_raw_bits() -> None:
    halves = [half for bits in reference_bits("conv1.weight", 3) for half in (bits & 0xFFFFFFFF, bits >> 32)]
    expected = [np.float32((half / 2**31 - 1) * 0.5) for half in halves[:5]]
    np.testing.assert_allclose(uniform("conv1.weight", (5,), 0.5), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("distribution", "first"),
    [
        ("normal", [0.050717245787382126, -1.5574872493743896, -0.9086554050445557]),
        ("uniform", [0.6430761218070984, 0.13849851489067078, -0.9732434153556824]),
    ],
)
def test_the_name_decides_the_numbers_for_ever(distribution: Distribution, first: list[float]) -> None:
    assert Initialiser("conv1.weight", distribution, 1.0).load((3,), DataType.FP32).tolist() == first


@pytest.mark.parametrize("count", [1, 7, 100_001, (1 << 21) + 3])
def test_numbers_are_spread_as_asked(count: int) -> None:
    # Tolerances are five standard errors of the mean and of the deviation.
    error = 5 / count**0.5
    drawn = normal("a", (count,), 1.0)
    assert abs(drawn.mean()) < error
    assert np.abs(drawn).max() < 3.5
    even = uniform("a", (count,), 1.0)
    assert even.min() >= -1
    assert even.max() <= 1
    assert abs(even.mean()) < error
    if count > 1000:
        assert abs(drawn.std() - 1) < error
        assert abs(even.std() - 3**-0.5) < error


def test_longer_weights_do_not_repeat_a_chunk() -> None:
    drawn = normal("a", (3 << 20,), 1.0).reshape(3, -1)
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


def test_names_differ() -> None:
    assert not np.array_equal(normal("a.weight", (8,), 1.0), normal("b.weight", (8,), 1.0))


@pytest.mark.parametrize(
    ("shape", "deviation"), [((64, 3, 7, 7), 147**-0.5), ((1000, 512), 512**-0.5), ((64,), 0.0)], ids=str
)
def test_matrices_keep_the_size_of_what_they_multiply(shape: tuple[int, ...], deviation: float) -> None:
    drawn = Initialiser("w", "matrix", 1.0).load(shape, DataType.FP32)
    assert drawn.std() == pytest.approx(deviation, rel=0.05)


def test_fill() -> None:
    assert Initialiser("w", "fill", 2.0).load((2,), DataType.FP16).tolist() == [2.0, 2.0]


def test_fingerprints_tell_apart_all_that_matters(file: Path, tmp_path: Path) -> None:
    entries = open_weights(file)
    sources = [
        Stored(entries["fp32"], DataType.FP32),
        Stored(entries["fp32"], DataType.FP32, (1, 0)),
        Stored(entries["fp32"], DataType.FP16),
        Stored(entries["bf16"], DataType.BF16),
        Stored(entries["int64"], DataType.INT64),
        Inline(np.asarray(1.0), DataType.FP32),
        Inline(np.asarray([1.0]), DataType.FP32),
        Inline(np.asarray(1), DataType.INT64),
        Initialiser("a", "normal", 1.0),
        Initialiser("b", "normal", 1.0),
        Initialiser("a", "uniform", 1.0),
    ]
    marks = [source.fingerprint() for source in sources]
    assert len(set(marks)) == len(sources)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    assert Stored(open_weights(copy)["fp32"], DataType.FP32).fingerprint() == marks[0]


def test_fingerprints_change_with_the_elements(tmp_path: Path) -> None:
    marks = []
    for value in (1.0, 2.0):
        save_file({"w": np.full(3, value, np.float32)}, tmp_path / "w.safetensors")
        marks.append(Stored(open_weights(tmp_path / "w.safetensors")["w"], DataType.FP32).fingerprint())
    assert marks[0] != marks[1]
