from __future__ import annotations

import pytest

from tests.ops.harness import blame, infer_types, parse_layer, refusal

DIMS = {"N": (1, 2, 4), "H": (4, 6, 8), "K": (0, 10, 50)}

SIZES = [
    ("grid_sample", ["fp32[N, 3, H, 9]", "fp32[N, 5, H, 2]"], "fp32[N, 3, 5, H]"),
    ("{op: roi_align, output_size: 7}", ["fp32[N, 3, H, 9]", "fp32[K, 5]"], "fp32[K, 3, 7, 7]"),
    ("{op: roi_align, output_size: [2, 3]}", ["fp32[N, H, 8, 9]", "fp32[K, 4]", "int64[K]"], "fp32[K, H, 2, 3]"),
    ("{op: pixel_shuffle, upscale_factor: 2}", ["fp32[N, 8, H, 9]"], "fp32[N, 2, H * 2, 18]"),
    ("{op: pixel_unshuffle, downscale_factor: 2}", ["fp32[2, H, 6]"], "fp32[8, H // 2, 3]"),
    ("{op: depth_to_space, blocksize: 3}", ["bool[N, 9, H, 1]"], "bool[N, 1, H * 3, 3]"),
    ("{op: space_to_depth, blocksize: 2}", ["int32[N, 3, H, 4]"], "int32[N, 12, H // 2, 2]"),
    ("{op: channel_shuffle, groups: 2}", ["fp16[N, H, 7]"], "fp16[N, H, 7]"),
    ("{op: lrn, size: 5}", ["fp32[N, H, 7]"], "fp32[N, H, 7]"),
    ("{op: l2_normalize, dim: -1}", ["fp32[N, H]"], "fp32[N, H]"),
]


@pytest.mark.parametrize(("layer", "inputs", "output"), SIZES, ids=[row[0] for row in SIZES])
def test_sizes(layer: str, inputs: list[str], output: str) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == [output]


REFUSALS = [
    (
        "grid_sample",
        ["fp32[N, 3, H]", "fp32[N, 5, H, 2]"],
        "in: grid_sample takes [batch, channels, height, width], the input is [N, 3, H]",
    ),
    (
        "grid_sample",
        ["fp32[N, 3, H, 9]", "fp32[N, 5, 2]"],
        "in: the grid is [batch, output height, output width, 2], not [N, 5, 2]",
    ),
    (
        "grid_sample",
        ["fp32[N, 3, H, 9]", "fp32[N, 5, 5, 3]"],
        "in: the grid is [batch, output height, output width, 2], not [N, 5, 5, 3]",
    ),
    (
        "grid_sample",
        ["fp32[N, 3, H, 9]", "fp32[1, 5, 5, 2]"],
        "in: the grid has a batch of 1, the input one of N",
    ),
    (
        "{op: roi_align, output_size: 7}",
        ["fp32[3, H, 9]", "fp32[K, 5]"],
        "roi_align takes [batch, channels, height, width], the input is [3, H, 9]",
    ),
    (
        "{op: roi_align, output_size: 7}",
        ["fp32[N, 3, H, 9]", "fp32[K, 6]"],
        "in: boxes are [boxes, 4] or [boxes, 5], not [K, 6]",
    ),
    (
        "{op: roi_align, output_size: 7}",
        ["fp32[N, 3, H, 9]", "fp32[]"],
        "in: boxes are [boxes, 4] or [boxes, 5], not []",
    ),
    (
        "{op: roi_align, output_size: 7}",
        ["fp32[N, 3, H, 9]", "fp32[K, 5]", "int32[K]"],
        "in: boxes of 5 columns have their indices in the batch, batch_indices says them again",
    ),
    (
        "{op: roi_align, output_size: 7}",
        ["fp32[N, 3, H, 9]", "fp32[K, 4]", "int32[N]"],
        "in: batch_indices is [boxes], here it is [N] for boxes [K, 4]",
    ),
    (
        "{op: roi_align, output_size: [1, 2, 3]}",
        ["fp32[N, 3, H, 9]", "fp32[K, 4]"],
        "output_size: output_size has 3 values, the input has 2 spatial axes",
    ),
    (
        "{op: roi_align, output_size: 2, spatial_scale: 0}",
        ["fp32[N, 3, H, 9]", "fp32[K, 4]"],
        "spatial_scale: spatial_scale 0 leaves nothing of the boxes",
    ),
    (
        "{op: pixel_shuffle, upscale_factor: 2}",
        ["fp32[N, 6, H, 9]"],
        "upscale_factor: 6 channels are not divisible by 4",
    ),
    (
        "{op: pixel_shuffle, upscale_factor: 2}",
        ["fp32[4, 4]"],
        "pixel_shuffle takes [..., channels, height, width], the input is [4, 4]",
    ),
    (
        "{op: pixel_unshuffle, downscale_factor: 4}",
        ["fp32[N, 6, H, 8]"],
        "downscale_factor: H rows (4, 6, 8) are not divisible by 4",
    ),
    (
        "{op: depth_to_space, blocksize: 2, mode: CRD}",
        ["fp32[N, 6, H, 9]"],
        "blocksize: 6 channels are not divisible by 4",
    ),
    (
        "{op: space_to_depth, blocksize: 2}",
        ["fp32[N, 6, H, 9]"],
        "blocksize: 9 columns are not divisible by 2",
    ),
    ("{op: channel_shuffle, groups: 4}", ["fp32[N, 6]"], "groups: 6 channels are not divisible by 4"),
    (
        "{op: channel_shuffle, groups: 4}",
        ["fp32[4]"],
        "channel_shuffle takes [batch, channels, ...], the input is [4]",
    ),
    ("{op: lrn, size: 3}", ["fp32[N, 6]"], "lrn takes [batch, channels, ...] of 3 axes or more, the input is [N, 6]"),
    ("l2_normalize", ["fp32[N]"], "dim: dim 1 is out of range for 1 axis"),
    ("{op: l2_normalize, dim: [1, -1]}", ["fp32[N, 6]"], "dim: dim [1, -1] names an axis twice"),
]


@pytest.mark.parametrize(("layer", "inputs", "message"), REFUSALS, ids=[f"{row[0]}-{row[1]}" for row in REFUSALS])
def test_refusals(layer: str, inputs: list[str], message: str) -> None:
    assert blame(refusal(parse_layer(layer), *inputs, dims=DIMS)) == message
