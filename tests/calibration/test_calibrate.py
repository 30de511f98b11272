"""A network and a folder of data to a file of scales, beside numpy and ONNX Runtime's own calibrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

import trtdsl
from tests.quantization.nets import load, quantized_edges
from trtdsl.api import Network
from trtdsl.errors import RunError

NET = """
inputs: {x: [1, 3, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 3, padding: 1}
  - {op: relu, name: act}
  - {op: max_pool, name: pool, kernel_size: 2}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [b, pool]}
  - {op: relu, name: out}
  - {op: global_avg_pool, name: mean, keepdim: false}
  - {op: linear, name: fc, out_features: 4}
"""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return load(tmp_path, NET)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    generator = np.random.default_rng(0)
    for index, size in enumerate((2, 4, 1, 3)):
        np.save(path / f"{index}.npy", generator.standard_normal((3, 8, 8), np.float32) * size)
    return path


def scales(path: Path) -> dict[str, float]:
    """The scales of a file, read plainly."""
    lines = path.read_text().partition("\nscales:\n")[2].splitlines()
    return {name: float(value) for name, value in (line.strip().split(": ") for line in lines)}


def test_min_max_beside_numpy(network: Network, folder: Path) -> None:
    path, count = network.calibrate(folder, method="min-max")
    assert path == network.path.with_suffix(".scales")
    every = load(network.path.parent, f"{NET}outputs: [pool, mean]\n")
    largest = {"x": 0.0, "pool": 0.0, "mean": 0.0}
    for file in sorted(folder.iterdir()):
        x = np.load(file)[None]
        for name, array in {"x": x, **every.run({"x": x}, reference=True)}.items():
            largest[name] = max(largest[name], float(np.abs(array).max()))
    assert scales(path) == {name: pytest.approx(value / 127, rel=1e-5) for name, value in largest.items()}
    assert count == 3


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, folder: Path) -> None:
        self.arrays = iter([np.load(file)[None] for file in sorted(folder.iterdir())])

    def get_next(self) -> dict[str, Any] | None:
        array = next(self.arrays, None)
        return None if array is None else {"x": array}


METHODS: dict[str, tuple[CalibrationMethod, dict[str, object], float]] = {
    "min-max": (CalibrationMethod.MinMax, {"symmetric": True}, 1e-5),
    "percentile": (CalibrationMethod.Percentile, {"symmetric": True, "percentile": 99.0, "num_bins": 2048}, 0.05),
    "entropy": (CalibrationMethod.Entropy, {"symmetric": True, "num_bins": 2049, "num_quantized_bins": 128}, 0.35),
}


@pytest.mark.parametrize("method", METHODS)
def test_beside_onnx_runtimes_calibrators(method: str, network: Network, folder: Path, tmp_path: Path) -> None:
    kind, options, tolerance = METHODS[method]
    [model, *_] = network.export_onnx(tmp_path / "net.onnx")
    made = onnx.load(model)
    made.ir_version = min(made.ir_version, 10)
    onnx.save(made, model)
    augmented = str(tmp_path / "augmented.onnx")
    calibrator = create_calibrator(model, augmented_model_path=augmented, calibrate_method=kind, extra_options=options)
    calibrator.collect_data(Reader(folder))
    theirs = calibrator.compute_data().data
    path, _ = network.calibrate(folder, method=method, percentile=99)
    for name, scale in scales(path).items():
        low, high = (float(np.max(np.abs(edge))) for edge in theirs[name].range_value)
        assert scale * 127 == pytest.approx(max(low, high), rel=tolerance), name


def test_the_same_data_give_the_same_file(network: Network, folder: Path, tmp_path: Path) -> None:
    first, _ = network.calibrate(folder, tmp_path / "a.scales")
    again, _ = load(tmp_path, NET).calibrate(folder, tmp_path / "b.scales")
    assert first.read_text() == again.read_text()
    np.save(folder / "3.npy", np.ones((3, 8, 8), np.float32))
    other, _ = network.calibrate(folder, tmp_path / "c.scales")
    assert first.read_text() != other.read_text()


def made(path: Path) -> dict[str, str]:
    """What a file says of how it was made, and of what network."""
    lines = path.read_text().partition("scales:\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines if line[0] != "#")}


MADE = (
    "{op: conv, name: a, out_channels: 1, kernel_size: 1, weight: [[[[1.0]], [[2.0]], [[3.0]]]]}, {op: relu, name: b}"
)
OTHERS = {"1.0": ("4.0", {"weights"}), "relu": ("tanh", {"wiring"}), "name: b": ("name: c", {"wiring"})}


@pytest.mark.parametrize("word", OTHERS)
def test_the_file_says_of_what_it_was_made(word: str, tmp_path: Path, folder: Path) -> None:
    instead, changed = OTHERS[word]
    text = f"\ninputs: {{x: [1, 3, 8, 8]}}\nlayers: [{MADE}]\n"
    first = made(load(tmp_path, text).calibrate(folder, method="percentile", percentile=99)[0])
    second = made(load(tmp_path, text.replace(word, instead)).calibrate(folder, method="percentile", percentile=99)[0])
    assert (first["method"], first["percentile"], first["files"]) == ("percentile", "99", "4")
    assert {key for key, value in first.items() if value != second[key]} == changed


def test_the_file_makes_the_network_int8(network: Network, folder: Path) -> None:
    path, _ = network.calibrate(folder, limit=3)
    text = f"precision: int8\nquantization: {path.name}{NET}"
    quantized = load(path.parent, text)
    assert quantized.warnings == ()
    assert sorted(quantized.graph.scales) == ["mean", "pool", "x"]
    assert [layer.name for layer in quantized.graph.layers if layer.quantized] == ["a", "b", "fc"]
    # Calibrating it anew does not ask for the scales that are yet to be made.
    path.unlink()
    assert load(path.parent, text, quantized=False).calibrate(folder)[0].exists()


SUMMED = {
    "int8": ["x -> a, b", "b -> sum"],
    "{default: int8, layers: {a: fp16}}": ["x -> b", "a -> sum"],
    "{default: int8, layers: {b: fp16}}": ["x -> a", "b -> sum"],
}


@pytest.mark.parametrize("precision", SUMMED)
def test_the_file_serves_whichever_convolutions_stay_in_floats(precision: str, tmp_path: Path, folder: Path) -> None:
    text = """
