"""Running an engine once, against stand-ins for CUDA and TensorRT whose device memory is the host's."""

# ruff: noqa: N802, N815 (names of CUDA's)
from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trtdsl.errors import RunError


class Status(Enum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class Cuda(ModuleType):
    """`cuda.bindings.runtime`, which counts what is not given back and can be told to have no memory left."""

    cudaError_t = Status
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.memory: dict[int, Any] = {}
        self.streams = 0
        self.limit = 1 << 20

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if size > self.limit:
            return Status.cudaErrorMemoryAllocation, 0
        buffer = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(buffer)] = buffer
        return Status.cudaSuccess, ctypes.addressof(buffer)

    def cudaFree(self, pointer: int) -> tuple[Any, ...]:
        del self.memory[pointer]
        return (Status.cudaSuccess,)

    def cudaMemcpy(self, target: int, source: int, size: int, kind: int) -> tuple[Any, ...]:
        ctypes.memmove(target, source, size)
        return (Status.cudaSuccess,)

    def cudaStreamCreate(self) -> tuple[Any, ...]:
        self.streams += 1
        return Status.cudaSuccess, 7

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        return (Status.cudaSuccess,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        self.streams -= 1
        return (Status.cudaSuccess,)

    def cudaGetErrorString(self, status: Status) -> tuple[Any, ...]:
        return Status.cudaSuccess, b"out of memory"


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


TRT = SimpleNamespace(TensorIOMode=Mode, IOutputAllocator=OutputAllocator)


class Engine:
    """`twice` = 2 x and `positive` = the elements of x above zero, x of 1 to 4 elements; `count` = `shape` as it is.

    `shape` and `count` lie on the host.
    """

    TENSORS = (
        ("x", Mode.INPUT, DataType.FLOAT, Location.DEVICE),
        ("shape", Mode.INPUT, DataType.INT32, Location.HOST),
        ("twice", Mode.OUTPUT, DataType.FLOAT, Location.DEVICE),
        ("positive", Mode.OUTPUT, DataType.FLOAT, Location.DEVICE),
        ("count", Mode.OUTPUT, DataType.INT32, Location.HOST),
    )
    num_io_tensors = len(TENSORS)

    def __init__(self, works: bool = True, has_context: bool = True) -> None:
        self.works = works
        self.has_context = has_context

    def get_tensor_name(self, index: int) -> str:
        return self.TENSORS[index][0]

    def _of(self, name: str) -> tuple[Any, ...]:
        return next(entry for entry in self.TENSORS if entry[0] == name)

    def get_tensor_mode(self, name: str) -> Mode:
        return self._of(name)[1]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._of(name)[2]

    def get_tensor_location(self, name: str) -> Location:
        return self._of(name)[3]

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [(1,), (2,), (4,)] if name == "x" else [(2,), (2,), (2,)]

    def create_execution_context(self) -> Context | None:
        return Context(self) if self.has_context else None


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, Any] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.get_tensor_profile_shape(name, 0)
        self.shapes[name] = shape
        return len(shape) == 1 and low[0] <= shape[0] <= high[0]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        self.allocators[name] = allocator
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"twice": self.shapes["x"], "positive": (-1,), "count": (2,)}[name]

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        x = self._view("x", ctypes.c_float, self.shapes["x"][0])
        self._view("twice", ctypes.c_float, len(x))[:] = 2 * x
        found = x[x > 0]
        allocator = self.allocators["positive"]
        self.addresses["positive"] = allocator.reallocate_output_async("positive", 0, found.nbytes, 1, stream)
        allocator.notify_shape("positive", (len(found),))
        self._view("positive", ctypes.c_float, len(found))[:] = found
        self._view("count", ctypes.c_int32, 2)[:] = self._view("shape", ctypes.c_int32, 2)
        return self.engine.works

    def _view(self, name: str, kind: Any, count: int) -> np.ndarray[Any, Any]:
        return np.ctypeslib.as_array((kind * count).from_address(self.addresses[name]))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    module = Cuda()
    bindings = SimpleNamespace(runtime=module)
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bindings=bindings))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", module)
    return module


@pytest.fixture
def execution(cuda: Cuda) -> Iterator[Any]:
    before = sys.modules.pop("trtdsl.engine.execution", None)
    import trtdsl.engine.execution as module

    yield module
    del sys.modules["trtdsl.engine.execution"]
    if before is not None:
        sys.modules["trtdsl.engine.execution"] = before


X = np.array([-1.5, 2, 0.5], np.float32)
SHAPE = np.array([3, 5], np.int32)


