"""Where a run's outputs go: memory of the device, arrays of the host, or what the user gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.runtime.arrays import View
from trtdsl.runtime.buffers import Array, Buffers
from trtdsl.runtime.device_array import DeviceArray
from trtdsl.runtime.feeds import elements_of
from trtdsl.runtime.tensors import EngineTensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Delivery:
    """How outputs are handed on: `stream` is None where all is done by then, `is_current` says for how long."""

    stream: int | None
    is_current: Callable[[], bool]


class Taker:
    """One output. `address` is where the engine writes it; `is_for_host` that a copy to the host follows.

    `after` is a stream that still uses the memory.
    """

    after: int | None = None
    is_for_host = False
    has_settled_size = True

    def __init__(self, tensor: EngineTensor, shape: Shape, address: int) -> None:
        self.tensor = tensor
        self.shape = shape
        self.address = address

    @property
    def places(self) -> tuple[int, ...]:
        """The addresses that a run writes to."""
        return (self.address,)

    def attach(self, execution: Any) -> bool:
        """Tell TensorRT where to write; whether it takes that."""
        return bool(execution.set_tensor_address(self.tensor.name, self.address))

    def copy(self, stream: int) -> None:
        """Put what follows the engine's run on the stream."""

    def result(self, delivery: Delivery) -> Any:
        """What the user gets."""
        raise NotImplementedError


class OnDevice(Taker):
    """An output that stays in the context's memory."""

    def __init__(self, tensor: EngineTensor, shape: Shape, buffers: Buffers) -> None:
        self._device = buffers.device
        self._memory = buffers.on_device(tensor.name).reserve(_nbytes(tensor, shape))
        super().__init__(tensor, shape, self._memory.address)

    def result(self, delivery: Delivery) -> DeviceArray:
        return DeviceArray(
            self._device,
            self._memory,
            self.shape,
            self.tensor.dtype,
            stream=delivery.stream,
            is_current=delivery.is_current,
        )


class Given(Taker):
    """An output that the engine writes into the user's memory on the device."""

    def __init__(self, tensor: EngineTensor, view: View, value: Any, buffers: Buffers) -> None:
        spare = 0 if view.nbytes else buffers.on_device(tensor.name).reserve(0).address
        super().__init__(tensor, view.shape, view.address if view.nbytes else spare)
        self.after = view.after
        self._view = view  # what DLPack lends may live no longer than its capsule, whatever becomes of the value
        self._value = value

    def result(self, delivery: Delivery) -> Any:
        return self._value


class OnHost(Taker):
    """An output that is copied to page-locked memory, and from there to an array of its own or the user's."""

    is_for_host = True

    def __init__(
        self, tensor: EngineTensor, shape: Shape, buffers: Buffers, view: View | None = None, value: Any = None
    ) -> None:
        """`view` is the memory of `value`, which the user gives."""
        self._device = buffers.device
        super().__init__(tensor, shape, buffers.on_device(tensor.name).reserve(_nbytes(tensor, shape)).address)
        self._staged = buffers.pinned(tensor.name, shape, tensor.dtype.storage)
        self._view = view  # kept as above
        self._into = None if view is None else elements_of(view, tensor.dtype.storage)
        self._value = value

    @property
    def places(self) -> tuple[int, ...]:
        return self.address, self._staged.ctypes.data

    def copy(self, stream: int) -> None:
        if self._staged.nbytes:
            self._device.copy(self._staged.ctypes.data, self.address, self._staged.nbytes, stream)

    def result(self, delivery: Delivery) -> Any:
        if self._into is None:
            return self._staged.copy()
        np.copyto(self._into, self._staged)
        return self._value


class HostShape(Taker):
    """A shape that the engine writes on the host."""

    is_for_host = True

    def __init__(self, tensor: EngineTensor, shape: Shape) -> None:
        self._array = np.empty(shape, tensor.dtype.storage)
        super().__init__(tensor, shape, self._array.ctypes.data)

    def result(self, delivery: Delivery) -> Array:
        return self._array.copy()


class DataSized(Taker):
    """An output whose size the engine tells when it has run: TensorRT asks for the memory."""

    has_settled_size = False

    def __init__(self, tensor: EngineTensor, allocator_type: Any, buffers: Buffers, *, on_device: bool) -> None:
        super().__init__(tensor, tensor.shape, 0)
        self.is_for_host = not on_device
        self._device = buffers.device
        self._buffers = buffers
        self._allocator = allocator_type(buffers.on_device(tensor.name))
        self._staged: Array | None = None

    def attach(self, execution: Any) -> bool:
        return bool(execution.set_output_allocator(self.tensor.name, self._allocator))

    def copy(self, stream: int) -> None:
        self.shape = self._allocator.shape
        if not self.is_for_host:
            return
        self._staged = self._buffers.pinned(self.tensor.name, self.shape, self.tensor.dtype.storage)
        if self._staged.nbytes:
            self._device.copy(self._staged.ctypes.data, self._allocator.memory.address, self._staged.nbytes, stream)

    def result(self, delivery: Delivery) -> Any:
        if self._staged is not None:
            return self._staged.copy()
        memory, dtype = self._allocator.memory, self.tensor.dtype
        return DeviceArray(
            self._device, memory, self.shape, dtype, stream=delivery.stream, is_current=delivery.is_current
        )


def _nbytes(tensor: EngineTensor, shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(tensor.dtype.storage).itemsize
