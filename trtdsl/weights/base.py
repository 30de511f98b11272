"""The handle that a layer holds on a weight, and what any source of weights can do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from trtdsl.types import DataType

Array = np.ndarray[Any, Any]


class WeightSource(Protocol):
    """Something that can give a weight's elements: an entry of a file, inline values, or an initialiser."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape, or None for a source that has none."""
        ...

    @property
    def count(self) -> int | None:
        """The number of elements, or None for a source that fills any shape. A flat source has a count, no shape."""
        ...

    @property
    def dtype(self) -> DataType | None:
        """The type of the elements, or None for a source that fills any type."""
        ...

    def describe(self) -> str:
        """What messages call it: `"conv1.weight" in resnet18.safetensors`."""
        ...

    def load(self, shape: tuple[int, ...], dtype: DataType) -> Array:
        """The elements, C-contiguous, in `dtype.storage`; a view of the mapped file where no conversion is needed."""
        ...

    def fingerprint(self) -> str:
        """A hash of the bytes used (or of the inline values, or of the initialiser), for cache keys."""
        ...


@dataclass(frozen=True)
class Weight:
    """A parameter of a layer: its source, and the shape and type the layer takes it in.

    Before infer `shape` is what the source says, which may be nothing; afterwards it is settled.
    """

    source: WeightSource
    shape: tuple[int, ...] | None
    dtype: DataType

    @property
    def natural_shape(self) -> tuple[int, ...]:
        """The shape to take where the layer asks for none: the source's, or flat, or a single number."""
        if self.source.shape is not None:
            return self.source.shape
        return () if self.source.count is None else (self.source.count,)

    @property
    def is_made_up(self) -> bool:
        """Whether the elements have neither shape nor type of their own: those of an initialiser."""
        return self.source.dtype is None and self.source.count is None

    def with_dtype(self, dtype: DataType) -> Weight:
        return replace(self, dtype=dtype)

    @property
    def settled_shape(self) -> tuple[int, ...]:
        """The shape that infer settled, which is not there before."""
        assert self.shape is not None, "a weight has no shape before infer"
        return self.shape

    def array(self) -> Array:
        """The elements; converted when the type differs from the stored one.

        A view of a mapped file keeps the mapping alive as long as the array itself lives.
        """
        return self.source.load(self.settled_shape, self.dtype)
