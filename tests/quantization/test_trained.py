"""Scales that quantisers left in weights files: of PyTorch's fake quantisation, and of NVIDIA's packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.quantization.nets import load
from trtdsl.api import Network
from trtdsl.errors import NetworkError

NET = """
inputs: {x: [1, 2, 4, 4]}
precision: int8
weights: net.safetensors
layers:
  - {op: conv, name: conv, out_channels: 3, kernel_size: 1, bias: false}
  - {op: relu, name: act}
  - {op: conv, name: last, out_channels: 3, kernel_size: 1, bias: false}
"""
WEIGHT = np.array([[1, -2], [0.5, 0.25], [0, 0]], np.float32).reshape(3, 2, 1, 1)


def network(folder: Path, quantizers: dict[str, object]) -> Network:
    entries = {"conv.weight": WEIGHT, "last.weight": np.ones((3, 3, 1, 1), np.float32)}
    save_file(entries | {key: np.asarray(value) for key, value in quantizers.items()}, folder / "net.safetensors")
    return load(folder, NET)


def weight_scales(network: Network) -> list[float]:
    [conv] = [layer for layer in network.typed.layers if layer.name == "conv"]
    scales: list[float] = conv.weights["weight/scales"].array().tolist()
    return scales


KNOWN: dict[str, tuple[dict[str, object], dict[str, float], list[float]]] = {
    "pytorch-quantization": (
        {
            "conv._input_quantizer._amax": np.float32(12.7),
            "conv._weight_quantizer._amax": np.full((3, 1, 1, 1), 254, np.float32),
            "last._input_quantizer._amax": np.float32(2.54),
        },
        {"x": 0.1, "act": 0.02},
        [2, 2, 2],
    ),
    "Model Optimizer": (
        {
            "conv.input_quantizer._amax": np.full(1, 12.7, np.float16),
            "conv.weight_quantizer._amax": np.float32(127),
            "last.input_quantizer._amax": np.float32(2.54),
        },
        {"x": 0.1, "act": 0.02},
        [1, 1, 1],
    ),
    "PyTorch": (
        {
            "conv.weight_fake_quant.scale": np.array([0.5, 0.25, 0.125], np.float32),
            "conv.weight_fake_quant.zero_point": np.zeros(3, np.int64),
            "conv._input_quantizer._amax": np.float32(12.7),
            "last._input_quantizer._amax": np.float32(2.54),
        },
        {"x": 0.1, "act": 0.02},
        [0.5, 0.25, 0.125],
    ),
    "weights without a quantiser": (
        {"conv.input_quantizer._amax": np.float32(12.7), "last.input_quantizer._amax": np.float32(2.54)},
        {"x": 0.1, "act": 0.02},
        [2 / 127, 0.5 / 127, 1],
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_scales(case: str, tmp_path: Path) -> None:
    quantizers, tensors, channels = KNOWN[case]
    loaded = network(tmp_path, quantizers)
    assert loaded.graph.scales == pytest.approx(tensors, rel=1e-3)
    assert weight_scales(loaded) == pytest.approx(channels, rel=1e-6)
    assert loaded.warnings == ()


OUTPUTS: dict[str, tuple[dict[str, object], float]] = {
    "int8 around zero": ({"scale": np.float32(0.5), "zero_point": np.zeros(1, np.int32)}, 0.5),
    "uint8 from a zero point": (
        {"scale": np.full(1, 0.5, np.float32), "zero_point": np.full(1, 155, np.int64)},
        77.5 / 127,
    ),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_what_a_layer_makes(case: str, tmp_path: Path) -> None:
    quantizer, expected = OUTPUTS[case]
    text = """
inputs: {x: [1, 2, 4, 4]}
precision: int8
weights: net.safetensors
layers:
  - {op: conv, name: conv, out_channels: 3, kernel_size: 1, bias: false}
  - {op: conv, name: last, out_channels: 3, kernel_size: 1, bias: false}
