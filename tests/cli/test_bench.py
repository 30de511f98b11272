"""`bench`, and `run` with engines, on stand-ins for CUDA and TensorRT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.calling import run, succeed
from tests.runtime.standin import Cuda, Driver, Plan, runtime_for
from tests.runtime.test_engine import write
from trtdsl.runtime import engine as module
from trtdsl.runtime.device import Device

X = np.array([-1.5, 2, 0.5], np.float32)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine that gives twice what it takes: x, of 1 to 4 elements."""
    cuda = Cuda()
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr(module, "find_runtime", lambda choice: runtime_for(Plan(cuda)))
    monkeypatch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, cuda, Driver())))
    path = write(tmp_path, dims={"N": [1, 2, 4]})
    manifest = json.loads((tmp_path / "net.engine.json").read_text())
    manifest["inputs"] = {"x": {"dtype": "fp32", "shape": ["N"]}}
    (tmp_path / "net.engine.json").write_text(json.dumps(manifest))
    np.save(tmp_path / "x.npy", X)
    return path


def test_bench_prints_a_table(engine: Path) -> None:
    printed = succeed("bench", engine, "--duration", "0.01", "--warm-up", "0").splitlines()
    assert printed[0] == "net: TensorRT 10.15, on x fp32[2]"
    assert printed[1].split() == [
        "milliseconds",
        "runs",
        "mean",
        "min",
        "50",
        "%",
        "90",
        "%",
        "95",
        "%",
        "99",
        "%",
        "max",
    ]
    assert printed[2].startswith("latency ")
    assert printed[3].split()[0] == "GPU"
    assert printed[3].split()[2:] == ["0.5000"] * 7
    assert printed[4].startswith("throughput: ")
    assert printed[4].endswith(" runs per second, 1 stream")
    assert printed[5] == "each run is launched layer by layer, without copies to the GPU"


def test_bench_prints_layers(engine: Path) -> None:
    printed = succeed("bench", engine, "--duration", "0", "--layers", "--dim", "N=3")
    assert "on x fp32[3]\n" in printed
    assert printed.endswith(
        "layers one by one, by TensorRT's profiler: 1.0000 ms together\n"
        "milliseconds   share  layer   lines\n"
        "      0.7500  75.0 %  double  net.yaml:7, 9\n"
        "      0.2500  25.0 %  copy\n"
    )


def test_bench_prints_json(engine: Path) -> None:
    options = ["--duration", "0", "--graph", "--streams", "2", "--transfers", "--layers", "--json"]
    found = json.loads(succeed("bench", engine, *options))
    assert found["engine"]["inputs"] == {"x": "fp32[2]"}
    assert (found["streams"], found["graph"], found["transfers"]) == (2, True, True)
    assert found["gpu_ms"]["p99"] == 0.5
    assert found["latency_ms"]["count"] >= 1
    assert found["runs_per_second"] > 0
    assert [layer["name"] for layer in found["layers"]] == ["double", "copy"]


def test_run_takes_an_engine(engine: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    printed = succeed("run", engine, "--input", f"x={tmp_path / 'x.npy'}", "--top-k", "2", "--output", output)
    assert printed.splitlines()[1].split() == ["twice", "3", "float32", "-3", "4", "0.666667"]
    assert printed.splitlines()[-1] == "  0: 1 (4), 2 (1)"
    with np.load(output) as file:
        np.testing.assert_array_equal(file["twice"], [-3, 4, 1])


def test_classes_have_names(engine: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    options = ["--input", f"x={tmp_path / 'x.npy'}", "--top-k", "2", "--labels", tmp_path / "labels.txt"]
    assert succeed("run", engine, *options).endswith("  0: dog (4), 2 (1)\n")
    described = json.loads(succeed("run", engine, *options, "--json"))
    assert described["twice"]["largest"] == [[[1, 4.0], [2, 1.0]]]
    assert described["twice"]["labels"] == [["dog", "2"]]


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "what only networks take": (["--set", "a=1", "--precision", "fp16"], 2, "--set, --precision: "),
    "a reference": (["--reference"], 2, "is an engine; give its network instead"),
    "a size": (["--dim", "N=5"], 1, "`N` is 1 to 4 in this engine, not 5"),
    "no labels": (["--top-k", "1", "--labels", "none.txt"], 1, "none.txt cannot be read: no such file or directory"),
    "a GPU": (["--gpu", "3"], 1, "there is no GPU 3"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str, engine: Path) -> None:
    options, status, message = MISTAKES[case]
    result = run("run", engine, *options)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


def test_an_engine_that_is_not_there(tmp_path: Path, engine: Any) -> None:
    result = run("bench", tmp_path / "none.engine")
    assert result.exit_code == 1
    assert f"there is no engine {tmp_path / 'none.engine'}" in result.stderr
