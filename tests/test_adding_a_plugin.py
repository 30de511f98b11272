"""docs/plugins.md, followed step by step where there are a compiler and TensorRT's headers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library.conftest import HEADERS
from tests.plugins.real import cxx_for, environment_of
from trtdsl.errors import BuildError
from trtdsl.library.headers import version_of
from trtdsl.library.toolchain import find_toolchain
from trtdsl.plugins.bundled import bundled_plugins

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = dict(re.findall(r"^\| ([A-Z]\w+) \| ([\w, ]*)\|", PAGE, re.MULTILINE))


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """A command of the page, with the Python that runs the tests."""
    command = re.sub(r"^trtdsl ", "python -m trtdsl ", command)
    program, *arguments = command.split()
    assert program == "python", command
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


@pytest.fixture(scope="module", params=sorted(HEADERS), ids=dotted)
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The page's folder after its last step, and the TensorRT that it was followed for."""
    version = dotted(request.param)
    cxx_for("what docs/plugins.md says")
    try:
        find_toolchain()
    except BuildError as error:
        pytest.skip(f"docs/plugins.md was NOT followed: {error.diagnostics[0].message.splitlines()[0]}")
    if version_of(HEADERS[request.param]) != request.param:
        pytest.skip(f"docs/plugins.md was NOT followed for TensorRT {version}: no headers in {HEADERS[request.param]}")
    folder = tmp_path_factory.mktemp("page")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TENSORRT_INCLUDE_DIR": str(HEADERS[request.param])}
    for language, text in STEPS:
        if language == "sh":
            for command in text.splitlines():
                for_this = f" --tensorrt-version {version} --architectures 90" if "plugins build" in command else ""
                said = run(command + for_this, folder, environment)
                if "pytest" in command:
                    assert re.search(r"[23] passed", said), said
        else:
            first, _, content = text.partition("\n")
            path = folder / first.lstrip("#/ ")
            assert path.is_file(), f"{path} was not there before"
            path.write_text(content, encoding="utf-8")
    return version, folder


def test_the_page_works(followed: tuple[str, Path]) -> None:
    _, folder = followed
    assert (folder / "soft_shrink" / "libsoft_shrink.so").is_file()


@pytest.mark.parametrize("followed", [(8, 6), (10, 15)], ids=dotted, indirect=True)
def test_the_plugin_of_the_page_is_registered(followed: tuple[str, Path]) -> None:
    version, folder = followed
    command = "trtdsl plugins SoftShrink --library soft_shrink/libsoft_shrink.so"
    said = run(command, folder, environment_of(version))
    assert "trtdsl::SoftShrink" in said
    assert "lambd  fp32" in said


def test_the_table_has_every_plugin_and_its_fields() -> None:
    stated = {name: [field for field in fields.strip().split(", ") if field] for name, fields in ROWS.items()}
    assert stated == {name: [field.name for field in one.fields] for name, one in bundled_plugins().items()}
