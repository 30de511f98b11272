"""`trtdsl calibrate`, and what the other commands make of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.calling import run, succeed
from trtdsl.calibration import DEVICES, METHODS
from trtdsl.cli import calibrate

NET = """\
trtdsl: 1
inputs: {image: [1, 3, 4, 4]}
precision: int8
quantization: net.scales
layers:
  - {op: conv, name: a, out_channels: 4, kernel_size: 1, weight: {normal: 1}, bias: 0}
  - {op: relu, name: act}
  - {op: conv, name: b, out_channels: 4, kernel_size: 1, weight: {normal: 1}, bias: 0}
"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "data").mkdir()
    generator = np.random.default_rng(0)
    for index in range(3):
        pixels = generator.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index}.png")
    return tmp_path / "net.yaml"


def scale(path: Path, name: str) -> float:
    [line] = [line for line in path.read_text().splitlines() if line.startswith(f"  {name}: ")]
    return float(line.partition(": ")[2])


def test_it_writes_what_the_network_names(network: Path) -> None:
    data = network.parent / "data"
    assert "net.scales: 2 scales" in succeed("calibrate", network, "--data", data, "--method", "min-max")
    assert "net.yaml: 3 layers" in succeed("validate", network)
    assert "a: conv, int8 and fp16, " in succeed("explain", network)
    assert "ONNX form in fp16 and int8, by ONNX Runtime" in succeed("compare", network)


def test_images_are_read_as_by_run(network: Path) -> None:
    data, output = network.parent / "data", network.parent / "other.scales"
    largest = max(int(np.asarray(Image.open(path)).max()) for path in data.iterdir())
    common = ("calibrate", network, "--data", data, "--method", "min-max", "-o", output)
    succeed(*common)
    assert scale(output, "image") == pytest.approx(largest / 255 / 127, rel=1e-5)
    succeed(*common, "--scale", 1, "--mean", 300)
    smallest = min(int(np.asarray(Image.open(path)).min()) for path in data.iterdir())
    assert scale(output, "image") == pytest.approx((300 - smallest) / 127, rel=1e-5)


def test_a_limit_and_a_percentile(network: Path) -> None:
    output = network.with_suffix(".scales")
    succeed(
        "calibrate",
        network,
        "--data",
        network.parent / "data",
        "--limit",
        2,
        "--method",
        "percentile",
        "--percentile",
        50,
    )
    assert "percentile: 50.0" in output.read_text()
    assert "files: 2" in output.read_text()


def test_without_scales_nothing_is_built(network: Path) -> None:
    result = run("validate", network)
    assert result.exit_code == 1
    assert "cannot read" in result.stderr
    assert "hint: `trtdsl calibrate` writes such a file" in result.stderr
    assert run("validate", network, "--precision", "fp16").exit_code == 0


def test_another_file_of_scales(network: Path) -> None:
    (network.parent / "my.table").write_text("image 0.01 0\nact 0.02 0\n")
    assert run("validate", network, "--scales", network.parent / "my.table").exit_code == 0


def test_scales_that_nothing_asks_for_are_not_passed_over_in_silence(network: Path) -> None:
    result = run("validate", network, "--precision", "fp16", "--scales", "other.scales")
    assert result.exit_code == 0
    assert "warning[quantization]: other.scales is not read" in result.stderr


WRONG = {
    "a percentile of another method": (["--percentile", 99], "--percentile is of --method percentile, not of entropy"),
    "what is of images": (["--std", 2, "--data", "arrays"], "--std: about images, and arrays holds none"),
    "written over the network": (["-o", "net.yaml"], "net.yaml would be read and then written over"),
    "written over weights": (["--weights", "a=w.npz", "-o", "w.npz"], "w.npz would be read and then written over"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_lines(case: str, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, message = WRONG[case]
    monkeypatch.chdir(network.parent)
    (network.parent / "arrays").mkdir()
    np.save("arrays/0.npy", np.zeros((1, 3, 4, 4), np.float32))
    before = network.read_text()
    result = run("calibrate", "./net.yaml", "--data", "data", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert network.read_text() == before


def test_no_data(network: Path) -> None:
    result = run("calibrate", network, "--data", network.parent / "nowhere")
    assert (result.exit_code, "error[data]: there is no folder" in result.stderr) == (1, True)


def test_the_words_are_those_of_the_package() -> None:
    options = {option.name: option.type for option in calibrate.command.params}
    assert tuple(options["method"].choices) == METHODS  # type: ignore[attr-defined]
    assert tuple(options["device"].choices) == DEVICES  # type: ignore[attr-defined]
