from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import blame, infer_types, refusal

DIMS = {"N": (1, 8, 32), "H": (4, 8, 12)}

SIZES = [
    ("scale", {"scale_factor": 2}, "fp32[N, 3, H, 9]", "fp32[N, 3, H * 2, 18]"),
    ("fraction", {"scale_factor": 1.5}, "fp32[N, 3, H, 9]", "fp32[N, 3, H * 3 // 2, 13]"),
    ("third", {"scale_factor": 1 / 3}, "fp32[N, 3, H, 9]", "fp32[N, 3, H // 3, 3]"),
    ("near-third", {"scale_factor": 0.3333}, "fp32[N, 3, 9, 9]", "fp32[N, 3, 2, 2]"),
    ("per-axis", {"scale_factor": [1, 3]}, "fp32[N, 3, H, 9]", "fp32[N, 3, H, 27]"),
    ("size", {"size": [5, "H"]}, "fp32[N, 3, H, 9]", "fp32[N, 3, 5, H]"),
    ("one-size", {"size": 5, "mode": "bicubic"}, "fp32[N, 3, H, 9]", "fp32[N, 3, 5, 5]"),
]


@pytest.mark.parametrize(("parameters", "x", "y"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_sizes(parameters: dict[str, Any], x: str, y: str) -> None:
    assert infer_types({"op": "resize", **parameters}, x, dims=DIMS) == [y]


REFUSALS = [
    ("neither", {}, "resize takes either size or scale_factor"),
    ("infinite", {"scale_factor": float("inf")}, "scale_factor: scale_factor is infinite"),
    ("both", {"size": 3, "scale_factor": 2}, "scale_factor: resize takes either size or scale_factor"),
    ("values", {"size": [3, 4, 5]}, "size: size has 3 values, the input has 2 spatial axes"),
    ("too-small", {"scale_factor": 0.1}, "scale_factor: scale_factor leaves nothing of an axis of size H"),
    ("mode", {"size": 3, "mode": "trilinear"}, "mode: trilinear is for 3 spatial axes, the input has 2"),
    ("corners", {"size": 3, "align_corners": True}, "align_corners: align_corners says nothing to nearest"),
    (
        "rounding",
        {"size": 3, "mode": "linear", "nearest_rounding": "floor"},
        "nearest_rounding: nearest_rounding says nothing to linear",
    ),
    (
        "cubic-coefficient",
        {"size": 3, "mode": "bilinear", "cubic_coeff": -0.5},
        "cubic_coeff: cubic_coeff says nothing to bilinear",
    ),
    (
        "exclude-outside",
        {"size": 3, "exclude_outside": True},
        "exclude_outside: exclude_outside says nothing to nearest",
    ),
    (
        "symmetric",
        {"scale_factor": [1, 1.5], "mode": "bilinear", "coordinate_mode": "half_pixel_symmetric"},
        "coordinate_mode: half_pixel_symmetric differs from half_pixel where the size is rounded, as that of axis 3 "
        "(9) by scale_factor 1.5: TensorRT cannot do that",
    ),
    (
        "contradiction",
        {"size": 3, "mode": "bilinear", "align_corners": True, "coordinate_mode": "asymmetric"},
        "coordinate_mode: align_corners and coordinate_mode asymmetric exclude each other",
    ),
]


@pytest.mark.parametrize(("parameters", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(parameters: dict[str, Any], message: str) -> None:
    assert blame(refusal({"op": "resize", **parameters}, "fp32[N, 3, H, 9]", dims=DIMS)) == message
