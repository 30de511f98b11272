"""Quantise and dequantise as a pair, in whole networks; and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from tests.ops.harness import blame, infer_types, parse_layer, refusal
from trtdsl.errors import BuildError
from trtdsl.graph import Graph
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.recorder import record
from trtdsl.targets.reference import run_model
from trtdsl.targets.runtime import Runtime

DIMS = {"N": (1, 2, 4)}
OLD = Runtime("tensorrt", (8, 6, 1))
NEW = Runtime("tensorrt", (10, 15))

PAIR = """
dims: {{N: [1, 2, 4]}}
inputs: {{x: [N, {count}]}}
layers:
  - {{op: quantize, {quantize}}}
  - {{op: dequantize, {dequantize}}}
"""
# A product whose both sides are quantised: the weights by a scale for each column.
PRODUCT = """
dims: {N: [1, 2, 4]}
inputs: {x: [N, 3]}
layers:
  - {op: quantize, name: xq, in: x, scale: 0.5}
  - {op: dequantize, name: xd, scale: 0.5}
  - {op: constant, name: w, value: [[1, 2], [0.4, -3.9], [100, 0.25]], shape: [3, 2]}
  - {op: quantize, name: wq, in: w, scale: [0.5, 0.25], dim: 1}
  - {op: dequantize, name: wd, scale: [0.5, 0.25], dim: -1}
  - {op: matmul, in: [xd, wd]}
"""


def graph_of(folder: Path, text: str) -> Graph:
    path = folder / "net.yaml"
    path.write_text(f"trtdsl: 1\n{text}", encoding="utf-8")
    return trtdsl.load(path).typed


def pair(folder: Path, count: int, quantize: str, dequantize: str = "") -> Graph:
    return graph_of(folder, PAIR.format(count=count, quantize=quantize, dequantize=dequantize or quantize))


def statements(graph: Graph, runtime: Runtime) -> str:
    return "\n".join(statement for calls in record(graph, runtime) for statement in calls.statements)


@pytest.mark.parametrize(
    ("quantize", "dequantize", "inputs", "expected"),
    [
        pytest.param(
            "scale: 0.25",
            "scale: 0.25",
            [-100, -10, -0.26, 0.1, 0.125, 0.375, 31.8, 100],
            [-32, -10, -0.25, 0, 0, 0.5, 31.75, 31.75],
            id="int8",
        ),
        pytest.param(
            "scale: [1, 2, 4], dim: 1",
            "scale: [1, 2, 4], dim: 1",
            [2.4, 5.2, -1000],
            [2, 6, -512],
            id="int8-per-channel",
        ),
        # Between 2 and 4 fp8 has quarters, 448 is its largest number.
        pytest.param(
            "scale: 1, dtype: fp8", "scale: 1", [1, -3.3, 0.3, 500, -1e6], [1, -3.25, 0.3125, 448, -448], id="fp8"
        ),
        pytest.param("scale: 2, dtype: fp8", "scale: 2", [1.06, 900], [1, 896], id="fp8-scaled"),
    ],
)
def test_a_pair_in_onnx(
    quantize: str, dequantize: str, inputs: list[float], expected: list[float], tmp_path: Path
) -> None:
    graph = pair(tmp_path, len(inputs), quantize, dequantize)
    outputs = run_model(to_onnx(graph).proto().SerializeToString(), {"x": np.array([inputs, inputs], np.float32)})
    np.testing.assert_array_equal(outputs["dequantize"], np.array([expected, expected], np.float32))


@pytest.mark.parametrize(
    ("quantize", "dequantize"), [("scale: 0.25", ""), ("scale: 0.5, dtype: fp8", "scale: 0.5")], ids=["int8", "fp8"]
)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_tensorrt_takes_a_pair(quantize: str, dequantize: str, precision: str, rtx: Runtime, tmp_path: Path) -> None:
    text = PAIR.format(count=16, quantize=quantize, dequantize=dequantize or quantize)
    (tmp_path / "net.yaml").write_text(f"trtdsl: 1\nprecision: {precision}\n{text}", encoding="utf-8")
    network = trtdsl.load(tmp_path / "net.yaml")
    assert network.build(tmp_path / "net.engine", runtime="rtx", cache=False).path.exists()


def test_tensorrt_takes_a_quantised_product(rtx: Runtime, tmp_path: Path) -> None:
    graph_of(tmp_path, PRODUCT)
    network = trtdsl.load(tmp_path / "net.yaml")
    assert network.build(tmp_path / "net.engine", runtime="rtx", cache=False).path.exists()


# Scales that are tensors: of a constant layer, in fp16, or of another layer.
SCALE_TENSORS = """
dims: {N: [1, 2, 4]}
inputs: {x: [N, 3], s: [1]}
layers:
  - {op: quantize, name: one, in: [x, s]}
  - {op: dequantize, in: [one, s], name: from_one}
  - {op: constant, name: scales, value: [1, 2, 4], precision: fp16}
  - {op: quantize, name: many, in: [x, scales], dim: 1, precision: fp16}
  - {op: dequantize, in: [many, scales], dim: 1, name: from_many, precision: fp16}
