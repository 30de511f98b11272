"""CUDA as far as engines need it: memory, streams, events and graphs of one GPU. Nothing else talks to CUDA."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import RunError, needs_extra

LEGACY_STREAM = 1
"""CUDA's own number of the default stream, which is 0 in calls, in protocols where 0 would be ambiguous."""


def bindings() -> tuple[Any, Any]:
    """NVIDIA's bindings: `cuda.bindings.runtime` and `.driver`. Raises RunError where they are not installed."""
    with needs_extra("gpu", "running an engine"):
        from cuda.bindings import driver, runtime

    return runtime, driver


class Handle:
    """Something of CUDA's, which is destroyed when it is said, or when nothing refers to it any more."""

    def __init__(self, value: Any, destroy: Callable[[Any], object]) -> None:
        self.value = value
        self._finalizer = weakref.finalize(self, destroy, value)
        # What is left when the interpreter ends goes with the process: CUDA may be gone before.
        self._finalizer.atexit = False

    def destroy(self) -> None:
        """Destroy it now; a second time does nothing."""
        self._finalizer()


class Memory(Handle):
    """Some bytes of a device, or page-locked ones of the host."""

    def __init__(self, address: int, size: int, free: Callable[[int], object]) -> None:
        super().__init__(address, free)
        self.address = address
        self.size = size


@dataclass(frozen=True)
class Pointer:
    """What CUDA knows of an address: `memory` is device, managed, pinned or pageable; `gpu` the index of its device."""

    memory: str
    gpu: int


