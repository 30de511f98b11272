"""Where a run's inputs come from: the user's memory as it is, or the context's own, which the host's arrays go to."""

from __future__ import annotations

import numpy as np

from trtdsl.runtime.arrays import View
from trtdsl.runtime.buffers import Array, Buffers, array_at
from trtdsl.runtime.tensors import EngineTensor


class Feed:
    """One input that the engine reads on the device, at `address`."""

    def __init__(self, tensor: EngineTensor, view: View, buffers: Buffers) -> None:
        self.name = tensor.name
        self._device = buffers.device
        self._view = view
        self._staged: Array | None = None
        # TensorRT wants an address of an array without elements as well.
        is_used_as_it_is = view.on_device and view.nbytes
        self.address = view.address if is_used_as_it_is else buffers.on_device(tensor.name).reserve(view.nbytes).address
        if not view.on_device and not view.pinned:
            self._staged = buffers.pinned(tensor.name, view.shape, tensor.dtype.storage)
        self._dtype = tensor.dtype.storage

    @property
    def after(self) -> int | None:
        """A stream that still writes the elements."""
        return self._view.after

    @property
    def is_staged(self) -> bool:
        """Whether the elements go through memory of the context's on the host."""
        return self._staged is not None

    @property
    def places(self) -> tuple[int, int]:
        """The addresses that a run reads from."""
        return self.address, self._source

    @property
    def _source(self) -> int:
        return self._view.address if self._staged is None else self._staged.ctypes.data

    def fill(self) -> None:
        """Take the elements that the host has now; a run that is under way may not need the former any more."""
        if self._staged is not None and self._view.nbytes:
            np.copyto(self._staged, elements_of(self._view, self._dtype))

    def copy(self, stream: int) -> None:
        """Put what brings the elements to the device on a stream."""
        if not self._view.on_device and self._view.nbytes:
            self._device.copy(self.address, self._source, self._view.nbytes, stream)


def elements_of(view: View, dtype: str) -> Array:
    """An array of the host as one of numpy, whose elements are held in `dtype`."""
    if isinstance(view.owner, np.ndarray):
        return view.owner.view(dtype)
    return array_at(view.address, view.shape, dtype)
