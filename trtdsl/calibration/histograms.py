"""What tensors hold over a set of data: their largest magnitudes, and how often each magnitude occurs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trtdsl.errors import RunError

Array = np.ndarray
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""What gives tensors by name for the inputs of a network."""

BINS = 2048


@dataclass
class Histogram:
    """How often magnitudes occur in one tensor, from 0 to `limit` in bins of one width; zeros are counted apart."""

    limit: float
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    zeros: int = 0

    def add(self, array: Array) -> None:
        magnitudes = np.abs(array.astype(np.float32, copy=False)).ravel()
        found = magnitudes[magnitudes > 0]
        self.zeros += magnitudes.size - found.size
        # In double precision, so that the largest element falls into the last bin and not beyond.
        places = np.minimum((found.astype(np.float64) * (len(self.counts) / self.limit)).astype(np.int64), BINS - 1)
        self.counts += np.bincount(places, minlength=len(self.counts))


def find_limits(run: Run, data: Iterable[tuple[str, Mapping[str, Array]]], names: Sequence[str]) -> dict[str, float]:
    """The largest magnitude of each tensor, over runs on data that are called by what they are.

    Raises RunError (`data`) for what is not finite.
    """
    limits = dict.fromkeys(names, 0.0)
    for label, inputs in data:
        tensors = run(inputs)
        for name in names:
            found = float(np.abs(tensors[name]).max(initial=0.0))
            if not np.isfinite(found):
                kind = "NaN" if np.isnan(tensors[name]).any() else "infinity"
                raise RunError.of("data", f"{name} holds {kind} for {label}")
            limits[name] = max(limits[name], found)
    return limits


def count(
    run: Run, data: Iterable[tuple[str, Mapping[str, Array]]], limits: Mapping[str, float]
) -> dict[str, Histogram]:
    """The histogram of each tensor, up to the largest magnitude that was found in it."""
    histograms = {name: Histogram(limit) for name, limit in limits.items()}
    for _, inputs in data:
        tensors = run(inputs)
        for name, histogram in histograms.items():
            histogram.add(tensors[name])
    return histograms
