from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.building import Project
from trtdsl.targets.runtime import Runtime


@pytest.fixture
def project(tmp_path: Path, rtx: Runtime) -> Project:
    return Project(tmp_path / "project", rtx)
