"""Which layers multiply in int8: what was asked of them, what they can, and what scales there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantization.nets import load
from trtdsl.errors import NetworkError
from trtdsl.precision import assign_types
from trtdsl.quantization import in_floats
from trtdsl.types import DataType

CHAIN = """
inputs: {x: [1, 8, 8, 8]}
%s
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1%s}
  - {op: relu, name: act}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
  - {op: softmax, name: soft, dim: 1}
"""
SCALES = "quantization: {tensors: {x: 0.1, act: 0.2}}"

PRECISIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "one word, with fp16 beside": ("precision: int8", "", {"a": "int8 fp16", "b": "int8 fp16", "act": "fp16"}),
    "fp32 beside": (
        "precision: {default: int8, fallback: fp32}",
        "",
        {"a": "int8 fp32", "b": "int8 fp32", "act": "fp32"},
    ),
    "a pattern in a network of floats": (
        "precision: {default: fp32, layers: {b: int8}}",
        "",
        {"a": "fp32", "b": "int8 fp32", "act": "fp32"},
    ),
    "a pattern that excepts": (
        "precision: {default: int8, layers: {b: fp32}}",
        "",
        {"a": "int8 fp16", "b": "fp32", "act": "fp16"},
    ),
    "a layer's own word": (
        "precision: fp16",
        ", precision: int8",
        {"a": "int8 fp16", "b": "fp16", "act": "fp16"},
    ),
    "fp8": ("precision: fp8", "", {"a": "fp8 fp16", "b": "fp8 fp16", "act": "fp16"}),
}


@pytest.mark.parametrize("case", PRECISIONS)
def test_precisions(case: str, tmp_path: Path) -> None:
    precision, own, expected = PRECISIONS[case]
    network = load(tmp_path, CHAIN % (f"{precision}\n{SCALES}", own))
    layers = {layer.name: layer for layer in network.typed.layers}
    found = {
        name: " ".join(map(str, filter(None, (layers[name].quantized, layers[name].precision)))) for name in expected
    }
    assert found == expected
    assert network.warnings == ()


def test_one_precision_beside_another(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN % ("precision: fp32\n" + SCALES, ""), precision="int8")
    assert [str(layer.quantized) for layer in network.graph.layers] == ["int8", "None", "int8", "None"]


def test_layers_without_scales_are_listed(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN % ("precision: int8\nquantization: {tensors: {x: 0.1}}", ""))
    assert network.graph.unquantized == {"b": "no scale of act"}
    [warning] = network.warnings
    assert warning.code == "scale-missing"
    assert warning.message == "1 layer stays in floats for want of a scale: b (reads act)"
    assert warning.span is not None
    assert warning.span.line == 5


# Each: layers between x of the scale 0.1, y of 0.3, z of none and a convolution, and the scale of what that reads.
MOVED: dict[str, tuple[list[str], float | None]] = {
    "a pool of the largest, and a part": (
        ["{op: max_pool, in: x, kernel_size: 2}", "{op: slice, dim: 2, start: 1, end: 3}"],
        0.1,
    ),
    "a concatenation: the largest": (["{op: concat, in: [x, y, x], dim: 1}"], 0.3),
    "a concatenation of some without": (["{op: concat, in: [x, z], dim: 1}"], None),
    "an average": (["{op: avg_pool, in: x, kernel_size: 2}"], None),
    "rows that other numbers choose": (["{op: gather, in: [x, rows], dim: 0}"], None),
    "whole numbers of it": (["{op: cast, in: x, dtype: int32}", "{op: cast, dtype: fp32}"], None),
    "a loop": (["{op: loop, count: 2, state: {h: x}, layers: [{op: add, in: [h, h]}]}"], None),
}


@pytest.mark.parametrize("case", MOVED)
def test_a_scale_is_that_of_what_was_moved(case: str, tmp_path: Path) -> None:
    layers, scale = MOVED[case]
    between = "\n  - ".join(layers)
    text = f"""
