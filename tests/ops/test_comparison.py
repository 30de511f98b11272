"""Comparisons and logic in whole networks, where words such as `not` are names of ops; types and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from tests.ops.harness import blame, infer_types, parse_layer, refusal
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.recorder import record
from trtdsl.targets.reference import run_model
from trtdsl.targets.runtime import Runtime

DIMS = {"N": (1, 2, 4), "L": (3, 5, 8)}
NETWORK = """
trtdsl: 1
dims: {N: [1, 2, 4]}
inputs: {x: [N, 4]}
layers:
  - {op: greater, name: positive, other: 0}
  - {op: less, name: small, in: x, other: 2}
  - {op: and, name: both, in: [positive, small]}
  - not
  - {op: or, in: [both, positive]}
  - {op: xor, name: large, in: [positive, small]}
  - {op: where, name: kept, in: [large, x], other: -1}
outputs: [both, kept]
"""


@pytest.fixture
def network(tmp_path: Path) -> trtdsl.Network:
    (tmp_path / "net.yaml").write_text(NETWORK, encoding="utf-8")
    return trtdsl.load(tmp_path / "net.yaml")


def test_logic_in_onnx(network: trtdsl.Network) -> None:
    outputs = run_model(
        to_onnx(network.typed).proto().SerializeToString(), {"x": np.array([[-1, 0, 1, 3]], np.float32)}
    )
    np.testing.assert_array_equal(outputs["both"], [[False, False, True, False]])
    np.testing.assert_array_equal(outputs["kept"], [[-1, 0, -1, 3]])


def test_tensorrt_takes_logic(network: trtdsl.Network, rtx: Runtime, tmp_path: Path) -> None:
    assert network.build(tmp_path / "net.engine", runtime="rtx", cache=False).path.exists()


@pytest.mark.parametrize(("version", "has_isnan"), [((8, 6, 1), False), ((10, 15), True)], ids=["8.6", "10"])
def test_nan_is_found_by_comparisons_where_need_be(version: tuple[int, ...], has_isnan: bool, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [4]}\nlayers: [isnan]\n", encoding="utf-8")
    graph = trtdsl.load(tmp_path / "net.yaml").typed
    written = "\n".join(line for calls in record(graph, Runtime("tensorrt", version)) for line in calls.statements)
    assert ("UnaryOperation.ISNAN" in written) is has_isnan
    assert ("UnaryOperation.NOT" in written) is not has_isnan


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        ("equal", ["fp32[N, 3]", "fp32[3]"], "bool[N, 3]"),
        ("{op: less, other: 2}", ["int64[N, L]"], "bool[N, L]"),
        ("{op: greater_equal, other: [[1], [2]]}", ["fp32[L]"], "bool[2, L]"),
        ("{op: equal, other: [true, false]}", ["bool[N, 2]"], "bool[N, 2]"),
        ("isnan", ["fp16[N, L]"], "bool[N, L]"),
        ("{op: or, other: [true, false]}", ["bool[N, 1]"], "bool[N, 2]"),
        ("not", ["bool[L]"], "bool[L]"),
        ("where", ["bool[N, 1]", "int32[L]", "int32[]"], "int32[N, L]"),
        ("{op: where, other: 0.5}", ["bool[N, 1]", "fp16[L]"], "fp16[N, L]"),
        ("{op: masked_fill, value: -.inf}", ["fp32[1, L]", "bool[N, 1]"], "fp32[N, L]"),
    ],
)
def test_types(layer: str, inputs: list[str], expected: str) -> None:
    assert infer_types(parse_layer(layer), *inputs, dims=DIMS) == [expected]


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        ("equal", ["fp32[N]"], "in: equal takes two operands, it has one"),
        (
            "{op: less, other: 1}",
            ["fp32[N]", "fp32[N]"],
            "other: less takes two operands, it has both a second input and `other`",
        ),
        ("equal", ["fp32[N]", "int32[N]"], "in: equal takes inputs of one element type, these are fp32 and int32"),
        ("{op: equal, other: 0.5}", ["int32[N]"], "other: `other` is fp32, the input is int32"),
        ("{op: equal, other: 1}", ["bool[N]"], "other: `other` is int64, the input is bool"),
        ("{op: equal, other: [true]}", ["int32[N]"], "other: `other` is bool, the input is int32"),
        ("{op: less, other: 3000000000}", ["int32[N]"], "other: other 3000000000 is more than int32 holds"),
        ("less", ["bool[N]", "bool[N]"], "in: input input 1 is bool[N], less takes bf16, fp16, fp32, int32, int64"),
        ("and", ["int32[N]", "bool[N]"], "in: input input 1 is int32[N], and takes bool"),
        ("{op: and, other: [1, 0]}", ["bool[2]"], "other: `other` is int64, the input is bool"),
        ("not", ["fp32[N]"], "in: input input 1 is fp32[N], not takes bool"),
        ("isnan", ["int32[N]"], "in: input input 1 is int32[N], isnan takes bf16, fp16, fp32"),
        ("where", ["fp32[N]", "fp32[N]", "fp32[N]"], "in: input input 1 is fp32[N], where takes bool"),
        ("where", ["bool[N]", "fp32[N]"], "in: where takes two operands, it has one"),
        ("{op: where, other: 0.5}", ["bool[N]", "int32[N]"], "other: `other` is fp32, the input is int32"),
        (
            "where",
            ["bool[N]", "fp32[N]", "int32[N]"],
            "in: where takes inputs of one element type, these are fp32 and int32",
        ),
        (
            "where",
            ["bool[3]", "fp32[4]", "fp32[]"],
            "where of [3] and [4] and []: sizes 3 and 4 do not broadcast",
        ),
        (
            "{op: masked_fill, value: 0.5}",
            ["int32[N]", "bool[N]"],
            "value: value 0.5 is not a whole number, the input is int32",
        ),
        (
            "{op: masked_fill, value: .inf}",
            ["int32[N]", "bool[N]"],
            "value: value inf is not a whole number, the input is int32",
        ),
    ],
)
def test_refusals(layer: str, inputs: list[str], message: str) -> None:
    assert blame(refusal(parse_layer(layer), *inputs, dims=DIMS)) == message
