"""Shapes, types and refusals of the ops that read, write and find elements by index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from tests.ops.harness import infer_types, parse_layer, refusal
from tests.ops.test_tensorrt import Builder, Unlimited
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.reference import run_model
from trtdsl.targets.runtime import Runtime

DIMS = {"N": (1, 2, 4), "H": (4, 6, 8), "W": (5, 7, 9)}


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("{op: gather_elements, dim: 1}", ["fp32[N, H, 3]", "int32[N, W, 2]"], ["fp32[N, W, 2]"]),
        ("gather_nd", ["bool[H, W, 3]", "int64[N, 2]"], ["bool[N, 3]"]),
        ("gather_nd", ["fp32[H, 5]", "int32[N, 4, 2]"], ["fp32[N, 4]"]),
        ("{op: gather_nd, batch_dims: 1}", ["fp32[N, H, W]", "int32[N, 3, 1]"], ["fp32[N, 3, W]"]),
        ("{op: scatter, dim: 1}", ["fp32[N, H]", "int32[N, 2]", "fp32[N, 2]"], ["fp32[N, H]"]),
        ("scatter_nd", ["int32[H, W]", "int32[N, 1]", "int32[N, W]"], ["int32[H, W]"]),
        ("{op: one_hot, num_classes: 9}", ["int32[N, H]"], ["fp32[N, H, 9]"]),
        ("{op: one_hot, num_classes: 9, dim: 0, dtype: bool}", ["int64[]"], ["bool[9]"]),
        ("{op: one_hot, num_classes: 9, dim: -2, dtype: int32}", ["int64[N, H]"], ["int32[N, 9, H]"]),
        ("non_zero", ["fp32[N, 3]"], ["int32[non_zero?count, 2]"]),
        ("{op: nonzero, dtype: int64}", ["bool[H]"], ["int64[non_zero?count, 1]"]),
        ("{op: nms, max_output_boxes_per_class: 3}", ["fp32[N, H, 4]", "fp32[N, H, 5]"], ["int32[nms?boxes, 3]"]),
        ("{op: nms, max_output_boxes_per_class: 3}", ["fp32[N, H, 5, 4]", "fp32[N, H, 5]"], ["int32[nms?boxes, 3]"]),
    ],
)
def test_types(layer: str, inputs: list[str], expected: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == expected


@pytest.mark.parametrize(
    ("layer", "inputs", "message", "at"),
    [
        (
            "gather_elements",
            ["fp32[N, H]", "int32[N]"],
            "the indices [N] have another number of axes than [N, H]",
            "in",
        ),
        (
            "gather_elements",
            ["fp32[N, H]", "int32[N, W]"],
            "the indices [N, W] are longer than [N, H] along axis 1",
            "in",
        ),
        ("{op: gather_elements, dim: 2}", ["fp32[N, H]", "int32[N, H]"], "dim 2 is out of range for 2 axes", "dim"),
        (
            "gather_nd",
            ["fp32[N, H]", "int32[3, N]"],
            "the indices [3, N] need a last axis of fixed size, which holds one position",
            "in",
        ),
        (
            "gather_nd",
            ["fp32[N, H]", "int32[4, 3]"],
            "positions of 3 numbers behind 0 batch axes do not fit [N, H]",
            "in",
        ),
        (
            "{op: gather_nd, batch_dims: 1}",
            ["fp32[N, H]", "int32[H, 1]"],
            "of the batch axes one has size N, the indices' size H",
            "in",
        ),
        (
            "{op: gather_nd, batch_dims: 2}",
            ["fp32[N, H]", "int32[N, 1]"],
            "batch_dims 2 leaves no axes of [N, H] and [N, 1]",
            "batch_dims",
        ),
        ("scatter", ["fp32[N, H]", "int32[N, 2]", "fp32[N, 3]"], "indices [N, 2] for [N, 3] elements", "in"),
        (
            "scatter",
            ["fp32[H]", "int32[2]", "int32[2]"],
            "scatter_elements takes inputs of one element type, these are fp32 and int32",
            "in",
        ),
        ("{op: scatter, reduce: sum}", ["bool[H]", "int32[2]", "bool[2]"], "booleans have no sum", "reduce"),
        (
            "{op: scatter, dim: 1, reduce: amax}",
            ["fp32[3, H]", "int32[2, 2]", "fp32[2, 2]"],
            "with `reduce` the indices [2, 2] have to be as long as [3, H] along all axes but 1",
            "reduce",
        ),
        ("scatter_nd", ["fp32[H]", "int32[N, 2]", "fp32[N]"], "positions of 2 numbers do not fit [H]", "in"),
        (
            "scatter_nd",
            ["fp32[H, W]", "int32[N, 1]", "fp32[N, H]"],
            "[N, H] is written where [N, W] belongs",
            "in",
        ),
        (
            "{op: one_hot, num_classes: 3, on_value: 0.5, dtype: int32}",
            ["int32[N]"],
            "on_value 0.5 is not a whole number, the input is int32",
            "on_value",
        ),
        ("{op: one_hot, num_classes: 3, dim: 2}", ["int32[N]"], "dim 2 is out of range for 2 axes", "dim"),
        ("{op: one_hot, num_classes: 3}", ["fp32[N]"], "input input 1 is fp32[N], one_hot takes int32, int64", "in"),
        ("non_zero", ["fp32[]"], "a scalar has no positions", "in"),
        (
            "{op: nms, max_output_boxes_per_class: 3}",
            ["fp32[N, H, 4]", "fp32[N, H]"],
            "the scores are [batch, boxes, classes], not [N, H]",
            "in",
        ),
        (
            "{op: nms, max_output_boxes_per_class: 3}",
            ["fp32[N, W, 4]", "fp32[N, H, 5]"],
            "boxes [N, W, 4] for scores [N, H, 5]: [N, H, 4] or [N, H, 5, 4] fit",
            "in",
        ),
        (
            "{op: nms, max_output_boxes_per_class: 3}",
            ["fp32[N, H, 5]", "fp32[N, H, 5]"],
            "boxes [N, H, 5] for scores [N, H, 5]: [N, H, 4] or [N, H, 5, 4] fit",
            "in",
        ),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)


POSITIVE = """
trtdsl: 1
dims: {N: [1, 4, 8]}
inputs: {x: [N, 3]}
layers:
  - relu
  - {op: non_zero, name: where}
  - {op: gather_nd, name: picked, in: [x, where]}
  - {op: size, name: count}
  - {op: reshape, name: flat, in: where, shape: [-1]}
  - {op: reshape, name: row, in: where, shape: [1, -1, 2]}
  - {op: tile, name: twice, in: picked, dims: 2}
  - {op: shape, name: length}
  - {op: flip, name: back, in: where, dims: 0}
  - {op: roll, name: rolled, in: picked, shifts: 1, dims: 0}
  - {op: slice, name: first, in: where, end: 2}
  - {op: slice, name: backwards, in: where, step: -1}
  - {op: unsqueeze, name: column, in: picked, dim: 1}
  - {op: expand, name: wide, shape: [-1, 3]}
