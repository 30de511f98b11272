"""Where compiled libraries and fetched headers are kept."""

from __future__ import annotations

from pathlib import Path

from trtdsl.engine.cache import EngineCache


def cache_folder() -> Path:
    """The folder of all that is kept: `$TRTDSL_CACHE_DIR`, or `trtdsl` in the user's cache folder."""
    return EngineCache.default().directory.parent