"""
    entries = {"conv.weight": WEIGHT, "last.weight": np.ones((3, 3, 1, 1), np.float32)}
    entries |= {f"conv.activation_post_process.{key}": np.asarray(value) for key, value in quantizer.items()}
    save_file(entries, tmp_path / "net.safetensors")
    loaded = load(tmp_path, text)
    assert loaded.graph.scales == {"conv": pytest.approx(expected)}
    assert loaded.graph.unquantized == {"conv": "no scale of x"}


def test_files_count_for_more(tmp_path: Path) -> None:
    quantizers: dict[str, object] = {f"{layer}._input_quantizer._amax": np.float32(12.7) for layer in ("conv", "last")}
    network(tmp_path, quantizers)
    loaded = load(tmp_path, f"quantization: {{tensors: {{act: 3}}}}{NET}")
    assert loaded.graph.scales == pytest.approx({"x": 0.1, "act": 3})


def test_a_channel_of_zeros_has_a_range_of_nothing(tmp_path: Path) -> None:
    quantizers = {f"{layer}._input_quantizer._amax": np.float32(1) for layer in ("conv", "last")}
    ranges = np.array([254, 127, 0], np.float32).reshape(3, 1, 1, 1)
    assert weight_scales(network(tmp_path, {**quantizers, "conv._weight_quantizer._amax": ranges})) == [2, 1, 1]


DECONV = """
inputs: {x: [1, 2, 4, 4]}
precision: int8
weights: net.safetensors
layers: [{op: deconv, name: up, out_channels: 2, kernel_size: 1, bias: false}]
"""


@pytest.mark.parametrize(("shape", "is_along_channels"), [((1, 2, 1, 1), True), ((2, 1, 1, 1), False), ((2,), True)])
def test_scales_lie_along_the_channels_that_a_layer_makes(
    shape: tuple[int, ...], is_along_channels: bool, tmp_path: Path
) -> None:
    # pytorch-quantization's default for transposed convolutions is the other axis, 0, of those that they read.
    entries = {"up.weight": np.ones((2, 2, 1, 1)), "up._weight_quantizer._amax": np.array([127, 254]).reshape(shape)}
    entries["up._input_quantizer._amax"] = np.ones(1)
    save_file({key: array.astype(np.float32) for key, array in entries.items()}, tmp_path / "net.safetensors")
    if is_along_channels:
        [up] = [layer for layer in load(tmp_path, DECONV).typed.layers if layer.name == "up"]
        assert up.weights["weight/scales"].array().tolist() == [1, 2]
        return
    with pytest.raises(NetworkError) as error:
        load(tmp_path, DECONV)
    [found] = error.value.diagnostics
    assert found.code == "scale-value"
    assert found.message.endswith("has scales along axis 0, and channels of weight are on axis 1")


def test_fp8_has_scales_of_its_own(tmp_path: Path) -> None:
    quantizers = {f"{layer}._input_quantizer._amax": np.float32(12.7) for layer in ("conv", "last")}
    network(tmp_path, {**quantizers, "conv._weight_quantizer._amax": np.full(3, 254, np.float32)})
    loaded = load(tmp_path, NET, precision="fp8")
    # 448 is the largest number of E4M3: what 127 steps of int8 reach, and the largest weight of each channel.
    assert weight_scales(loaded) == pytest.approx([2 / 448, 0.5 / 448, 1])
    [quantize] = [layer for layer in loaded.typed.layers if layer.name == "x/fp8"]
    assert float(quantize.weights["scale"].array()) == pytest.approx(12.7 / 448)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no range of a channel that is not zero": (
        {
            "conv._input_quantizer._amax": np.float32(1),
            "conv._weight_quantizer._amax": np.array([127, 0, 0], np.float32),
            "last._input_quantizer._amax": np.float32(1),
        },
        'conv: "conv._weight_quantizer._amax" in net.safetensors has a scale of 0 to 1, which no weight could have',
    ),
    "a range of NaN": (
        {
            "conv._input_quantizer._amax": np.float32(1),
            "conv._weight_quantizer._amax": np.array([127, 127, np.nan], np.float32),
            "last._input_quantizer._amax": np.float32(1),
        },
        'conv: "conv._weight_quantizer._amax" in net.safetensors has a scale of nan to nan, which no weight could have',
    ),
    "a range beyond all": (
        {
            "conv._input_quantizer._amax": np.float32(1),
            "conv._weight_quantizer._amax": np.full(1, 1e9, np.float32),
            "last._input_quantizer._amax": np.float32(1),
        },
        'conv: "conv._weight_quantizer._amax" in net.safetensors has a scale of 7.87402e+06 to 7.87402e+06, which no '
        "weight could have",
    ),
    "a scale for each channel of a tensor": (
        {"conv._input_quantizer._amax": np.ones(2, np.float32)},
        'conv: "conv._input_quantizer._amax" has 2 elements, and tensors have one scale',
    ),
    "weights around another number": (
        {
            "conv.weight_fake_quant.scale": np.ones(3, np.float32),
            "conv.weight_fake_quant.zero_point": np.ones(3, np.int64),
        },
        'conv: "conv.weight_fake_quant.zero_point" is not zero, and weights are quantised around zero',
    ),
    "a zero point that uint8 has not": (
        {
            "conv.activation_post_process.scale": np.ones(1, np.float32),
            "conv.activation_post_process.zero_point": np.full(1, -5, np.int64),
        },
        'conv: "conv.activation_post_process.zero_point" is -5, and zero points are of uint8, or 0',
    ),
    "too few for the weight": (
        {
            "conv._input_quantizer._amax": np.float32(1),
            "conv._weight_quantizer._amax": np.ones(2, np.float32),
            "last._input_quantizer._amax": np.float32(1),
        },
        'conv: "conv._weight_quantizer._amax" in net.safetensors has 2 scales, and weight has 3 channels',
    ),
    "a quantiser that saw nothing": (
        {"conv._input_quantizer._amax": np.float32(0), "last._input_quantizer._amax": np.float32(1)},
        'conv: "conv._input_quantizer._amax" is 0, and steps and ranges are positive numbers',
    ),
    "a quantiser that saw NaN": (
        {"conv._input_quantizer._amax": np.float32(1), "last.input_quantizer._amax": np.float32("nan")},
        'last: "last.input_quantizer._amax" is nan, and steps and ranges are positive numbers',
    ),
    "an infinite step": (
        {"conv.activation_post_process.scale": np.full(1, np.inf, np.float32)},
        'conv: "conv.activation_post_process.scale" is inf, and steps and ranges are positive numbers',
    ),
    "several zero points": (
        {
            "conv.activation_post_process.scale": np.ones(1, np.float32),
            "conv.activation_post_process.zero_point": np.zeros(2, np.int64),
        },
        'conv: "conv.activation_post_process.zero_point" has 2 elements, and tensors have one scale',
    ),
    "a step that no tensor wants": (
        {"conv._input_quantizer._amax": np.float32(1e-20), "last._input_quantizer._amax": np.float32(1)},
        "the scale of x in the weights is 7.87402e-23, which is less than any tensor wants",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense(case: str, tmp_path: Path) -> None:
    quantizers, message = WRONG[case]
    with pytest.raises(NetworkError) as error:
        network(tmp_path, quantizers)
    assert [(found.code, found.message) for found in error.value.diagnostics] == [("scale-value", message)]


def test_nobody_asks_for_them_in_a_network_of_floats(tmp_path: Path) -> None:
    network(tmp_path, {f"{layer}._input_quantizer._amax": np.float32(1) for layer in ("conv", "last")})
    assert load(tmp_path, NET, precision="fp16").graph.scales == {}


def test_a_weight_that_is_not_finite(tmp_path: Path) -> None:
    entries = {"conv.weight": np.full_like(WEIGHT, np.inf), "last.weight": np.ones((3, 3, 1, 1), np.float32)}
    save_file(entries, tmp_path / "net.safetensors")
    with pytest.raises(NetworkError, match="weight-nonfinite"):
        load(tmp_path, f"quantization: {{tensors: {{x: 1, act: 1}}}}{NET}")
