"""What inspectors say of engines, in the form that TensorRT 8.6.1 gave on an H200, to be read without one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = {
    "fp32": "Row major linear FP32",
    "fp16": "Channel major FP16 format where channel % 8 == 0",
    "int8": "Thirty-two wide channel vectorized row major Int8 format",
    "int32": "Row major linear INT32",
    "": "N/A due to dynamic shapes",
}
WEIGHTS = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}
JOINED = "\x1e"


def tensor(name: str, dtype: str, shape: Sequence[int] = (1, 8, 4, 4)) -> dict[str, Any]:
    """A tensor in one of the formats above."""
    return {"Name": name, "Location": "Device", "Dimensions": list(shape), "Format/Datatype": FORMATS[dtype]}


def layer(
    name: str,
    kind: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    weights: str | None = None,
    tactic: str = "",
    value: str = "0x0000000000000000",
    lines: Sequence[str] = (),
) -> dict[str, Any]:
    """A layer; `inputs` and `outputs` have the types of tensors by their names."""
    described: dict[str, Any] = {
        "Name": name,
        "LayerType": kind,
        "Inputs": [tensor(*pair) for pair in inputs.items()],
        "Outputs": [tensor(*pair) for pair in outputs.items()],
    }
    if weights is not None:
        described |= {
            "ParameterType": "Convolution",
            "Kernel": [3, 3],
            "Weights": {"Type": WEIGHTS[weights], "Count": 576},
            "Bias": {"Type": "Float", "Count": 8},
            "Activation": "RELU",
        }
    if tactic:
        described["TacticName"] = tactic
    return {**described, "TacticValue": value, "StreamId": 0, "Metadata": JOINED.join(lines)}


def engine(*layers: object) -> str:
    """The JSON of a whole engine."""
    return json.dumps({"Layers": list(layers), "Bindings": ["x", "y"]})
