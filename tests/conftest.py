"""What all tests share: TensorRT-RTX where it is installed, and a store of engines for this run alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trtdsl.targets.runtime import Runtime, find_runtime


@pytest.fixture(scope="session", autouse=True)
def engine_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In place of the user's: no engine of an earlier run may pass for a new one, and none is left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRTDSL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def rtx() -> Runtime:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install 'trtdsl[rtx]'")
    return find_runtime("rtx")
