from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import blame, infer_types, refusal

DIMS = {"N": (1, 8, 32), "L": (3, 8, 16), "K": (5, 6, 7)}

TYPES = [
    ("linear-1d", {"op": "linear", "out_features": 7}, ["fp32[5]"], "fp32[7]"),
    ("linear-3d", {"op": "linear", "out_features": 7}, ["fp16[N, L, 5]"], "fp16[N, L, 7]"),
    ("matmul-2d", {"op": "matmul"}, ["fp32[N, K]", "fp32[K, 3]"], "fp32[N, 3]"),
    ("matmul-broadcast", {"op": "matmul"}, ["fp32[N, 1, L, 5]", "fp32[4, 5, 3]"], "fp32[N, 4, L, 3]"),
    ("matmul-transposed", {"op": "matmul", "transpose_b": True}, ["fp32[N, L, 5]", "fp32[N, L, 5]"], "fp32[N, L, L]"),
    ("matmul-vectors", {"op": "matmul"}, ["fp32[K]", "fp32[K]"], "fp32[]"),
    ("matmul-vector-left", {"op": "matmul"}, ["fp32[K]", "fp32[N, K, 3]"], "fp32[N, 3]"),
    ("matmul-vector-right", {"op": "matmul"}, ["fp32[N, 2, K]", "fp32[K]"], "fp32[N, 2]"),
]


@pytest.mark.parametrize(("layer", "inputs", "y"), [row[1:] for row in TYPES], ids=[row[0] for row in TYPES])
def test_types(layer: dict[str, Any], inputs: list[str], y: str) -> None:
    assert infer_types(layer, *inputs, dims=DIMS) == [y]


REFUSALS = [
    (
        "features",
        {"op": "linear", "out_features": 7},
        ["fp32[N, L]"],
        "linear needs a fixed number of features, the last axis of the input is L",
    ),
    (
        "scalar",
        {"op": "linear", "out_features": 7},
        ["fp32[]"],
        "linear takes [..., in_features], the input is a scalar",
    ),
    (
        "inner",
        {"op": "matmul"},
        ["fp32[N, 5]", "fp32[6, 3]"],
        "matmul of [N, 5] and [6, 3]: 5 columns against 6 rows",
    ),
    (
        "batch",
        {"op": "matmul"},
        ["fp32[N, 2, 5]", "fp32[4, 5, 3]"],
        "matmul with batches of [N] and [4]: sizes N and 4 do not broadcast",
    ),
    (
        "transposed-vector",
        {"op": "matmul", "transpose_a": True},
        ["fp32[5]", "fp32[5, 3]"],
        "transpose_a: the first input has one axis only, there is nothing to transpose",
    ),
    (
        "scalar-operand",
        {"op": "matmul"},
        ["fp32[5]", "fp32[]"],
        "in: matmul takes vectors and matrices, the second input is a scalar",
    ),
]


@pytest.mark.parametrize(
    ("layer", "inputs", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refusals(layer: dict[str, Any], inputs: list[str], message: str) -> None:
    assert blame(refusal(layer, *inputs, dims=DIMS)) == message
