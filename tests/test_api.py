"""The Python interface: what `trtdsl.load` takes, and what it gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trtdsl
from trtdsl.targets.recorder import record

NETWORK = """\
trtdsl: 1
params: {channels: 4, cfg: {kernels: {18: 3, 34: 5}}}
dims: {N: [1, 2, 8], H: [2, 4, 8]}
inputs: {image: [N, 3, $(H * 4 + 2), 8]}
layers:
  - {op: conv, name: a, out_channels: $channels, kernel_size: '$(cfg["kernels"][18])', padding: same}
  - {op: slice, name: even, dim: 2, start: 2}
  - {op: reshape, name: b, shape: [N, $channels, H, 32]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.yaml"
    file.write_text(NETWORK)
    return file


def load(path: Path, **arguments: object) -> trtdsl.Network:
    return trtdsl.load(path, random_weights=True, **arguments)  # type: ignore[arg-type]


def test_parameters_and_dims(path: Path) -> None:
    network = load(path, parameters={"channels": 2, "cfg.kernels": {18: 1}}, dims={"N": 4, "H": (1, 2, 3)})
    assert network.graph.layers[0].weights["weight"].shape == (2, 3, 1, 1)
    batch, _, height, _ = network.graph.types["b"].shape
    assert batch.value == 4
    assert (str(height), tuple(height.sizes)) == ("H", (1, 2, 3))


def test_what_is_wrong_is_one_exception(path: Path) -> None:
    with pytest.raises(trtdsl.TrtdslError, match="no dimension `M`"):
        load(path, dims={"M": 4})


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", [str, Path])
def test_weights_are_paths_or_text(path: Path, kind: type, several: bool) -> None:
    np.savez(path.parent / "w.npz", **{"a.weight": np.ones((4, 3, 3, 3)), "a.bias": np.ones(4)})
    file = kind(path.parent / "w.npz")
    network = trtdsl.load(path, weights=[file] if several else file)
    assert [use.path.name for use in network.flat.weights] == ["w.npz"]


def test_an_unknown_word_is_no_key_error(path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of fp32, fp16, bf16"):
        load(path, precision="half")
    with pytest.raises(ValueError, match="a runtime is one of auto, rtx, tensorrt, not 'cuda'"):
        load(path).build(runtime="cuda")


def test_importing_is_cheap() -> None:
    code = "import sys, trtdsl; trtdsl.TrtdslError; print('numpy' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_dimension_is_told_from_a_size_that_it_is_part_of(path: Path) -> None:
    calls = "\n".join(line for calls in record(load(path).typed) for line in calls.statements)
    # H is (size - 2) // 4.
    assert calls.index("ElementWiseOperation.SUB") < calls.index("ElementWiseOperation.FLOOR_DIV")


def test_tensorrt_takes_such_a_dimension(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install 'trtdsl[rtx]'")
    assert load(path).build(tmp_path / "net.engine", runtime="rtx", cache=False).path.exists()


GROUPS = """\
trtdsl: 1
inputs: {x: [2, 8, 4, 4]}
precision: {default: fp32, layers: {"*.b": bf16, "lone.*": bf16}}
modules:
  block:
    layers:
      - {op: conv, name: a, out_channels: 8, kernel_size: 1}
      - {op: conv, name: b, out_channels: 8, kernel_size: 1}
      - {op: instance_norm, name: norm}
      - {op: instance_norm, name: narrow, precision: fp16}
layers:
  - {op: block, name: first, precision: fp16}
  - {op: block, name: lone}
"""
COMPUTED = {
    "first.a": "fp16",
    "first.b": "fp16",  # the group counts for more than the pattern
    "first.norm": "fp32",  # what is said of a group does not mean its sums
    "first.narrow": "fp16",
    "lone.a": "bf16",
    "lone.b": "bf16",
    "lone.norm": "fp32",
    "lone.narrow": "fp16",
}


def test_precision_of_groups_patterns_and_layers_survives_expansion(tmp_path: Path) -> None:
    written = tmp_path / "net.yaml"
    written.write_text(GROUPS)
    network = load(written)
    (tmp_path / "flat.yaml").write_text(network.expanded)
    for each in (network, load(tmp_path / "flat.yaml")):
        computed = {layer.name: str(layer.precision) for layer in each.typed.layers if layer.op.kind != "cast"}
        assert computed == COMPUTED
