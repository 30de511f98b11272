"""The store of engines: what it finds, what it keeps, and what it lets go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.engine.building import Project, weights
from trtdsl.engine import EngineCache
from trtdsl.engine.cache import has_recipe


def stored(cache: EngineCache) -> list[Path]:
    return sorted(cache.directory.glob("*.engine"))


def test_finds_what_was_stored(project: Project) -> None:
    engine = project.build()
    cache = project.cache
    assert cache is not None
    recipe, key = engine.manifest["recipe"], engine.manifest["key"]
    found = cache.find(recipe, key)
    assert found is not None
    assert found.read_bytes() == engine.path.read_bytes()
    assert cache.has_recipe(recipe)
    assert cache.find(recipe, "0" * 64) is None
    assert not cache.has_recipe("0" * 64)
    assert has_recipe(engine.path, recipe)
    assert not has_recipe(engine.path, "0" * 64)


def test_the_file_name_alone_proves_nothing(project: Project) -> None:
    engine = project.build()
    assert project.cache is not None
    [path] = stored(project.cache)
    other = "0" * 64
    path.rename(path.with_name(path.name.replace(engine.manifest["key"], other)))
    manifest = path.with_name(f"{path.name}.json")
    manifest.rename(manifest.with_name(manifest.name.replace(engine.manifest["key"], other)))
    assert project.cache.find(engine.manifest["recipe"], other) is None


def test_what_was_longest_unused_goes_first(project: Project) -> None:
    assert project.cache is not None
    keys = []
    for seed in range(3):
        project.save(weights(seed))
        keys.append(project.build().manifest["key"])
        for age, key in enumerate(reversed(keys)):
            [path] = project.cache.directory.glob(f"*{key}.engine")
            os.utime(path, (time.time() - 60 * (age + 1),) * 2)
    # The oldest is used once more, so that the second is the one that goes.
    recipe = project.build().manifest["recipe"]
    assert project.cache.find(recipe, keys[0]) is not None
    size = max(path.stat().st_size for path in stored(project.cache))
    project.cache.limit = int(size * 3.5)
    project.save(weights(3))
    keys.append(project.build().manifest["key"])
    kept = [key for key in keys if project.cache.find(recipe, key) is not None]
    assert kept == [keys[0], keys[2], keys[3]]
    assert len(list(project.cache.directory.iterdir())) == 6


def test_an_engine_larger_than_the_store_is_not_kept(project: Project) -> None:
    assert project.cache is not None
    project.cache.limit = 10
    engine = project.build()
    assert engine.path.exists()
    assert list(project.cache.directory.iterdir()) == []


@pytest.mark.parametrize("timings", [b"timings", None], ids=["with timings", "without"])
def test_timing_caches_come_and_go_with_their_engines(timings: bytes | None, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "store", limit=10)
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"10 bytes..")
    if timings is not None:
        engine.with_name("net.engine.tactics").write_bytes(timings)
    manifest = {"timing_cache": None if timings is None else {"sha256": "digest"}}
    cache.store("r" * 64, "k" * 64, engine, manifest)
    # The store holds as many bytes as it may, and in the end one more.
    kept = [path.read_bytes() for path in cache.directory.glob("*.tactics")]
    assert kept == ([] if timings is None else [timings])
    assert len(stored(cache)) == 1
    cache.limit = 9
    cache.store("r" * 64, "k" * 64, engine, manifest)
    assert list(cache.directory.iterdir()) == []


def test_files_of_killed_processes_go_after_a_day(project: Project) -> None:
    assert project.cache is not None
    project.cache.directory.mkdir(parents=True)
    old, new = (project.cache.directory / f".{name}.tmp" for name in ("old", "new"))
    for path, age in ((old, 2), (new, 0)):
        path.write_bytes(b"half an engine")
        os.utime(path, (time.time() - age * 86400,) * 2)
    project.build()
    assert not old.exists()
    assert new.exists()


def test_a_store_of_someone_elses_can_be_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = project.build()
    assert project.cache is not None

    def refuse(*_: object) -> None:
        raise PermissionError(1, "not yours")

    monkeypatch.setattr("trtdsl.engine.cache.os.utime", refuse)
    assert project.cache.find(engine.manifest["recipe"], engine.manifest["key"]) is not None


FOLDERS: dict[str, tuple[dict[str, str], str]] = {
    "its own variable": ({"TRTDSL_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a/engines"),
    "the user's folder": ({"XDG_CACHE_HOME": "/b"}, "/b/trtdsl/engines"),
    "the usual place": ({"HOME": "/home/me"}, "/home/me/.cache/trtdsl/engines"),
}


@pytest.mark.parametrize(("variables", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_where_the_store_is(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRTDSL_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert EngineCache.default().directory == Path(expected)
