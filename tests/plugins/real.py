"""The real TensorRTs that `TRTDSL_BINDINGS` names: programs run with them, and libraries compiled for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.targets.test_bindings import NAMED
from trtdsl.library.toolchain import find_cxx

ROOT = Path(__file__).parents[2]
ECHO = Path(__file__).parent / "echo"
VERSIONS = ("8.6", "10.15")

every_version = pytest.mark.parametrize("version", VERSIONS)


def libraries_of(version: str) -> Path:
    """The folder of a TensorRT's libraries; skips the test where that version is not there."""
    if version not in NAMED:
        pytest.skip(f"TensorRT {version}'s registry was NOT asked: TRTDSL_BINDINGS does not say where its bindings are")
    return Path(NAMED[version][1])


def environment_of(version: str) -> dict[str, str]:
    """That of a process whose TensorRT it is; skips the test where that version is not there."""
    libraries = libraries_of(version)
    return {**os.environ, "PYTHONPATH": f"{NAMED[version][0]}:{ROOT}", "LD_LIBRARY_PATH": str(libraries)}


def run_layers(version: str, layers: dict[str, str], folder: Path, library: Path | None = None) -> dict[str, Any]:
    """What comes of layers where a TensorRT has only its registry; see layers.py."""
    program = "import runpy; runpy.run_path('tests/plugins/layers.py', run_name='__main__')"
    libraries = [] if library is None else [library]
    said = run_python(version, program, folder, *libraries, given=json.dumps(layers))
    results: dict[str, Any] = json.loads(said.splitlines()[-1])
    return results


def run_python(version: str, program: str, *arguments: str | Path, given: str = "", timeout: float = 300) -> str:
    """What a program prints that has a TensorRT's bindings as `tensorrt_bindings`, in a process of its own."""
    environment = environment_of(version)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, env=environment, check=False, timeout=timeout, cwd=ROOT
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def cxx_for(what: str) -> Path:
    """The C++ compiler; skips the test where there is none."""
    compiler = find_cxx()
    if compiler is None:
        pytest.skip(f"{what} was NOT compiled: there is no C++ compiler")
    return compiler


def compiled(source: Path, output: Path, *options: str) -> Path:
    """A shared library; skips the test where there is no compiler."""
    command = [cxx_for(source.name), "-std=c++17", "-O1", "-shared", "-fPIC", str(source), *options, "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def compiled_for(version: str, source: Path, output: Path) -> Path:
    """A library of plugins for a TensorRT; skips the test where its headers are not there."""
    libraries = libraries_of(version)
    include = libraries / "include"
    if not include.is_dir():
        pytest.skip(f"{source.name} was NOT compiled for TensorRT {version}: no headers lie in {include}")
    linked = next(path for path in sorted(libraries.glob("libnvinfer.so.*")))
    headers = ("-I", str(include), "-I", str(ECHO / "cuda"))
    return compiled(source, output, "-fvisibility=hidden", "-Wno-deprecated-declarations", *headers, str(linked))
