"""Stand-ins for CUDA and TensorRT whose device memory is the host's: what is used, and given back, can be counted."""

# ruff: noqa: N802, N815 (names of CUDA's)
from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from trtdsl.runtime.device import Device
from trtdsl.runtime.loaded import Loaded
from trtdsl.targets.runtime import Runtime


class Status(Enum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2


class Kind(Enum):
    cudaMemoryTypeUnregistered = 0
    cudaMemoryTypeHost = 1
    cudaMemoryTypeDevice = 2
    cudaMemoryTypeManaged = 3


OK = (Status.cudaSuccess,)


class Cuda:
    """`cuda.bindings.runtime`. A stream does at once what is put on it, unless it is being captured."""

    cudaError_t = Status
    cudaMemoryType = Kind
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyDefault=4)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76)
    cudaStreamNonBlocking, cudaEventDefault, cudaEventDisableTiming = 1, 0, 2

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.memory: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: set[int] = set()
        self.events: set[int] = set()
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.templates: set[int] = set()
        self.flags: list[int] = []
        self.elsewhere: dict[int, tuple[Kind, int]] = {}
        """Addresses of other memory than this has given, with what it is and the GPU."""
        self.fails_from_now_on = False
        self.captured: list[Callable[[], None]] | None = None
        self.limit = 1 << 20
        self.said: list[str] = []
        self._numbers = iter(range(100, 1 << 30))

    @property
    def is_all_given_back(self) -> bool:
        return not (self.memory or self.pinned or self.streams or self.events or self.graphs or self.templates)

    def do(self, action: Callable[[], None]) -> None:
        """What a stream is told."""
        if self.captured is None:
            action()
        else:
            self.captured.append(action)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return Status.cudaSuccess, self.gpus

    def cudaDeviceGetAttribute(self, attribute: int, device: int) -> tuple[Any, ...]:
        return Status.cudaSuccess, {75: 9, 76: 0}[attribute]

    def cudaMemGetInfo(self) -> tuple[Any, ...]:
        return Status.cudaSuccess, self.limit, 1 << 20

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        return self._allocate(size, self.memory)

    def cudaMallocHost(self, size: int) -> tuple[Any, ...]:
        return self._allocate(size, self.pinned)

    def _allocate(self, size: int, held: dict[int, Any]) -> tuple[Any, ...]:
        if size > self.limit:
            return Status.cudaErrorMemoryAllocation, 0
        if not size:
            return Status.cudaSuccess, 0  # no address, and no error either
        buffer = ctypes.create_string_buffer(size + 256)
        address = -(-ctypes.addressof(buffer) // 256) * 256
        ctypes.memset(buffer, 0xAB, size + 256)  # whatever lay there before
        held[address] = buffer
        return Status.cudaSuccess, address

    def cudaFree(self, pointer: int) -> tuple[Any, ...]:
        if pointer:
            del self.memory[pointer]
        return OK

    def cudaFreeHost(self, pointer: int) -> tuple[Any, ...]:
        if pointer:
            del self.pinned[pointer]
        return OK

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Any, ...]:
        self.do(lambda: ctypes.memmove(target, source, size) and None)
        return OK

    def cudaPointerGetAttributes(self, address: int) -> tuple[Any, ...]:
        if address in self.elsewhere:
            kind, device = self.elsewhere[address]
            return Status.cudaSuccess, SimpleNamespace(type=kind, device=device)
        for held, kind in ((self.memory, Kind.cudaMemoryTypeDevice), (self.pinned, Kind.cudaMemoryTypeHost)):
            if any(start <= address < start + len(buffer) for start, buffer in held.items()):
                return Status.cudaSuccess, SimpleNamespace(type=kind, device=0)
        return Status.cudaSuccess, SimpleNamespace(type=Kind.cudaMemoryTypeUnregistered, device=-2)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        self.flags.append(flags)
        number = next(self._numbers)
        self.streams.add(number)
        return Status.cudaSuccess, number

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        self.said.append(f"finish {self._name(stream)}")
        return OK

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        self.streams.remove(stream)
        return OK

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        self.flags.append(flags)
        number = next(self._numbers)
        self.events.add(number)
        return Status.cudaSuccess, number

    def cudaEventDestroy(self, event: int) -> tuple[Any, ...]:
        self.events.remove(event)
        return OK

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any, ...]:
        self.said.append(f"mark {self._name(stream)}")
        return OK

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Any, ...]:
        self.said.append(f"{self._name(stream)} waits")
        return OK

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[Any, ...]:
        """As if every run took half a millisecond."""
        assert {start, end} <= self.events
        return Status.cudaSuccess, 0.5

    def cudaEventSynchronize(self, event: int) -> tuple[Any, ...]:
        self.said.append("finish a mark")
        return (Status.cudaErrorInvalidValue,) if self.fails_from_now_on else OK

    def _name(self, stream: int) -> str:
        return "own" if stream in self.streams else str(stream)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:
        self.captured = []
        return OK

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        captured, self.captured = self.captured, None
        self.templates.add(id(captured))
        return Status.cudaSuccess, captured

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:
        number = next(self._numbers)
        self.graphs[number] = graph
        return Status.cudaSuccess, number

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:
        self.templates.remove(id(graph))
        return OK

    def cudaGraphExecDestroy(self, graph: int) -> tuple[Any, ...]:
        del self.graphs[graph]
        return OK

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Any, ...]:
        self.said.append(f"launch on {self._name(stream)}")
        for action in self.graphs[graph]:
            action()
        return OK

    def cudaGetErrorString(self, status: Status) -> tuple[Any, ...]:
        return Status.cudaSuccess, b"out of memory" if status is Status.cudaErrorMemoryAllocation else b"wrong value"


