"""Where tensors are quantised: NVIDIA's rules for explicit quantisation, on the blocks of known networks.

The expectations are worked out by hand from the recommendations for placing Q/DQ layers in TensorRT's developer guide.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantization.nets import load, quantized_edges

ALL = "precision: int8\nquantization: {tensors: {%s}}\n"

CASES: dict[str, tuple[str, list[str]]] = {
    "a convolution, what follows it stays in one piece": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 3, bias: false}
  - {op: batch_norm, name: bn}
  - {op: relu, name: act}
  - {op: conv, name: b, out_channels: 8, kernel_size: 3}
""",
        ["x -> a", "act -> b"],
    ),
    "a residual block: the sum reads what it adds quantised, not the convolution": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: batch_norm, name: bn}
  - {op: add, name: sum, in: [bn, x]}
  - {op: relu, name: act}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
""",
        ["x -> a, sum", "act -> b"],
    ),
    "the same with the operands the other way round": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [x, a]}
""",
        ["x -> a, sum"],
    ),
    "a projected residual block: the smaller convolution is summed into": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 3, padding: 1}
  - {op: batch_norm, name: bn_a}
  - {op: conv, name: b, in: x, out_channels: 8, kernel_size: 1}
  - {op: batch_norm, name: bn_b}
  - {op: add, name: sum, in: [bn_a, bn_b]}
""",
        ["x -> a, b", "bn_a -> sum"],
    ),
    "of two alike the first": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: batch_norm, name: bn_a}
  - {op: conv, name: b, in: x, out_channels: 8, kernel_size: 1}
  - {op: batch_norm, name: bn_b}
  - {op: add, name: sum, in: [bn_a, bn_b]}
""",
        ["x -> a, b", "bn_b -> sum"],
    ),
    "a sum behind an activation is not fused, and stays as it is": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: relu, name: act}
  - {op: add, name: sum, in: [act, x]}
""",
        ["x -> a"],
    ),
    "so does one whose convolution others read": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, x]}
outputs: [a, sum]
""",
        ["x -> a"],
    ),
    "or loops do": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, x]}
  - {op: loop, name: rounds, count: 2, state: {h: sum}, layers: [{op: mul, name: step, in: [h, a]}]}
""",
        ["x -> a"],
    ),
    "or is in floats": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1, precision: fp16}
  - {op: add, name: sum, in: [a, x]}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
""",
        ["sum -> b"],
    ),
    "a convolution and itself": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, a]}
""",
        ["x -> a"],
    ),
    "and a sum that broadcasts": (
        """
inputs: {x: [1, 8, 8, 8], y: [1, 8, 1, 1]}
layers:
  - {op: conv, name: a, in: x, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, y]}
""",
        ["x -> a"],
    ),
    "pools, paddings and concatenations are passed": (
        """
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: relu, name: act}
  - {op: max_pool, name: pool, kernel_size: 2}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
  - {op: deconv, name: up, out_channels: 8, kernel_size: 2, stride: 2}
  - {op: concat, name: both, in: [act, up], dim: 1}
  - {op: pad, name: padded, padding: 1, mode: reflect}
  - {op: conv, name: c, out_channels: 8, kernel_size: 3}
""",
        ["x -> a", "pool -> b", "b -> up", "padded -> c"],
    ),
    "products": (
        """
inputs: {x: [1, 4, 16], y: [1, 16, 4]}
layers:
  - {op: linear, name: fc, in: x, out_features: 16}
  - {op: matmul, name: product, in: [fc, y]}
  - {op: softmax, name: probabilities}
""",
        ["x -> fc", "fc -> product", "y -> product"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_quantized_tensors(case: str, tmp_path: Path) -> None:
    text, expected = CASES[case]
    read = [name for edge in expected for name in edge.split(" -> ")[:1]]
    network = load(tmp_path, ALL % ", ".join(f"{name}: 0.1" for name in read) + text)
    assert quantized_edges(network) == expected
    assert network.warnings == ()


def test_of_two_convolutions_the_one_with_a_scale_will_do(tmp_path: Path) -> None:
    text, _ = CASES["a projected residual block: the smaller convolution is summed into"]
    network = load(tmp_path, ALL % "x: 0.1, bn_b: 0.1" + text)
    assert quantized_edges(network) == ["x -> a, b", "bn_b -> sum"]
    assert network.warnings == ()


def test_each_tensor_is_quantised_once_for_all_who_read_it(tmp_path: Path) -> None:
    text = CASES["a residual block: the sum reads what it adds quantised, not the convolution"][0]
    network = load(tmp_path, ALL % "x: 0.1, act: 0.1" + text)
    layers = [f"{layer.op.kind} {', '.join(filter(None, layer.inputs))}" for layer in network.typed.layers]
    assert layers == [
        "quantize x",
        "dequantize x/int8",
        "conv x/int8/fp16",
        "batch_norm a",
        "add bn, x/int8/fp16",
        "relu sum",
        "quantize act",
        "dequantize act/int8",
        "conv act/int8/fp16",
        "cast b",
    ]


def test_what_nobody_quantises_is_read_as_it_was(tmp_path: Path) -> None:
    text = """
inputs: {x: [1, 8, 8, 8]}
precision: {default: fp16, layers: {a: int8}}
quantization: {tensors: {x: 0.1}}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: add, name: sum, in: [a, x]}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
"""
    network = load(tmp_path, text)
    inputs = {layer.name: layer.inputs for layer in network.typed.layers if layer.name in ("a", "sum", "b")}
    assert inputs == {"a": ("x/int8/fp16",), "sum": ("a", "x/fp16"), "b": ("sum",)}
    assert {
        layer.name: layer.quantized and str(layer.quantized)
        for layer in network.typed.layers
        if layer.weights and "weight" in layer.weights
    } == {"a": "int8", "b": None}
