"""docs/plugins.md, followed step by step where there are a compiler and TensorRT's headers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trtdsl.errors import BuildError
from trtdsl.library.headers import cached_headers, version_of
from trtdsl.library.toolchain import find_toolchain
from trtdsl.plugins.bundled import bundled_plugins

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = dict(re.findall(r"^\| ([A-Z]\w+) \| ([\w, ]*)\|", PAGE, re.MULTILINE))


def _version() -> str:
    for major, minor in ((8, 6), (10, 15), (11, 1)):
        if version_of(cached_headers((major, minor))) is not None:
            return f"{major}.{minor}"
    pytest.skip("docs/plugins.md was NOT followed: there are no headers of TensorRT in the cache")


def _run(command: str, folder: Path, version: str) -> None:
    arguments = command.split()[1:]
    if arguments[:2] == ["plugins", "build"]:
        arguments += ["--tensorrt-version", version, "--architectures", "90"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "trtdsl", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_toolchain()
    except BuildError as error:
        pytest.skip(f"docs/plugins.md was NOT followed: {error}")
    version = _version()
    for language, text in STEPS:
        if language == "sh":
            for command in text.splitlines():
                _run(command, tmp_path, version)
        else:
            first, _, content = text.partition("\n")
            path = tmp_path / first.lstrip("#/ ")
            assert path.parent.is_dir(), f"{path} is written before its folder"
            path.write_text(content, encoding="utf-8")
    assert (tmp_path / "soft_shrink" / "libsoft_shrink.so").is_file()


def test_the_table_has_every_plugin_and_its_fields() -> None:
    stated = {name: [field for field in fields.strip().split(", ") if field] for name, fields in ROWS.items()}
    assert stated == {name: [field.name for field in one.fields] for name, one in bundled_plugins().items()}
