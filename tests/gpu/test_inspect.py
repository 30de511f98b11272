"""`trtdsl inspect` on engines of the GPU that is here: what it lists, and from which lines that came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import trtdsl
from trtdsl.cli.main import main
from trtdsl.errors import EngineFileError
from trtdsl.running.inspect import inspect_engine

TEXT = """\
trtdsl: 1
dims: {N: [1, 2, 4]}
inputs: {x: [N, 8, 16, 16]}
precision: fp16
layers:
  - {op: conv, name: first, out_channels: 16, kernel_size: 3}
  - {op: batch_norm, name: norm}
  - {op: relu, name: act}
  - {op: conv, name: last, out_channels: 8, kernel_size: 3}
"""


@pytest.fixture
def engine(gpu: Any, tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(TEXT)
    network = trtdsl.load(path, random_weights=True)
    return network.build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False).path


def test_layers_bear_their_kernels_and_lines(engine: Path, gpu: Any) -> None:
    # Neither the network nor the manifest is needed.
    network = engine.with_name("net.yaml")
    engine.with_name("net.engine.json").unlink()
    network.unlink()
    found = json.loads(_printed("inspect", engine, "--runtime", "tensorrt", "--json"))
    assert found["detailed"]
    by_line = {line: layer for layer in found["layers"] for line in layer["lines"]}
    first = by_line[f"{network}:6"]
    assert first["lines"] == [f"{network}:{line}" for line in (6, 7, 8)]
    assert first["weights"]["Weights"] == {"dtype": "fp16", "count": 16 * 8 * 3 * 3}
    assert first["tactic"]
    assert by_line[f"{network}:9"]["weights"]["Weights"]["count"] == 8 * 16 * 3 * 3
    readable = _printed("inspect", engine, "--runtime", "tensorrt")
    assert "first + norm + act" in readable
    assert first["tactic"] in readable
    gpu.note(readable)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_smaller_of_two_convolutions_takes_their_sum(precision: str, gpu: Any, tmp_path: Path) -> None:
    """Which is why it is added first: the larger keeps a kernel that does not sum, and those are faster."""
    path = tmp_path / "net.yaml"
    path.write_text(
        f"trtdsl: 1\ninputs: {{x: [8, 64, 28, 28]}}\nprecision: {precision}\nlayers:\n"
        "  - {op: conv, name: large, in: x, out_channels: 64, kernel_size: 3, padding: 1}\n"
        "  - {op: conv, name: small, in: x, out_channels: 64, kernel_size: 1}\n"
        "  - {op: add, name: sum, in: [large, small]}\n"
    )
    network = trtdsl.load(path, random_weights=True)
    built = network.build(tmp_path / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    names = [layer.name for layer in inspect_engine(built.path, "tensorrt").layers]
    assert "small + sum" in names
    assert "large" in names


def _printed(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_what_is_no_engine(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "no.engine"
    path.write_bytes(b"this is no engine" * 100)
    with pytest.raises(EngineFileError, match="does not load the engine"):
        inspect_engine(path, "tensorrt")
