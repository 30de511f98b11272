from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 6, 8), "W": (5, 7, 9)}

TYPES = [
    ("rope", ["fp32[N, 2, H, 8]", "fp32[H, 4]", "fp32[H, 4]"], ["fp32[N, 2, H, 8]"]),
    ("{op: rope, num_heads: 2}", ["fp16[N, H, 16]", "fp16[10, 4]", "fp16[10, 4]", "int32[N, H]"], ["fp16[N, H, 16]"]),
]


@pytest.mark.parametrize(("layer", "inputs", "outputs"), TYPES)
def test_types(layer: str, inputs: list[str], outputs: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == outputs


REFUSALS = [
    (
        "rope",
        ["fp32[N, H, 16]", "fp32[H, 4]", "fp32[H, 4]"],
        "the input [N, H, 16] is not [batch, heads, length, size]",
        "in",
    ),
    (
        "{op: rope, num_heads: 3}",
        ["fp32[N, H, 16]", "fp32[H, 4]", "fp32[H, 4]"],
        "16 elements are not 3 heads of the same size",
        "num_heads",
    ),
    (
        "{op: rope, num_heads: 3}",
        ["fp32[N, 2, H, 8]", "fp32[H, 4]", "fp32[H, 4]"],
        "the input has 2 heads",
        "num_heads",
    ),
    ("rope", ["fp32[N, 2, H, W]", "fp32[H, 4]", "fp32[H, 4]"], "the size W of a head is dynamic", "in"),
    ("rope", ["fp32[N, 2, H, 7]", "fp32[H, 3]", "fp32[H, 3]"], "7 elements are no pairs", "in"),
    (
        "{op: rope, rotary_embedding_dim: 3}",
        ["fp32[N, 2, H, 8]", "fp32[H, 3]", "fp32[H, 3]"],
        "3 elements are no pairs",
        "rotary_embedding_dim",
    ),
    (
        "{op: rope, rotary_embedding_dim: 10}",
        ["fp32[N, 2, H, 8]", "fp32[H, 5]", "fp32[H, 5]"],
        "10 of 8 elements cannot turn",
        "rotary_embedding_dim",
    ),
    ("rope", ["fp32[N, 2, H, 8]", "fp32[H, 4]", "fp32[H, 8]"], "the cosines are [H, 4], the sines [H, 8]", "in"),
    ("rope", ["fp32[N, 2, H, 8]", "fp32[H, 8]", "fp32[H, 8]"], "the caches are [H, 8], not [N, H, 4] or [H, 4]", "in"),
    (
        "rope",
        ["fp32[N, 2, H, 8]", "fp32[10, 8]", "fp32[10, 8]", "int32[N, H]"],
        "with positions caches are [positions, 4], not [10, 8]",
        "in",
    ),
    ("rope", ["fp32[N, 2, H, 8]", "fp32[10, 4]", "fp32[10, 4]", "int32[H]"], "the positions are [H], not [N, H]", "in"),
]


@pytest.mark.parametrize(("layer", "inputs", "message", "at"), REFUSALS)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)
