"""docs/adding-an-op.md, followed step by step in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-an-op.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as far as the steps need it."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("trtdsl", "tests", "scripts", "schema", "docs", "networks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def write(folder: Path, text: str) -> None:
    """A block whose first line is a comment with the file's name."""
    name, _, content = text.removeprefix("# ").partition("\n")
    assert not (folder / name).exists(), name
    (folder / name).write_text(content, encoding="utf-8")


def change(folder: Path, text: str) -> None:
    """A diff that says behind which lines others are put; a line of it may be the beginning of one in the file."""
    first, *lines = text.splitlines()
    path = folder / first.removeprefix(" # ")
    content = path.read_text(encoding="utf-8").splitlines()
    for anchor, added in zip(lines[::2], lines[1::2], strict=True):
        assert (anchor[0], added[0]) == (" ", "+")
        [position] = [index for index, line in enumerate(content) if line.startswith(anchor[1:])]
        content.insert(position + 1, added[1:])
    path.write_text("\n".join(content) + "\n", encoding="utf-8")


def run(folder: Path, command: str) -> str:
    """A command of the page, with the Python that runs the tests."""
    command = re.sub(r"^trtdsl ", "python -m trtdsl ", command).replace("python ", f"{sys.executable} ", 1)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_works(copy: Path) -> None:
    outputs = {}
    network = None
    for language, text in STEPS:
        if language == "diff":
            change(copy, text)
        elif language == "sh":
            outputs |= {command: run(copy, command) for command in text.splitlines()}
        elif text.startswith("# "):
            write(copy, text)
        else:
            network = text
    assert "the factors" in outputs["trtdsl ops layer_scale"]
    assert "layer_scale" in (copy / "docs" / "ops.md").read_text(encoding="utf-8")
    [tests] = [output for command, output in outputs.items() if "pytest" in command]
    passed = re.search(r"(\d+) passed", tests)
    assert passed
    assert int(passed[1]) > 10
    assert network
    (copy / "net.yaml").write_text(f"trtdsl: 1\n{network}", encoding="utf-8")
    assert "scale" in run(copy, "trtdsl validate net.yaml --random-weights")
