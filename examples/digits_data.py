"""scikit-learn's handwritten digits, split for good into images to train on and images held out.

`python examples/digits_data.py held_out.npz` writes the held-out ones, for a machine without scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

HELD_OUT = 360
SEED = 20


class Digits(NamedTuple):
    """Images, float32 [count, 1, 8, 8] from 0 (paper) to 1 (ink), and their labels, int64 [count]."""

    images: np.ndarray
    labels: np.ndarray


def load() -> tuple[Digits, Digits]:
    """The 1,437 images to train on, and the 360 held out.

    numpy promises that RandomState's streams never change, so the split is the same everywhere.
    """
    data = load_digits()
    digits = Digits((data.images[:, None] / 16).astype(np.float32), data.target.astype(np.int64))
    order = np.random.RandomState(SEED).permutation(len(digits.labels))
    held_out, train = order[:HELD_OUT], order[HELD_OUT:]
    return _choose(digits, train), _choose(digits, held_out)


def _choose(digits: Digits, indices: np.ndarray) -> Digits:
    return Digits(digits.images[indices], digits.labels[indices])


def main() -> None:
    """Write the held-out images and labels to the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write the held-out digits to a file.")
    parser.add_argument("file", type=Path, help="a .npz file; its arrays are `images` and `labels`")
    file = parser.parse_args().file
    held_out = load()[1]
    np.savez(file, images=held_out.images, labels=held_out.labels)
    print(f"{file}: {len(held_out.labels)} images")


if __name__ == "__main__":
    main()
