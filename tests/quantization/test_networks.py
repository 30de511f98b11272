"""The networks of networks/ in int8: what is quantised of them, and how near they stay to fp32 on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from trtdsl.running.reference import run_in_fp32, run_on_cpu

FOLDER = Path(__file__).parents[2] / "networks"
SMALL = {"N": 1, "H": 64, "W": 64}

NETWORKS: dict[str, tuple[str, dict[str, object], dict[str, int], int, int]] = {
    # 53 convolutions and the classifier; a sum in each of 16 blocks.
    "resnet50": ("resnet", {"depth": 50}, {"N": 1}, 54, 16),
    # 52 convolutions and the classifier; sums where a block keeps its size: 1 + 2 + 3 + 2 + 2.
    "mobilenet_v2": ("mobilenet_v2", {}, {"N": 1}, 53, 10),
    # 19 convolutions and 4 transposed ones, with concatenations instead of sums.
    "unet": ("unet", {"width": 16}, SMALL, 23, 0),
    # Patches, four products in each of 12 blocks, and the head; sums there are not behind convolutions.
    "vit": ("vit", {"size": "tiny"}, {"N": 1}, 50, 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_int8_is_near_fp32(name: str, tmp_path: Path) -> None:
    file, parameters, dims, products, sums = NETWORKS[name]
    path = FOLDER / f"{file}.yaml"
    floats = trtdsl.load(path, parameters=parameters, dims=dims, random_weights=True)
    [entry] = floats.graph.inputs
    images = np.random.default_rng(0).standard_normal((3, *(dim.value for dim in entry.type.shape)), np.float32)
    (tmp_path / "data").mkdir()
    for index in range(2):
        np.save(tmp_path / "data" / f"{index}.npy", images[index])
    scales, _ = floats.calibrate(tmp_path / "data", tmp_path / "net.scales", method="percentile")
    network = trtdsl.load(path, parameters=parameters, dims=dims, random_weights=True, precision="int8", scales=scales)
    assert network.warnings == ()
    assert sum(layer.quantized is not None for layer in network.graph.layers) == products
    assert sum(len(layer.quantized_inputs) for layer in network.graph.layers if layer.quantized is None) == sums
    # One that it was not calibrated on.
    given = {entry.name: images[2]}
    expected, actual = run_in_fp32(floats.graph, given), run_on_cpu(network.typed, given, stepwise=True)
    for output, reference in expected.items():
        a, b = reference.ravel().astype(np.float64), actual[output].ravel().astype(np.float64)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.995
