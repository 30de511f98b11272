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


def test_all_are_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()} - {"README.md"}
    assert {name for name in files if f"[{name}]({name})" not in listed} == set()
