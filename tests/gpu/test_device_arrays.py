"""Arrays and streams of PyTorch and CuPy in contexts on a real GPU, without TensorRT: the engine only copies.

What TensorRT does is left to `test_engine.py`; PyTorch and TensorRT need not be in one environment.
"""

from __future__ import annotations

import gc
import re
import weakref
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="shares memory with PyTorch: needs it and a GPU")
cupy = pytest.importorskip("cupy", reason="shares memory with CuPy: needs it and a GPU")
pytest.importorskip("cuda.bindings", reason="runs on a GPU: needs cuda-bindings")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)

from cuda.bindings import runtime as cuda  # noqa: E402

from trtdsl.errors import RunError  # noqa: E402
from trtdsl.runtime import Context, DeviceArray, Engine  # noqa: E402
from trtdsl.runtime.device import Device  # noqa: E402
from trtdsl.runtime.loaded import Loaded  # noqa: E402
from trtdsl.runtime.streams import stream_handle  # noqa: E402
from trtdsl.types import DataType  # noqa: E402

LARGE = 1 << 22


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


class CopyEngine:
    """y = x, of 1 to 2^22 elements, copied on the stream of the run."""

    num_io_tensors = 2
    num_optimization_profiles = 1

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "x" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.dtype)

    def get_tensor_location(self, name: str) -> Any:
        return SimpleNamespace(name="DEVICE")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1,)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [(1,), (8,), (LARGE,)]

    def create_execution_context(self) -> Any:
        return CopyExecution(2 if self.dtype in ("HALF", "BF16") else 4)


class CopyExecution:
    active_optimization_profile = 0

    def __init__(self, itemsize: int) -> None:
        self.itemsize = itemsize
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def execute_async_v3(self, stream: int) -> bool:
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        size = self.shape[0] * self.itemsize
        [status] = cuda.cudaMemcpyAsync(self.addresses["y"], self.addresses["x"], size, kind, stream)
        return bool(status == cuda.cudaError_t.cudaSuccess)


def context(dtype: str = "FLOAT") -> Context:
    return Context(Loaded(Device.open(), SimpleNamespace(TensorIOMode=Mode), CopyEngine(dtype)))


TYPES = {
    "FLOAT": (torch.float32, DataType.FP32),
    "HALF": (torch.float16, DataType.FP16),
    "BF16": (torch.bfloat16, DataType.BF16),
    "INT32": (torch.int32, DataType.INT32),
}


@pytest.mark.parametrize("name", TYPES)
def test_pytorch_both_ways(name: str) -> None:
    dtype, ours = TYPES[name]
    x = torch.arange(8, device="cuda").to(dtype)
    with context(name) as made:
        outputs = made.run({"x": x}, on_device=True)
        assert made.execution.addresses["x"] == x.data_ptr()
        y = outputs["y"]
        assert (y.dtype, y.shape) == (ours, (8,))
        found = torch.from_dlpack(y)
        assert found.data_ptr() == y.address
        assert found.dtype == dtype
        assert torch.equal(found, x)
        into = torch.zeros_like(x)
        assert made.run({"x": x}, outputs={"y": into})["y"] is into
        assert torch.equal(into, x)


def test_a_tensor_outlives_its_context() -> None:
    x = torch.arange(LARGE, device="cuda", dtype=torch.float32)
    with context() as made:
        y = torch.from_dlpack(made.run({"x": x}, on_device=True)["y"])
    filler = [torch.full((LARGE,), 7.0, device="cuda") for _ in range(4)]
    assert torch.equal(y, x)
    del filler


def test_memory_is_given_back_when_the_tensor_is_gone() -> None:
    x = torch.arange(LARGE, device="cuda", dtype=torch.float32)
    with context() as made:
        y = made.run({"x": x}, on_device=True)["y"]
        memory = weakref.ref(y._memory)
        tensor = torch.from_dlpack(y)
        del y
    gc.collect()
    assert memory() is not None
    assert torch.equal(tensor, x)
    del tensor
    gc.collect()
    assert memory() is None


def test_cupy_both_ways() -> None:
    x = cupy.arange(8, dtype=cupy.float32)
    with context() as made:
        y = made.run({"x": x}, on_device=True)["y"]
        assert made.execution.addresses["x"] == x.data.ptr
        for taken in (cupy.from_dlpack(y), cupy.asarray(y)):
            assert taken.data.ptr == y.address
            assert cupy.array_equal(taken, x)


def test_torch_by_the_array_interface() -> None:
    x = torch.arange(8, device="cuda", dtype=torch.float32)
    with context() as made:
        y = made.run({"x": x}, on_device=True)["y"]
        assert torch.equal(torch.as_tensor(y, device="cuda"), x)


