"""Shapes, types and refusals of the ops that compute each element by itself, and of reductions."""

from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 2, 4), "L": (3, 5, 8), "E": (2, 4, 8)}


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("relu", ["fp32[N, 3, L]"], "fp32[N, 3, L]"),
        ("{op: clip, min: 1}", ["int32[L]"], "int32[L]"),
        ("{op: prelu, num_parameters: 3}", ["fp16[N, 3]"], "fp16[N, 3]"),
        ("glu", ["fp32[N, 6]"], "fp32[N, 3]"),
        ("{op: glu, dim: 0}", ["fp16[E, 3]"], "fp16[E // 2, 3]"),
        ("sign", ["int64[N]"], "int64[N]"),
        ("{op: floor_div, other: 2}", ["int32[N, L]"], "int32[N, L]"),
        ("add", ["fp32[N, 3, L]", "fp32[N, 3, L]"], "fp32[N, 3, L]"),
        ("add", ["fp32[L]", "fp32[N, 3, 1]"], "fp32[N, 3, L]"),
        ("add", ["fp32[]", "fp32[]"], "fp32[]"),
        ("{op: add, other: 1}", ["int64[N]"], "int64[N]"),
        ("{op: mul, other: [[1.5], [2.5]]}", ["fp32[N, 1, L]"], "fp32[N, 2, L]"),
        ("sum", ["fp32[N, 1]", "fp32[L]", "fp32[2, 1, 1]"], "fp32[2, N, L]"),
        ("reduce_mean", ["fp32[N, 3, L]"], "fp32[]"),
        ("{op: reduce_mean, dim: [0, -1]}", ["fp32[N, 3, L]"], "fp32[3]"),
        ("{op: reduce_sum, dim: 1, keepdim: true}", ["int32[N, 3, L]"], "int32[N, 1, L]"),
        ("{op: softmax, dim: 0}", ["fp32[N, L]"], "fp32[N, L]"),
    ],
)
def test_types(layer: str, inputs: list[str], expected: str) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == [expected]


@pytest.mark.parametrize(
    ("layer", "inputs", "message", "at"),
    [
        ("relu", ["int32[N]"], "input input 1 is int32[N], relu takes bf16, fp16, fp32", "in"),
        (
            "{op: prelu, num_parameters: 4}",
            ["fp32[N, 3]"],
            "num_parameters is 4, axis 1 of the input is 3",
            "num_parameters",
        ),
        (
            "{op: prelu, num_parameters: 4}",
            ["fp32[4]"],
            "prelu takes [batch, channels, ...], the input is [4]",
            None,
        ),
        ("{op: softplus, beta: 0}", ["fp32[N]"], "beta must be positive, got 0", "beta"),
        ("{op: celu, alpha: 0}", ["fp32[N]"], "alpha must be positive, got 0", "alpha"),
        ("{op: hard_tanh, min_val: 2}", ["fp32[N]"], "min_val 2 is above max_val 1", "min_val"),
        ("{op: glu, dim: 2}", ["fp32[N, 3]"], "dim 2 is out of range for 2 axes", "dim"),
        ("glu", ["fp32[N, 3]"], "size 3 is not divisible into two halves", "dim"),
        ("{op: glu, dim: 0}", ["fp32[L]"], "size L is not divisible into two halves", "dim"),
        ("floor", ["int32[N]"], "input input 1 is int32[N], floor takes bf16, fp16, fp32", "in"),
        ("{op: mod, other: 0.5}", ["int32[N]"], "`other` is fp32, the input is int32", "other"),
        ("fmod", ["int64[N]", "int32[N]"], "fmod takes inputs of one element type, these are int64 and int32", "in"),
        ("clip", ["fp32[N]"], "clip needs min, max or both", None),
        ("{op: clip, min: 2, max: 1}", ["fp32[N]"], "min 2 is above max 1", "min"),
        ("{op: clip, max: 1.5}", ["int32[N]"], "max 1.5 is not a whole number, the input is int32", "max"),
        ("{op: clip, max: 2147483648}", ["int32[N]"], "max 2147483648 is more than int32 holds", "max"),
        ("add", ["fp32[N]"], "add takes two operands, it has one", "in"),
        (
            "{op: add, other: 1}",
            ["fp32[N]", "fp32[N]"],
            "add takes two operands, it has both a second input and `other`",
            "other",
        ),
        ("{op: mul, other: 0.5}", ["int32[N]"], "`other` is fp32, the input is int32", "other"),
        ("{op: add, other: [1, 3000000000]}", ["int32[2]"], "other 3000000000 is more than int32 holds", "other"),
        ("{op: sub, other: -2147483649}", ["int32[N]"], "other -2147483649 is more than int32 holds", "other"),
        (
            "add",
            ["fp32[N]", "int32[N]"],
            "add takes inputs of one element type, these are fp32 and int32",
            "in",
        ),
        (
            "add",
            ["int64[N]", "int32[N]"],
            "add takes inputs of one element type, these are int64 and int32",
            "in",
        ),
        ("add", ["fp32[N, 3]", "fp32[N, 4]"], "add of [N, 3] and [N, 4]: sizes 3 and 4 do not broadcast", None),
        ("add", ["fp32[N]", "fp32[L]"], "add of [N] and [L]: sizes N and L do not broadcast", None),
        (
            "{op: sub, other: [1, 2]}",
            ["fp32[N, 3]"],
            "sub of [N, 3] and [2]: sizes 3 and 2 do not broadcast",
            None,
        ),
        ("div", ["int32[N]", "int32[N]"], "input input 1 is int32[N], div takes bf16, fp16, fp32", "in"),
        ("{op: reduce_sum, dim: 2}", ["fp32[N, 3]"], "dim 2 is out of range for 2 axes", "dim"),
        ("{op: reduce_sum, dim: [1, -1]}", ["fp32[N, 3]"], "dim [1, -1] names an axis twice", "dim"),
        ("{op: softmax, dim: -2}", ["fp32[N]"], "dim -2 is out of range for 1 axis", "dim"),
        ("softmax", ["fp32[]"], "dim -1 is out of range for 0 axes", "dim"),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)


def test_a_missing_operand_brings_the_two_ways_to_give_it() -> None:
    error = refusal({"op": "mul"}, "fp32[2]")
    assert error.hint == "`in: [a, b]`, or `other: 0.5` to mul a number or weight"
