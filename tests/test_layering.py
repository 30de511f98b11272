"""The layering lint: the tree keeps its rules, and each rule is one that a tree can break."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import layering

ROOT = Path(__file__).parents[1]


def test_the_tree_keeps_the_rules() -> None:
    assert layering.violations(ROOT) == []


def test_every_layer_names_modules_that_exist() -> None:
    for layer in layering.LAYERS:
        for module in layer.modules:
            path = ROOT / module.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), module


BROKEN = {
    "a lower module imports a higher one": ("reader.py", "import trtdsl.graph", "(read) imports trtdsl.graph (graph)"),
    "from a higher module": ("types.py", "from trtdsl.reader import read", "(types) imports trtdsl.reader (read)"),
    "a module named by its package": ("nodes.py", "from trtdsl import graph", "imports trtdsl.graph (graph)"),
    "the package itself": ("engine/manifest.py", "import trtdsl", "(engine) imports trtdsl (api)"),
    "relative": ("ops/conv.py", "from ..graph import Graph", "(ops) imports trtdsl.graph (graph)"),
    "relative in a package": ("ops/__init__.py", "from .. import engine", "(ops) imports trtdsl.engine (engine)"),
    "inside a function": ("reader.py", "def f():\n    import trtdsl.cli.main", "imports trtdsl.cli.main (cli)"),
    "for type checkers only": (
        "types.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trtdsl.graph import Graph",
        "(types) imports trtdsl.graph (graph)",
    ),
    "TensorRT in a stage": ("infer.py", "import tensorrt_rtx as trt", "imports tensorrt_rtx, which only"),
    "a module of TensorRT": ("cli/build.py", "from tensorrt.tensorrt import Logger", "imports tensorrt, which only"),
    "onnx outside its target": ("targets/tensorrt.py", "import onnx.helper", "imports onnx, which only"),
    "rich outside the progress bars": ("cli/main.py", "from rich import print", "imports rich, which only"),
    "an import by name": ("bind.py", "import importlib", "an import by name hides from this check"),
    "a module that no layer names": ("helpers.py", "", "trtdsl.helpers belongs to no layer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_reported_with_its_place(case: str, tmp_path: Path) -> None:
    name, text, message = BROKEN[case]
    path = tmp_path / "trtdsl" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    [found] = layering.violations(tmp_path)
    line = text.count("\n") + 1 if text else 1
    assert found.startswith(f"{path}:{line}: ")
    assert message in found


ALLOWED = {
    "a lower layer": ("graph.py", "from trtdsl.ops.base import Op"),
    "the same layer": ("nodes.py", "from trtdsl.scalars import resolve"),
    "something of a lower layer": ("bind.py", "from trtdsl import nodes"),
    "the version": ("engine/manifest.py", "from trtdsl.version import __version__"),
    "other packages": ("types.py", "import numpy as np"),
    "TensorRT where it is found": ("targets/runtime.py", "import tensorrt"),
    "relative downwards": ("ops/conv.py", "from .base import Op\nfrom ..types import Dim"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_an_import_that_is_allowed(case: str, tmp_path: Path) -> None:
    name, text = ALLOWED[case]
    path = tmp_path / "trtdsl" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert layering.violations(tmp_path) == []