class Driver:
    """`cuda.bindings.driver`, with one context for each GPU and one that somebody else has made."""

    def __init__(self, current: int = 0) -> None:
        self.stack = [current] if current else []
        self.retained: list[int] = []

    def cuInit(self, flags: int) -> tuple[Any, ...]:
        return (0,)

    def cuDeviceGet(self, index: int) -> tuple[Any, ...]:
        return 0, index

    def cuCtxGetCurrent(self) -> tuple[Any, ...]:
        return 0, self.stack[-1] if self.stack else 0

    def cuCtxGetDevice(self) -> tuple[Any, ...]:
        return 0, self.stack[-1] % 10

    def cuCtxPushCurrent(self, context: int) -> tuple[Any, ...]:
        self.stack.append(context)
        return (0,)

    def cuCtxPopCurrent(self) -> tuple[Any, ...]:
        return 0, self.stack.pop()

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[Any, ...]:
        self.retained.append(device)
        return 0, 50 + device

    def cuDevicePrimaryCtxRelease(self, device: int) -> tuple[Any, ...]:
        self.retained.remove(device)
        return (0,)


class Location(Enum):
    DEVICE = 0
    HOST = 1


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    FLOAT = 0
    INT32 = 3
    BF16 = 8


class OutputAllocator:
    pass


class Logger:
    pass


class Profiler:
    pass


