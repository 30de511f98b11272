"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

_CHUNK = 1 << 20


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write beside the target and rename over it. Raises OSError; the target is untouched unless all was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
        # Not synced: that doubles the time of a build, and what a power cut spoils its manifest's hash gives away.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256(*parts: bytes | memoryview) -> str:
    """The hash of some bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
