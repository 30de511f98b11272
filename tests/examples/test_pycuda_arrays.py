"""The example with PyCUDA on stand-ins for PyCUDA, CUDA and TensorRT; tests/gpu has it with the real ones."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runtime.standin import Cuda, Driver, Plan, runtime_for
from tests.runtime.test_engine import write
from trtdsl.runtime import engine as module
from trtdsl.runtime.buffers import array_at
from trtdsl.runtime.device import Device

EXAMPLE = Path(__file__).parents[2] / "examples" / "pycuda_arrays.py"


def pycuda_on(cuda: Cuda) -> dict[str, Any]:
    """What the example uses of PyCUDA, by PyCUDA's signatures, over the memory of the stand-in."""

    class GPUArray:
        def __init__(self, shape: Any, dtype: Any, gpudata: int | None = None) -> None:
            self.shape, self.dtype = tuple(shape), np.dtype(dtype)
            self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize
            self.gpudata = cuda.cudaMalloc(self.nbytes)[1] if gpudata is None else gpudata

        def set_async(self, ary: Any, stream: Any = None) -> None:
            assert (ary.shape, ary.dtype, stream.handle) == (self.shape, self.dtype, 7)
            cuda.cudaMemcpyAsync(self.gpudata, ary.ctypes.data, self.nbytes, 4, stream.handle)

        def get(self) -> Any:
            return array_at(self.gpudata, self.shape, self.dtype.name).copy()

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            strides = tuple(np.empty(self.shape, self.dtype).strides)
            described = {"shape": self.shape, "strides": strides, "data": (int(self.gpudata), False)}
            return {**described, "typestr": self.dtype.str, "stream": None, "version": 3}

    class Stream:
        handle = 7

        def synchronize(self) -> None: ...

    class Event:
        def record(self, stream: Any) -> None: ...

        def time_till(self, event: Any) -> float:
            return 3.0

    modules: dict[str, Any] = {name: ModuleType(name) for name in ("pycuda", "pycuda.driver", "pycuda.gpuarray")}
    modules["pycuda.autoprimaryctx"] = ModuleType("pycuda.autoprimaryctx")
    modules["pycuda.autoprimaryctx"].device = SimpleNamespace(name=lambda: "a stand-in")
    modules["pycuda.driver"].__dict__.update(Stream=Stream, Event=Event, pagelocked_empty=np.empty)
    modules["pycuda.gpuarray"].GPUArray = GPUArray
    for name in ("autoprimaryctx", "driver", "gpuarray"):
        setattr(modules["pycuda"], name, modules[f"pycuda.{name}"])
    return modules


def test_without_pycuda_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(SystemExit, match=r"^pycuda is not installed: pip install pycuda 'trtdsl\[gpu,tensorrt\]'$"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cuda = Cuda()
    for name, stand_in in pycuda_on(cuda).items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr(module, "find_runtime", lambda choice: runtime_for(Plan(cuda)))
    monkeypatch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, cuda, Driver())))
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(write(tmp_path)), "--runs", "30"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "GPU a stand-in",
        "100.0 us for a run, its copy to the GPU included",
        "twice: fp32[2], the same from numpy: True",
    ]
    assert cuda.said.count("mark 7") == 40