def test_outputs_of_every_kind(execution: Any, cuda: Cuda) -> None:
    outputs = execution.run(TRT, Engine(), {"x": X, "shape": SHAPE})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])
    np.testing.assert_array_equal(outputs["positive"], [2, 0.5])
    np.testing.assert_array_equal(outputs["count"], [3, 5])
    assert {name: array.dtype.name for name, array in outputs.items()} == {
        "twice": "float32",
        "positive": "float32",
        "count": "int32",
    }
    assert (cuda.memory, cuda.streams) == ({}, 0)


def test_an_output_may_be_empty(execution: Any) -> None:
    outputs = execution.run(TRT, Engine(), {"x": -np.abs(X), "shape": SHAPE})
    assert outputs["positive"].shape == (0,)


def test_inputs_need_not_be_contiguous(execution: Any) -> None:
    outputs = execution.run(TRT, Engine(), {"x": np.repeat(X, 2)[::2], "shape": SHAPE})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])


WRONG = {
    "a misspelt name": ({"x": X, "shap": SHAPE}, "the engine has no input `shap`", "did you mean `shape`?"),
    "a missing input": ({"x": X}, "the engine also takes shape", None),
    "another type": ({"x": X.astype(np.float64), "shape": SHAPE}, "x takes float32 elements, not float64", None),
    "too large": (
        {"x": np.zeros(5, np.float32), "shape": SHAPE},
        "x has the shape [5]; the engine takes [1] to [4]",
        None,
    ),
    "another size": ({"x": X, "shape": np.zeros(3, np.int32)}, "shape has the shape [3]; the engine takes [2]", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs(case: str, execution: Any, cuda: Cuda) -> None:
    inputs, message, hint = WRONG[case]
    with pytest.raises(RunError) as error:
        execution.run(TRT, Engine(), inputs)
    [found] = error.value.diagnostics
    assert (found.code, found.message, found.hint) == ("input-value", message, hint)
    assert (cuda.memory, cuda.streams) == ({}, 0)


def test_no_memory(execution: Any, cuda: Cuda) -> None:
    cuda.limit = 8
    with pytest.raises(RunError, match="CUDA: out of memory"):
        execution.run(TRT, Engine(), {"x": X, "shape": SHAPE})
    assert (cuda.memory, cuda.streams) == ({}, 0)


def test_an_engine_that_fails(execution: Any, cuda: Cuda) -> None:
    with pytest.raises(RunError, match="the engine did not run"):
        execution.run(TRT, Engine(works=False), {"x": X, "shape": SHAPE})
    assert (cuda.memory, cuda.streams) == ({}, 0)


class Logger:
    def __init__(self) -> None:
        pass


def runtime_that_loads(engine: Engine | None, says: str) -> Any:
    """A Runtime whose module deserializes every plan to `engine`, and logs something at that."""

    class Loader:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            if says:
                self.logger.log(SimpleNamespace(name="ERROR"), says)
            return engine

    from trtdsl.targets.runtime import Runtime

    module = SimpleNamespace(ILogger=Logger, Runtime=Loader, TensorIOMode=Mode, IOutputAllocator=OutputAllocator)
    return Runtime("tensorrt", (10, 15), module)


def test_a_plan_is_loaded_and_run(execution: Any) -> None:
    outputs = execution.execute(runtime_that_loads(Engine(), ""), b"plan", {"x": X, "shape": SHAPE})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])


def test_a_plan_of_another_version(execution: Any) -> None:
    with pytest.raises(RunError, match=r"TensorRT 10\.15 does not load the engine: version tag does not match"):
        execution.execute(runtime_that_loads(None, "version tag does not match"), b"plan", {})


def test_what_tensorrt_says_of_a_failure(execution: Any) -> None:
    with pytest.raises(RunError, match="the engine did not run: misaligned address"):
        execution.execute(runtime_that_loads(Engine(False), "misaligned address"), b"", {"x": X, "shape": SHAPE})


def test_what_tensorrt_says_where_there_is_no_context(execution: Any) -> None:
    runtime = runtime_that_loads(Engine(has_context=False), "out of memory on the device")
    with pytest.raises(RunError, match="TensorRT gives the engine no context to run in: out of memory on the device"):
        execution.execute(runtime, b"plan", {"x": X, "shape": SHAPE})


def test_without_a_log_the_error_says_what_failed(execution: Any) -> None:
    with pytest.raises(RunError, match=r"no context to run in$"):
        execution.run(TRT, Engine(has_context=False), {"x": X, "shape": SHAPE})
