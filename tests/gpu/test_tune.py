"""`trtdsl tune` by engines: what overflows in fp16 stays in fp32, the rest gets faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.types import DataType

# 30,000 times what comes out of the activation is more than fp16 has, and the pooling keeps it from being fused away.
NETWORK = """\
trtdsl: 1
inputs: {x: [4, 64, 64, 64]}
precision: fp32   # to be tuned
build: {tf32: false}
layers:
  - {op: conv, name: c0, out_channels: 64, kernel_size: 3, padding: 1}
  - {op: relu, name: r0}
  - {op: conv, name: c1, out_channels: 64, kernel_size: 3, padding: 1}
  - {op: relu, name: r1}
  - {op: constant, name: many, value: 30000.0, dtype: fp32}
  - {op: mul, name: large, in: [r1, many]}
  - {op: max_pool, name: pool, kernel_size: 3, stride: 1, padding: 1}
  - {op: constant, name: few, value: 3.0e-5, dtype: fp32}
  - {op: mul, name: back, in: [pool, few]}
  - {op: conv, name: c2, out_channels: 64, kernel_size: 3, padding: 1}
  - {op: relu, name: r2}
  - {op: conv, name: c3, out_channels: 64, kernel_size: 3, padding: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "data").mkdir()
    numbers = np.random.default_rng(0)
    for index in range(2):
        x = numbers.standard_normal((4, 64, 64, 64), np.float32)
        np.save(tmp_path / "data" / f"{index}.npy", 10 * x)
    return tmp_path


def test_what_overflows_stays_wide(folder: Path, gpu: Any) -> None:
    options = {"tactic_sources": [], "optimization_level": 2}

    def tune(**arguments: Any) -> Any:
        network = trtdsl.load(folder / "net.yaml", random_weights=True)
        return network.tune(folder / "data", runtime="tensorrt", options=options, tolerance=1e-2, **arguments)

    stopped = tune(trials=3, write=False)
    assert stopped.exhausted
    tuned = tune()
    assert tuned.known == 3
    wide = {name for name, dtype in tuned.assignment.items() if dtype is DataType.FP32}
    assert "large" in wide
    assert {"c0", "c1", "c2", "c3"}.isdisjoint(wide)
    assert tuned.error <= 1e-2
    assert tuned.time < tuned.base_time
    gpu.note(
        f"tune: {sorted(wide)} stay in fp32 of {len(tuned.assignment)}; error {tuned.error:.1e}, {tuned.time:.3f} ms"
        f" instead of {tuned.base_time:.3f}, {tuned.measured + tuned.known} trials"
    )
    text = (folder / "net.yaml").read_text()
    assert "precision:   # to be tuned\n  default: fp16\n  layers:\n" in text
    assert text.endswith(NETWORK[NETWORK.index("build:") :])
    written = trtdsl.load(folder / "net.yaml", random_weights=True)
    x = np.load(folder / "data" / "0.npy")
    engine = written.compare({"x": x}, runtime="tensorrt", options=options).ways[-1]
    assert engine.worst <= 1e-2
    assert tune().measured == 0
