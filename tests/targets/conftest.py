from __future__ import annotations

import pytest

from trtdsl.targets.runtime import Runtime, find_runtime


@pytest.fixture(scope="session")
def rtx() -> Runtime:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install 'trtdsl[rtx]'")
    return find_runtime("rtx")
