"""Where elements come from: an entry of a file, values in the YAML, or an initialiser."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from trtdsl.types import DataType
from trtdsl.weights import initial
from trtdsl.weights.arrays import convert, to_storage
from trtdsl.weights.base import Array, Weight
from trtdsl.weights.entries import Entry

_HASH_BYTES = 16


@dataclass(frozen=True)
class Stored:
    """An entry of a file, its axes permuted where the layer wants them in another order.

    `dtype` is the type the elements are taken as: the entry's own unless the YAML says more. `axes` are as in numpy's
    transpose: which stored axis each axis of the weight is.
    """

    entry: Entry
    dtype: DataType
    axes: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        stored = self.entry.shape
        return stored if stored is None or self.axes is None else tuple(stored[axis] for axis in self.axes)

    @property
    def count(self) -> int | None:
        return self.entry.count

    def describe(self) -> str:
        return f'"{self.entry.key}" in {self.entry.path.name}'

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        return convert(self._taken(self._arranged(shape)), self.dtype, dtype)

    def _arranged(self, shape: tuple[int, ...]) -> Array:
        """The elements as stored, in the weight's shape."""
        array = self.entry.read()
        if self.axes is None:
            return array.reshape(shape)
        # An entry of a flat file has the shape that the permutation leads away from.
        stored = tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))
        return array.reshape(stored).transpose(self.axes)

    def _taken(self, array: Array) -> Array:
        """The elements as `dtype`."""
        if is_reinterpreted(self.entry, self.dtype):
            native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            return native.view(self.dtype.storage).reshape(array.shape)
        if self.entry.dtype is None:
            return to_storage(array, self.dtype)
        return convert(array, self.entry.dtype, self.dtype) if self.entry.dtype is not self.dtype else array

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        taken = f"{self.entry.stored_as} {self.shape} {self.axes} {self.dtype}"
        digest = hashlib.blake2b(taken.encode(), digest_size=_HASH_BYTES)
        digest.update(np.ascontiguousarray(self.entry.read()).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def as_stored(weight: Weight) -> tuple[Weight, bool]:
    """A matrix as it lies in its file, and whether it is the weight transposed.

    Who can take it that way round is spared a copy.
    """
    source = weight.source
    if not isinstance(source, Stored) or source.axes != (1, 0) or weight.shape is None:
        return weight, False
    return replace(weight, source=replace(source, axes=None), shape=weight.shape[::-1]), True


def is_reinterpreted(entry: Entry, wanted: DataType) -> bool:
    """Whether an entry's bits are the elements: numpy's formats have no bf16 or fp8, so their bits are stored."""
    return entry.stored_as in _BITS_OF.get(wanted, ())


_BITS_OF = {DataType.BF16: ("uint16", "16 bits"), DataType.FP8: ("uint8", "8 bits")}


def can_take(entry: Entry, wanted: DataType) -> bool:
    """Whether `dtype: wanted` may be said of an entry: its bits, or a type that its numbers go into."""
    if is_reinterpreted(entry, wanted) or entry.dtype is wanted:
        return True
    stored_is_float = entry.stored_as.startswith(("fp", "bf"))
    stored_is_integer = entry.stored_as.startswith(("int", "uint", "bool"))
    if wanted.is_float:
        return stored_is_integer or (stored_is_float and entry.dtype is not None and entry.dtype.is_float)
    return wanted in _COUNTABLE and stored_is_integer


_COUNTABLE = frozenset({DataType.INT64, DataType.INT32, DataType.INT8, DataType.UINT8})


@dataclass(frozen=True, eq=False)
class Inline:
    """Numbers written in the YAML; a single one fills any shape."""

    values: Array
    dtype: DataType

    @property
    def shape(self) -> tuple[int, ...] | None:
        return self.values.shape or None

    @property
    def count(self) -> int | None:
        return self.values.size if self.values.shape else None

    def describe(self) -> str:
        return "the list given here" if self.values.shape else "the number given here"

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        return to_storage(np.broadcast_to(self.values, shape), dtype)

    def fingerprint(self) -> str:
        content = f"{self.dtype} {self.values.shape} {self.values.tolist()!r}"
        return hashlib.blake2b(content.encode(), digest_size=_HASH_BYTES).hexdigest()


Distribution = Literal["normal", "uniform", "fill", "matrix"]


@dataclass(frozen=True)
class Initialiser:
    """Numbers that the weight's name decides, for an architecture that is not trained yet.

    `amount` is the standard deviation (`normal`), the bound on both sides of zero (`uniform`) or the value (`fill`).
    `matrix` keeps the size of activations: a normal distribution whose deviation is `amount` over the square root of
    how many inputs an output sums, and just `amount` for a weight of less than two axes, which sums nothing.
    """

    name: str
    distribution: Distribution
    amount: float
    mean: float = 0.0

    @property
    def shape(self) -> tuple[int, ...] | None:
        return None

    @property
    def count(self) -> int | None:
        return None

    @property
    def dtype(self) -> DataType | None:
        return None

    def describe(self) -> str:
        return f"the initialiser {self.distribution}"

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        return to_storage(self._numbers(shape), dtype)

    def _numbers(self, shape: tuple[int, ...]) -> Array:
        if self.distribution == "fill" or (self.distribution == "matrix" and len(shape) < 2):
            return np.full(shape, self.amount)
        if self.distribution == "uniform":
            return initial.uniform(self.name, shape, self.amount)
        deviation = self.amount
        if self.distribution == "matrix":
            deviation /= math.sqrt(initial.fan_in(shape))
        return initial.normal(self.name, shape, deviation, self.mean)

    def fingerprint(self) -> str:
        return hashlib.blake2b(repr(self).encode(), digest_size=_HASH_BYTES).hexdigest()
