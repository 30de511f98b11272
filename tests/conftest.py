"""What all tests share: no engine of an earlier run may pass for a new one, and none is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def engine_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store of engines for this run alone, in place of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRTDSL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
