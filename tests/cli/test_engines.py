"""Commands about engines on disk: `info` beside the network as it is now, `build --locked`, `inspect`, and `tune`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.calling import run, succeed
from tests.engine.inspected import engine as engine_json
from tests.engine.inspected import layer
from trtdsl.cli import inspect as inspect_command
from trtdsl.engine.inspection import parse
from trtdsl.errors import RuntimeUnavailableError

TEXT = """\
trtdsl: 1
params: {width: 4}
dims: {N: [1, 2, 4]}
inputs: {x: [N, 4]}
layers:
  - {op: linear, name: fc, out_features: $width}
  - {op: relu, name: act}
"""


@pytest.fixture
def network(tmp_path: Path, rtx: Any) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def built(network: Path) -> Path:
    words = ["--random-weights", "--set", "width=3", "--runtime", "rtx", "--option", "tf32=false"]
    succeed("build", network, *words)
    return network.with_suffix(".engine")


def test_nothing_is_different(built: Path) -> None:
    assert succeed("info", built, "--check").endswith("\nnothing is different now\n")


def test_what_is_different_is_said_line_by_line_with_what_to_run(built: Path, network: Path) -> None:
    network.write_text(TEXT.replace("relu", "tanh").replace("[1, 2, 4]", "[1, 2, 8]") + "build: {sparsity: true}\n")
    shown = run("info", built)
    assert shown.exit_code == 0
    told, _, command = shown.stdout.partition("different now:\n")[2].partition("to build it anew: ")
    assert told.splitlines() == [
        "  dims: was {N: [1, 2, 4]}, is {N: [1, 2, 8]}",
        "  build: new, {sparsity: true}",
        f"  layer act: was {{op: relu, name: act, in: fc}}, is {{op: tanh, name: act, in: fc}} ({network}:7)",
        "  option sparsity: was False, is True",
        "  dimension N: was 1, 2, 4, is 1, 2, 8",
    ]
    assert run("info", built, "--check").exit_code == 1
    words = shlex.split(command)
    assert words[:2] == ["trtdsl", "build"]
    succeed(*words[1:])
    assert run("info", built, "--check").exit_code == 0


def test_as_json(built: Path, network: Path) -> None:
    network.write_text(TEXT.replace("relu", "tanh"))
    now = json.loads(succeed("info", built, "--json"))["now"]
    assert now["not_compared"] is None
    assert now["differences"] == [
        {
            "what": "layer act",
            "was": "{op: relu, name: act, in: fc}",
            "now": "{op: tanh, name: act, in: fc}",
            "line": f"{network}:7",
        }
    ]


def test_a_network_that_moved_is_given(built: Path, network: Path, tmp_path: Path) -> None:
    moved = network.rename(tmp_path / "other.yaml")
    shown = run("info", built, "--check")
    assert shown.exit_code == 1
    assert "not compared with what there is now: net.yaml is not there" in shown.stdout
    assert succeed("info", built, moved, "--check").endswith("nothing is different now\n")


def test_a_network_that_is_wrong_by_now(built: Path, network: Path) -> None:
    network.write_text(TEXT.replace("op: relu", "op: rleu"))
    shown = run("info", built, "--check")
    assert shown.exit_code == 1
    assert "not compared with what there is now: " in shown.stdout
    assert "error[unknown-op]" in shown.stdout


def test_without_the_runtime_the_rest_is_compared(built: Path, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(choice: str = "auto") -> None:
        raise RuntimeUnavailableError.of("runtime-missing", "none is here")

    monkeypatch.setattr("trtdsl.targets.runtime.find_runtime", missing)
    assert succeed("info", built).endswith("nothing is different now (no TensorRT is here to compare)\n")
    network.write_text(TEXT.replace("relu", "tanh"))
    assert "  layer act: was " in succeed("info", built)


def test_an_engine_of_an_older_trtdsl(built: Path) -> None:
    path = built.with_name("net.engine.json")
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "given": None, "network": []}))
    assert "an older trtdsl built it" in succeed("info", built)


def test_locked(built: Path, network: Path) -> None:
    words = ["--random-weights", "--set", "width=3", "--runtime", "rtx", "--option", "tf32=false", "--locked"]
    assert succeed("build", network, *words).endswith("is up to date\n")
    network.write_text(TEXT.replace("relu", "tanh"))
    refused = run("build", network, *words)
    assert refused.exit_code == 1
    assert f"{network}:7:5: error[locked]" in refused.stderr
    assert "hint: an unlocked build makes a new lock" in refused.stderr


def test_a_build_says_what_became_of_the_precisions(network: Path) -> None:
    shown = succeed("build", network, "--random-weights", "--runtime", "rtx", "--no-cache")
    assert shown.splitlines()[1].startswith("precision unverified: TensorRT-RTX built it without a GPU")


INSPECTED = engine_json(
    layer(
        "fc + act",
        "CaskGemm",
        {"x": "fp32"},
        {"y": ""},
        weights="fp32",
        tactic="sm80_gemm",
        lines=["net.yaml:6", "net.yaml:7"],
    ),
    layer("y/copy", "NoOp", {}, {}),
)


def test_inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.running.inspect.inspect_engine", lambda *_: parse(INSPECTED))
    shown = succeed("inspect", tmp_path / "net.engine")
    assert shown.splitlines() == [
        "   0 fc + act  CaskGemm",
        "     in   fp32 1x8x4x4  x  Row major linear FP32",
        "     out  - 1x8x4x4     y  N/A due to dynamic shapes",
        "     weights  fp32 576",
        "     bias     fp32 8",
        "     tactic   sm80_gemm",
        "     lines    net.yaml:6, net.yaml:7",
        "   1 y/copy  NoOp",
        "2 layers",
    ]
    described = json.loads(succeed("inspect", tmp_path / "net.engine", "--json"))
    assert described["detailed"]
    assert described["layers"][0]["lines"] == ["net.yaml:6", "net.yaml:7"]
    assert described["layers"][0]["weights"]["Weights"] == {"dtype": "fp32", "count": 576}


def test_inspect_of_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.running.inspect.inspect_engine", lambda *_: parse('{"Layers": ["fc + act"]}'))
    assert succeed("inspect", tmp_path / "net.engine").splitlines() == [
        "the engine was not built with `profiling_verbosity: detailed`: it tells no more than names",
        "   0 fc + act",
        "1 layer",
    ]


def test_inspect_needs_an_engine_and_a_gpu(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.running.inspect.has_gpu", lambda: False)
    refused = run("inspect", built)
    assert refused.exit_code == 1
    assert "error[gpu-missing]" in refused.stderr
    missing = run("inspect", built.with_name("none.engine"))
    assert "error[engine-missing]" in missing.stderr
    assert inspect_command.command.name == "inspect"


@pytest.mark.parametrize("command", ["info", "inspect"])
def test_a_network_is_no_engine(command: str, network: Path) -> None:
    refused = run(command, network)
    assert refused.exit_code == 1
    message, hint, _ = refused.stderr.splitlines()
    assert message == f"error[engine-missing]: {network} is the file of a network, not of an engine"
    assert hint.startswith(f"  hint: `trtdsl build {network}` makes its engine;")
    assert "trtdsl info" not in hint
    assert "error[engine-missing]: there is no engine" in run("info", network.with_name("none.yaml")).stderr


TUNED = """\
trtdsl: 1
inputs: {x: [1, 4]}
precision: fp32  # to be tuned
layers:
  - {op: linear, name: fc, out_features: 4}
  - {op: constant, name: many, value: 30000.0, dtype: fp32}
  - {op: mul, name: large, in: [fc, many]}
  - {op: sigmoid, name: y}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "0.npy", np.array([[1, -2, 3, -4]], np.float32))
    return tmp_path / "data"


