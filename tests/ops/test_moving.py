"""Shapes, types and refusals of the ops that move elements."""

from __future__ import annotations

import pytest

from tests.ops.harness import infer_types, parse_layer, refusal

DIMS = {"N": (1, 2, 4), "H": (4, 6, 8), "W": (5, 7, 9)}


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("{op: reshape, shape: [N, -1]}", ["fp32[N, 3, 4]"], ["fp32[N, 12]"]),
        ("{op: reshape, shape: [-1, 4]}", ["fp32[N, 3, 8]"], ["fp32[N * 6, 4]"]),
        ("{op: reshape, shape: [W, -1]}", ["int32[N, H, W]"], ["int32[W, N * H]"]),
        ("{op: reshape, shape: [N, 2, -1, 4]}", ["fp32[N, H, 8]"], ["fp32[N, 2, H, 4]"]),
        ("{op: reshape, shape: []}", ["fp32[1, 1]"], ["fp32[]"]),
        ("flatten", ["fp32[N, 3, H, W]"], ["fp32[N, H * 3 * W]"]),
        ("{op: flatten, start_dim: 1, end_dim: -2}", ["fp32[N, 3, 4, W]"], ["fp32[N, 12, W]"]),
        ("squeeze", ["bool[1, N, 1]"], ["bool[N]"]),
        ("{op: squeeze, dim: 0}", ["fp32[1, N, 1]"], ["fp32[N, 1]"]),
        ("{op: unsqueeze, dim: [0, -1]}", ["fp32[N]"], ["fp32[1, N, 1]"]),
        ("transpose", ["fp32[N, H, W]"], ["fp32[N, W, H]"]),
        ("{op: permute, dims: [2, 0, 1]}", ["fp32[N, H, W]"], ["fp32[W, N, H]"]),
        ("{op: expand, shape: [N, -1, H]}", ["fp32[3, 1]"], ["fp32[N, 3, H]"]),
        ("{op: concat, dim: 1}", ["fp32[N, H]", "fp32[N, 3]", "fp32[N, 2]"], ["fp32[N, H + 5]"]),
        ("{op: split, sections: 2, dim: 1}", ["fp32[N, 8]"], ["fp32[N, 4]", "fp32[N, 4]"]),
        ("{op: split, sections: 2, dim: 1}", ["fp32[N, H]"], ["fp32[N, H // 2]", "fp32[N, H // 2]"]),
        ("{op: split, split_size: [1, -1], dim: 1}", ["fp32[N, W]"], ["fp32[N, 1]", "fp32[N, W - 1]"]),
        ("{op: slice, dim: 1, start: 1, end: -1}", ["fp32[N, W]"], ["fp32[N, W - 2]"]),
        ("{op: slice, dim: 1, start: -3}", ["fp32[N, W]"], ["fp32[N, 3]"]),
        ("{op: slice, dim: 1, end: 4}", ["fp32[N, H]"], ["fp32[N, 4]"]),
        ("{op: slice, dim: 1, end: 6}", ["fp32[N, H]"], ["fp32[N, min(6, H)]"]),
        ("{op: slice, dim: 1, step: 2}", ["fp32[N, 9]"], ["fp32[N, 5]"]),
        ("{op: slice, end: [1, 3]}", ["fp32[N, H, W]"], ["fp32[1, 3, W]"]),
        ("{op: slice, start: [0, 1], end: [1, 3]}", ["fp32[N, H, W]"], ["fp32[1, 2, W]"]),
        ("{op: crop, size: [2, 3]}", ["fp32[N, 3, H, W]"], ["fp32[N, 3, 2, 3]"]),
        ("{op: crop, borders: [1, 2, 3, 0]}", ["fp32[N, H, W]"], ["fp32[N, H - 3, W - 3]"]),
        ("crop", ["fp32[N, 3, 8, 9]", "fp32[1, 5, H, W]"], ["fp32[N, 3, H, W]"]),
        ("{op: pad, padding: [1, 2, 3, 4]}", ["fp32[N, H, W]"], ["fp32[N, H + 7, W + 3]"]),
        ("{op: pad, padding: 1}", ["fp32[N, H, W]"], ["fp32[N, H, W + 2]"]),
        ("{op: pad, padding: 3}", ["fp32[N, 2, H, W]"], ["fp32[N, 2, H + 6, W + 6]"]),
        ("{op: pad, padding: -1}", ["fp32[N, 2, H, 4, W]"], ["fp32[N, 2, H - 2, 2, W - 2]"]),
        ("{op: pad, padding: [-1, -2]}", ["fp32[N, W]"], ["fp32[N, W - 3]"]),
        ("{op: pad, padding: [3, 3], mode: reflect}", ["fp32[N, H]"], ["fp32[N, H + 6]"]),
        ("identity", ["uint8[N]"], ["uint8[N]"]),
        ("{op: constant, value: [[1, 2, 3]]}", [], ["fp32[1, 3]"]),
        ("{op: constant, value: 1, shape: [2, 3], dtype: int32}", [], ["int32[2, 3]"]),
        ("{op: gather, dim: 1}", ["fp32[N, 8, W]", "int32[H, 2]"], ["fp32[N, H, 2, W]"]),
        ("{op: gather, dim: 1, indices: -1}", ["fp32[N, 8, W]"], ["fp32[N, W]"]),
        ("{op: embedding, num_embeddings: 9, embedding_dim: 6}", ["int64[N, H]"], ["fp32[N, H, 6]"]),
        ("sdpa", ["fp32[N, 2, H, 8]", "fp32[N, 1, W, 8]", "fp32[W, 3]"], ["fp32[N, 2, H, 3]"]),
    ],
)
def test_types(layer: str, inputs: list[str], expected: list[str]) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == expected


