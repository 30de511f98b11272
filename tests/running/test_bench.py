"""Measuring on stand-ins for CUDA and TensorRT: what is counted, what is given back, and what a percentile is."""

from __future__ import annotations

import numpy as np
import pytest

import trtdsl
from tests.runtime.standin import Cuda, Driver, Plan, runtime_for
from trtdsl.build_options import BuildOptions
from trtdsl.running.bench import LayerTime, Times, measure, measure_layers
from trtdsl.runtime.device import Device

X = np.array([-1.5, 2, 0.5], np.float32)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    monkeypatch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, made, Driver())))
    return made


# Of 1 to 10: the smallest that half, nine in ten, … of all do not exceed.
TIMES = {
    "ten": (range(1, 11), 5.5, {50: 5, 90: 9, 95: 10, 99: 10}),
    "one": ([3], 3, {50: 3, 90: 3, 95: 3, 99: 3}),
    "two": ([4, 2], 3, {50: 2, 90: 4, 95: 4, 99: 4}),
    "a hundred": (range(100, 0, -1), 50.5, {50: 50, 90: 90, 95: 95, 99: 99}),
}


@pytest.mark.parametrize("case", TIMES)
def test_percentiles(case: str) -> None:
    values, mean, percentiles = TIMES[case]
    found = Times.of(list(map(float, values)))
    assert (found.count, found.mean, found.percentiles) == (len(values), mean, percentiles)
    assert (found.least, found.most) == (min(values), max(values))
    assert found.as_dict()["p95"] == percentiles[95]


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("graph", [False, True], ids=["plain", "graph"])
@pytest.mark.parametrize("transfers", [False, True], ids=["on the GPU", "copies"])
def test_runs_are_counted(streams: int, graph: bool, transfers: bool, cuda: Cuda) -> None:
    plan = Plan(cuda)
    with trtdsl.Engine.of_plan(runtime_for(plan), b"", BuildOptions()) as engine:
        found = measure(engine, {"x": X}, warm_up=0, duration=0.02, streams=streams, graph=graph, transfers=transfers)
    assert plan.contexts == streams
    assert found.gpu.count % streams == 0
    assert found.gpu.percentiles[50] == 0.5  # as the stand-in's clock says
    assert found.latency.count > 1
    assert 0 < found.latency.least <= found.latency.percentiles[50] <= found.latency.most
    assert found.throughput > 0
    assert any("launch" in said for said in cuda.said) == graph
    assert cuda.is_all_given_back


@pytest.mark.parametrize("transfers", [False, True], ids=["on the GPU", "copies"])
def test_copies_are_part_of_a_run_only_if_asked(transfers: bool, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    copy = cuda.cudaMemcpyAsync
    monkeypatch.setattr(cuda, "cudaMemcpyAsync", lambda *given: copied.append(given[2]) or copy(*given))
    plan = Plan(cuda)
    with trtdsl.Engine.of_plan(runtime_for(plan), b"", BuildOptions()) as engine:
        found = measure(engine, {"x": X}, warm_up=0, duration=0, transfers=transfers)
    assert plan.runs > found.latency.count + found.gpu.count  # some to warm up
    assert len(copied) == (2 * plan.runs if transfers else 1)


def test_layers_with_their_lines(cuda: Cuda) -> None:
    with trtdsl.Engine.of_plan(runtime_for(Plan(cuda)), b"", BuildOptions()) as engine:
        found = measure_layers(engine, {"x": X}, runs=4)
    assert found == (LayerTime("double", 0.75, ("net.yaml:7", "net.yaml:9")), LayerTime("copy", 0.25))
    assert found[0].as_dict() == {"name": "double", "ms": 0.75, "lines": ["net.yaml:7", "net.yaml:9"]}
    assert cuda.is_all_given_back
