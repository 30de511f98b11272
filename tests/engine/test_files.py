from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtdsl.engine.files import Staged, sha256, sha256_of, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two ", memoryview(b"parts"))
    assert path.read_bytes() == b"two parts"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_leaves_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, b"new", "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_keeps_the_rights_of_the_file_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not supported"):
        write_atomically(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("can_link", [True, False], ids=["a link", "a copy"])
def test_the_same_file_at_another_place(can_link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not can_link:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "store").write_bytes(b"an engine")
    for _ in ("it is new", "it is there"):
        with Staged() as staged:
            staged.link(tmp_path / "store", tmp_path / "net.engine")
            staged.commit()
        assert (tmp_path / "net.engine").read_bytes() == b"an engine"
        assert (tmp_path / "net.engine").samefile(tmp_path / "store") is can_link
        assert len(list(tmp_path.iterdir())) == 2


def test_hashes_are_sha256(tmp_path: Path) -> None:
    # The digest of "abc" is the example of FIPS 180-4.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(b"a", memoryview(b"bc")) == sha256_of(tmp_path / "abc") == expected


WRITER = """
import sys
from pathlib import Path
from trtdsl.engine.files import write_atomically
number = 0
while True:
    write_atomically(Path(sys.argv[1]), bytes([number % 256]) * 4_000_000)
    number += 1
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for attempt in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=Path(__file__).parents[2])
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.013 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 4_000_000
        assert len(set(content)) == 1
