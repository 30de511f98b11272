"""Every network of `networks/`, built from its YAML and run, beside PyTorch with the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

NETWORKS = Path(__file__).parents[2] / "networks"
NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "cyclegan_generator", "unet", "vit", "gpt2"]
# Relative to the largest output. Without TF32, fp32 differs by the order of sums; in fp16 that of all layers adds up.
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(name: str, precision: str, gpu: Any, reference: Path, tmp_path: Path) -> None:
    described = json.loads((reference / "networks.json").read_text())[name]
    arrays = np.load(reference / f"{name}.npz")
    network = trtdsl.load(
        NETWORKS / f"{described['network']}.yaml",
        parameters=described["parameters"],
        weights=[str(reference / f"{name}.safetensors")],
        precision=precision,
    )
    inputs = {key.removeprefix("in/"): arrays[key] for key in arrays.files if key.startswith("in/")}
    (output,) = gpu.run(network, inputs, tmp_path).values()
    error = device.relative_error(output, arrays["out"])
    gpu.note(f"{name:20} {precision}  relative error {error:.1e}")
    assert error < TOLERANCE[precision]


@pytest.mark.parametrize("precision", TOLERANCE)
def test_digits_reads_its_held_out_set(precision: str, gpu: Any, held_out: tuple[Any, Any], tmp_path: Path) -> None:
    images, labels = held_out
    network = trtdsl.load(NETWORKS / "digits.yaml", precision=precision)
    logits = gpu.run(network, {"image": images}, tmp_path)["logits"]
    right = int((logits.argmax(1) == labels).sum())
    gpu.note(f"digits               {precision}  {right} of {len(labels)} right")
    assert right >= 357 - (precision != "fp32")
