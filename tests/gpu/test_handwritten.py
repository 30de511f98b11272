"""The hand-written plugin of tests/plugins/handwritten in an engine built from YAML: all fields tell in the output.

`TRTDSL_HANDWRITTEN` names its library, compiled for the TensorRT that is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

FIELDS: dict[str, dict[str, Any]] = {
    "down": {"shift": -1, "low": -128, "high": 127, "mirror": False, "offsets": [0, 0, 0, 0]},
    "up": {"shift": 3, "low": -100, "high": 99, "mirror": False, "offsets": [1, -2, 4, -8]},
    "mirrored": {"shift": 0, "low": -5, "high": 7, "mirror": True, "offsets": [0.5, 0.25, -0.125, 100]},
}


def _expected(x: Any, fields: dict[str, Any]) -> Any:
    offsets = np.array(fields["offsets"], np.float32)[np.arange(x.shape[1]) % 4].reshape(1, -1, 1, 1)
    y = np.clip(np.trunc(x * np.float32(2) ** fields["shift"]) + offsets, fields["low"], fields["high"])
    return -y if fields["mirror"] else y


def test_every_field_arrives(gpu: Any, tmp_path: Path) -> None:
    library = os.environ.get("TRTDSL_HANDWRITTEN")
    if library is None:
        pytest.skip("TRTDSL_HANDWRITTEN names no compiled library (tests/plugins/handwritten)")
    path = tmp_path / "net.yaml"
    # In another order than the creator's.
    written = {
        name: ", ".join(f"{key}: {str(value).lower()}" for key, value in reversed(fields.items()))
        for name, fields in FIELDS.items()
    }
    layers = "\n".join(
        f"  - {{op: plugin, name: {name}, in: x, plugin: StepClip, fields: {{{fields}}}}}"
        for name, fields in written.items()
    )
    path.write_text(
        f"trtdsl: 1\ndims: {{N: [1, 2, 4]}}\ninputs: {{x: [N, 6, 5, 7]}}\nplugins: {{libraries: [{library}]}}\n"
        f"layers:\n{layers}\noutputs: [{', '.join(FIELDS)}]\n"
    )
    built = trtdsl.load(path).build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    engine = gpu.runtime.deserialize_cuda_engine(built.path.read_bytes())
    for batch in (1, 3, 4):
        x = np.random.default_rng(batch).uniform(-40, 40, (batch, 6, 5, 7)).astype(np.float32)
        outputs = device.run(gpu.trt, engine, {"x": x}, gpu.log)
        for again in device.run_captured(gpu.trt, engine, {"x": x}):
            for name, fields in FIELDS.items():
                assert np.array_equal(outputs[name], _expected(x, fields)), (name, batch)
                assert np.array_equal(again[name], outputs[name]), (name, batch)
    _runs_elsewhere(built.path, x, tmp_path)


def _runs_elsewhere(engine: Path, x: Any, folder: Path) -> None:
    """A process that only has the engine file finds the library by its manifest."""
    program = (
        "import sys\nimport numpy as np\nimport trtdsl\n"
        "with trtdsl.Engine(sys.argv[1], runtime='tensorrt') as engine:\n"
        "    np.savez(sys.argv[3], **engine.run({'x': np.load(sys.argv[2])}))\n"
    )
    np.save(folder / "x.npy", x)
    command = [sys.executable, "-c", program, engine, folder / "x.npy", folder / "y.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = np.load(folder / "y.npz")
    for name, fields in FIELDS.items():
        assert np.array_equal(outputs[name], _expected(x, fields)), name
