from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 6, 8), "W": (5, 7, 9)}

TYPES = [
    ("{op: reduce_l2, dim: [0, 2], keepdim: true}", ["fp16[N, H, W]"], ["fp16[1, H, 1]"]),
    ("{op: logsumexp, dim: -1}", ["fp32[N, H]"], ["fp32[N]"]),
    ("{op: log_softmax, dim: 0}", ["fp32[N, H]"], ["fp32[N, H]"]),
]


@pytest.mark.parametrize(("layer", "inputs", "outputs"), TYPES)
def test_types(layer: str, inputs: list[str], outputs: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == outputs


REFUSALS = [
    ("{op: reduce_l1, dim: 2}", ["fp32[N, H]"], "dim 2 is out of range for 2 axes", "dim"),
    ("{op: logsumexp, dim: [0, -2]}", ["fp32[N, H]"], "dim [0, -2] names an axis twice", "dim"),
    ("reduce_l2", ["int32[N, H]"], "input input 1 is int32[N, H], reduce_l2 takes bf16, fp16, fp32", "in"),
    ("log_softmax", ["fp32[]"], "dim -1 is out of range for 0 axes", "dim"),
]


@pytest.mark.parametrize(("layer", "inputs", "message", "at"), REFUSALS)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)