inputs: {x: [1, 3, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: conv, name: b, in: x, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, b]}
"""
    path, _ = load(tmp_path, text).calibrate(folder)
    assert list(scales(path)) == ["x", "a", "b"]
    quantized = load(tmp_path, f"precision: {precision}\nquantization: {path.name}{text}")
    assert (quantized_edges(quantized), quantized.warnings) == (SUMMED[precision], ())


def test_moved_tensors_share_the_largest_scale(tmp_path: Path, folder: Path) -> None:
    text = """
inputs: {x: [1, 3, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: conv, name: b, in: a, out_channels: 4, kernel_size: 1}
  - {op: slice, name: part, in: a, dim: 1, start: 0, end: 4}
  - {op: concat, name: both, in: [b, part], dim: 1}
  - {op: conv, name: c, out_channels: 4, kernel_size: 1}
"""
    path, _ = load(tmp_path, text).calibrate(folder, method="min-max")
    every = load(tmp_path, f"{text}outputs: [a, both]\n")
    largest = {"a": 0.0, "both": 0.0}
    for file in folder.iterdir():
        for name, array in every.run({"x": np.load(file)[None]}, reference=True).items():
            largest[name] = max(largest[name], float(np.abs(array).max()))
    assert largest["a"] != largest["both"]
    found = scales(path)
    assert list(found) == ["x", "a", "both"]
    assert found["a"] == found["both"] == pytest.approx(max(largest.values()) / 127, rel=1e-5)


def test_what_only_layers_read_that_cannot_be_int8_has_no_scale(tmp_path: Path, folder: Path) -> None:
    text = """
inputs: {x: [1, 3, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: deconv, name: up, out_channels: 8, kernel_size: 2, stride: 2, groups: 2}
"""
    assert list(scales(load(tmp_path, text).calibrate(folder)[0])) == ["x"]


WRONG = {
    "NaN": (np.full((3, 8, 8), np.nan, np.float32), r"x holds NaN for .*9\.npy"),
    "infinity": (np.full((3, 8, 8), np.inf, np.float32), r"x holds infinity for .*9\.npy"),
    "a number too large": (np.full((3, 8, 8), 3e38, np.float32), r"holds (infinity|NaN) for .*9\.npy"),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_that_are_not_finite(case: str, network: Network, folder: Path) -> None:
    array, message = WRONG[case]
    np.save(folder / "9.npy", array)
    with pytest.raises(RunError, match=message):
        network.calibrate(folder)
    assert not network.path.with_suffix(".scales").exists()


def test_data_that_excite_nothing(network: Network, folder: Path) -> None:
    for file in folder.iterdir():
        np.save(file, np.zeros((3, 8, 8), np.float32))
    with pytest.raises(RunError) as error:
        network.calibrate(folder)
    [found] = error.value.diagnostics
    assert found.code == "data"
    assert found.message.startswith("zero for all of the data: x, pool (")


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_data_whose_scale_no_file_may_have(size: float, network: Network, folder: Path) -> None:
    for file in folder.iterdir():
        np.save(file, np.full((3, 8, 8), size, np.float32))
    with pytest.raises(RunError) as error:
        network.calibrate(folder)
    [found] = error.value.diagnostics
    assert found.message.startswith("scales beyond 1e-10 to 1e+06, which fp16 cannot hand on: x, pool (")


def test_no_data(network: Network, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no data"):
        network.calibrate(tmp_path / "empty")


def test_nothing_to_calibrate(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RunError, match="no layer of the network multiplies in int8"):
        load(tmp_path, "\ninputs: {x: [1, 3, 8, 8]}\nlayers: [relu]\n").calibrate(folder)


def test_a_method_or_device_that_is_not_there(network: Network, folder: Path) -> None:
    with pytest.raises(ValueError, match="mean"):
        network.calibrate(folder, method="mean")
    for percentile in (0, 100.5, float("nan")):
        with pytest.raises(ValueError, match="a percentile is more than 0 and at most 100"):
            network.calibrate(folder, method="percentile", percentile=percentile)
    with pytest.raises(ValueError, match="tpu"):
        network.calibrate(folder, device="tpu")


def test_inputs_of_narrow_types(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "0.npy", np.full((1, 4), -2.54, np.float32))
    for dtype in ("fp16", "bf16"):
        text = f"\ninputs: {{x: {{shape: [1, 4], dtype: {dtype}}}}}\nlayers: [{{op: linear, out_features: 2}}]\n"
        path, _ = load(tmp_path, text).calibrate(tmp_path / "data", method="min-max")
        assert scales(path) == {"x": pytest.approx(0.02, rel=1e-2)}


def test_digits_reads_what_it_never_saw_as_well_in_int8() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install scikit-learn")
    from examples.digits_data import load as load_digits

    held_out = load_digits()[1]
    path = Path(__file__).parents[2] / "networks" / "digits.yaml"
    right = {}
    for precision in ("fp32", "int8"):
        network = trtdsl.load(path, precision=precision)
        from trtdsl.running.reference import run_on_cpu

        logits = run_on_cpu(network.typed, {"image": held_out.images}, stepwise=True)["logits"]
        right[precision] = int((logits.argmax(axis=1) == held_out.labels).sum())
    assert right == {"fp32": 357, "int8": 357}
