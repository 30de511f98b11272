"""What the tests on a GPU share; without one, or without PyTorch's reference numbers, they skip and say so."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples")]


class Gpu:
    """One TensorRT on one GPU: builds networks and runs them."""

    def __init__(self) -> None:
        from trtdsl.engine.log import BuildLog
        from trtdsl.targets.runtime import find_runtime

        runtime = find_runtime("tensorrt")
        self.trt = runtime.module
        self.log = BuildLog(runtime)
        logger = self.log.logger
        self.runtime = self.trt.Runtime(logger)
        # The first builder of a process loads a gigabyte of kernels, which stay as long as there is one.
        self.builder = self.trt.Builder(logger)
        # cuBLAS and cuDNN need not be there.
        self.options = {"tactic_sources": [], "tf32": False, "optimization_level": 2}

    def run(self, network: Any, inputs: Any, directory: Path) -> dict[str, Any]:
        """The outputs of a network's engine, built here and now."""
        import device

        built = network.build(directory / "net.engine", runtime="tensorrt", options=self.options, cache=False)
        engine = self.runtime.deserialize_cuda_engine(built.path.read_bytes())
        return device.run(self.trt, engine, inputs, self.log)

    def note(self, line: str) -> None:
        """Add a line to the table of what was measured, in `TRTDSL_MEASURED` if that names a file."""
        print(line)
        if path := os.environ.get("TRTDSL_MEASURED"):
            with Path(path).open("a") as file:
                file.write(line + "\n")


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    if not Path("/dev/nvidiactl").exists():
        pytest.skip("there is no GPU here")
    pytest.importorskip("tensorrt", reason="runs engines: needs TensorRT 8.6 or later")
    return Gpu()


@pytest.fixture(scope="session")
def reference() -> Path:
    directory = os.environ.get("TRTDSL_REFERENCE")
    if directory is None:
        pytest.skip("TRTDSL_REFERENCE names no folder of PyTorch's outputs (python tests/gpu/reference.py DIR)")
    return Path(directory)


@pytest.fixture(scope="session")
def held_out() -> tuple[Any, Any]:
    from digits_data import load

    images, labels = load()[1]
    return images, labels
