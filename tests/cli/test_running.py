"""`run`, `compare` and `export` on real input: what they print, what they write, and how they end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.calling import run, succeed
from trtdsl.running import gpu

NETWORK = """\
trtdsl: 1
dims: {N: [1, 2, 4]}
inputs: {x: [N, 4]}
layers:
  - {op: linear, name: fc, out_features: 3, weight: [[1, 0, 0, 0], [0, 10, 0, 0], [0, 0, 0.1, 0]], bias: [0, 0, 1]}
outputs: {y: fc}
"""
IMAGE = """\
trtdsl: 1
dims: {N: [1, 1, 4]}
inputs: {image: [N, 3, 2, 2]}
layers: [{op: reduce_mean, dim: [2, 3], name: y}]
"""
X = np.array([[1, 2, 3, 4], [0, -1, 0, 0]], np.float32)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    np.savez(tmp_path / "in.npz", x=X)
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "net.yaml"


# y = [x0, 10 x1, 0.1 x2 + 1]
TABLE = """\
output  shape  type     min  max     mean
y       2x3    float32  -10   20  2.21667
"""


@pytest.mark.parametrize("option", ["--inputs=in.npz", "--input=x=x.npy"])
def test_run_prints_a_table(option: str, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(network.parent)
    assert succeed("run", network, "--reference", option) == TABLE


def test_run_writes_what_comes_out(network: Path, tmp_path: Path) -> None:
    result = run("run", network, "--reference", "--inputs", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert result.exit_code == 0
    assert f"wrote {tmp_path / 'out.npz'} (" in result.stderr
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_allclose(file["y"], [[1, 20, 1.3], [0, -10, 1]], rtol=1e-6)


def test_run_lists_the_largest(network: Path, tmp_path: Path) -> None:
    printed = succeed("run", network, "--reference", "--inputs", tmp_path / "in.npz", "--top-k", "2")
    assert printed == TABLE + "largest of y\n  0: 1 (20), 2 (1.3)\n  1: 2 (1), 0 (0)\n"


def test_run_prints_json(network: Path, tmp_path: Path) -> None:
    options = ["--reference", "--inputs", tmp_path / "in.npz", "--top-k", "1", "--json"]
    described = json.loads(succeed("run", network, *options))
    assert list(described) == ["y"]
    assert described["y"]["shape"] == [2, 3]
    assert (described["y"]["type"], described["y"]["min"], described["y"]["max"]) == ("float32", -10, 20)
    assert described["y"]["not_finite"] == 0
    assert described["y"]["largest"] == [[[1, 20.0]], [[2, 1.0]]]


def test_run_says_what_is_not_finite(network: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([[np.nan, np.inf, 0, 0]]))
    assert "nan" in succeed("run", network, "--reference", "--inputs", tmp_path / "in.npz")
    described = json.loads(succeed("run", network, "--reference", "--inputs", tmp_path / "in.npz", "--json"))
    assert (described["y"]["max"], described["y"]["not_finite"]) == (None, 3)


def test_run_makes_inputs_up(network: Path) -> None:
    one, same, other = (succeed("run", network, "--reference", "--seed", seed) for seed in (1, 1, 2))
    assert one == same != other
    assert "2x3" in one
    assert "4x3" in succeed("run", network, "--reference", "--dim", "N=4")


def test_run_reads_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="images as inputs need Pillow: pip install 'trtdsl[images]'")
    (tmp_path / "net.yaml").write_text(IMAGE)
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        image.new("RGB", (5, 7), color).save(tmp_path / f"{name}.png")
    given = [f"--input=image={tmp_path / name}.png" for name in ("red", "blue")]
    printed = json.loads(succeed("run", tmp_path / "net.yaml", "--reference", *given, "--top-k", "1", "--json"))
    assert printed["y"]["shape"] == [2, 3]
    assert printed["y"]["largest"] == [[[0, pytest.approx(1)]], [[2, pytest.approx(1)]]]
    options = ["--scale", "1", "--mean", "5,0,0", "--std", "50", "--layout", "nchw"]
    printed = json.loads(succeed("run", tmp_path / "net.yaml", "--reference", given[0], *options, "--json"))
    assert (printed["y"]["max"], printed["y"]["min"]) == (pytest.approx(5), 0)


MISTAKES = {
    "no GPU": (
        [],
        1,
        "an engine needs a GPU to run, and there is none here\n  hint: on a CPU, `trtdsl run --reference` gives",
    ),
    "an unknown input": (["--reference", "--input", "y=x.npy"], 1, "the network has no input `y`"),
    "no file": (["--reference", "--input", "x=y.npy"], 1, "y.npy cannot be read: no such file"),
    "no archive": (["--reference", "--inputs", "x.npy"], 1, "x.npy is no npz file"),
    "no name": (["--reference", "--input", "x.npy"], 2, "`x.npy` is not NAME=FILE"),
    "given twice": (["--reference", "--input", "x=x.npy", "--inputs", "in.npz"], 2, "in.npz has `x` as well"),
    "no numbers": (
        ["--reference", "--input", "x=x.png", "--mean", "a,b"],
        2,
        "`a,b` is not one number, or several with commas",
    ),
    "what is of engines": (
        ["--reference", "--gpu", "0", "--runtime", "auto", "--option", "tf32=false", "--target", "8.9"],
        2,
        "--gpu, --runtime, --target, --option: about engines, and --reference makes none",
    ),
    "what is of images": (
        ["--reference", "--input", "x=x.npy", "--mean", "0", "--order", "rgb"],
        2,
        "--mean, --order: about images, and no --input is one",
    ),
    "what is of images, without any input": (["--scale", "1"], 2, "--scale: about images, and no --input is one"),
    "a layout": (["--reference", "--layout", "chw"], 2, "'chw' is not one of 'nchw', 'nhwc'"),
    "labels of nothing": (["--reference", "--labels", "x.txt"], 2, "--labels is about what --top-k lists"),
    "written over what is read": (
        ["--reference", "--inputs", "in.npz", "--output", "sub/../in.npz"],
        2,
        "in.npz would be read and then written over",
    ),
    "a size out of range": (["--reference", "--dim", "N=1", "--inputs", "in.npz"], 1, "x takes [1, 4], not [2, 4]"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_run_mistakes(case: str, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, status, message = MISTAKES[case]
    monkeypatch.chdir(network.parent)
    result = run("run", "net.yaml", *options)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


def test_run_without_onnx_runtime(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trtdsl.targets.reference  # noqa: F401

    monkeypatch.delitem(sys.modules, "trtdsl.targets.reference")
    monkeypatch.delattr("trtdsl.targets.reference")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = run("run", network, "--reference")
    assert result.exit_code == 1
    assert "running on a CPU needs onnxruntime, which is not installed" in result.stderr
    assert "pip install 'trtdsl[onnx]'" in result.stderr


def test_compare_prints_each_way(network: Path, tmp_path: Path) -> None:
    printed = succeed("compare", network, "--precision", "fp16", "--inputs", tmp_path / "in.npz")
    # fp16 has 0.1 as 0.09998: 0.3 + 1 is 1.2999, rounded to 1.2998 or 1.3008; 20 is exact.
    assert "ONNX form in fp16, by ONNX Runtime, beside fp32 by ONNX Runtime\n" in printed
    [row] = [line for line in printed.splitlines() if line.lstrip().startswith("y ")]
    name, shape, absolute, relative, cosine, line = row.split()
    assert (name, shape, line) == ("y", "2x3", f"{network}:6")
    assert 1e-5 < float(absolute) < 1e-3
    assert float(relative) == pytest.approx(float(absolute) / 20, rel=0.02)
    assert float(cosine) == pytest.approx(1)
    assert "engine: NOT RUN: an engine needs a GPU to run, and there is none here\n" in printed
    assert "all within a relative error of 0.02" in printed


@pytest.mark.parametrize(("tolerance", "status"), [("1e-3", 0), ("1e-6", 1)])
def test_compare_holds_a_tolerance(tolerance: str, status: int, network: Path, tmp_path: Path) -> None:
    options = ["--precision", "fp16", "--inputs", tmp_path / "in.npz", "--tolerance", tolerance]
    result = run("compare", network, *options)
    assert result.exit_code == status
    assert ("an error is beyond 1e-06" in result.stderr) is bool(status)
    verdict = f"y ({network}:6) is the first beyond a relative error of 1e-06"
    assert (verdict in result.stdout) is bool(status)
    assert run("compare", network, *options, "--json").exit_code == status


def test_nothing_compared_is_no_success(network: Path) -> None:
    result = run("compare", network, "--tolerance", "1")
    assert result.exit_code == 1
    assert "nothing could be compared" in result.stderr
    assert run("compare", network).exit_code == 0


def test_compare_by_layers(digits: Path) -> None:
    printed = succeed("compare", digits, "--precision", "fp16", "--layers", "--json")
    [form, engine] = json.loads(printed)["ways"]
    names = [tensor["name"] for tensor in form["tensors"]]
    assert names[:3] == ["conv1", "bn1", "relu"]
    assert names[-1] == "fc"
    assert form["tensors"][0]["line"] == f"{digits}:13"
    assert engine["tensors"] == []
    assert "NOT RUN" in succeed("compare", digits, "--precision", "bf16", "--layers")


def test_export_onnx(network: Path, tmp_path: Path) -> None:
    printed = succeed("export", "onnx", network)
    assert printed.startswith(f"wrote {tmp_path / 'net.onnx'} (")
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)


def test_export_onnx_with_weights_beside(digits: Path, tmp_path: Path) -> None:
    printed = succeed("export", "onnx", digits, "--external", "-o", tmp_path / "out" / "model.onnx")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.onnx", "model.onnx.data"]
    assert f" and {tmp_path / 'out' / 'model.onnx.data'} (" in printed


def test_export_script(network: Path, tmp_path: Path) -> None:
    printed = succeed("export", "script", network, "--runtime", "tensorrt-8.6", "--option", "tf32=false")
    assert printed.startswith(f"wrote {tmp_path / 'net.py'} (")
    text = (tmp_path / "net.py").read_text()
    assert "as calls of TensorRT 8.6, written by trtdsl" in text
    assert "config.clear_flag(trt.BuilderFlag.TF32)" in text


EXPORT_MISTAKES = {
    "a runtime": (["script", "net.yaml", "--runtime", "cuda"], 2, "a runtime is one of auto, rtx, tensorrt"),
    "an option": (["script", "net.yaml", "--option", "tf33=false"], 1, "did you mean `tf32`?"),
    "a format": (["onxx", "net.yaml"], 2, "No such command 'onxx'"),
    "no network": (["onnx", "none.yaml"], 1, "none.yaml"),
}


@pytest.mark.parametrize("case", EXPORT_MISTAKES)
def test_export_mistakes(case: str, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, status, message = EXPORT_MISTAKES[case]
    monkeypatch.chdir(network.parent)
    result = run("export", *options)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


def test_export_lists_all_that_onnx_cannot_say(tmp_path: Path) -> None:
    layers = "layers: [{op: trt.softmax, name: a}, {op: trt.softmax, name: b}]"
    (tmp_path / "net.yaml").write_text(f"trtdsl: 1\ninputs: {{x: [2, 3]}}\n{layers}\n")
    result = run("export", "onnx", tmp_path / "net.yaml")
    assert result.exit_code == 1
    assert result.stderr.count("error[onnx-form]") == 2
    assert result.stderr.endswith("2 errors\n")
