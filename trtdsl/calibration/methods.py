"""From what a tensor holds to the largest magnitude that is kept when it is quantised."""

from __future__ import annotations

import numpy as np

from trtdsl.calibration.histograms import Histogram

METHODS = ("entropy", "min-max", "percentile")
_LEVELS = 128
"""How many magnitudes int8 tells apart."""
_MOST_CLIPPED = 0.01


def kept_range(method: str, histogram: Histogram, percentile: float) -> float:
    """The largest magnitude kept, by one of the methods."""
    if method == "entropy":
        return entropy_range(histogram)
    return percentile_range(histogram, percentile) if method == "percentile" else histogram.limit


def percentile_range(histogram: Histogram, percentile: float) -> float:
    """The magnitude that so many of a hundred elements do not exceed, to the upper edge of its bin."""
    counts = histogram.counts.copy()
    counts[0] += histogram.zeros
    share = np.cumsum(counts) / counts.sum()
    last = int(np.searchsorted(share, percentile / 100))
    return histogram.limit * (last + 1) / len(counts)


def entropy_range(histogram: Histogram) -> float:
    """The magnitude beyond which to clip so that the least information is lost (Migacz, 8-bit Inference with TensorRT,
    GTC 2017).

    For each number of bins kept, the distribution that is clipped to them is held against the one that 128 levels over
    them tell apart; the smallest Kullback-Leibler divergence decides. Zeros, which no scale changes, are left out, and
    at most one in a hundred of the others is clipped: in a tensor of few different numbers hardly any bins are filled,
    and the divergence is then nothing for ranges that keep next to none of them.
    """
    counts = histogram.counts.astype(np.float64)
    bins = len(counts)
    inside = np.cumsum(counts)
    first = max(_LEVELS, 1 + int(np.searchsorted(inside, (1 - _MOST_CLIPPED) * inside[-1])))
    divergences = [_divergence(counts, kept) for kept in range(first, bins + 1)]
    return histogram.limit * (first + int(np.argmin(divergences))) / bins


def _divergence(counts: np.ndarray, kept: int) -> float:
    """How much is lost when only so many bins are kept; infinite where what is clipped falls into an empty bin."""
    inside = counts[:kept]
    reference = inside.copy()
    reference[-1] += counts[kept:].sum()
    level = np.arange(kept) * _LEVELS // kept
    is_filled = inside > 0
    filled = np.bincount(level, weights=is_filled, minlength=_LEVELS)
    mean = np.bincount(level, weights=inside, minlength=_LEVELS) / np.maximum(filled, 1)
    candidate = np.where(is_filled, mean[level], 0.0)
    total = candidate.sum()
    if total == 0 or (reference[-1] > 0 and candidate[-1] == 0):
        return float("inf")
    p, q = reference[is_filled] / reference.sum(), candidate[is_filled] / total
    return float((p * np.log(p / q)).sum())
