"""The commit that a network's file stands at."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit_of(path: Path) -> dict[str, object] | None:
    """The commit of the repository around a file, and whether the file differs from it; None outside of one."""
    commit = _git(path.parent, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(path.parent, "status", "--porcelain", "--", path.name)
    return {"commit": commit, "modified": bool(status)}


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
