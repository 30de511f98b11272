"""Writing files so that a reader sees the old ones or the new ones, never a part."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_CHUNK = 1 << 20
_ABANDONED = 24 * 60 * 60
"""Seconds after which a temporary file belongs to a process that was killed."""


class Staged:
    """Files that are written beside their targets first and take their places together.

    Leaving the context without `commit` removes them; the targets are untouched then.
    """

    def __init__(self) -> None:
        self._files: list[tuple[Path, Path]] = []

    def __enter__(self) -> Staged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Of those in place some may be left: renaming a link to the file that it replaces does nothing.
        for temporary, _ in self._files:
            temporary.unlink(missing_ok=True)

    def write(self, path: Path, *parts: bytes | memoryview) -> None:
        """What `path` will hold. Raises OSError that names it."""
        with self.open(path) as file:
            for part in parts:
                file.write(part)

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """A file to write what `path` will hold, with the permissions that `path` has. Raises OSError that names it."""
        with _naming(path), (temporary := self._temporary(path)).open("xb") as file:
            with suppress(FileNotFoundError):
                shutil.copymode(path, temporary)
            yield file

    def link(self, source: Path, path: Path) -> None:
        """Make `path` the same file as `source`: a link where the disk can, else a copy.

        Safe for files that are only ever replaced, not written to, and verified before use.
        """
        with _naming(path):
            temporary = self._temporary(path)
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)

    def commit(self) -> None:
        """Put all in place, one rename right after the other. The files are of one folder.

        Not synced: that doubles the time of a build, and what a power cut spoils its manifest's hash gives away.
        """
        with _locked(self._files[0][1].parent):
            for temporary, path in self._files:
                with _naming(path):
                    temporary.replace(path)

    def _temporary(self, path: Path) -> Path:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # Renaming would put a file in the place of /dev/null.
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._files.append((temporary, path))
        return temporary


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that was to be written: not the temporary one, nor none at all."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes' commits out, so that files of two of them do not mix; where the disk knows locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_places(*paths: Path) -> None:
    """Find out that files of one folder cannot be written before they are made. Raises OSError."""
    folder = paths[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write beside the target and rename over it. Raises OSError; the target is untouched unless all was written."""
    with Staged() as staged:
        staged.write(path, *parts)
        staged.commit()


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote. Raises OSError."""
    for path in folder.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)


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
