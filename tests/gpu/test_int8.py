"""int8 on a GPU: what multiplies does so in int8 as the inspector shows, and outputs are those of ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.running import make_inputs
from trtdsl.running.reference import run_in_fp32, run_on_cpu
from trtdsl.targets.runtime import find_runtime

NETWORKS = Path(__file__).parents[2] / "networks"
SMALL = {"N": 1, "H": 64, "W": 64}
CASES: dict[str, tuple[str, dict[str, object], dict[str, int]]] = {
    "resnet18": ("resnet", {}, {"N": 2}),
    "resnet50": ("resnet", {"depth": 50}, {"N": 2}),
    "mobilenet_v2": ("mobilenet_v2", {}, {"N": 2}),
    "unet": ("unet", {}, SMALL),
    "cyclegan_generator": ("cyclegan_generator", {}, SMALL),
    "vit": ("vit", {"size": "tiny"}, {"N": 2}),
    "gpt2": ("gpt2", {}, {"N": 1, "T": 16}),
}
FUSED = ("vit", "gpt2")
"""Networks whose products are fused with so much that the inspector does not tell what they multiply."""


def cosine(a: Any, b: Any) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def quantized(case: str, folder: Path, fallback: str = "fp16") -> trtdsl.Network:
    """A network in int8, with the scales of random inputs."""
    file, parameters, dims = CASES[case]
    path = NETWORKS / f"{file}.yaml"
    given: dict[str, Any] = {"parameters": parameters, "dims": dims, "random_weights": True}
    floats = trtdsl.load(path, **given)
    (folder / "data").mkdir()
    for seed in range(2):
        np.savez(folder / "data" / f"{seed}.npz", **make_inputs(floats.graph, {}, seed=seed + 1))
    scales, _ = floats.calibrate(folder / "data", folder / "net.scales", method="percentile")
    return trtdsl.load(path, precision="int8", scales=scales, **given)


def products(gpu: Any, engine: Any) -> dict[str, str]:
    """What the inspector says of the first input of each convolution, by the layer's name."""
    inspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(gpu.trt.LayerInformationFormat.JSON))["Layers"]
    return {
        layer["Name"]: layer["Inputs"][0]["Format/Datatype"]
        for layer in layers
        if layer.get("ParameterType") in ("Convolution", "Deconvolution")
    }


@pytest.mark.parametrize("case", CASES)
def test_a_network(case: str, gpu: Any, tmp_path: Path) -> None:
    import device

    network = quantized(case, tmp_path)
    built = network.build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    engine = gpu.runtime.deserialize_cuda_engine(built.path.read_bytes())
    found = products(gpu, engine)
    small = [name for name, form in found.items() if "Int8" in form]
    inputs = make_inputs(network.graph, {}, seed=0)
    actual = device.run(gpu.trt, engine, inputs, gpu.log)
    typed = network.for_runtime(find_runtime("tensorrt"))
    wide, same = run_in_fp32(network.graph, inputs), run_on_cpu(typed, inputs)
    near = min(cosine(actual[name], wide[name]) for name in wide)
    nearer = min(cosine(actual[name], same[name]) for name in same)
    gpu.note(
        f"{case:20} int8  {len(small)} of {len(found)} convolutions, cosine {near:.5f} to fp32, {nearer:.5f} to ONNX"
    )
    assert near > 0.99
    assert nearer > 0.995
    if case not in FUSED:
        asked = [layer.name for layer in typed.layers if layer.quantized is not None]
        assert len(asked) >= 18
        assert len(small) >= len(asked), sorted(set(found) - set(small))


FUNCTIONS = ("relu", "relu6", "silu", "tanh", "sigmoid", "hard_swish", "leaky_relu", "elu", "gelu", "mish", "softplus")
FUNCTIONS += ("hard_sigmoid", "exp", "prelu", "neg", "sqrt", "celu", "selu")
SHAPES = {
    "floats come out": ("", 3, "", ""),
    "int8 comes out": ("", 3, ", f: 0.03", "  - {op: conv, name: last, out_channels: 64, kernel_size: 3}\n"),
    "behind a large one in fp16": (", layers: {before: fp16}", 7, "", ""),
}
"""What layers ask for, the window of the convolution before a function, the function's scale, and what follows."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_behind_convolutions(function: str, gpu: Any, tmp_path: Path) -> None:
    """8.6.1 has kernels in int8 with few of them; each network builds all the same, and to the types asked for."""
    path = tmp_path / "net.yaml"
    for layers, window, scale, after in SHAPES.values():
        path.write_text(
            f"trtdsl: 1\ninputs: {{x: [1, 64, 32, 32]}}\nprecision: {{default: int8, fallback: fp16{layers}}}\n"
            f"quantization: {{tensors: {{x: 0.03, r: 0.03{scale}}}}}\nlayers:\n"
            "  - {op: conv, name: first, out_channels: 64, kernel_size: 3}\n  - {op: relu, name: r}\n"
            f"  - {{op: conv, name: before, out_channels: 64, kernel_size: {window}}}\n"
            f"  - {{op: {function}, name: f}}\n{after}"
        )
        network = trtdsl.load(path, random_weights=True)
        built = network.build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
        assert built.manifest["precision"]["differs"] == {}


def test_digits_it_never_saw(gpu: Any, held_out: tuple[Any, Any], tmp_path: Path) -> None:
    images, labels = held_out
    right = {}
    for precision in ("fp32", "fp16", "int8"):
        network = trtdsl.load(NETWORKS / "digits.yaml", precision=precision)
        logits = gpu.run(network, {"image": images}, tmp_path)["logits"]
        right[precision] = int((logits.argmax(axis=1) == labels).sum())
    gpu.note(f"digits right of 360: {right}")
    assert right["fp32"] == right["fp16"] == 357
    assert right["int8"] >= 356


def test_fp32_beside_int8(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("""\
trtdsl: 1
inputs: {x: [1, 32, 32, 32]}
precision: {default: int8, fallback: fp32, layers: {exact: fp32}}
quantization: {tensors: {x: 0.03, act: 0.03}}
layers:
  - {op: conv, name: first, out_channels: 32, kernel_size: 3}
  - {op: relu, name: act}
  - {op: conv, name: small, out_channels: 32, kernel_size: 3}
  - relu
  - {op: conv, name: exact, out_channels: 32, kernel_size: 3}
""")
    network = trtdsl.load(path, random_weights=True)
    built = network.build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    found = products(gpu, gpu.runtime.deserialize_cuda_engine(built.path.read_bytes()))
    # A quantised layer bears the names of its weight's constant and quantisation as well.
    types = {word: form for name, form in found.items() for word in name.split(" + ")}
    assert "Int8" in types["first"]
    assert "Int8" in types["small"]
    assert "FP32" in types["exact"]