class Device:
    """One GPU. Whatever fails is a RunError with CUDA's words for it."""

    def __init__(self, index: int, cuda: Any, driver: Any) -> None:
        """`cuda` and `driver` are `cuda.bindings.runtime` and `.driver`. Raises RunError where there is no such GPU."""
        self.index = index
        self._cuda = cuda
        self._driver = driver
        self._success = cuda.cudaError_t.cudaSuccess
        count = self._checked(cuda.cudaGetDeviceCount())
        if not 0 <= index < count:
            there = "GPU 0 only" if count == 1 else f"GPUs 0 to {count - 1}"
            raise RunError.of("gpu-missing", f"there is no GPU {index}: there is {there}")
        self._context = self._find_context()

    @classmethod
    def open(cls, index: int = 0) -> Device:
        """A GPU by its index, as CUDA counts those that are visible. Raises RunError, where `gpu` is missing too."""
        return cls(index, *bindings())

    def _find_context(self) -> Any:
        """The driver's context that all happens in: the current one where it is of this GPU, else the GPU's own.

        That is how engines share memory with who made a context of their own before, as PyCUDA may.
        """
        driver = self._driver
        self._checked_driver(driver.cuInit(0))
        device = self._checked_driver(driver.cuDeviceGet(self.index))
        current = self._checked_driver(driver.cuCtxGetCurrent())
        if int(current) and int(self._checked_driver(driver.cuCtxGetDevice())) == int(device):
            return current
        context = self._checked_driver(driver.cuDevicePrimaryCtxRetain(device))
        weakref.finalize(self, driver.cuDevicePrimaryCtxRelease, device).atexit = False
        return context

    @contextmanager
    def active(self) -> Iterator[None]:
        """Around calls of CUDA and TensorRT: the device is that of the calling thread meanwhile."""
        driver = self._driver
        if int(self._checked_driver(driver.cuCtxGetCurrent())) == int(self._context):
            yield
            return
        self._checked_driver(driver.cuCtxPushCurrent(self._context))
        try:
            yield
        finally:
            self._checked_driver(driver.cuCtxPopCurrent())

    @property
    def capability(self) -> str:
        """The compute capability: `9.0`."""
        attributes = self._cuda.cudaDeviceAttr
        wanted = (attributes.cudaDevAttrComputeCapabilityMajor, attributes.cudaDevAttrComputeCapabilityMinor)
        major, minor = (self._checked(self._cuda.cudaDeviceGetAttribute(entry, self.index)) for entry in wanted)
        return f"{major}.{minor}"

    @property
    def free_memory(self) -> int:
        """The bytes that nobody uses."""
        with self.active():
            free, _ = self._checked(self._cuda.cudaMemGetInfo())
        return int(free)

    def allocate(self, size: int) -> Memory:
        """Memory of the device, on a boundary of 256 bytes at least."""
        with self.active():
            address = int(self._checked(self._cuda.cudaMalloc(max(size, 1)), f"{size:,} bytes of the GPU"))
        return Memory(address, size, lambda value: self._quietly(self._cuda.cudaFree, value))

    def allocate_pinned(self, size: int) -> Memory:
        """Page-locked memory of the host, which copies to and from the device do not have to go around."""
        with self.active():
            what = f"{size:,} bytes of page-locked memory"
            address = int(self._checked(self._cuda.cudaMallocHost(max(size, 1)), what))
        return Memory(address, size, lambda value: self._quietly(self._cuda.cudaFreeHost, value))

    def _quietly(self, function: Callable[[Any], object], value: Any) -> None:
        """Call what gives something back: where that fails, there is nobody to tell."""
        with suppress(RunError), self.active():
            function(value)

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        """Put a copy on a stream; whether it goes to, from or within the device, the addresses tell."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDefault
        self._checked(self._cuda.cudaMemcpyAsync(target, source, size, kind, stream))

    def pointer(self, address: int) -> Pointer:
        """What lies at an address."""
        found = self._checked(self._cuda.cudaPointerGetAttributes(address))
        kinds = self._cuda.cudaMemoryType
        names = {
            kinds.cudaMemoryTypeDevice: "device",
            kinds.cudaMemoryTypeManaged: "managed",
            kinds.cudaMemoryTypeHost: "pinned",
        }
        return Pointer(names.get(found.type, "pageable"), int(found.device))

    def create_stream(self) -> Handle:
        """A stream that does not wait for the default one; its `value` is the number that calls take."""
        cuda = self._cuda
        stream = self._checked(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
        return Handle(int(stream), lambda value: self._quietly(cuda.cudaStreamDestroy, value))

    def create_event(self, *, timing: bool = False) -> Handle:
        """A mark for streams; with `timing` it knows when it was passed."""
        cuda = self._cuda
        flags = cuda.cudaEventDefault if timing else cuda.cudaEventDisableTiming
        event = self._checked(cuda.cudaEventCreateWithFlags(flags))
        return Handle(event, lambda value: self._quietly(cuda.cudaEventDestroy, value))

    def finish(self, stream: int) -> None:
        """Wait until a stream has done all that was put on it."""
        self._checked(self._cuda.cudaStreamSynchronize(stream))

    def record(self, event: Handle, stream: int) -> None:
        """Mark what is on a stream by now."""
        self._checked(self._cuda.cudaEventRecord(event.value, stream))

    def wait(self, stream: int, event: Handle) -> None:
        """Let a stream wait for what an event marks; the host does not."""
        self._checked(self._cuda.cudaStreamWaitEvent(stream, event.value, 0))

    def finish_event(self, event: Handle) -> None:
        """Wait until what an event marks is done."""
        self._checked(self._cuda.cudaEventSynchronize(event.value))

    def milliseconds(self, start: Handle, end: Handle) -> float:
        """The time between two events that have been passed, to about half a microsecond."""
        return float(self._checked(self._cuda.cudaEventElapsedTime(start.value, end.value)))

    def join(self, stream: int, other: int) -> None:
        """Let a stream wait for what is on another one by now."""
        if (stream or LEGACY_STREAM) == (other or LEGACY_STREAM):
            return
        event = self.create_event()
        self.record(event, other)
        self.wait(stream, event)
        event.destroy()  # CUDA keeps it until it has been passed

    def capture(self, stream: int, enqueue: Callable[[], None]) -> Handle:
        """What `enqueue` puts on a stream, as a graph that can be launched; none of it runs now."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._checked(self._cuda.cudaStreamBeginCapture(stream, mode))
        try:
            enqueue()
        except BaseException:
            status, graph = self._cuda.cudaStreamEndCapture(stream)
            if status == self._success:
                self._cuda.cudaGraphDestroy(graph)
            raise
        graph = self._checked(self._cuda.cudaStreamEndCapture(stream))
        try:
            executable = self._checked(self._cuda.cudaGraphInstantiate(graph, 0))
        finally:
            self._checked(self._cuda.cudaGraphDestroy(graph))
        return Handle(executable, lambda value: self._quietly(self._cuda.cudaGraphExecDestroy, value))

    def launch(self, graph: Handle, stream: int) -> None:
        """Put a captured graph on a stream."""
        self._checked(self._cuda.cudaGraphLaunch(graph.value, stream))

    def _checked(self, answer: tuple[Any, ...], what: str = "") -> Any:
        status, *values = answer
        if status != self._success:
            said = self._cuda.cudaGetErrorString(status)[1].decode()
            raise RunError.of("engine-run", f"CUDA: {said}" + (f" ({what})" if what else ""))
        return (values[0] if len(values) == 1 else tuple(values)) if values else None

    def _checked_driver(self, answer: tuple[Any, ...]) -> Any:
        status, *values = answer
        if int(status):
            raise RunError.of("engine-run", f"CUDA: {self._driver.cuGetErrorString(status)[1].decode()}")
        return values[0] if values else None
