"""The store of engines that were built before, by all that can change them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trtdsl.engine import manifest as manifests
from trtdsl.engine.files import Staged, remove_abandoned
from trtdsl.errors import EngineFileError

LIMIT = 4 << 30
"""Bytes the store may hold; beyond that the engines longest unused go."""
_SHORT = 16
"""Digits of a recipe's key in file names; the whole key decides."""


class EngineCache:
    """Engines with their manifests, each under its key. A damaged entry counts as none."""

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self.directory = directory
        self.limit = limit

    @classmethod
    def default(cls) -> EngineCache:
        """The user's store: in `$TRTDSL_CACHE_DIR/engines`, or `trtdsl/engines` in the user's cache folder."""
        if configured := os.environ.get("TRTDSL_CACHE_DIR"):
            return cls(Path(configured) / "engines")
        return cls(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trtdsl" / "engines")

    def has_recipe(self, recipe: str) -> bool:
        """Whether there is an engine that differs in its weights at most."""
        return any(self.directory.glob(f"{recipe[:_SHORT]}-*.engine"))

    def find(self, recipe: str, key: str) -> Path | None:
        """The engine that was built from the same ingredients, checked against its manifest."""
        path = self._path(recipe, key)
        if not is_current(path, key):
            return None
        with suppress(OSError):
            os.utime(path)  # a store of someone else's may be read all the same
        return path

    def store(self, recipe: str, key: str, engine: Path, manifest: Mapping[str, Any]) -> None:
        """Keep an engine. A store that cannot be written is no reason for a build to fail."""
        path = self._path(recipe, key)
        with suppress(OSError), Staged() as staged:
            staged.link(engine, path)
            if manifest["timing_cache"] is not None:
                staged.link(manifests.tactics_path(engine), manifests.tactics_path(path))
            staged.write(manifests.manifest_path(path), manifests.encode(manifest))
            staged.commit()
            self._trim()

    def _path(self, recipe: str, key: str) -> Path:
        return self.directory / f"{recipe[:_SHORT]}-{key}.engine"

    def _trim(self) -> None:
        remove_abandoned(self.directory)
        engines = sorted(self.directory.glob("*.engine"), key=lambda path: -path.stat().st_mtime)
        total = 0
        for path in engines:
            total += path.stat().st_size
            if total > self.limit:
                for file in (manifests.manifest_path(path), manifests.tactics_path(path), path):
                    file.unlink(missing_ok=True)


def has_recipe(engine: Path, recipe: str) -> bool:
    """Whether an engine stands there that was built from the same recipe, be it with other weights."""
    try:
        return bool(manifests.read(engine)["recipe"] == recipe)
    except EngineFileError:
        return False


def is_current(engine: Path, key: str) -> bool:
    """Whether an engine stands there, whole, that was built from the ingredients of this key."""
    try:
        manifest = manifests.read(engine)
        if manifest["key"] != key:
            return False
        manifests.verify(engine, manifest)
    except EngineFileError:
        return False
    return True
