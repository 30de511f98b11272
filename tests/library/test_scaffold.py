"""Folders in which plugins begin: what they are called, and that they compile and pass their test as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from trtdsl.cli.plugins_new import command as new
from trtdsl.errors import BuildError
from trtdsl.library.scaffold import new_plugin, snake_case
from trtdsl.library.toolchain import Toolchain

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "folder"), [("Swish", "swish"), ("InstanceNormPad", "instance_norm_pad"), ("ROIAlign", "roi_align")]
)
def test_folders_are_called_as_their_plugins(name: str, folder: str) -> None:
    assert snake_case(name) == folder


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    done = CliRunner().invoke(new, ["Swish", "--into", str(tmp_path)])
    assert done.exit_code == 0
    written = {path.name for path in (tmp_path / "swish").iterdir()}
    assert written == {"plugin.yaml", "kernel.cu", "net.yaml", "test_swish.py"}
    assert all(str(tmp_path / "swish" / name) in done.output for name in written)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Swish", "swish is there already"),
        ("1st", "`1st` is no name for a plugin"),
        ("Double", "`Double` is no name for a plugin: the folder's name is a namespace in C++, and `double` a word"),
        ("Common", "`Common` is no name for a plugin: `common` holds what all plugins share"),
        ("Mish", "Mish comes with trtdsl, and two plugins of one name cannot be told apart"),
    ],
)
def test_names_that_are_taken_or_none(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "swish").mkdir()
    with pytest.raises(BuildError) as caught:
        new_plugin(name, tmp_path)
    assert said in caught.value.diagnostics[0].message
    assert [path.name for path in tmp_path.iterdir()] == ["swish"]


def test_its_test_passes(toolchain: Toolchain, tmp_path: Path) -> None:
    new_plugin("ScaleBy2", tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDACXX": str(toolchain.nvcc)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout or ("2 passed, 1 skipped" in done.stdout and "NOT compared" in done.stdout)