class Plan:
    """An engine before it is loaded: `twice` = 2 x and `positive` = the elements of x above zero.

    `profiles` are the smallest, usual and largest x; `has_host` adds `shape`, on the host, and `count`, the same again.
    """

    def __init__(
        self,
        cuda: Cuda,
        *,
        profiles: tuple[tuple[int, int, int], ...] = ((1, 2, 4),),
        has_host: bool = False,
        has_positive: bool = False,
        works: bool = True,
        has_context: bool = True,
        says: str = "",
    ) -> None:
        self.cuda = cuda
        self.profiles = profiles
        self.works = works
        self.has_context = has_context
        self.says = says
        self.contexts = 0
        self.runs = 0
        self.loaded_with: tuple[bool, int | None] | None = None
        tensors = [("x", Mode.INPUT, DataType.FLOAT, Location.DEVICE)]
        tensors += [("shape", Mode.INPUT, DataType.INT32, Location.HOST)] if has_host else []
        tensors += [("twice", Mode.OUTPUT, DataType.FLOAT, Location.DEVICE)]
        tensors += [("positive", Mode.OUTPUT, DataType.FLOAT, Location.DEVICE)] if has_positive else []
        tensors += [("count", Mode.OUTPUT, DataType.INT32, Location.HOST)] if has_host else []
        self.tensors = {entry[0]: entry for entry in tensors}
        self.num_io_tensors = len(tensors)
        self.num_optimization_profiles = len(profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return self.tensors[name][1]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.tensors[name][2]

    def get_tensor_location(self, name: str) -> Location:
        return self.tensors[name][3]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (2,) if name in ("shape", "count") else (-1,)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [(size,) for size in self.profiles[index]] if name == "x" else [(2,), (2,), (2,)]

    def create_execution_context(self) -> Execution | None:
        return Execution(self) if self.has_context else None

    def create_engine_inspector(self) -> Any:
        layers = [{"Name": "double", "Metadata": "net.yaml:7\x1fnet.yaml:9"}, {"Name": "copy"}]
        return SimpleNamespace(get_engine_information=lambda form: json.dumps({"Layers": layers}))


class Execution:
    """TensorRT's context, which computes on the addresses that it was told."""

    def __init__(self, plan: Plan) -> None:
        plan.contexts += 1
        self.plan = plan
        self.active_optimization_profile = 0
        self.profiler: Any = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, Any] = {}
        self.told: list[str] = []

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.active_optimization_profile = index
        self.shapes.clear()
        self.addresses.clear()
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.told.append(f"shape of {name}")
        low, _, high = self.plan.get_tensor_profile_shape(name, self.active_optimization_profile)
        self.shapes[name] = shape
        return low[0] <= shape[0] <= high[0]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.told.append(f"address of {name}")
        self.addresses[name] = address
        return bool(address)

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        self.allocators[name] = allocator
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"twice": self.shapes["x"], "positive": (-1,), "count": (2,)}[name]

    def execute_async_v3(self, stream: int) -> bool:
        self.plan.runs += 1
        if self.profiler is not None:
            for layer, milliseconds in (("double", 0.75), ("copy", 0.25)):
                self.profiler.report_layer_time(layer, milliseconds)
        count, addresses = self.shapes["x"][0], dict(self.addresses)
        self.plan.cuda.do(lambda: self._compute(count, addresses))
        if "positive" in self.plan.tensors:
            self._give_positive(stream)
        return self.plan.works

    def _compute(self, count: int, addresses: dict[str, int]) -> None:
        _at(addresses["twice"], ctypes.c_float, count)[:] = 2 * _at(addresses["x"], ctypes.c_float, count)
        if "count" in addresses:
            _at(addresses["count"], ctypes.c_int32, 2)[:] = _at(addresses["shape"], ctypes.c_int32, 2)

    def _give_positive(self, stream: int) -> None:
        x = _at(self.addresses["x"], ctypes.c_float, self.shapes["x"][0])
        found = x[x > 0]
        allocator = self.allocators["positive"]
        address = allocator.reallocate_output_async("positive", 0, found.nbytes, 1, stream)
        allocator.notify_shape("positive", (len(found),))
        _at(address, ctypes.c_float, len(found))[:] = found


def _at(address: int, kind: Any, count: int) -> np.ndarray[Any, Any]:
    return np.ctypeslib.as_array((kind * count).from_address(address))


def runtime_for(plan: Plan | None, says: str = "", *, cores: int = 0) -> Runtime:
    """A TensorRT that takes every file for one engine, and logs something at that."""

    class Loader:
        num_DLA_cores = cores
        DLA_core: int | None = None
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> Plan | None:
            if says:
                self.logger.log(SimpleNamespace(name="ERROR"), says)
            if plan is not None:
                plan.loaded_with = (self.engine_host_code_allowed, self.DLA_core)
            return plan

    module = SimpleNamespace(
        ILogger=Logger,
        Runtime=Loader,
        TensorIOMode=Mode,
        IOutputAllocator=OutputAllocator,
        IProfiler=Profiler,
        LayerInformationFormat=SimpleNamespace(JSON=1),
    )
    return Runtime("tensorrt", (10, 15), module)


def device_of(cuda: Cuda, driver: Driver | None = None) -> Device:
    return Device(0, cuda, driver or Driver())


def loaded(plan: Plan) -> Loaded:
    """A stand-in for an engine, loaded."""
    return Loaded(device_of(plan.cuda), runtime_for(plan).module, plan)
