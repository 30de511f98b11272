"""The bundled library, compiled once for each TensorRT whose headers are there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.real import cxx_for
from trtdsl.errors import BuildError
from trtdsl.library.build import LibrarySources, compile_library
from trtdsl.library.headers import cached_headers, version_of
from trtdsl.library.toolchain import Toolchain, find_toolchain

VERSIONS = ((8, 6), (10, 15), (11, 1))
HEADERS = {version: cached_headers(version) for version in VERSIONS}
"""Where `plugins build` keeps them for the user; while tests run the cache is another."""


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    cxx_for("the library of plugins")
    try:
        return find_toolchain()
    except BuildError as error:
        pytest.skip(f"plugins were NOT compiled: {error.diagnostics[0].message.splitlines()[0]}")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all is compiled, so that kernels are compiled once."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def kernels(toolchain: Toolchain, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the kernels alone."""
    [path] = compile_library(LibrarySources.bundled(), None, toolchain, toolchain.architectures((90,)), scratch)
    return Path(shutil.copy(path, tmp_path_factory.mktemp("kernels")))


@pytest.fixture(scope="session")
def compiled(
    tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain, scratch: Path
) -> Callable[[tuple[int, int]], Path]:
    """The library for a version."""
    kept = tmp_path_factory.mktemp("libraries")
    made: dict[tuple[int, int], Path] = {}

    def library(version: tuple[int, int]) -> Path:
        headers = HEADERS[version]
        if version_of(headers) != version:
            pytest.skip(f"the library for TensorRT {version[0]}.{version[1]} was NOT compiled: no headers in {headers}")
        if version not in made:
            _, path = compile_library(
                LibrarySources.bundled(), headers, toolchain, toolchain.architectures((90,)), scratch
            )
            made[version] = Path(shutil.copy(path, kept / f"libtrtdsl_plugins-{version[0]}.so"))
        return made[version]

    return library
