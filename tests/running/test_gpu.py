"""Networks as engines that run: built by TensorRT-RTX, then taken from the store; stand-ins run them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.runtime.standin import Cuda, Driver, Plan, runtime_for
from trtdsl.calibration import devices
from trtdsl.engine import make
from trtdsl.errors import NetworkError, RunError
from trtdsl.running import gpu
from trtdsl.runtime import engine as module
from trtdsl.runtime.device import Device, bindings
from trtdsl.targets.runtime import Runtime

NET = "trtdsl: 1\nname: net\ndims: {N: [1, 2, 4]}\ninputs: {x: [N]}\nlayers: [{op: add, in: [x, x], name: twice}]\n"
X = np.array([-1.5, 2, 0.5], np.float32)


class Machine:
    """A GPU whose engines all give twice what they take; counts what is built."""

    def __init__(self, rtx: Runtime, patch: pytest.MonkeyPatch) -> None:
        self.cuda = Cuda()
        self.built = 0
        self._build = make.build_by_tactics
        standin = replace(runtime_for(Plan(self.cuda)), flavor=rtx.flavor, version=rtx.version)
        patch.setattr(make, "build_by_tactics", self.build)
        patch.setattr(gpu, "has_gpu", lambda: True)
        patch.setattr(gpu, "bindings", lambda: None)
        patch.setattr(module, "has_gpu", lambda: True)
        patch.setattr(module, "find_runtime", lambda choice: standin)
        patch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, self.cuda, Driver())))

    def build(self, *given: Any) -> Any:
        self.built += 1
        return self._build(*given)


@pytest.fixture
def machine(rtx: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    return Machine(rtx, monkeypatch)


@pytest.fixture
def network(tmp_path: Path) -> trtdsl.Network:
    (tmp_path / "net.yaml").write_text(NET)
    return trtdsl.load(tmp_path / "net.yaml")


def test_an_engine_is_built_once(machine: Machine, network: trtdsl.Network, tmp_path: Path) -> None:
    for _ in range(3):
        np.testing.assert_array_equal(network.run({"x": X}, runtime="rtx")["twice"], [-3, 4, 1])
    assert machine.built == 1
    network.run({"x": X}, runtime="rtx", options={"refit": True})
    assert machine.built == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "net.yaml"]
    assert machine.cuda.is_all_given_back


def test_an_engine_stays_until_it_is_released(machine: Machine, network: trtdsl.Network) -> None:
    with network.engine(runtime="rtx") as engine:
        assert engine.manifest is not None
        assert engine.manifest["name"] == "net"
        for factor in (1, 2):
            np.testing.assert_array_equal(engine.run({"x": X * factor})["twice"], 2 * X * factor)
    assert machine.cuda.is_all_given_back


def test_wrong_options_are_the_networks(machine: Machine, network: trtdsl.Network) -> None:
    with pytest.raises(NetworkError, match="is not a build option"):
        network.engine(runtime="rtx", options={"refits": True})


def test_without_the_bindings_of_cuda_nothing_is_built(
    rtx: Runtime, network: trtdsl.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(rtx, monkeypatch)
    monkeypatch.setattr(gpu, "bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(RunError, match="running an engine needs cuda") as error:
        network.engine(runtime="rtx")
    assert error.value.diagnostics[0].hint == "pip install 'trtdsl[gpu]'"
    assert machine.built == 0


def test_without_a_gpu_nothing_is_built(
    machine: Machine, network: trtdsl.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    with pytest.raises(RunError, match="an engine needs a GPU to run"):
        network.engine(runtime="rtx")
    assert machine.built == 0


@pytest.mark.parametrize("built_in", [gpu, devices], ids=["compare", "calibrate"])
def test_what_is_built_to_be_run_is_loaded_as_it_was_built(
    built_in: ModuleType, rtx: Runtime, network: trtdsl.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine for later versions of TensorRT brings code, which has to be allowed."""
    machine = Machine(rtx, monkeypatch)
    plan = Plan(machine.cuda)
    runtime = runtime_for(plan)
    monkeypatch.setattr(gpu, "find_runtime", lambda choice: runtime)
    monkeypatch.setattr(built_in, "build", lambda *_: b"an engine")
    options = replace(network.options(), version_compatible=True)
    if built_in is gpu:
        outputs = gpu.Runner(runtime).run(network.typed, options, {"x": X})
    else:
        outputs = devices.loader("gpu", "auto", options)(network.graph)({"x": X})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])
    assert plan.loaded_with == (True, None)
    assert machine.cuda.is_all_given_back
