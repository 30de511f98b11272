"""Shapes, types and refusals of the ops that make tensors, and of those that arrange elements."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
from tests.ops.harness import infer_types, parse_layer, refusal
from tests.ops.test_tensorrt import Builder
from trtdsl.errors import BuildError, ExportError
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime

DIMS = {"N": (1, 2, 4), "H": (4, 6, 8), "W": (5, 7, 9), "M": (1, 2, 8)}


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("shape", ["fp32[N, 3, H]"], ["int32[3]"]),
        ("{op: size, dtype: int64}", ["bool[N, 3]"], ["int64[]"]),
        ("{op: range, end: 5}", [], ["int32[5]"]),
        ("{op: range, end: W}", [], ["int32[W]"]),
        ("{op: range, start: N, end: 9}", [], ["int32[9 - N]"]),
        ("{op: range, end: W, step: 2}", [], ["int32[(W + 1) // 2]"]),
        ("{op: range, start: 7, end: 0, step: -3}", [], ["int32[3]"]),
        ("{op: range, end: 1.0, step: 0.3}", [], ["fp32[4]"]),
        ("{op: range, end: H, dtype: fp16}", [], ["fp16[H]"]),
        ("{op: linspace, start: 0, end: 1, steps: W}", [], ["fp32[W]"]),
        ("{op: fill, shape: [N, 2], value: 1, dtype: bool}", [], ["bool[N, 2]"]),
        ("{op: random_normal, shape: [N, 2]}", [], ["fp32[N, 2]"]),
        ("{op: tile, dims: [2, N, 3]}", ["fp32[H, 4]"], ["fp32[2, H * N, 12]"]),
        ("{op: flip, dims: [0, 1]}", ["bool[N, H]"], ["bool[N, H]"]),
        ("{op: slice, dim: 1, step: -1}", ["fp32[N, W]"], ["fp32[N, W]"]),
        ("{op: slice, dim: 1, start: 8, end: 2, step: -2}", ["fp32[N, 9]"], ["fp32[N, 3]"]),
        ("{op: slice, dim: 1, start: -2, end: 0, step: -1}", ["fp32[N, W]"], ["fp32[N, W - 2]"]),
    ],
)
def test_types(layer: str, inputs: list[str], expected: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == expected


@pytest.mark.parametrize(
    ("layer", "inputs", "message", "at"),
    [
        ("shape", ["fp32[]"], "a scalar has no axes, whose sizes would be its shape", "in"),
        ("{op: size, dim: 2}", ["fp32[N, 3]"], "dim 2 is out of range for 2 axes", "dim"),
        ("size", ["fp32[65536, 32768]"], "2147483648 elements are more than int32 holds", "dtype"),
        ("{op: range, end: 0}", [], "nothing lies between 0 and 0", "end"),
        ("{op: range, start: 4, end: H}", [], "nothing lies between 4 and H", "end"),
        ("{op: range, end: 5, step: 0}", [], "step 0 is 0, or changes its sign", "step"),
        ("{op: range, end: 5, step: 0.0}", [], "a step of 0", "step"),
        ("{op: range, end: .inf}", [], "inf is never reached from 0", "end"),
        ("{op: range, end: H, step: 0.5}", [], "the dimension H goes with whole numbers only", "end"),
        ("{op: range, end: 2.5, dtype: int32}", [], "the numbers are not whole, as int32 would have them", "dtype"),
        ("{op: linspace, start: 0, end: 1, steps: [2, 3]}", [], "steps is one number, not 2", "steps"),
        (
            "{op: fill, shape: [2], value: 0.5, dtype: int64}",
            [],
            "value 0.5 is not a whole number, the input is int64",
            "value",
        ),
        (
            "{op: fill, shape: [2], value: 2, dtype: bool}",
            [],
            "value 2 is neither 0 nor 1, the elements are booleans",
            "value",
        ),
        ("{op: random_uniform, shape: [2], low: 1, high: 1}", [], "low 1 is not below high 1", "low"),
        ("{op: random_normal, shape: []}", [], "TensorRT makes no scalar of random numbers", "shape"),
        ("{op: flip, dims: [0, -2]}", ["fp32[N, H]"], "dims [0, -2] names an axis twice", "dims"),
        ("{op: roll, shifts: [1, 2], dims: 0}", ["fp32[N, H]"], "shifts has 2 values for 1 axis", "shifts"),
        ("{op: reverse_sequence, batch_axis: 0}", ["fp32[N, H]", "int32[N]"], "axis 0 cannot be both", "sequence_axis"),
        ("reverse_sequence", ["fp32[N, H]", "int32[N]"], "lengths [N] for H sequences of [N, H]", "in"),
        ("triu", ["fp32[N]"], "matrices have two axes, the input is [N]", "in"),
        ("{op: slice, step: 0}", ["fp32[N]"], "a step of 0", "step"),
        (
            "{op: slice, start: 0, end: 2, step: -1}",
            ["fp32[9]"],
            "nothing is left of axis 0 of size 9 from 0 to 2",
            "start",
        ),
        ("{op: assert, message: stop}", ["fp32[N]"], "assert takes `equal` or a second input, it has neither", "in"),
        (
            "{op: assert, equal: [N, N], message: stop}",
            ["fp32[N]", "bool[2]"],
            "assert takes `equal` or a second input, it has both",
            "equal",
        ),
        ("{op: assert, equal: [N], message: stop}", ["fp32[N]"], "one size alone equals whatever it is", "equal"),
        (
            "{op: assert, equal: [H, W], message: images are square}",
            ["fp32[H, W]"],
            "images are square: the sizes [H, W] are [6, 7] at opt",
            "equal",
        ),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)


SQUARE = """
trtdsl: 1
dims: {H: [1, 2, 4], W: [1, 2, 4]}
inputs: {x: [H, W], flags: {shape: [2], dtype: bool}}
layers:
  - {op: size, name: rows, in: x, dim: 0}
  - {op: size, name: columns, in: x, dim: 1}
  - {op: equal, name: square, in: [rows, columns]}
  - {op: assert, name: checked, in: [x, CONDITION], message: images are square}
"""


@pytest.fixture(scope="module")
def builder(rtx: Runtime) -> Builder:
    return Builder(rtx)


def network(condition: str, path: Path) -> trtdsl.Network:
    path.write_text(SQUARE.replace("CONDITION", condition), encoding="utf-8")
    return trtdsl.load(path)


def test_an_assertion_of_sizes_is_part_of_the_engine(builder: Builder, tmp_path: Path) -> None:
    graph = network("square", tmp_path / "net.yaml").typed
    made, alive = builder.emit(graph)
    layers = [made.get_layer(index) for index in range(made.num_layers)]
    kinds = [layer.type.name for layer in layers]
    assert kinds.count("ASSERTION") == 1
    assert builder.build(graph) is not None
    del alive


def test_an_assertion_of_data_is_refused(builder: Builder, tmp_path: Path) -> None:
    graph = network("flags", tmp_path / "net.yaml").typed
    message = "checked: the condition is computed from what flags holds, TensorRT asserts only what follows from sizes"
    with pytest.raises(BuildError, match=message):
        builder.emit(graph)
    with pytest.raises(BuildError, match=message):
        list(record(graph))


def test_onnx_has_no_assertions(tmp_path: Path) -> None:
    graph = network("square", tmp_path / "net.yaml").typed
    with pytest.raises(ExportError, match="checked: ONNX has no operator that stops a run"):
        to_onnx(graph)
