"""An engine as TensorRT has it, with all that its contexts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trtdsl.engine.log import BuildLog
from trtdsl.engine.plan import deserialize
from trtdsl.errors import RunError
from trtdsl.runtime.buffers import make_allocator_type
from trtdsl.runtime.device import Device
from trtdsl.runtime.tensors import EngineTensor, describe_tensors
from trtdsl.targets.runtime import Runtime

_KEPT = 20


class RunLog(BuildLog):
    """What TensorRT says while an engine is loaded and runs: the last errors only, as it may run for years."""

    def hear(self, severity: str, message: str) -> None:
        if severity == "WARNING":
            return
        super().hear(severity, message)
        with self._lock:
            del self._errors[:-_KEPT]


@dataclass
class Loaded:
    """A deserialised engine on a device; None once it is released.

    `trt` is TensorRT's module; `log` hears it, if anything does.
    """

    device: Device
    trt: Any
    engine: Any
    log: BuildLog | None = None

    @cached_property
    def tensors(self) -> dict[str, EngineTensor]:
        """The inputs and outputs by name, in the engine's order."""
        return {entry.name: entry for entry in describe_tensors(self.trt, self.engine)}

    @cached_property
    def inputs(self) -> tuple[EngineTensor, ...]:
        return tuple(entry for entry in self.tensors.values() if entry.is_input)

    @cached_property
    def outputs(self) -> tuple[EngineTensor, ...]:
        return tuple(entry for entry in self.tensors.values() if not entry.is_input)

    @cached_property
    def allocator_type(self) -> Any:
        """What gives TensorRT the memory of outputs whose size the data decide."""
        return make_allocator_type(self.trt)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around what may fail in TensorRT: a RunError then says what TensorRT said of it."""
        try:
            yield
        except RunError as error:
            failed = [entry for entry in error.diagnostics if entry.code == "engine-run"]
            if self.log is not None and failed and (said := self.log.take_errors()):
                raise RunError.of("engine-run", f"{failed[0].message}: {'; '.join(said)}") from None
            raise


def load(
    runtime: Runtime, plan: Any, device: Device, *, dla_core: int | None = None, host_code: bool = False
) -> Loaded:
    """An engine out of its bytes; the arguments and the errors are those of `deserialize`."""
    log = RunLog(runtime)
    with device.active():
        engine = deserialize(runtime, plan, log, dla_core=dla_core, host_code=host_code)
    return Loaded(device, runtime.module, engine, log)