outputs: [one, from_one, many, from_many]
"""


def test_scales_may_be_tensors_in_onnx(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, SCALE_TENSORS)
    assert [str(graph.types[name]) for name in ("from_one", "from_many")] == ["fp32[N, 3]", "fp16[N, 3]"]
    inputs = {"x": np.array([[2.4, 5.2, -1000]], np.float32), "s": np.array([0.5], np.float32)}
    outputs = run_model(to_onnx(graph).proto().SerializeToString(), inputs)
    np.testing.assert_array_equal(outputs["one"], [[5, 10, -128]])
    np.testing.assert_array_equal(outputs["from_one"], [[2.5, 5, -64]])
    np.testing.assert_array_equal(outputs["many"], [[2, 3, -128]])
    np.testing.assert_array_equal(outputs["from_many"], [[2, 6, -512]])


def test_tensorrt_takes_scales_that_are_tensors(rtx: Runtime, tmp_path: Path) -> None:
    graph_of(tmp_path, SCALE_TENSORS)
    network = trtdsl.load(tmp_path / "net.yaml")
    assert network.build(tmp_path / "net.engine", runtime="rtx", cache=False).path.exists()


def test_a_quantised_product_in_onnx(tmp_path: Path) -> None:
    model = to_onnx(graph_of(tmp_path, PRODUCT)).proto().SerializeToString()
    outputs = run_model(model, {"x": np.array([[1, 0.7, -2.1]], np.float32)})
    # x becomes 1, 0.5, -2; the weights become [1, 2], [0.5, -4], [63.5, 0.25].
    np.testing.assert_array_equal(outputs["matmul"], [[1 + 0.25 - 127, 2 - 2 - 0.5]])


def test_the_calls_are_those_of_the_version(tmp_path: Path) -> None:
    graph = pair(tmp_path, 8, "scale: 0.25")
    assert "add_quantize(x, layer0.get_output(0))" in statements(graph, OLD)
    assert "add_quantize(x, layer0.get_output(0), trt.DataType.INT8)" in statements(graph, NEW)


def test_the_scale_stays_fp32(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path, "precision: fp16\n" + PAIR.format(count=8, quantize="scale: 0.1", dequantize="scale: 0.1")
    )
    for runtime in (OLD, NEW):
        written = statements(graph, runtime)
        assert "fp32[]" in written
        assert "fp16[]" not in written


def test_old_tensorrt_dequantises_to_fp32_and_casts(tmp_path: Path) -> None:
    text = "inputs: {x: {shape: [4], dtype: int8}}\nlayers: [{op: dequantize, scale: 0.5, precision: fp16}]\n"
    graph = graph_of(tmp_path, text)
    written = statements(graph, OLD)
    assert written.index("add_dequantize(") < written.index("add_cast(layer1.get_output(0), trt.DataType.HALF)")
    assert "add_dequantize(x, layer0.get_output(0), trt.DataType.HALF)" in statements(graph, NEW)


@pytest.mark.parametrize(
    "text",
    [
        "inputs: {x: [4]}\nlayers: [{op: quantize, scale: 0.5, dtype: fp8}, {op: dequantize, scale: 0.5}]\n",
        "inputs: {x: {shape: [4], dtype: fp8}}\nlayers: [{op: dequantize, scale: 0.5}]\n",
    ],
)
def test_old_tensorrt_has_no_fp8(text: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"TensorRT 8\.6\.1 does not quantise to fp8"):
        list(record(graph_of(tmp_path, text), OLD))


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("{op: quantize, scale: 0.5}", ["fp32[N, 3]"], "int8[N, 3]"),
        ("{op: quantize, scale: [0.5], dtype: fp8}", ["fp32[N, 3]"], "fp8[N, 3]"),
        ("{op: quantize, scale: [0.5, 1, 2], dim: -1}", ["fp32[N, 3]"], "int8[N, 3]"),
        ("{op: dequantize, scale: 0.5}", ["int8[N, 3]"], "fp32[N, 3]"),
        ("dequantize", ["fp8[N, 3]", "fp32[1]"], "fp32[N, 3]"),
        ("{op: dequantize, dim: 1}", ["int8[N, 3]", "fp32[3]"], "fp32[N, 3]"),
    ],
)
def test_types(layer: str, inputs: list[str], expected: str) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == [expected]


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        ("{op: quantize, scale: 1}", ["int32[N]"], "in: input input 1 is int32[N], quantize takes bf16, fp16, fp32"),
        ("{op: dequantize, scale: 1}", ["uint8[N]"], "in: input input 1 is uint8[N], dequantize takes fp8, int8"),
        ("quantize", ["fp32[N]"], "in: quantize takes one scale, it has none"),
        (
            "{op: quantize, scale: 1}",
            ["fp32[N]", "fp32[]"],
            "scale: quantize takes one scale, it has both a second input and `scale`",
        ),
        ("{op: quantize, scale: 0}", ["fp32[N]"], "scale: a scale is positive, the smallest here is 0"),
        ("{op: quantize, scale: [1, -2], dim: 0}", ["fp32[2]"], "scale: a scale is positive, the smallest here is -2"),
        ("{op: quantize, scale: [1, 2]}", ["fp32[N, 2]"], "scale: the shape of the scale has to be [], it is [2]"),
        (
            "{op: quantize, scale: [1, 2], dim: 1}",
            ["fp32[N, 3]"],
            "scale: the shape of the scale has to be [3], it is [2]",
        ),
        ("{op: dequantize, dim: 1}", ["int8[N, 3]", "fp32[]"], "in: the shape of the scale has to be [3], it is []"),
        (
            "{op: quantize, scale: 1, dim: 0}",
            ["fp32[N, 3]"],
            "dim: an axis with a scale for each element has a fixed size, this one is N",
        ),
        ("{op: quantize, scale: 1, dim: 2}", ["fp32[N, 3]"], "dim: dim 2 is out of range for 2 axes"),
        ("{op: quantize, scale: 1}", ["fp32[]"], "in: quantize takes an input with axes, this one is a scalar"),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str) -> None:
    assert blame(refusal(parse_layer(layer), *inputs, dims=DIMS)) == message


def test_a_list_of_scales_brings_the_axis() -> None:
    error = refusal(parse_layer("{op: quantize, scale: [1, 2]}"), "fp32[2]")
    assert error.hint == "`dim` names the axis that has a scale for each element"