@pytest.mark.parametrize("package", ["torch", "cupy"])
def test_streams_keep_the_order(package: str) -> None:
    """The input is written on one stream, by work that takes a while, then come the run and who reads the output."""
    stream: Any = torch.cuda.Stream() if package == "torch" else cupy.cuda.Stream(non_blocking=True)
    handle = stream_handle(stream)
    torch_stream = torch.cuda.ExternalStream(handle)
    big = torch.randn(4096, 4096, device="cuda")
    with context() as made:
        for number in range(10):
            with torch.cuda.stream(torch_stream):
                for _ in range(5):
                    product = big @ big
                x = torch.full((LARGE,), float(number), device="cuda") + 0 * product[0, 0]
                y = made.run({"x": x}, stream=stream, on_device=True)["y"]
                assert y.stream == handle
                total = torch.from_dlpack(y).sum()
            torch_stream.synchronize()
            assert total.item() == number * LARGE


def test_the_own_stream_waits_for_the_lender() -> None:
    big = torch.randn(4096, 4096, device="cuda")
    side = torch.cuda.Stream()
    with context() as made:
        for number in range(10):
            with torch.cuda.stream(side):
                for _ in range(5):
                    product = big @ big
                x = torch.full((LARGE,), float(number), device="cuda") + 0 * product[0, 0]
                y = made.run({"x": x})["y"]
            assert (y == number).all()


def test_a_taker_waits_for_the_run() -> None:
    side = torch.cuda.Stream()
    with context() as made:
        for number in range(10):
            x = torch.full((LARGE,), float(number), device="cuda")
            torch.cuda.synchronize()
            y = made.run({"x": x}, stream=side, on_device=True)["y"]
            assert torch.from_dlpack(y).sum().item() == number * LARGE  # on PyTorch's default stream


@pytest.mark.parametrize("where", ["own stream", "torch's stream", "default stream"])
def test_graphs(where: str) -> None:
    stream = {"own stream": None, "torch's stream": torch.cuda.Stream(), "default stream": 0}[where]
    x, y = torch.zeros(64, device="cuda"), torch.zeros(64, device="cuda")
    with context() as made:
        for number in range(5):
            x.fill_(number)
            torch.cuda.synchronize()
            made.run({"x": x}, outputs={"y": y}, stream=stream, graph=True)
            torch.cuda.synchronize()
            assert (y == number).all()
        numbers = np.arange(64, dtype=np.float32)
        for number in range(5):
            np.testing.assert_array_equal(made.run({"x": numbers * number}, graph=True)["y"], numbers * number)


def test_tensors_of_the_host() -> None:
    x = torch.arange(8, dtype=torch.float32)
    into = torch.zeros(8)
    with context() as made:
        np.testing.assert_array_equal(made.run({"x": x})["y"], x.numpy())
        np.testing.assert_array_equal(made.run({"x": x.pin_memory()})["y"], x.numpy())
        assert made.run({"x": x}, outputs={"y": into})["y"] is into
    assert torch.equal(into, x)


REFUSED = {
    "a type": (lambda: torch.zeros(4, device="cuda", dtype=torch.float64), "x takes float32 elements, not float64"),
    "gaps": (lambda: torch.zeros(8, device="cuda")[::2], "do not lie one behind the other"),
    "a gradient": (lambda: torch.zeros(4, device="cuda", requires_grad=True), "x cannot be used as it is"),
    "off the boundary": (lambda: torch.zeros(8, device="cuda")[1:], "wants a multiple of 256 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tensors_that_are_refused(case: str) -> None:
    make, message = REFUSED[case]
    with context() as made, pytest.raises(RunError, match=message):
        made.run({"x": make()})


def test_an_array_of_ours_is_one(capsys: Any) -> None:
    with context() as made:
        y = made.run({"x": np.ones(3, np.float32)}, on_device=True)["y"]
        assert isinstance(y, DeviceArray)
        assert repr(y) == "DeviceArray(fp32[3], gpu=0)"
        np.testing.assert_array_equal(y.numpy(), [1, 1, 1])


def test_the_documentation_runs(capsys: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
    [snippet] = [
        text for text in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "torch" in text
    ]
    engine = Engine.__new__(Engine)
    engine._start(Loaded(Device.open(), SimpleNamespace(TensorIOMode=Mode), CopyEngine("FLOAT")), None)
    with engine:
        exec(snippet, {"engine": engine})
    assert capsys.readouterr().out == "3.0\n"