inputs: {{x: [1, 8, 8, 8], y: [1, 8, 8, 8], z: [1, 8, 8, 8], rows: {{shape: [1], dtype: int32}}}}
precision: int8
quantization: {{tensors: {{x: 0.1, y: 0.3}}}}
layers:
  - {{op: conv, name: first, in: x, out_channels: 4, kernel_size: 1}}
  - {between}
  - {{op: conv, name: last, out_channels: 4, kernel_size: 1}}
"""
    graph = load(tmp_path, text).graph
    [read] = [layer.inputs[0] for layer in graph.layers if layer.name == "last"]
    assert graph.scales == {"x": 0.1} | ({} if scale is None else {read: scale})
    assert graph.unquantized == ({"last": f"no scale of {read}"} if scale is None else {})


def test_a_quantised_network_in_floats(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN % ("precision: int8\n" + SCALES, ""))
    assert network.graph.scales == {"x": 0.1, "act": 0.2}
    floats = in_floats(network.graph)
    assert (floats.scales, floats.unquantized) == ({}, {})
    kinds = [layer.op.kind for layer in assign_types(floats).layers]
    assert kinds == ["cast", "conv", "relu", "conv", "cast", "softmax"]


def test_a_layer_inside_a_loop_stays_in_floats(tmp_path: Path) -> None:
    text = """
inputs: {x: [1, 8]}
precision: int8
quantization: {tensors: {x: 0.1}}
layers:
  - {op: linear, name: first, out_features: 8}
  - op: loop
    name: rounds
    count: 3
    state: {h: first}
    layers:
      - {op: linear, name: step, in: h, out_features: 8}
"""
    network = load(tmp_path, text)
    assert network.graph.unquantized == {"rounds.step": "layers inside loops and branches are not quantised"}


def test_a_network_that_is_loaded_in_floats_needs_no_scales(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN % ("precision: int8\nquantization: missing.scales", ""), quantized=False)
    assert all(layer.quantized is None for layer in network.graph.layers)
    assert {layer.precision for layer in network.graph.layers} == {DataType.FP16}


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as error:
        load(tmp_path, CHAIN % ("precision: int8\nquantization: missing.scales", ""))
    [found] = error.value.diagnostics
    assert (found.code, found.hint) == ("file", "`trtdsl calibrate` writes such a file")
    assert found.span is not None
    assert found.span.line == 5


def test_scales_of_a_network_with_other_layers(tmp_path: Path) -> None:
    (tmp_path / "net.scales").write_text('trtdsl-scales: 1\nwiring: "0123"\nscales: {x: 0.1, act: 0.2}\n')
    network = load(tmp_path, CHAIN % ("precision: int8\nquantization: net.scales", ""))
    assert [warning.message for warning in network.warnings] == [
        f"{tmp_path / 'net.scales'} has the scales of a network of other layers"
    ]


def test_what_the_network_says_counts_for_more_than_files(tmp_path: Path) -> None:
    (tmp_path / "a.scales").write_text("trtdsl-scales: 1\nscales: {x: 0.1, act: 0.2}\n")
    (tmp_path / "b.table").write_text("act 0.4 0\n")
    quantization = "quantization: {scales: [a.scales, b.table], tensors: {x: 0.5}}"
    network = load(tmp_path, CHAIN % (f"precision: int8\n{quantization}", ""))
    assert network.graph.scales == {"x": 0.5, "act": 0.4}
    given = load(tmp_path, CHAIN % (f"precision: int8\n{quantization}", ""), scales=tmp_path / "a.scales")
    assert given.graph.scales == {"x": 0.5, "act": 0.2}


def test_the_expanded_network_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.scales").write_text("trtdsl-scales: 1\nscales: {x: 0.1, act: 0.2}\n")
    text = "precision: {default: int8, fallback: bf16}\nquantization: {scales: a.scales, tensors: {x: 0.5}}"
    network = load(tmp_path, CHAIN % (text, ""))
    again = load(tmp_path, network.expanded.removeprefix("trtdsl: 1\n"))
    assert again.expanded == network.expanded
    assert again.graph.scales == network.graph.scales
    assert {layer.precision for layer in again.graph.layers} == {DataType.BF16}