def test_tune_writes_what_it_found(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TUNED.replace("30000.0", "0.5"))
    words = ["--data", data, "--device", "cpu", "--random-weights"]
    tried = succeed("tune", path, *words, "--dry-run")
    assert "-precision: fp32  # to be tuned\n+precision: fp16  # to be tuned\n" in tried
    assert path.read_text() == TUNED.replace("30000.0", "0.5")
    done = run("tune", path, *words)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("fp16 in 3 of 3 layers: relative error ")
    assert lines[1] == "0 trials made, 1 earlier one known, measured by ONNX form by ONNX Runtime on a CPU"
    assert lines[2] == f"wrote {path}"
    assert done.stderr.startswith("  1: fp16 in 3: error ")
    assert "precision: fp16  # to be tuned\n" in path.read_text()
    assert succeed("tune", path, *words).endswith(f"{path} says that already\n")
    described = json.loads(succeed("tune", path, *words, "--json"))
    assert described["layers"] == {"fc": "fp16", "large": "fp16", "y": "fp16"}
    assert described["trials"] == 0


def test_tune_refuses_unknown_types_and_precisions_from_outside(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TUNED)
    wrong = run("tune", path, "--data", data, "--device", "cpu", "--random-weights", "--types", "fp16,int9")
    assert wrong.exit_code == 2
    assert "`int9` is none of fp16, bf16, int8, fp8" in wrong.stderr
    endless = run("tune", path, "--data", data, "--device", "cpu", "--random-weights", "--tolerance", "nan")
    assert endless.exit_code == 2
    assert "nan is no finite number" in endless.stderr
    outside = run("tune", path, "--data", data, "--device", "cpu", "--random-weights", "--precision", "fp16")
    assert outside.exit_code == 1
    assert "error[tune]" in outside.stderr
