"""scikit-learn's handwritten digits, split for good into images to train on and images held out.

`python examples/digits_data.py held_out.npz` writes the held-out ones, for a machine without scikit-learn; with
`--train FOLDER` those to train on, as `trtdsl calibrate` takes them.
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
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description="Write the digits to files.")
    parser.add_argument("file", type=Path, nargs="?", help="a .npz file for the arrays `images` and `labels` held out")
    parser.add_argument("--train", type=Path, help="a folder for the images to train on, three files of 479")
    arguments = parser.parse_args()
    train, held_out = load()
    if arguments.file is not None:
        np.savez(arguments.file, images=held_out.images, labels=held_out.labels)
        print(f"{arguments.file}: {len(held_out.labels)} images")
    if arguments.train is not None:
        arguments.train.mkdir(parents=True, exist_ok=True)
        for index, images in enumerate(np.split(train.images, 3)):
            np.save(arguments.train / f"{index}.npy", images)
        print(f"{arguments.train}: {len(train.labels)} images")


if __name__ == "__main__":
    main()
