from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import blame, infer_types, make_op, parse_type, refusal

DIMS = {"N": (1, 8, 32), "C": (2, 4, 6)}

WEIGHTS = [
    ("batch", {"op": "batch_norm"}, ["weight", "bias", "running_mean", "running_var"], (6,)),
    ("batch-bare", {"op": "batch_norm", "affine": False}, ["running_mean", "running_var"], (6,)),
    ("instance", {"op": "instance_norm"}, [], ()),
    ("instance-affine", {"op": "instance_norm", "affine": True}, ["weight", "bias"], (6,)),
    ("group", {"op": "group_norm", "num_groups": 2}, ["weight", "bias"], (6,)),
    ("group-bare", {"op": "group_norm", "num_groups": 2, "affine": False}, [], ()),
    ("layer", {"op": "layer_norm"}, ["weight", "bias"], (5,)),
    ("layer-no-bias", {"op": "layer_norm", "bias": False}, ["weight"], (5,)),
    ("layer-axes", {"op": "layer_norm", "normalized_shape": [4, 5]}, ["weight", "bias"], (4, 5)),
    ("layer-bare", {"op": "layer_norm", "elementwise_affine": False}, [], ()),
    ("rms", {"op": "rms_norm"}, ["weight"], (5,)),
]


@pytest.mark.parametrize(("layer", "names", "shape"), [row[1:] for row in WEIGHTS], ids=[row[0] for row in WEIGHTS])
def test_weights(layer: dict[str, Any], names: list[str], shape: tuple[int, ...]) -> None:
    shapes = make_op(layer, {}).weight_shapes(parse_type("fp32[2, 6, 4, 5]", {}))
    assert shapes == dict.fromkeys(names, shape)
    assert infer_types(layer, "fp32[2, 6, 4, 5]") == ["fp32[2, 6, 4, 5]"]


REFUSALS = [
    (
        "batch-rank",
        {"op": "batch_norm"},
        "fp32[6]",
        "batch_norm takes [batch, channels, ...] of 2 to 5 axes, the input is [6]",
    ),
    (
        "batch-channels",
        {"op": "batch_norm"},
        "fp32[N, C, 8]",
        "batch_norm needs a fixed number of channels, axis 1 of the input is C",
    ),
    (
        "instance-rank",
        {"op": "instance_norm"},
        "fp32[N, 6]",
        "instance_norm takes [batch, channels, ...] with 1 to 3 spatial axes, the input is [N, 6]",
    ),
    (
        "groups",
        {"op": "group_norm", "num_groups": 4},
        "fp32[N, 6, 8]",
        "num_groups: num_groups 4 does not divide the 6 input channels",
    ),
    (
        "layer-shape",
        {"op": "layer_norm", "normalized_shape": 6},
        "fp32[N, 6, 8]",
        "normalized_shape: the input [N, 6, 8] does not end in normalized_shape [6]",
    ),
    (
        "layer-rank",
        {"op": "layer_norm", "normalized_shape": [1, 6, 8]},
        "fp32[6, 8]",
        "normalized_shape: the input [6, 8] does not end in normalized_shape [1, 6, 8]",
    ),
    (
        "layer-dynamic",
        {"op": "layer_norm"},
        "fp32[N, 6, C]",
        "layer_norm has weights for axes of a fixed size, C is dynamic",
    ),
    ("rms-scalar", {"op": "rms_norm"}, "fp32[]", "rms_norm normalises the last axes, the input is a scalar"),
]


@pytest.mark.parametrize(("layer", "x", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(layer: dict[str, Any], x: str, message: str) -> None:
    assert blame(refusal(layer, x, dims=DIMS)) == message
