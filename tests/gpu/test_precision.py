"""On a weakly typed TensorRT the builder chooses types: the engine inspector has to show those that were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trtdsl

NETWORKS = Path(__file__).parents[2] / "networks"
FP16, FP32 = "FP16", "FP32"


def convolutions(gpu: Any, network: trtdsl.Network, directory: Path) -> dict[str, str]:
    """What the inspector says of every convolution's output: `Channel major FP16 format …`, by the layer's name."""
    built = network.build(directory / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    engine = gpu.runtime.deserialize_cuda_engine(built.path.read_bytes())
    inspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(gpu.trt.LayerInformationFormat.JSON))["Layers"]
    return {
        layer["Name"]: layer["Outputs"][0]["Format/Datatype"]
        for layer in layers
        if layer.get("ParameterType") in ("Convolution", "Deconvolution")
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "dims"), [("resnet", {"N": 1}), ("cyclegan_generator", {"N": 1, "H": 256, "W": 256})])
def test_convolutions_have_the_type_asked_for(
    name: str, dims: dict[str, int], precision: str, gpu: Any, tmp_path: Path
) -> None:
    network = trtdsl.load(NETWORKS / f"{name}.yaml", random_weights=True, precision=precision, dims=dims)
    found = convolutions(gpu, network, tmp_path)
    gpu.note(f"{name:20} {precision}  {len(found)} convolutions, {len(set(found.values()))} formats")
    assert len(found) >= 20
    assert all(precision.upper() in format for format in found.values()), found


def test_a_layer_kept_in_fp32_stays_so(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "mixed.yaml"
    path.write_text("""\
trtdsl: 1
inputs: {x: [1, 32, 32, 32]}
precision: {default: fp16, layers: {exact: fp32}}
layers:
  - {op: conv, name: first, out_channels: 32, kernel_size: 3}
  - relu
  - {op: conv, name: exact, out_channels: 32, kernel_size: 3}
  - relu
  - {op: conv, name: last, out_channels: 32, kernel_size: 3}
""")
    found = convolutions(gpu, trtdsl.load(path, random_weights=True), tmp_path)
    types = {name.split(" ")[0]: format for name, format in found.items()}
    assert FP16 in types["first"]
    assert FP32 in types["exact"]
    assert FP16 in types["last"]
