"""Quantised layers beside layers that plugins fuse: the same tensors are quantised, and the numbers stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import trtdsl
from trtdsl.ops.by_plugin import ByPlugin
from trtdsl.running.reference import run_on_cpu
from trtdsl.targets.runtime import describe_runtime

NETWORK = Path(__file__).parents[2] / "networks" / "cyclegan_generator.yaml"


def test_fused_norms_between_quantised_convolutions(tmp_path: Path) -> None:
    given = {"parameters": {"width": 16, "blocks": 2}, "dims": {"N": 1, "H": 64, "W": 64}, "random_weights": True}
    floats = trtdsl.load(NETWORK, **given)
    (tmp_path / "data").mkdir()
    images = np.random.default_rng(0).standard_normal((3, 64, 64), np.float32)
    np.save(tmp_path / "data" / "0.npy", images)
    scales, _ = floats.calibrate(tmp_path / "data", tmp_path / "net.scales")
    network = trtdsl.load(NETWORK, precision="int8", impl="auto", scales=scales, **given)
    fused = network.for_runtime(describe_runtime("tensorrt-10.15"))
    assert any(isinstance(layer.op, ByPlugin) and " + " in layer.name for layer in fused.layers)
    quantized = [layer.name for layer in network.typed.layers if layer.quantized is not None]
    assert [layer.name for layer in fused.layers if layer.quantized is not None] == quantized
    assert len(quantized) > 5
    native, plugins = (run_on_cpu(graph, {"image": images[None]}) for graph in (network.typed, fused))
    for name, expected in native.items():
        # In int8 a rounding that turns over is a step; the mean of all is not moved by that.
        assert np.abs(plugins[name] - expected).mean() < 0.02 * np.abs(expected).mean()
