"""How much of a tensor's range is kept: beside the methods written down plainly, and ONNX Runtime's calibrators."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

from trtdsl.calibration.histograms import BINS, Histogram
from trtdsl.calibration.methods import entropy_range, kept_range, percentile_range

Array = np.ndarray


def histogram(*arrays: Array) -> Histogram:
    found = Histogram(max(float(np.abs(array).max()) for array in arrays))
    for array in arrays:
        found.add(array)
    return found


def normal(seed: int, count: int = 100_000) -> Array:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


DATA = {
    "normal": normal(0),
    "normal with an outlier": np.append(normal(1), np.float32(20)),
    "laplace": np.random.default_rng(2).laplace(size=100_000).astype(np.float32),
    "behind a relu": np.maximum(normal(3), 0),
    "uniform": np.random.default_rng(4).uniform(-2, 2, 100_000).astype(np.float32),
    "skewed": np.exp(normal(5)),
}


def test_bins() -> None:
    found = histogram(np.array([0, 0.5, -1, 2047.5 / BINS, 1 / BINS], np.float32))
    assert found.zeros == 1
    assert {index: count for index, count in enumerate(found.counts) if count} == {1: 1, BINS // 2: 1, BINS - 1: 2}


def test_batches_add_up() -> None:
    data = DATA["behind a relu"]
    whole, halves = histogram(data), Histogram(float(data.max()))
    for half in np.split(data, 2):
        halves.add(half)
    assert np.array_equal(whole.counts, halves.counts)
    assert whole.zeros == halves.zeros == np.count_nonzero(data == 0)


def test_all_of_it() -> None:
    assert kept_range("min-max", histogram(DATA["normal"]), 99) == np.abs(DATA["normal"]).max()


@pytest.mark.parametrize("percentile", [90, 99, 99.9, 100])
@pytest.mark.parametrize("name", DATA)
def test_percentiles(name: str, percentile: float) -> None:
    found = histogram(DATA[name])
    exact = np.percentile(np.abs(DATA[name]).astype(np.float64), percentile, method="inverted_cdf")
    # The upper edge of the bin that the percentile lies in.
    assert 0 <= percentile_range(found, percentile) - exact <= found.limit / BINS * (1 + 1e-6)


def plain_entropy(counts: Array, limit: float) -> float:
    """The method as the slides of Migacz (GTC 2017) write it down, in loops."""
    best, threshold = np.inf, limit
    for kept in range(128, len(counts) + 1):
        if counts[:kept].sum() < 0.99 * counts.sum():
            continue
        p = counts[:kept].astype(np.float64)
        p[-1] += counts[kept:].sum()
        q = np.zeros(kept)
        for level in range(128):
            places = [index for index in range(kept) if index * 128 // kept == level and counts[index]]
            for index in places:
                q[index] = sum(counts[places]) / len(places)
        p, q = p / p.sum(), q / q.sum()
        if ((p > 0) & (q == 0)).any():
            continue
        divergence = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a)
        if divergence < best:
            best, threshold = divergence, limit * kept / len(counts)
    return threshold


@pytest.mark.parametrize("name", ["normal with an outlier", "behind a relu", "uniform"])
def test_entropy_is_the_published_method(name: str) -> None:
    found = histogram(DATA[name])
    # Fewer bins, so that the loops come to an end.
    coarse = Histogram(found.limit, np.zeros(160, np.int64))
    places = np.minimum((np.abs(DATA[name][DATA[name] != 0]) / found.limit * 160).astype(int), 159)
    coarse.counts += np.bincount(places, minlength=160)
    assert entropy_range(coarse) == pytest.approx(plain_entropy(coarse.counts, coarse.limit))


@pytest.mark.parametrize("name", ["normal", "normal with an outlier", "laplace"])
def test_entropy_beside_onnx_runtime(name: str) -> None:
    collector = HistogramCollector("entropy", True, 4097, 128, 99.99, "same")
    collector.collect({"x": [DATA[name]]})
    low, high = collector.compute_collection_result()["x"][:2]
    # The minimum is flat, and ONNX Runtime looks for it in smoothed bins of both signs, zeros among them.
    assert entropy_range(histogram(DATA[name])) == pytest.approx(max(-float(low), float(high)), rel=0.5)


@pytest.mark.parametrize("name", DATA)
def test_percentiles_beside_onnx_runtime(name: str) -> None:
    collector = HistogramCollector("percentile", True, BINS, 128, 99.9, "same")
    collector.collect({"x": [DATA[name]]})
    high = float(collector.compute_collection_result()["x"][1])
    assert percentile_range(histogram(DATA[name]), 99.9) == pytest.approx(high, rel=0.02)


def test_entropy_clips_outliers_and_hardly_more() -> None:
    found = entropy_range(histogram(DATA["normal with an outlier"]))
    assert 2.58 < found < 6


def test_entropy_clips_no_more_than_one_in_a_hundred() -> None:
    # Of 2,189 elements the last 14 are fewer than one in a hundred, with the 16 before them they are more.
    found = Histogram(16.0, np.zeros(160, np.int64))
    found.counts[[3, 122, 130, 131, 159]] = 115, 1913, 131, 16, 14
    assert entropy_range(found) == plain_entropy(found.counts, found.limit) == pytest.approx(13.2)


def test_entropy_keeps_few_different_numbers() -> None:
    # Sixteenths, as in images of sixteen greys: most bins are empty.
    x = np.random.default_rng(0).integers(0, 17, 10_000).astype(np.float32) / 16
    assert entropy_range(histogram(x)) == pytest.approx(1, rel=1e-3)