@pytest.mark.parametrize(
    ("layer", "inputs", "message", "at"),
    [
        ("{op: reshape, shape: [5, -1]}", ["fp32[3, 4]"], "the 12 elements of [3, 4] do not fit [5, -1]", "shape"),
        ("{op: reshape, shape: [3, 5]}", ["fp32[3, 4]"], "the 12 elements of [3, 4] do not fit [3, 5]", "shape"),
        ("{op: reshape, shape: [8, -1]}", ["fp32[N, 4]"], "the 4 to 16 elements of [N, 4] do not fit [8, -1]", "shape"),
        ("{op: reshape, shape: [H, 4]}", ["fp32[N, 4]"], "the 4 to 16 elements of [N, 4] do not fit [H, 4]", "shape"),
        ("{op: reshape, shape: [0, -1]}", ["fp32[3, 4]"], "a size of 0", "shape"),
        ("{op: reshape, shape: [-1, -1]}", ["fp32[3, 4]"], "[-1, -1] has more than one -1", "shape"),
        ("flatten", ["fp32[N]"], "start_dim 1 is out of range for 1 axis", "start_dim"),
        (
            "{op: flatten, start_dim: 2, end_dim: 1}",
            ["fp32[N, 3, 4]"],
            "start_dim 2 comes after end_dim 1",
            "start_dim",
        ),
        ("{op: squeeze, dim: 1}", ["fp32[N, 3]"], "axis 1 of [N, 3] has size 3, not 1", "dim"),
        ("{op: squeeze, dim: 0}", ["fp32[N, 3]"], "axis 0 of [N, 3] has size N, not 1", "dim"),
        ("{op: unsqueeze, dim: 3}", ["fp32[N, 3]"], "dim 3 is out of range for 3 axes", "dim"),
        ("{op: permute, dims: [1, 0]}", ["fp32[N, 3, 4]"], "dims has 2 entries, the input has 3 axes", "dims"),
        ("{op: permute, dims: [0, 0]}", ["fp32[N, 3]"], "dims [0, 0] names an axis twice", "dims"),
        ("transpose", ["fp32[N]"], "dim0 -2 is out of range for 1 axis", "dim0"),
        ("{op: expand, shape: [4]}", ["fp32[N, 1]"], "shape has 1 entries, the input has 2 axes", "shape"),
        ("{op: expand, shape: [-1, -1]}", ["fp32[3]"], "-1 keeps a size, a new axis has none to keep", "shape"),
        ("{op: expand, shape: [N, 4]}", ["fp32[N, 3]"], "size 3 does not expand to 4", "shape"),
        (
            "{op: concat, dim: 1}",
            ["fp32[N, 3, 4]", "fp32[N, 3, 5]"],
            "concat of [N, 3, 4] and [N, 3, 5]: all axes but 1 have to agree",
            "in",
        ),
        ("concat", ["fp32[N]", "fp32[N, 1]"], "concat of [N] and [N, 1]: all axes but 0 have to agree", "in"),
        (
            "concat",
            ["fp32[N]", "int32[N]"],
            "concat takes inputs of one element type, these are fp32 and int32",
            "in",
        ),
        (
            "split",
            ["fp32[N]"],
            "split needs `sections`, the number of equal parts, or `split_size`, a list of sizes",
            None,
        ),
        (
            "{op: split, sections: 2, dim: 1}",
            ["fp32[N, W]"],
            "size W is not divisible into 2 equal parts",
            "sections",
        ),
        ("{op: split, split_size: [1, 2]}", ["fp32[4]"], "the sizes [1, 2] do not add up to 4", "split_size"),
        ("{op: split, split_size: [4, -1]}", ["fp32[H]"], "the sizes [4, -1] leave nothing of H for -1", "split_size"),
        ("{op: split, split_size: [-1, -1]}", ["fp32[4]"], "split_size has more than one -1", "split_size"),
        ("{op: split, split_size: [0, 4]}", ["fp32[4]"], "a part of size 0", "split_size"),
        ("{op: slice, start: 3, end: 3}", ["fp32[9]"], "nothing is left of axis 0 of size 9 from 3 to 3", "start"),
        ("{op: slice, start: 4}", ["fp32[H]"], "nothing is left of axis 0 of size H from 4 to H", "start"),
        ("{op: slice, dim: [0, 1], start: [0, 1, 2]}", ["fp32[9, 9]"], "start has 3 values for 2 axes", "start"),
        ("{op: slice, start: [0, 0], end: [1, 1]}", ["fp32[9]"], "start 1 is out of range for 1 axis", "start"),
        ("crop", ["fp32[N, 9]"], "crop needs one of `size`, `borders` and a second input to take the size of", None),
        ("{op: crop, size: [5]}", ["fp32[H]"], "a part of size 5 does not fit into an axis of size H", "size"),
        (
            "{op: crop, size: [3], offset: [2]}",
            ["fp32[H]"],
            "a part of size 3 from 2 does not fit into an axis of size H",
            "size",
        ),
        ("{op: crop, size: [3], offset: [2, 1]}", ["fp32[9]"], "offset has 2 entries, the size 1", "offset"),
        ("{op: crop, borders: [2, 2]}", ["fp32[H]"], "nothing is left of axis 0 of size H", "borders"),
        (
            "{op: pad, padding: [1]}",
            ["fp32[9]"],
            "padding has 1 entries, each axis takes two: [left, right, top, bottom, ...]",
            "padding",
        ),
        ("{op: pad, padding: [1, 1, 1, 1]}", ["fp32[9]"], "padding has 4 entries, the input has 1 axis", "padding"),
        (
            "{op: pad, padding: [3, 4], mode: reflect}",
            ["fp32[4]"],
            "reflect padding of 4 is more than axis 0 of size 4 can give",
            "padding",
        ),
        (
            "{op: pad, padding: [0, 5], mode: reflect}",
            ["fp32[W]"],
            "reflect padding of 5 is more than axis 0 of size W (5 at its smallest) can give",
            "padding",
        ),
        (
            "{op: pad, padding: [6, 0], mode: circular}",
            ["fp32[5]"],
            "circular padding of 6 is more than axis 0 of size 5 can give",
            "padding",
        ),
        (
            "{op: pad, padding: [6, 0], mode: wrap}",
            ["fp32[5]"],
            "wrap padding of 6 is more than axis 0 of size 5 can give",
            "padding",
        ),
        ("{op: pad, padding: [-1, 0], mode: edge}", ["fp32[5]"], "edge padding of -1 is negative", "padding"),
        ("{op: pad, padding: [-2, -3]}", ["fp32[W]"], "nothing is left of axis 0 of size W", "padding"),
        (
            "{op: pad, padding: [1, 1], value: 0.5}",
            ["int32[5]"],
            "value 0.5 is not a whole number, the input is int32",
            "value",
        ),
        (
            "{op: pad, padding: [1, 1], value: 0.5}",
            ["bool[5]"],
            "value 0.5 is not a whole number, the input is bool",
            "value",
        ),
        (
            "{op: pad, padding: [1, 1], value: 3.0e+9}",
            ["int32[5]"],
            "value 3000000000 is more than int32 holds",
            "value",
        ),
        ("{op: constant, value: 0.5, dtype: int32}", [], "the value is fp32, not int32", "dtype"),
        ("{op: constant, value: 2147483648, dtype: int32}", [], "value 2147483648 is more than int32 holds", "value"),
        ("{op: constant, value: 1, shape: [N]}", [], "N is not a fixed size", "shape"),
        (
            "{op: pad, padding: 2}",
            ["fp32[N, W]"],
            "the input [N, W] has no spatial axes, which stand after batch and channels",
            "padding",
        ),
        ("gather", ["fp32[N]"], "gather takes one tensor of indices, it has none", "in"),
        ("{op: gather, indices: [0, 3]}", ["fp32[3]"], "index 3 is out of range for an axis of size 3", "indices"),
        ("{op: gather, indices: -4}", ["fp32[3]"], "index -4 is out of range for an axis of size 3", "indices"),
        ("{op: gather, indices: 4}", ["fp32[H]"], "index 4 is out of range for an axis of size H", "indices"),
        ("{op: gather, indices: -1}", ["fp32[H]"], "index -1 counts from the end of the dynamic size H", "indices"),
        ("{op: gather, indices: 0.5}", ["fp32[3]"], "indices are whole numbers, these are fp32", "indices"),
        (
            "{op: embedding, num_embeddings: 9, embedding_dim: 6}",
            ["fp32[N]"],
            "input input 1 is fp32[N], embedding takes int32, int64",
            "in",
        ),
        ("sdpa", ["fp32[H, 8]", "fp32[W, 4]", "fp32[W, 8]"], "the query's last axis is 8, the key's 4", "in"),
        ("sdpa", ["fp32[H, 8]", "fp32[W, 8]", "fp32[H, 8]"], "there are W keys and H values", "in"),
        ("sdpa", ["fp32[8]", "fp32[W, 8]", "fp32[W, 8]"], "the query has the shape [8], two axes are the least", "in"),
        ("sdpa", ["fp32[3, H]", "fp32[3, H]", "fp32[3, 8]"], "the query's last axis H is dynamic", "in"),
        (
            "sdpa",
            ["fp32[H, 8]", "fp32[W, 8]", "fp32[W, 8]", "bool[2, H, W]"],
            "a mask [2, H, W] for scores [H, W]",
            "in",
        ),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str, at: str | None) -> None:
    error = refusal(parse_layer(layer), *inputs, dims=DIMS)
    assert (error.message, error.at) == (message, at)


@pytest.mark.parametrize(
    ("shape", "wanted", "rest"),
    [
        ("[N, 6]", "[N]", "6"),
        ("[N, H, W]", "[H, N]", "W"),
        ("[N, H, 6]", "[3]", "N * H * 2"),
        ("[N, H, 2]", "[N, N]", "H * 2 // N"),
    ],
)
def test_what_is_left_of_a_shape_keeps_its_meaning(shape: str, wanted: str, rest: str) -> None:
    dims = {"N": (2, 2, 4), "H": (2, 4, 8), "W": (5, 7, 9)}
    layer = {"op": "reshape", "shape": [*wanted.strip("[]").split(", "), -1]}
    layer["shape"] = [int(size) if str(size).isdigit() else size for size in layer["shape"]]
    (output,) = infer_types(layer, f"fp32{shape}", dims=dims)
    assert output.removesuffix("]").endswith(f", {rest}")
