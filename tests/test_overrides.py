"""What is said of a network beside its file: kept, read back from elsewhere, and said again on the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import trtdsl
from tests.cli.test_running import run
from trtdsl.overrides import Overrides, option_words

TEXT = """\
trtdsl: 1
params: {classes: 3, cfg: {depth: 1}, names: [a]}
dims: {N: [1, 2, 4]}
inputs: {x: [N, 4]}
layers:
  - {op: linear, name: fc, out_features: $classes, repeat: "$(cfg['depth'])"}
"""
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, ""),
    "params": ({"parameters": {"classes": 4, "cfg.depth": 1}}, "--set classes=4 --set cfg.depth=1"),
    "a list": ({"parameters": {"names": ["b", "c d"]}}, """--set 'names=["b", "c d"]'"""),
    "sizes": ({"dims": {"N": (1, 3, 9)}}, "--dim N=1,3,9"),
    "one size": ({"dims": {"N": 4}}, "--dim N=4"),
    "weights": ({"weights": ["w.npz", "head=h.npz"]}, "--weights w.npz --weights head=h.npz"),
    "one file": ({"weights": Path("w.npz")}, "--weights w.npz"),
    "words": ({"precision": "fp16", "impl": "auto"}, "--precision fp16 --impl auto"),
    "scales": ({"scales": "net.scales"}, "--scales net.scales"),
    "libraries": ({"plugins": ["my plugins.so"]}, "--plugins 'my plugins.so'"),
    "made-up weights": ({"random_weights": True}, "--random-weights"),
}


@pytest.mark.parametrize(("given", "options"), CASES.values(), ids=CASES)
def test_said_again(given: dict[str, Any], options: str) -> None:
    overrides = Overrides.of(**given)
    assert overrides.as_options() == options
    assert json.loads(json.dumps(overrides.values)) == overrides.values


def test_paths_follow_the_folder_that_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    overrides = Overrides.of(
        weights=[tmp_path / "w.npz", f"head={tmp_path / 'h.npz'}"], scales=tmp_path / "s", plugins=[tmp_path / "p.so"]
    )
    kept = overrides.kept_in(folder)
    assert kept == {"weights": ["../w.npz", "head=../h.npz"], "scales": "../s", "plugins": ["../p.so"]}
    read = Overrides.read(kept, Path("elsewhere"))
    assert read.values["weights"] == ["elsewhere/../w.npz", "head=elsewhere/../h.npz"]
    assert read.values["scales"] == "elsewhere/../s"


def test_build_options_as_words() -> None:
    words = option_words({"optimization_level": 5, "tactic_sources": ["cublas"], "tf32": False})
    assert shlex.split(words) == [
        "--option",
        "optimization_level=5",
        "--option",
        'tactic_sources=["cublas"]',
        "--option",
        "tf32=false",
    ]


def test_python_and_the_command_line_keep_the_same(tmp_path: Path, rtx: Any) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TEXT)
    given: dict[str, Any] = {"parameters": {"classes": 4}, "dims": {"N": (1, 2, 8)}, "random_weights": True}
    by_python = trtdsl.load(path, **given).build(tmp_path / "a.engine", runtime="rtx", options={"tf32": False})
    words = ["--set", "classes=4", "--dim", "N=1,2,8", "--random-weights", "--option", "tf32=false"]
    result = run("build", path, *words, "--runtime", "rtx", "-o", tmp_path / "b.engine")
    assert result.exit_code == 0, result.stderr
    by_command = json.loads((tmp_path / "b.engine.json").read_text())
    assert (
        by_command["given"]
        == by_python.manifest["given"]
        == {
            "parameters": {"classes": 4},
            "dims": {"N": [1, 2, 8]},
            "random_weights": True,
            "options": {"tf32": False},
        }
    )
