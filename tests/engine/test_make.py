"""Engines on disk: when one is built and when not, and what is left whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.building import TEXT, Project, is_whole, weights
from trtdsl.engine import EngineCache
from trtdsl.engine import manifest as manifests
from trtdsl.errors import BuildInterrupted, NetworkError
from trtdsl.targets.runtime import Runtime

NETWORKS = Path(__file__).parents[2] / "networks"


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_builds_once(project: Project) -> None:
    first = project.build()
    assert not first.reused
    assert is_whole(first.path)
    before = first.path.stat(), first.manifest_path.stat()
    second = project.build()
    assert second.reused
    assert second.manifest == first.manifest
    # Nothing was to be written, so nothing was: the folder might be read-only.
    after = second.path.stat(), second.manifest_path.stat()
    assert [(stat.st_ino, stat.st_mtime_ns) for stat in before] == [(stat.st_ino, stat.st_mtime_ns) for stat in after]


def test_another_output_comes_from_the_store(project: Project, tmp_path: Path) -> None:
    first = project.build()
    other = project.build(tmp_path / "new" / "folder" / "other.engine")
    assert other.reused
    assert other.path.read_bytes() == first.path.read_bytes()
    assert is_whole(other.path)
    assert other.manifest["engine"]["file"] == "other.engine"
    assert manifests.read(other.path) == other.manifest


def test_a_manifest_follows_the_name_of_the_network(project: Project) -> None:
    project.build()
    project.path = project.path.rename(project.path.with_name("renamed.yaml"))
    again = project.build(project.path.with_name("net.engine"))
    assert again.reused
    assert manifests.read(again.path)["source"]["file"] == "renamed.yaml"


def test_without_a_store_it_is_built_again(project: Project) -> None:
    project.cache = None
    assert not project.build().reused
    assert not project.build().reused


class NeedsGpu(Runtime):
    """TensorRT-RTX as if its engines were tuned for the GPU that is there."""

    @property
    def builds_without_gpu(self) -> bool:
        return False


# Each: the GPU, and whether the store may be used.
GPUS: dict[str, tuple[str | None, bool]] = {"known": ("NVIDIA H200", True), "unknown": (None, False)}


@pytest.mark.parametrize(("gpu", "used"), GPUS.values(), ids=GPUS)
def test_the_store_has_no_engines_for_a_gpu_that_is_unknown(
    gpu: str | None, used: bool, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtdsl.engine.manifest.current_gpu", lambda: gpu)
    project.runtime = NeedsGpu("rtx", project.runtime.version, project.runtime.module)
    first = project.build()
    assert first.manifest["built_from"]["gpu"] == gpu
    assert project.cache is not None
    assert project.cache.directory.exists() is used
    assert project.build().reused is used
    assert project.build(tmp_path / "other.engine").reused is used
    # One that was stored all the same is not taken.
    project.cache.store(first.manifest["recipe"], first.manifest["key"], first.path, first.manifest)
    assert project.build(tmp_path / "third.engine").reused is used


def test_other_weights_are_another_engine_and_the_old_one_is_kept(project: Project) -> None:
    old = project.build().path.read_bytes()
    project.save(weights(7))
    assert not project.build().reused
    project.save(weights())
    back = project.build()
    assert back.reused
    assert back.path.read_bytes() == old


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut off": _cut,
    "one bit": _flip,
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "nonsense": lambda path: path.write_bytes(b"\xff\x00{"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("part", ["engine", "manifest"])
def test_a_damaged_output_is_replaced_from_the_store(
    part: str, damage: Callable[[Path], Any], project: Project
) -> None:
    first = project.build()
    content = first.path.read_bytes()
    victim = first.path if part == "engine" else first.manifest_path
    # A copy in place of the link, so that the store's engine stays as it is.
    copied = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(copied)
    damage(victim)
    again = project.build()
    assert again.reused
    assert again.path.read_bytes() == content
    assert is_whole(again.path)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("part", ["*.engine", "*.json"])
def test_a_damaged_store_counts_as_none(part: str, damage: Callable[[Path], Any], project: Project) -> None:
    first = project.build()
    first.path.unlink()
    first.manifest_path.unlink()
    assert project.cache is not None
    [victim] = project.cache.directory.glob(part)
    damage(victim)
    again = project.build()
    assert not again.reused
    assert is_whole(again.path)
    again.path.unlink()
    assert project.build().reused


def test_an_engine_that_leaves_the_store_meanwhile_is_built_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.build()
    find = EngineCache.find

    def find_and_lose(cache: EngineCache, recipe: str, key: str) -> Path | None:
        found = find(cache, recipe, key)
        assert found is not None
        found.unlink()
        return found

    monkeypatch.setattr(EngineCache, "find", find_and_lose)
    other = project.build(tmp_path / "other.engine")
    assert not other.reused
    assert other.path.stat().st_size > 0
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_store_that_cannot_be_is_no_obstacle(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    project.cache = EngineCache(tmp_path / "file" / "engines")
    assert not project.build().reused
    assert project.build().reused


UNWRITABLE: dict[str, Callable[[Path], Any]] = {
    "a folder stands there": lambda path: path.mkdir(),
    "a folder stands where its manifest goes": lambda path: manifests.manifest_path(path).mkdir(),
    "a folder stands where its timing cache goes": lambda path: manifests.tactics_path(path).mkdir(),
    "its folder is a file": lambda path: path.parent.rmdir() or path.parent.write_text(""),
}


@pytest.mark.parametrize("spoil", UNWRITABLE.values(), ids=UNWRITABLE)
def test_an_output_that_cannot_be_is_known_before_the_build(
    spoil: Callable[[Path], Any], project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtdsl.engine.make.build_by_tactics", lambda *_: pytest.fail("it was built"))
    output = tmp_path / "out" / "net.engine"
    output.parent.mkdir()
    spoil(output)
    with pytest.raises(OSError) as error:  # noqa: PT011
        project.build(output)
    assert str(error.value.filename).startswith(str(output.parent))


def test_a_failed_build_leaves_the_old_engine(project: Project) -> None:
    old = project.build().path.read_bytes()
    with pytest.raises(NetworkError):
        project.build(workspace="much")
    assert project.output.read_bytes() == old
    assert is_whole(project.output)


def test_a_stopped_build_leaves_the_old_engine(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    old = project.build().path.read_bytes()
    project.write(TEXT.replace("tanh", "relu"))

    def stopped(*_: object) -> None:
        raise BuildInterrupted.of("interrupted", "stopped")

    monkeypatch.setattr("trtdsl.engine.make.build_by_tactics", stopped)
    with pytest.raises(BuildInterrupted):
        project.build()
    assert project.output.read_bytes() == old
    assert is_whole(project.output)


def start(project: Project, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`trtdsl build` of a project's network, in a process of its own."""
    command = [sys.executable, "-m", "trtdsl", "build", str(project.path), "-o", str(project.output), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRTDSL_CACHE_DIR": str(project.path.parent / "cache"), **environment},
    )


