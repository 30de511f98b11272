from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from tests.ops.harness import infer_types, make_op, parse_layer, parse_type, refusal
from trtdsl.ops.base import OpError

DIMS = {"N": (1, 8, 32), "H": (4, 6, 8), "W": (5, 7, 9)}

TYPES = [
    (
        "{op: sdpa, enable_gqa: true}",
        ["fp32[N, 6, H, 8]", "fp32[N, 2, W, 8]", "fp32[N, 2, W, 5]"],
        ["fp32[N, 6, H, 5]"],
    ),
    ("{op: multi_head_attention, num_heads: 2}", ["fp16[N, H, 8]"], ["fp16[N, H, 8]"]),
    (
        "{op: multi_head_attention, num_heads: 2, batch_first: false}",
        ["fp32[H, N, 8]", "fp32[W, N, 8]"],
        ["fp32[H, N, 8]"],
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "outputs"), TYPES)
def test_types(layer: str, inputs: list[str], outputs: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == outputs


REFUSALS = [
    (
        "{op: sdpa, enable_gqa: true}",
        ["fp32[H, 8]", "fp32[W, 8]", "fp32[W, 8]"],
        "grouped heads take [..., heads, length, size] with fixed heads, not [H, 8], [W, 8], [W, 8]",
        "in",
    ),
    (
        "{op: sdpa, enable_gqa: true}",
        ["fp32[6, H, 8]", "fp32[4, W, 8]", "fp32[4, W, 8]"],
        "6 heads of the query cannot share 4 of the key evenly",
        "in",
    ),
    (
        "{op: sdpa, enable_gqa: true}",
        ["fp32[6, H, 8]", "fp32[2, W, 8]", "fp32[3, W, 8]"],
        "the key has 2 heads and the value 3",
        "in",
    ),
    ("{op: sdpa, softcap: 0}", ["fp32[H, 8]", "fp32[W, 8]", "fp32[W, 8]"], "softcap 0 is not above zero", "softcap"),
    (
        "{op: multi_head_attention, num_heads: 3}",
        ["fp32[N, H, 8]"],
        "8 features are not 3 heads of the same size",
        "num_heads",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[H, 8]"],
        "the query is [H, 8], not [batch, length, features]",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2, batch_first: false}",
        ["fp32[N, H, W]"],
        "the query is [N, H, W], not [length, batch, features]",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[N, H, 8]", "fp32[N, W, 4]"],
        "the key is [N, W, 4], its features are not 8",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[N, H, 8]", "fp32[2, W, 8]"],
        "a batch of N in the query, of 2 in the key",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[N, H, 8]", "fp32[N, W, 8]", "fp32[N, H, 8]"],
        "there are W keys and H values",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[N, H, 8]", "fp32[N, W, 8]", "fp32[N, W, 8]", "bool[W, H]"],
        "the mask is [W, H], not [H, W] or [N * 2, H, W]",
        "in",
    ),
    (
        "{op: multi_head_attention, num_heads: 2}",
        ["fp32[N, H, 8]", "fp32[N, W, 8]", "fp32[N, W, 8]", "bool[H, W]", "bool[W, N]"],
        "the mask of keys is [W, N], not [N, W]",
        "in",
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "message", "at"), REFUSALS)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)


def test_a_value_needs_a_key() -> None:
    op = make_op({"op": "multi_head_attention", "num_heads": 2}, {})
    query = parse_type("fp32[2, 3, 8]", {})
    with pytest.raises(OpError, match="there is a value without a key"):
        op.infer(query, None, query)


def test_weights_have_the_keys_of_pytorch(tmp_path: Path) -> None:
    shapes = {"in_proj_weight": (24, 8), "in_proj_bias": (24,), "out_proj.weight": (8, 8), "out_proj.bias": (8,)}
    arrays = {f"attn.{key}": np.full(shape, i, np.float32) for i, (key, shape) in enumerate(shapes.items())}
    np.savez(tmp_path / "attn.npz", **arrays)
    text = """
    trtdsl: 1
    inputs: {x: [2, 3, 8]}
    weights: attn.npz
    layers: [{op: multi_head_attention, name: attn, num_heads: 2}]
    """
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    (layer,) = trtdsl.load(path).graph.layers
    assert {name: float(weight.array().flat[0]) for name, weight in layer.weights.items()} == {
        "in_proj_weight": 0,
        "in_proj_bias": 1,
        "out_proj_weight": 2,
        "out_proj_bias": 3,
    }
