from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 6, 8), "W": (5, 7, 9)}

TYPES = [
    ("{op: topk, k: 3}", ["fp32[N, H]"], ["fp32[N, 3]", "int32[N, 3]"]),
    ("{op: topk, k: 1, dim: 0}", ["int64[N, H]"], ["int64[1, H]", "int32[1, H]"]),
    ("argmax", ["fp16[N, H]"], ["int32[]"]),
    ("{op: argmax, keepdim: true}", ["fp16[N, H]"], ["int32[1, 1]"]),
    ("{op: argmin, dim: -1}", ["fp32[N, H]"], ["int32[N]"]),
    ("{op: argmin, dim: 0, keepdim: true}", ["fp32[N, H]"], ["int32[1, H]"]),
    ("{op: cumsum, dim: 1}", ["int32[N, H]"], ["int32[N, H]"]),
]


@pytest.mark.parametrize(("layer", "inputs", "outputs"), TYPES)
def test_types(layer: str, inputs: list[str], outputs: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == outputs


REFUSALS = [
    ("{op: topk, k: 5}", ["fp32[N, H]"], "k 5 is more than the size H (4 at its smallest) of axis 1", "k"),
    ("{op: topk, k: 4}", ["fp32[3]"], "k 4 is more than the size 3 of axis 0", "k"),
    ("{op: topk, k: 1, dim: 2}", ["fp32[N, H]"], "dim 2 is out of range for 2 axes", "dim"),
    ("{op: topk, k: 1}", ["fp32[]"], "dim -1 is out of range for 0 axes", "dim"),
    ("{op: argmax, dim: 2}", ["fp32[N, H]"], "dim 2 is out of range for 2 axes", "dim"),
    (
        "{op: argmax, dim: 0}",
        ["bool[H]"],
        "input input 1 is bool[H], argmax takes bf16, fp16, fp32, int32, int64",
        "in",
    ),
    ("{op: cumsum, dim: -3}", ["fp32[N, H]"], "dim -3 is out of range for 2 axes", "dim"),
]


@pytest.mark.parametrize(("layer", "inputs", "message", "at"), REFUSALS)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)
