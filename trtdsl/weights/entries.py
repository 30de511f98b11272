"""What a file of weights is to the rest: a mapping from keys to entries whose elements are read on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trtdsl.errors import NetworkError
from trtdsl.types import DataType
from trtdsl.weights.base import Array


@dataclass(frozen=True)
class Entry:
    """One named array of a file.

    `stored_as` is the name of its element type in the file. `dtype` is the type its elements are taken as, None for
    types that networks do not have. A flat file knows no `shape`, only the `count`. `read` gives the elements, shaped
    where a shape is known, as a view of the mapped file where the format allows; it may raise NetworkError.
    """

    path: Path
    key: str
    stored_as: str
    dtype: DataType | None
    shape: tuple[int, ...] | None
    count: int
    item_size: int
    read: Callable[[], Array] = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """The number of bytes of the elements."""
        return self.count * self.item_size


class WeightFile(Mapping[str, Entry]):
    """The entries of one file or folder by key; entries of damaged parts raise NetworkError when looked up."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __contains__(self, key: object) -> bool:
        # Mapping's own way is to look the entry up, which here means to make it.
        return key in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> Mapping[str, object]:
        """What there is, by key."""
        raise NotImplementedError


def unusable(path: Path, problem: str, *, hint: str | None = None) -> NetworkError:
    """The error of a file that cannot be used."""
    return NetworkError.of("weight-file", f"{path}: {problem}", hint=hint)


def element_type(dtype: np.dtype[np.generic]) -> tuple[str, DataType | None]:
    """The name of a numpy element type, and the type it is taken as in a network."""
    if dtype.kind == "V":
        return f"{8 * dtype.itemsize} bits", None
    if dtype.kind == "f":
        return f"fp{8 * dtype.itemsize}", _FLOATS_BY_SIZE.get(dtype.itemsize)
    name = dtype.name
    return name, DataType(name) if name in _SAME_NAME else None


_FLOATS_BY_SIZE = {8: DataType.FP32, 4: DataType.FP32, 2: DataType.FP16}
_SAME_NAME = frozenset({"int64", "int32", "int8", "uint8", "bool"})


def array_entry(
    path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], read: Callable[[], Array]
) -> Entry:
    """The entry of an array whose element type numpy knows."""
    stored_as, taken_as = element_type(dtype)
    return Entry(path, key, stored_as, taken_as, shape, math.prod(shape), dtype.itemsize, read)
