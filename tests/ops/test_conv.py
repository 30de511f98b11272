from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import blame, infer_types, refusal

DIMS = {"N": (1, 8, 32), "H": (2, 64, 128), "C": (3, 3, 4)}

# Sizes as PyTorch's documentation has them: floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1.
SIZES = [
    ("plain", {"kernel_size": 3}, "fp32[1, 3, 8, 9]", "fp32[1, 4, 6, 7]"),
    ("1d", {"kernel_size": 3, "stride": 2}, "fp32[N, 3, 8]", "fp32[N, 4, 3]"),
    ("3d", {"kernel_size": [1, 2, 3]}, "fp16[N, 3, 4, 5, 6]", "fp16[N, 4, 4, 4, 4]"),
    ("strided", {"kernel_size": 7, "stride": 2, "padding": 3}, "fp32[1, 3, 224, 224]", "fp32[1, 4, 112, 112]"),
    ("asymmetric", {"kernel_size": 3, "padding": [[0, 1], [2, 2]]}, "fp32[1, 3, 8, 8]", "fp32[1, 4, 7, 10]"),
    ("dilated", {"kernel_size": 3, "dilation": 2}, "fp32[1, 3, 8, 8]", "fp32[1, 4, 4, 4]"),
    ("same", {"kernel_size": 4, "stride": 3, "padding": "same"}, "fp32[1, 3, 8, 9]", "fp32[1, 4, 3, 3]"),
    ("kept", {"kernel_size": 3, "padding": 1}, "fp32[N, 3, H, H]", "fp32[N, 4, H, H]"),
    ("dynamic", {"kernel_size": 2}, "fp32[N, 3, H, 8]", "fp32[N, 4, H - 1, 7]"),
]


@pytest.mark.parametrize(("parameters", "x", "y"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_conv_sizes(parameters: dict[str, Any], x: str, y: str) -> None:
    assert infer_types({"op": "conv", "out_channels": 4, **parameters}, x, dims=DIMS) == [y]


# Likewise: (size - 1) stride - padding + dilation (kernel - 1) + output_padding + 1.
TRANSPOSED_SIZES = [
    ("plain", {"kernel_size": 2, "stride": 2}, "fp32[1, 3, 8, 9]", "fp32[1, 4, 16, 18]"),
    ("1d", {"kernel_size": 4, "stride": 2, "padding": 1}, "fp32[N, 3, 8]", "fp32[N, 4, 16]"),
    (
        "output-padding",
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        "fp32[N, 3, H, 5]",
        "fp32[N, 4, H * 2, 10]",
    ),
    ("asymmetric", {"kernel_size": 4, "padding": [[1, 2], [0, 1]]}, "fp32[1, 3, 8, 8]", "fp32[1, 4, 8, 10]"),
    ("dilated", {"kernel_size": 3, "dilation": 2}, "fp32[1, 3, 8, 8]", "fp32[1, 4, 12, 12]"),
    ("same", {"kernel_size": 5, "stride": 2, "padding": "same"}, "fp32[1, 3, 8, 9]", "fp32[1, 4, 16, 18]"),
    ("same-small", {"kernel_size": 2, "stride": 3, "padding": "same_lower"}, "fp32[1, 3, 4, 5]", "fp32[1, 4, 12, 15]"),
]


@pytest.mark.parametrize(
    ("parameters", "x", "y"), [row[1:] for row in TRANSPOSED_SIZES], ids=[row[0] for row in TRANSPOSED_SIZES]
)
def test_deconv_sizes(parameters: dict[str, Any], x: str, y: str) -> None:
    assert infer_types({"op": "deconv", "out_channels": 4, **parameters}, x, dims=DIMS) == [y]


REFUSALS = [
    (
        "rank",
        {"op": "conv", "kernel_size": 3},
        "fp32[1, 3]",
        "conv takes [batch, channels, ...] with 1 to 3 spatial axes, the input is [1, 3]",
    ),
    (
        "dynamic-channels",
        {"op": "conv", "kernel_size": 3},
        "fp32[1, C, 8, 8]",
        "conv needs a fixed number of channels, axis 1 of the input is C",
    ),
    (
        "groups-of-input",
        {"op": "conv", "kernel_size": 3, "groups": 2},
        "fp32[1, 3, 8, 8]",
        "groups: groups 2 does not divide the 3 input channels",
    ),
    (
        "groups-of-output",
        {"op": "conv", "kernel_size": 3, "groups": 3},
        "fp32[1, 3, 8, 8]",
        "groups: groups 3 does not divide the 4 out_channels",
    ),
    (
        "kernel-values",
        {"op": "conv", "kernel_size": [3, 3, 3]},
        "fp32[1, 3, 8, 8]",
        "kernel_size: kernel_size has 3 values, the input has 2 spatial axes",
    ),
    (
        "padding-values",
        {"op": "conv", "kernel_size": 3, "padding": [1, 1]},
        "fp32[1, 3, 8]",
        "padding: padding has 2 values, the input has 1 spatial axis",
    ),
    (
        "window",
        {"op": "conv", "kernel_size": 3, "dilation": 4, "padding": [[1, 0], [0, 0]]},
        "fp32[1, 3, 7, 9]",
        "kernel_size: a window of 9 does not fit into an axis of size 7 with padding 1 + 0",
    ),
    (
        "window-at-min",
        {"op": "conv", "kernel_size": 3},
        "fp32[1, 3, H, 9]",
        "kernel_size: a window of 3 does not fit into an axis of size H = 2",
    ),
    (
        "type",
        {"op": "conv", "kernel_size": 3},
        "int32[1, 3, 8, 9]",
        "in: input input 1 is int32[1, 3, 8, 9], conv takes bf16, fp16, fp32",
    ),
    (
        "output-padding",
        {"op": "deconv", "kernel_size": 3, "stride": 2, "output_padding": 2},
        "fp32[1, 3, 8, 8]",
        "output_padding: output_padding 2 is not smaller than the stride 2 or the dilation 1",
    ),
    (
        "output-padding-of-same",
        {"op": "deconv", "kernel_size": 3, "stride": 2, "padding": "same", "output_padding": 1},
        "fp32[1, 3, 8, 8]",
        "output_padding: output_padding says nothing beside `padding: same`",
    ),
    (
        "nothing-left",
        {"op": "deconv", "kernel_size": 3, "padding": 2},
        "fp32[1, 3, 2, 2]",
        "padding: padding 2 + 2 leaves nothing of an axis of size 2",
    ),
]


@pytest.mark.parametrize(("layer", "x", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(layer: dict[str, Any], x: str, message: str) -> None:
    assert blame(refusal({"out_channels": 4, **layer}, x, dims=DIMS)) == message
