"""What measures assignments: errors by ONNX Runtime, and engines, for which ONNX Runtime stands in here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import Built, Tactics
from trtdsl.errors import BuildError, RunError
from trtdsl.graph import Graph
from trtdsl.running.reference import load_on_cpu
from trtdsl.targets.runtime import Runtime
from trtdsl.tuning import OnCpu, OnGpu, judges
from trtdsl.types import DataType

pytest.importorskip("onnxruntime", reason="runs networks on a CPU: pip install 'trtdsl[onnx]'")

TEXT = """\
trtdsl: 1
inputs: {x: {shape: [3], dtype: fp16}}
layers:
  - {op: mul, name: squared, in: [x, x]}
  - {op: sqrt, name: root}
outputs: {y: root, z: {tensor: squared, dtype: fp16}}
"""
SMALL, LARGE = (np.array(values, np.float16) for values in ([1, 2, 3], [1, 2, 300]))


def graph(folder: Path, precision: str) -> Graph:
    path = folder / "net.yaml"
    path.write_text(TEXT)
    return trtdsl.load(path, precision=precision).graph


class Gpu:
    """A TensorRT whose plans are graphs, run by ONNX Runtime."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[tuple[Graph, BuildOptions, Tactics]] = []
        self.fails = False
        self.graphs: list[bool] = []
        runtime = Runtime("tensorrt", (8, 6, 1))
        monkeypatch.setattr(judges, "has_gpu", lambda: True)
        monkeypatch.setattr(judges, "current_gpu", lambda: "a GPU")
        monkeypatch.setattr(judges, "find_runtime", lambda choice: runtime)
        monkeypatch.setattr(judges, "build_by_tactics", self._build)
        monkeypatch.setattr("trtdsl.runtime.Engine", SimpleNamespace(of_plan=self._engine))
        monkeypatch.setattr("trtdsl.running.bench.measure", self._measure)

    def _build(self, typed: Graph, runtime: Runtime, options: BuildOptions, _: Any, __: Any, tactics: Tactics) -> Built:
        if self.fails:
            raise BuildError.of("tensorrt-build", "no implementation")
        self.built.append((typed, options, tactics))
        return Built(typed, b"timings %d" % len(self.built))

    @contextmanager
    def _engine(self, runtime: Runtime, plan: Graph, options: BuildOptions) -> Iterator[Any]:
        assert (plan, options) == self.built[-1][:2]
        yield SimpleNamespace(run=load_on_cpu(plan, stepwise=True))

    def _measure(self, engine: Any, inputs: Mapping[str, Any], *, graph: bool, **_: Any) -> Any:
        self.graphs.append(graph)
        if graph and len(self.graphs) == 1:
            raise RunError.of("engine-run", "this one cannot be captured")
        return SimpleNamespace(gpu=SimpleNamespace(percentiles={50: 1.5}))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def test_errors_are_the_largest_of_all_outputs_and_data(tmp_path: Path) -> None:
    wide = graph(tmp_path, "fp32")
    judge = OnCpu(wide, [{"x": SMALL}])
    assert judge.measure(graph(tmp_path, "fp16")).error < 1e-3
    judge = OnCpu(wide, [{"x": SMALL}, {"x": LARGE}])
    # 300 squared is beyond fp16. What the output is delivered in is no part of the reference.
    assert judge.measure(graph(tmp_path, "fp16")).error == math.inf
    assert judge.base_time() is None


def test_engines_are_held_against_one_in_fp32_without_tf32(gpu: Gpu, tmp_path: Path) -> None:
    judge = OnGpu(graph(tmp_path, "fp16"), [{"x": SMALL}], "auto", BuildOptions())
    (reference, options, _) = gpu.built[0]
    assert {entry.dtype for entry in reference.types.values()} == {DataType.FP32}
    assert not options.tf32
    assert judge.name == "engines of TensorRT 8.6.1 on a GPU"
    assert DataType.BF16 not in judge.dtypes
    assert judge.base_time() == 1.5
    assert gpu.graphs == [True, False]
    trial = judge.measure(graph(tmp_path, "fp16"))
    assert 0 <= trial.error < 1e-3
    assert trial.time == 1.5
    assert gpu.built[1][1].tf32
    # All builds share what they measured.
    assert [entry[2].timings for entry in gpu.built] == [b"", b"timings 1"]


def test_engines_that_are_built_otherwise_are_told_apart(gpu: Gpu, tmp_path: Path) -> None:
    first, again, other = (
        OnGpu(graph(tmp_path, "fp16"), [{"x": SMALL}], "auto", BuildOptions(optimization_level=level)).settings
        for level in (3, 3, 5)
    )
    assert first == again
    assert first != other


def test_what_cannot_be_built_is_no_answer_to_take(gpu: Gpu, tmp_path: Path) -> None:
    judge = OnGpu(graph(tmp_path, "fp16"), [{"x": SMALL}], "auto", BuildOptions())
    gpu.fails = True
    assert judge.measure(graph(tmp_path, "fp16")).error == math.inf
