from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import blame, infer_types, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 8, 12)}

SIZES = [
    ("stride-is-the-window", {"op": "max_pool", "kernel_size": 2}, "fp32[N, 4, 9, 8]", "fp32[N, 4, 4, 4]"),
    (
        "strided",
        {"op": "max_pool", "kernel_size": 3, "stride": 2, "padding": 1},
        "fp32[N, 4, 112, 112]",
        "fp32[N, 4, 56, 56]",
    ),
    ("per-axis", {"op": "avg_pool", "kernel_size": [1, 3]}, "fp32[N, 4, 9, 8]", "fp32[N, 4, 9, 2]"),
    ("same", {"op": "max_pool", "kernel_size": 3, "stride": 2, "padding": "same"}, "fp32[1, 4, 9]", "fp32[1, 4, 5]"),
    ("global", {"op": "global_avg_pool"}, "fp32[N, 4, H, H, H]", "fp32[N, 4, 1, 1, 1]"),
    ("global-flat", {"op": "global_max_pool", "keepdim": False}, "fp32[N, 4, H, 8]", "fp32[N, 4]"),
    ("adaptive", {"op": "adaptive_avg_pool", "output_size": 1}, "fp32[N, 4, H, 8]", "fp32[N, 4, 1, 1]"),
]


@pytest.mark.parametrize(("layer", "x", "y"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_sizes(layer: dict[str, Any], x: str, y: str) -> None:
    assert infer_types(layer, x, dims=DIMS) == [y]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 10])
def test_ceil_mode_counts_as_pytorch(kernel: int, stride: int, size: int) -> None:
    for padding in range(kernel // 2 + 1):
        # From PyTorch's documentation of MaxPool2d: rounded up, and "sliding windows that would start in the right
        # padded region are ignored".
        count = -(-(size + 2 * padding - kernel) // stride) + 1
        if (count - 1) * stride >= size + padding:
            count -= 1
        layer = {"op": "max_pool", "kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": True}
        assert infer_types(layer, f"fp32[1, 2, {size}]") == [f"fp32[1, 2, {count}]"], padding


REFUSALS = [
    (
        "rank",
        {"op": "max_pool", "kernel_size": 2},
        "fp32[1, 3]",
        "max_pool takes [batch, channels, ...] with 1 to 3 spatial axes, the input is [1, 3]",
    ),
    (
        "padding",
        {"op": "avg_pool", "kernel_size": 2, "padding": 2},
        "fp32[1, 3, 8]",
        "padding: padding 2 is not smaller than the window of 2",
    ),
    (
        "window",
        {"op": "avg_pool", "kernel_size": 5},
        "fp32[1, 3, H]",
        "kernel_size: a window of 5 does not fit into an axis of size H = 4",
    ),
    (
        "stride-values",
        {"op": "avg_pool", "kernel_size": 2, "stride": [1, 1]},
        "fp32[1, 3, 8]",
        "stride: stride has 2 values, the input has 1 spatial axis",
    ),
    (
        "ceil-of-same",
        {"op": "avg_pool", "kernel_size": 2, "padding": "same", "ceil_mode": True},
        "fp32[1, 3, 8]",
        "ceil_mode: ceil_mode says nothing beside `padding: same`",
    ),
    (
        "global-rank",
        {"op": "global_avg_pool"},
        "fp32[1, 3]",
        "global_avg_pool takes [batch, channels, ...] with spatial axes, the input is [1, 3]",
    ),
    (
        "adaptive-size",
        {"op": "adaptive_avg_pool", "output_size": [7, 7]},
        "fp32[1, 3, 14, 14]",
        "output_size: adaptive_avg_pool makes spatial axes of size 1 only, not [7, 7]",
    ),
]


@pytest.mark.parametrize(("layer", "x", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(layer: dict[str, Any], x: str, message: str) -> None:
    assert blame(refusal(layer, x, dims=DIMS)) == message
