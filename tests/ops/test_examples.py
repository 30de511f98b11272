"""The reference page of ops is fresh, and TensorRT-RTX builds every example on it."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
from scripts.ops_page import network, page
from tests.ops.test_tensorrt import Builder
from trtdsl.errors import BuildError
from trtdsl.ops import CATALOGUE
from trtdsl.targets.runtime import Runtime

OPS = {kind: op for kind, op in CATALOGUE.items() if kind == op.kind}
NOT_IN_RTX = {"nms": "no kernel", "non_zero": "no kernel", "roi_align": "plugin", "plugin": "has no plugins"}
"""Ops that RTX lacks, and a word of its refusal."""


@pytest.fixture(scope="module")
def builder(rtx: Runtime) -> Builder:
    return Builder(rtx)


def test_the_page_is_fresh() -> None:
    published = (Path(__file__).parents[2] / "docs" / "ops.md").read_text(encoding="utf-8")
    assert published == "\n".join(page()), "python scripts/ops_page.py > docs/ops.md"


@pytest.mark.parametrize("kind", OPS)
def test_the_example_builds(kind: str, builder: Builder, tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    path.write_text(f"trtdsl: 1\n{network(OPS[kind])}", encoding="utf-8")
    graph = trtdsl.load(path, random_weights=True).typed
    assert any(isinstance(layer.op, OPS[kind]) for layer in graph.layers)
    if kind in NOT_IN_RTX:
        with pytest.raises(BuildError, match=NOT_IN_RTX[kind]):
            builder.build(graph)
    else:
        assert builder.build(graph) is not None
