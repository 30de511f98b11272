"""`trtdsl compare` and `trtdsl run` where an engine runs, beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trtdsl

pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")
pytest.importorskip("onnxruntime", reason="compares engines with ONNX Runtime: pip install 'trtdsl[onnx]'")
pytest.importorskip("onnx", reason="compares engines with ONNX Runtime: pip install 'trtdsl[onnx]'")

DIGITS = Path(__file__).parents[2] / "networks" / "digits.yaml"
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}


@pytest.mark.parametrize("layers", [False, True], ids=["outputs", "layers"])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_engine_is_near_its_reference(precision: str, layers: bool, gpu: Any) -> None:
    network = trtdsl.load(DIGITS, precision=precision)
    comparison = network.compare(layers=layers, runtime="tensorrt", options=gpu.options)
    engine = comparison.ways[-1]
    assert engine.not_run is None
    assert len(engine.differences) == (len(network.graph.layers) if layers else 1)
    gpu.note(f"compare digits       {precision}  relative error {engine.worst:.1e}")
    assert comparison.is_within(TOLERANCE[precision])


def test_run_gives_what_the_reference_gives(gpu: Any, held_out: tuple[Any, Any]) -> None:
    images, _ = held_out
    network = trtdsl.load(DIGITS)
    by_engine = network.run({"image": images}, runtime="tensorrt", options=gpu.options)["logits"]
    by_reference = network.run({"image": images}, reference=True)["logits"]
    assert by_engine.shape == by_reference.shape == (len(images), 10)
    assert abs(by_engine - by_reference).max() < 1e-4 * abs(by_reference).max()
