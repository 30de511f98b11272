"""Files of numpy arrays, written one array at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from trtdsl.weights.base import Array


def write_npz(file: BinaryIO, arrays: Iterable[tuple[str, Array]]) -> None:
    """Write arrays as `numpy.savez` does, with one in memory at a time; the same arrays give the same bytes."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                ordered = np.ascontiguousarray(array).reshape(array.shape)
                np.lib.format.write_array(entry, ordered, allow_pickle=False)