outputs: [where, picked, count, flat, row, twice, length, back, rolled, first, backwards, wide]
"""


@pytest.fixture
def positive(tmp_path: Path) -> trtdsl.Network:
    path = tmp_path / "positive.yaml"
    path.write_text(POSITIVE, encoding="utf-8")
    return trtdsl.load(path)


@pytest.mark.parametrize("x", [[[1, -1, 2], [0, 3, -1]], [[-1, -1, -1]]], ids=["some", "none"])
def test_sizes_that_hang_on_data_are_computed_with(x: list[list[float]], positive: trtdsl.Network) -> None:
    array = np.array(x, np.float32)
    where = np.argwhere(array > 0)
    picked = array[array > 0]
    expected = {
        "where": where,
        "picked": picked,
        "count": np.array(len(where)),
        "flat": where.reshape(-1),
        "row": where[None],
        "twice": np.tile(picked, 2),
        "length": np.array([2 * len(where)]),
        "back": where[::-1],
        "rolled": np.roll(picked, 1),
        "first": where[:2],
        "backwards": where[::-1],
        "wide": np.repeat(picked[:, None], 3, 1),
    }
    outputs = run_model(to_onnx(positive.typed).proto().SerializeToString(), {"x": array})
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].shape == value.shape, name
        np.testing.assert_array_equal(outputs[name], value, name)


def test_tensorrt_takes_sizes_that_hang_on_data(positive: trtdsl.Network, rtx: Runtime) -> None:
    network, alive = Builder(Unlimited(rtx.flavor, rtx.version, rtx.module)).emit(positive.typed)
    kinds = [network.get_layer(index).type.name for index in range(network.num_layers)]
    assert kinds.count("NON_ZERO") == 1
    del alive
