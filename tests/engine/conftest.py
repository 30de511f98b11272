from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.building import Project
from trtdsl.targets.runtime import Runtime, find_runtime


@pytest.fixture(scope="session")
def rtx() -> Runtime:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install 'trtdsl[rtx]'")
    return find_runtime("rtx")


@pytest.fixture
def project(tmp_path: Path, rtx: Runtime) -> Project:
    return Project(tmp_path / "project", rtx)
