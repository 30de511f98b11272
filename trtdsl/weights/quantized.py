"""Weights that layers multiply in int8 or fp8: a scale for each channel, and the numbers in steps of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from trtdsl.types import DataType
from trtdsl.weights.arrays import to_storage
from trtdsl.weights.base import Array, Weight, WeightSource

SCALES = "{}/scales"
"""Under which name a layer has the scales of a weight; none in YAML holds a slash."""


def is_scales(name: str) -> bool:
    """Whether a weight is the scales of another one."""
    return name.endswith(SCALES.format(""))


@dataclass(frozen=True)
class ChannelScales:
    """What a step is worth in each channel of a weight: its largest magnitude over the largest number of the type.

    `axis` is that of the channels. A channel of zeros has a scale of one. Scales that it was `trained` with, one or as
    many as channels, stay as they are but for zeros.
    """

    weight: Weight
    axis: int
    type: DataType
    trained: Weight | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        return (self.weight.settled_shape[self.axis],)

    @property
    def count(self) -> int | None:
        return self.weight.settled_shape[self.axis]

    @property
    def dtype(self) -> DataType | None:
        return DataType.FP32

    def describe(self) -> str:
        return f"the scales of {self.weight.source.describe()}"

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        if self.trained is None:
            scales = largest_of_channels(self.weight, self.axis) / np.float32(self.type.reach)
        else:
            scales = np.broadcast_to(self.trained.array(), shape).copy()
        # What is too small to divide by is nothing.
        scales[scales < np.finfo(np.float32).tiny] = 1
        return to_storage(scales.reshape(shape), dtype)

    def fingerprint(self) -> str:
        trained = "" if self.trained is None else self.trained.source.fingerprint()
        return _hashed(f"{self.weight.source.fingerprint()} {self.weight.shape} {self.axis} {self.type} {trained}")


def largest_of_channels(weight: Weight, axis: int) -> Array:
    """The largest magnitude of each channel, in fp32."""
    elements = weight.with_dtype(DataType.FP32).array()
    others = tuple(other for other in range(elements.ndim) if other != axis)
    largest: Array = np.abs(elements).max(axis=others, initial=0.0)
    return largest


@dataclass(frozen=True)
class RangeScales:
    """Scales for int8 that are known, or largest magnitudes: `source` times a factor. One stands for all channels."""

    source: WeightSource
    factor: float

    @property
    def shape(self) -> tuple[int, ...] | None:
        return (self.count,)

    @property
    def count(self) -> int:
        return math.prod(self.source.shape or ())

    @property
    def axis(self) -> int | None:
        """Along which axis of the weight they lie, where the file says it: it then has the others, of size one."""
        sizes = self.source.shape or ()
        along = [axis for axis, size in enumerate(sizes) if size != 1]
        return along[0] if len(sizes) > 1 and len(along) == 1 else None

    @property
    def dtype(self) -> DataType | None:
        return DataType.FP32

    def describe(self) -> str:
        return self.source.describe()

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        found = self.source.load(self.source.shape or (), DataType.FP32).reshape(-1) * np.float32(self.factor)
        return to_storage(np.broadcast_to(found, shape), dtype)

    def fingerprint(self) -> str:
        return _hashed(f"{self.source.fingerprint()} {self.factor!r}")


def in_steps(elements: Array, scales: Array, axis: int) -> Array:
    """Numbers as int8, rounded to even and limited to -128 and 127; `scales` are those of the channels."""
    shape = [1] * elements.ndim
    shape[axis] = -1
    return np.clip(np.rint(elements / scales.reshape(shape)), -128, 127).astype(np.int8)


def _hashed(content: str) -> str:
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