def leftovers(project: Project) -> list[str]:
    return [path.name for path in project.path.parent.iterdir() if path.name.endswith(".tmp")]


def test_processes_that_build_to_one_place_leave_one_engine(project: Project) -> None:
    variants = []
    for seed in range(3):
        other = Project(project.path.parent / f"variant{seed}", project.runtime)
        other.save(weights(seed), weights(seed + 10))
        variants.append(start(other, "-o", str(project.output)))
    for process in variants:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert is_whole(project.output)
    assert leftovers(project) == []


def test_a_killed_build_leaves_the_old_engine_or_the_new_one(project: Project) -> None:
    begun = time.monotonic()
    process = start(project, "--no-cache")
    process.communicate(timeout=60)
    lasts = time.monotonic() - begun
    chance = random.Random(1)
    for attempt in range(6):
        project.save(weights(attempt + 1))
        process = start(project, "--no-cache")
        # Most kills fall into the second half, where files are written.
        time.sleep(lasts * chance.uniform(0.4, 1.05))
        process.kill()
        process.communicate(timeout=60)
        assert is_whole(project.output)
    start(project, "--no-cache").communicate(timeout=60)
    assert is_whole(project.output)


def test_ctrl_c_stops_a_build(project: Project) -> None:
    old = project.build().path.read_bytes()
    network = ["build", str(NETWORKS / "resnet.yaml"), "--set", "depth=101", "--random-weights", "--no-cache"]
    command = [sys.executable, "-m", "trtdsl", *network, "-o", str(project.output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # The first line is that of the first phase.
        assert "Building engine" in process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "no file was changed" in rest
    assert "Traceback" not in rest
    assert project.output.read_bytes() == old
    assert is_whole(project.output)
    assert leftovers(project) == []


def test_a_full_disk_is_an_error_that_names_the_file(project: Project) -> None:
    old = project.build().path.read_bytes()
    project.save(weights(3))
    limit = len(old) // 2
    process = subprocess.run(
        [sys.executable, "-m", "trtdsl", "build", str(project.path), "-o", str(project.output), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        # A limit on the size of files stands in for the disk's.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert process.returncode == 1, process.stderr
    assert f"error[file]: {project.output}: {os.strerror(errno.EFBIG).lower()}" in process.stderr
    assert project.output.read_bytes() == old
    assert is_whole(project.output)
    assert leftovers(project) == []
