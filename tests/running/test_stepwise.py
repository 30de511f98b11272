"""Every op in fp16, rounded at every step: it still runs, and is as near as fp16 lets it be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import trtdsl
from tests.ops.harness import Case, cases
from trtdsl.ops import CATALOGUE
from trtdsl.running.reference import run_on_cpu
from trtdsl.targets.onnx import to_onnx
from trtdsl.types import DataType

NARROW = [case for case in cases() if case.precision is DataType.FP16 and not CATALOGUE[case.layer["op"]].no_onnx]


@pytest.mark.parametrize("case", NARROW, ids=lambda case: case.id)
def test_ops(case: Case) -> None:
    graph = case.graph()
    onnx.checker.check_model(to_onnx(graph, stepwise=True).proto(), full_check=True)
    arrays = case.input_arrays()
    inputs = {entry.name: arrays[entry.name].astype(entry.type.dtype.storage) for entry in graph.inputs}
    stepwise, direct = run_on_cpu(graph, inputs, stepwise=True), run_on_cpu(graph, inputs)
    for name, expected in direct.items():
        scale = max(float(np.abs(expected[np.isfinite(expected)].astype(np.float64)).max(initial=0)), 1e-12)
        np.testing.assert_allclose(
            stepwise[name].astype(np.float64), expected.astype(np.float64), rtol=0, atol=5e-3 * scale
        )


def test_an_overflow_between_two_layers_is_one(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "trtdsl: 1\ninputs: {x: [2]}\nprecision: fp16\n"
        "layers: [{op: mul, in: [x, x], name: squared}, {op: sqrt, name: root}, {op: mul, in: [root, root], name: y}]\n"
    )
    inputs = {"x": np.array([10, 1000], np.float32)}
    # 1,000 squared is more than the 65,504 that fp16 reaches.
    assert run_on_cpu(trtdsl.load(path).typed, inputs, stepwise=True)["y"].tolist() == [100, np.inf]
