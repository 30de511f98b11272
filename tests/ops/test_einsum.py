from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 6, 8), "W": (5, 7, 9)}

TYPES = [
    ('{op: einsum, equation: "ij->..."}', ["fp32[N, H]"], ["fp32[]"]),
    ('{op: einsum, equation: "bqd,bkd->bqk"}', ["fp32[N, H, 8]", "fp32[N, W, 8]"], ["fp32[N, H, W]"]),
    ('{op: einsum, equation: "...ij,...jk"}', ["fp16[N, 1, H, 3]", "fp16[5, 3, W]"], ["fp16[N, 5, H, W]"]),
    ('{op: einsum, equation: "ba"}', ["fp32[N, H]"], ["fp32[H, N]"]),
    ('{op: einsum, equation: "bA"}', ["fp32[N, H]"], ["fp32[H, N]"]),
    ('{op: einsum, equation: "ii"}', ["fp32[H, H]"], ["fp32[]"]),
    ('{op: einsum, equation: "ij,ij->ij"}', ["fp32[N, 1]", "fp32[1, H]"], ["fp32[N, H]"]),
]


@pytest.mark.parametrize(("layer", "inputs", "outputs"), TYPES)
def test_types(layer: str, inputs: list[str], outputs: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == outputs


REFUSALS = [
    ('{op: einsum, equation: "ij;jk"}', ["fp32[2, 3]", "fp32[3, 4]"], '"ij;jk" is no equation', "equation"),
    ('{op: einsum, equation: "i.j->ij"}', ["fp32[2, 3]"], '"i.j->ij" is no equation', "equation"),
    ('{op: einsum, equation: "ij->i->j"}', ["fp32[2, 3]"], '"ij->i->j" is no equation', "equation"),
    ('{op: einsum, equation: "ij,jk->ik"}', ["fp32[2, 3]"], '"ij,jk->ik" is of 2 inputs, there is 1', "equation"),
    ('{op: einsum, equation: "ij"}', ["fp32[2, 3]", "fp32[2, 3]"], '"ij" is of 1 input, there are 2', "equation"),
    ('{op: einsum, equation: "i->ii"}', ["fp32[2]"], 'the output of "i->ii" names i twice', "equation"),
    (
        '{op: einsum, equation: "ij->ik"}',
        ["fp32[2, 3]"],
        'no input of "ij->ik" has the axis k of its output',
        "equation",
    ),
    ('{op: einsum, equation: "ij->j"}', ["fp32[2, 3, 4]"], '"ij" names 2 axes, the input is [2, 3, 4]', "equation"),
    ('{op: einsum, equation: "...ijk->..."}', ["fp32[2, 3]"], '"...ijk" names 3 axes, the input is [2, 3]', "equation"),
    ('{op: einsum, equation: "ij,jk->ik"}', ["fp32[N, H]", "fp32[W, 3]"], 'in "ij,jk->ik" j is both H and W', "in"),
    (
        '{op: einsum, equation: "...i,...i->i"}',
        ["fp32[2, 4]", "fp32[3, 4]"],
        'in "...i,...i->i" an axis of the ellipsis is both 2 and 3',
        "in",
    ),
    ('{op: einsum, equation: "ii->i"}', ["fp32[1, 4]"], 'in "ii->i" i is both 1 and 4 of one input', "in"),
]


@pytest.mark.parametrize(("layer", "inputs", "message", "at"), REFUSALS)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)
