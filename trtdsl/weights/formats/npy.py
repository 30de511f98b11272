"""npy: one array per file, in a folder whose layout gives the keys; mapped in place."""

from __future__ import annotations

import math
import os
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from trtdsl.weights.base import Array
from trtdsl.weights.entries import Entry, WeightFile, array_entry, unusable


@dataclass(frozen=True)
class ArrayHeader:
    """What stands before the elements of a .npy file; `size` is the length of that in bytes."""

    size: int
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def data_size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, elements: Array) -> Array:
        """The array over its bytes, copied only where they are not aligned."""
        flat = elements.view(self.dtype)
        shaped = flat.reshape(self.shape[::-1]).T if self.fortran_order else flat.reshape(self.shape)
        return np.require(shaped, requirements="A")


def read_header(stream: IO[bytes]) -> ArrayHeader:
    """Read up to the first element. Raises ValueError for what is not a .npy file, or would need unpickling."""
    version = np.lib.format.read_magic(stream)
    try:
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version[0]}.{version[1]} of the npy format is for structured arrays")
    except (SyntaxError, tokenize.TokenError, TypeError, RecursionError, MemoryError):
        # The header is Python text, which numpy parses.
        raise ValueError("the header is damaged") from None
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{shape} is not a shape")
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > _MOST_BYTES:
        raise ValueError(f"{shape} is larger than memory can be")
    return ArrayHeader(stream.tell(), shape, fortran_order, dtype)


_MOST_BYTES = 2**62


def read_array(stream: IO[bytes]) -> Array:
    """The array of a stream. Raises ValueError."""
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


class NpyFolder(WeightFile):
    """The .npy files of a folder: `a.b.npy` and `a/b.npy` both have the key `a.b`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._files: dict[str, Path] = {}
        found = (Path(folder, name) for folder, _, names in os.walk(path) for name in names if name.endswith(".npy"))
        for file in sorted(found):
            self._add(file)
        if not self._files:
            raise unusable(path, "no .npy file in this folder")

    def _add(self, file: Path) -> None:
        key = ".".join(file.relative_to(self.path).parts).removesuffix(".npy")
        if key in self._files:
            raise unusable(self.path, f'"{key}" is there twice, in {self._files[key]} and {file}')
        self._files[key] = file

    def __getitem__(self, key: str) -> Entry:
        file = self._files[key]
        try:
            with file.open("rb") as stream:
                header = read_header(stream)
            if file.stat().st_size < header.size + header.data_size:
                raise ValueError("it ends early")
        except (ValueError, OSError) as error:
            raise unusable(file, f"not a complete .npy file ({error})") from None

        def read() -> Array:
            # Nothing can be mapped of an empty array.
            return np.load(file, mmap_mode="r" if header.data_size else None, allow_pickle=False)  # type: ignore[no-any-return]

        return array_entry(self.path, key, header.shape, header.dtype, read)

    def _known(self) -> Mapping[str, object]:
        return self._files
