"""Every example runs; train_digits.py and digits_data.py have tests of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trtdsl

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_build_from_python(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds an engine: needs `pip install -e '.[rtx]'`")
    engine = tmp_path / "digits.engine"
    command = [sys.executable, EXAMPLES / "build_from_python.py", engine]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "fc           linear       fp32[N, 10]" in said
    assert engine.stat().st_size > 10_000


def test_custom_block() -> None:
    network = trtdsl.load(EXAMPLES / "custom_block.yaml", random_weights=True, parameters={"blocks": 2})
    names = [layer.name for layer in network.graph.layers]
    assert "narrow.1.attention.squeeze" in names
    assert "shrink.add" not in names
    assert [layer.name for layer in network.typed.layers if layer.op.kind == "linear"] == ["classifier"]


@pytest.mark.parametrize("length", [1, 17])
def test_bert(length: int) -> None:
    network = trtdsl.load(EXAMPLES / "bert.yaml", random_weights=True, dims={"N": 2, "T": length})
    types = network.graph.types
    outputs = {output.name: str(types[output.tensor]) for output in network.graph.outputs}
    assert outputs == {"last_hidden_state": f"fp32[2, {length}, 512]", "pooler_output": "fp32[2, 512]"}


def test_bert_has_the_keys_of_transformers() -> None:
    network = trtdsl.load(EXAMPLES / "bert.yaml", random_weights=True, parameters={"depth": 1})
    layers = {layer.name: layer for layer in network.typed.layers}
    block = "attention.self.query attention.self.key attention.self.value attention.output.dense "
    block += "attention.output.LayerNorm intermediate.dense output.dense output.LayerNorm"
    kept = {f"encoder.layer.0.{part}" for part in block.split()} | {"embeddings.LayerNorm", "pooler.dense"}
    assert {name for name, layer in layers.items() if "bias" in layer.weights} == kept
    assert str(layers["pooler.dense"].weights["weight"].dtype) == "fp32"
    assert str(layers["encoder.layer.0.output.dense"].weights["weight"].dtype) == "fp16"


def test_all_are_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()} - {"README.md"}
    assert {name for name in files if f"[{name}]({name})" not in listed} == set()
