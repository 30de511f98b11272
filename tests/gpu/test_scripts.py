"""Scripts on a TensorRT that is there: the network is the emitted one, and the engine gives the same outputs."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.targets.test_script import described
from trtdsl.engine.log import BuildLog
from trtdsl.targets.runtime import find_runtime
from trtdsl.targets.tensorrt import emit

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

NETWORKS = Path(__file__).parents[2] / "networks"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "parameters"), [("digits", {}), ("resnet", {"depth": 18}), ("gpt2", {"depth": 1})])
def test_the_script_is_the_network(
    name: str, parameters: dict[str, Any], precision: str, gpu: Any, tmp_path: Path
) -> None:
    network = trtdsl.load(
        NETWORKS / f"{name}.yaml", parameters=parameters, random_weights=name != "digits", precision=precision
    )
    script, *_ = network.export_script(tmp_path / "net.py", runtime="tensorrt", options=gpu.options)
    made = runpy.run_path(str(script))
    builder, written = made["load_network"]()
    runtime = find_runtime("tensorrt")
    strongly_typed = runtime.is_strongly_typed
    log = BuildLog(runtime)
    emitted = gpu.builder.create_network(runtime.network_flags(strongly_typed))
    alive = emit(network.for_runtime(runtime), emitted, runtime, log, strongly_typed=strongly_typed)
    assert described(written, gpu.trt) == described(emitted, gpu.trt)
    del alive
    plan = builder.build_serialized_network(written, made["load_config"](builder, written))
    inputs = {
        entry.name: np.ones([dim.sizes.opt for dim in entry.type.shape], entry.type.dtype.storage)
        for entry in network.graph.inputs
    }
    by_script = device.run(gpu.trt, gpu.runtime.deserialize_cuda_engine(plan), inputs, gpu.log)
    by_trtdsl = gpu.run(network, inputs, tmp_path)
    for key, expected in by_trtdsl.items():
        # Two builds may choose other tactics.
        assert device.relative_error(by_script[key], expected) < {"fp32": 1e-5, "fp16": 1e-2}[precision]
