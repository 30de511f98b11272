"""Every op case beside PyTorch: engines of one op each, in fp32 and fp16, at the min, opt and max of their sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ops.harness import POINTS, Case, cases
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics
from trtdsl.targets.runtime import Runtime, find_runtime
from trtdsl.types import DataType

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

# Relative to the largest output of the case: rounding of sums, and in fp16 of every step.
TOLERANCE = {DataType.FP32: 1e-5, DataType.FP16: 5e-3}
OPTIONS = BuildOptions(tactic_sources=(), tf32=False, optimization_level=1)
AS_FP16 = "~fp16"
# Functions that amplify what a rounded input is off by.
LOOSE = {"log": 10.0, "pow": 4.0, "reciprocal": 4.0, "div": 4.0}


def _every_case() -> list[Case]:
    """Each case in its own precision, and those of fp32 in fp16 as well; 8.6 has no bf16 and no int64."""
    known = {case.id: case for case in cases() if case.precision in TOLERANCE}
    halves = [
        replace(case, id=case.id + AS_FP16, precision=DataType.FP16)
        for case in known.values()
        if case.precision is DataType.FP32 and case.id.replace("-fp32", "-fp16") not in known
    ]
    return [*known.values(), *halves]


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return find_runtime("tensorrt")


@pytest.fixture(scope="session")
def expected(reference: Path) -> Any:
    return np.load(reference / "ops.npz")


@pytest.mark.parametrize("case", _every_case(), ids=lambda case: case.id)
def test_equals_pytorch(case: Case, gpu: Any, runtime: Runtime, expected: Any) -> None:
    graph = case.graph()
    if missing := {tensor.dtype for tensor in graph.types.values()} - runtime.dtypes:
        pytest.skip(f"{runtime} does not know {', '.join(sorted(map(str, missing)))}")
    plan = build(graph, runtime, OPTIONS, Diagnostics())
    engine = gpu.runtime.deserialize_cuda_engine(bytes(plan))
    allowed = TOLERANCE[case.precision] * LOOSE.get(graph.layers[0].op.kind, 1.0)
    worst, wrong = 0.0, []
    for point in POINTS if case.is_dynamic else ("opt",):
        outputs = device.run(gpu.trt, engine, case.input_arrays(point), gpu.log)
        if case.check:
            assert case.failures(outputs[graph.outputs[0].name], point) == []
            continue
        for index, output in enumerate(graph.outputs):
            actual, reference = outputs[output.name], expected[f"{case.id.removesuffix(AS_FP16)}/{point}/{index}"]
            assert actual.shape == reference.shape
            error = device.relative_error(actual, reference)
            worst = max(worst, error)
            if error > allowed:
                wrong.append(f"{output.name} at {point}: {error:.1e}\ngot {actual}\nfor {reference}")
    gpu.note(f"{case.id:60} {worst:.1e}")
    assert not wrong, "\n".join(wrong)
