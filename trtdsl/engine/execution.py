"""Runs an engine once on the first GPU, with numpy arrays in and out; `trtdsl.runtime` is for more than that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtdsl.engine.log import BuildLog
from trtdsl.runtime.bound_run import BoundRun
from trtdsl.runtime.context import Context
from trtdsl.runtime.device import Device
from trtdsl.runtime.device_array import DeviceArray
from trtdsl.runtime.loaded import Loaded
from trtdsl.runtime.takers import Delivery, Taker
from trtdsl.runtime.tensors import element_type

Array = np.ndarray[Any, Any]


def run(trt: Any, engine: Any, inputs: Mapping[str, Array], log: BuildLog | None = None) -> dict[str, Array]:
    """The outputs of an engine for these inputs, all in the storage of their types (bf16 as bits).

    `trt` is TensorRT's module; `log` heard what it said while the engine was loaded. Raises RunError for wrong names,
    types and shapes, and where CUDA or TensorRT fails, with what TensorRT says of it.
    """
    with Context(Loaded(Device.open(), trt, engine, log)) as context:
        return context.run(inputs)


@contextmanager
def prepared(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> Iterator[PreparedRun]:
    """A run with the inputs on the device and memory for the outputs, as long as the context lasts. Raises RunError."""
    device = Device.open()
    with Context(Loaded(device, trt, engine)) as context:
        context.bind(inputs)  # which checks them
        placed = {
            name: array if tensor.on_host else DeviceArray.of(device, array, tensor.dtype)
            for name, array in inputs.items()
            for tensor in (context.loaded.tensors[name],)
        }
        yield PreparedRun(context.bind(placed, on_device=True))


@dataclass(frozen=True)
class PreparedRun:
    """A context of TensorRT's that has all it needs to run, and a stream to run on, which is not the default one."""

    bound: BoundRun

    @property
    def context(self) -> Any:
        """TensorRT's own."""
        return self.bound.context.execution

    @property
    def stream(self) -> int:
        return self.bound.stream

    @property
    def takers(self) -> Mapping[str, Taker]:
        """The outputs by name."""
        return {taker.tensor.name: taker for taker in self.bound.takers}

    def enqueue(self) -> None:
        """Put a run, and nothing else, on the stream. Raises RunError."""
        with self.bound.context.device.active():
            self.bound.context.execute(self.stream)

    def outputs(self) -> dict[str, Array]:
        """What the last run gave, once the stream is done. Raises RunError."""
        with self.bound.context.device.active():
            self.bound.context.device.finish(self.stream)
        found: dict[str, Array] = {}
        for name, taker in self.takers.items():
            taker.copy(self.stream)
            result = taker.result(Delivery(None, lambda: True))
            found[name] = result.numpy() if isinstance(result, DeviceArray) else result
        return found


def storage(engine: Any, name: str) -> str:
    """The numpy type that holds an element of a tensor."""
    return element_type(engine, name).storage
