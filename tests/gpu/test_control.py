"""Networks with control flow beside numpy: loops, conditionals, and both inside each other, in fp32 and fp16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.control.networks import CASES, Control
from tests.control.test_networks import loaded, weights_of
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics
from trtdsl.targets.runtime import find_runtime
from trtdsl.types import DataType

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

TOLERANCE = {DataType.FP32: 1e-5, DataType.FP16: 5e-3}
OPTIONS = BuildOptions(tactic_sources=(), tf32=False, optimization_level=1)


@pytest.mark.parametrize(
    ("case", "precision"),
    [(case, precision) for case in CASES for precision in case.precisions],
    ids=lambda value: getattr(value, "id", value),
)
def test_equals_numpy(case: Control, precision: str, gpu: Any, tmp_path: Path) -> None:
    runtime = find_runtime("tensorrt")
    graph = loaded(case, tmp_path, precision).typed
    weights = weights_of(loaded(case, tmp_path).typed)
    plan = build(graph, runtime, OPTIONS, Diagnostics())
    engine = gpu.runtime.deserialize_cuda_engine(bytes(plan))
    is_narrow = DataType.FP16 in {entry.dtype for entry in graph.types.values()}
    worst = 0.0
    for arrays in case.runs():
        outputs = device.run(gpu.trt, engine, arrays, gpu.log)
        for name, expected in case.expected(arrays, weights).items():
            assert outputs[name].shape == expected.shape
            worst = max(worst, device.relative_error(outputs[name], expected))
    gpu.note(f"{case.id:40} {precision} {worst:.1e}")
    assert worst <= TOLERANCE[DataType.FP16 if is_narrow else DataType.FP32]
