"""What a manifest says, held against the files it speaks of, and what changes the key of a build."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.engine.building import TEXT, Project, weights
from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.errors import EngineFileError
from trtdsl.version import __version__

UNSEEN = {
    "verified": False,
    "why": "TensorRT-RTX built it without a GPU, and an engine tells its types only where it can run",
    "found": {},
    "differs": {},
    "unverified": {},
    "unquantized": {},
}
"""What a manifest says of the types of an engine that nothing could look into."""


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.engine.make.has_gpu", lambda: False)


def test_says_what_is_there(project: Project) -> None:
    engine = project.build(optimization_level=2, target=["8.6", "12.0"])
    manifest = json.loads(engine.manifest_path.read_text())
    assert manifest == engine.manifest
    content = engine.path.read_bytes()
    assert manifest["engine"] == {
        "file": "net.engine",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    assert manifest["name"] == "small"
    assert manifest["source"] == {"file": "net.yaml", "path": "net.yaml", "git": None}
    assert manifest["given"] == {}
    assert manifest["network"] == trtdsl.load(project.path).expanded.splitlines()
    assert manifest["inputs"] == {
        "x": {"dtype": "fp32", "shape": ["N", "6"], "min": [1, 6], "opt": [2, 6], "max": [4, 6]}
    }
    assert list(manifest["outputs"]) == ["last"]
    assert manifest["precision"] == {"layers": {"fp32": 3}, "others": {}, **UNSEEN}
    assert (manifest["tactics"], manifest["timing_cache"]) == ({}, None)
    built_from = manifest["built_from"]
    assert built_from["runtime"] == str(project.runtime)
    assert built_from["gpu"] is None
    assert built_from["dims"] == {"N": [1, 2, 4]}
    assert built_from["trtdsl"]["version"] == __version__
    assert built_from["options"]["optimization_level"] == 2
    assert built_from["options"]["target"] == ["8.6", "12.0"]
    assert set(built_from["options"]) == set(BuildOptions.types())
    assert [(file["file"], file["weights"]) for file in built_from["weights"]] == [
        ("p.safetensors", 2),
        ("w.safetensors", 2),
    ]


def test_what_has_fixed_sizes_has_no_others(project: Project) -> None:
    project.write(TEXT.replace("dims: {N: [1, 2, 4]}\n", "").replace("[N, 6]", "[2, 6]"))
    assert project.build().manifest["inputs"] == {"x": {"dtype": "fp32", "shape": ["2", "6"]}}


def test_says_where_the_network_is_from_where_the_engine_is(project: Project, tmp_path: Path) -> None:
    engine = project.build(tmp_path / "engines" / "net.engine")
    assert engine.manifest["source"] == {"file": "net.yaml", "path": "../project/net.yaml", "git": None}


def test_says_the_commit_that_the_network_is_from(project: Project) -> None:
    def git(*arguments: str) -> str:
        said = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(project.path.parent), *said, *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", "net.yaml")
    git("commit", "-q", "-m", "a network")
    commit = git("rev-parse", "HEAD")
    assert project.build().manifest["source"]["git"] == {"commit": commit, "modified": False}
    project.write(TEXT + "# more\n")
    assert project.build().manifest["source"]["git"] == {"commit": commit, "modified": True}


def test_layers_that_compute_in_another_type_are_listed(project: Project) -> None:
    project.write(TEXT.replace("name: last}", "name: last, precision: fp32}"))
    precision = project.build(precision="fp16").manifest["precision"]
    assert precision == {"layers": {"fp16": 2, "fp32": 1}, "others": {"last": "fp32"}, **UNSEEN}


def _changed_weights(name: str) -> Callable[[Project], Any]:
    def change(project: Project) -> None:
        arrays = weights()
        arrays[name] = arrays[name] + np.float32(1e-3)
        project.save(arrays)

    return change


def _written(old: str, new: str) -> Callable[[Project], Any]:
    assert old in TEXT
    return lambda project: project.write(TEXT.replace(old, new))


CHANGING: dict[str, Callable[[Project], Any]] = {
    "an op": _written("tanh", "relu"),
    "a layer's name": _written("name: last", "name: end"),
    "dimensions": _written("[1, 2, 4]", "[1, 2, 5]"),
    "the optimum of a dimension": _written("[1, 2, 4]", "[1, 3, 4]"),
    "an output's type": lambda project: project.write(TEXT + "outputs: {y: {tensor: last, dtype: fp16}}\n"),
    "an output's name": lambda project: project.write(TEXT + "outputs: {y: last}\n"),
    "a number of a weight": _changed_weights("fc.weight"),
    "a number of a bias": _changed_weights("fc.bias"),
    "a weight that is transposed": _written("name: fc, out", "name: fc, weight: {transpose: true}, out"),
    "weights of another file": lambda project: project.save(weights(), weights(2)),
    "an inline weight": _written("name: fc, out", "name: fc, weight: {fill: 0.5}, out"),
}


@pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
def test_the_key_changes_with(change: Callable[[Project], Any], project: Project) -> None:
    before = project.key()
    change(project)
    assert project.key() != before


NOT_CHANGING: dict[str, Callable[[Project], Any]] = {
    "comments and blank lines": lambda project: project.write("# new\n\n" + TEXT.replace("tanh", "'tanh'") + "# end\n"),
    "the order of keys": _written("op: tanh, name: last", "name: last, op: tanh"),
    "an entry that no layer uses": _changed_weights("spare"),
    "touched weights": lambda project: project.save(weights()),
    "params that come to the same": _written("out_features: 6}\n  - {op: t", "out_features: $(2 * 3)}\n  - {op: t"),
}


@pytest.mark.parametrize("change", NOT_CHANGING.values(), ids=NOT_CHANGING)
def test_the_key_does_not_change_with(change: Callable[[Project], Any], project: Project) -> None:
    before = project.key()
    change(project)
    assert project.key() == before


def test_the_key_does_not_change_with_the_folder_or_the_files_name(project: Project, tmp_path: Path) -> None:
    before = project.key()
    other = tmp_path / "elsewhere" / "deep"
    shutil.copytree(project.path.parent, other)
    project.path = (other / "net.yaml").rename(other / "other.yaml")
    assert project.key() == before


OPTIONS: dict[str, Any] = {
    "workspace": "1GiB",
    "optimization_level": 1,
    "tactic_sources": [],
    "timing_cache": "tactics",
    "tf32": False,
    "sparsity": True,
    "refit": True,
    "strip": True,
    "version_compatible": True,
    "hardware_compatibility": "ampere_plus",
    "profiling_verbosity": "none",
    "max_aux_streams": 1,
    "strongly_typed": True,
    "profiles": [{"N": 2}],
    "dla_core": 0,
    "gpu_fallback": True,
    "target": "8.9",
}


def test_every_option_changes_the_key(project: Project) -> None:
    assert set(OPTIONS) == set(BuildOptions.types())
    keys = [project.key(), *(project.key(**{name: value}) for name, value in OPTIONS.items())]
    assert len(set(keys)) == len(OPTIONS) + 1


def test_every_ingredient_changes_the_key() -> None:
    plain = manifests.Ingredients("spec", "runtime", None, {"a": 1}, {"N": (1, 2, 4)}, "code")
    other: dict[str, Any] = {
        "spec": "another",
        "runtime": "runtime 2",
        "gpu": "a GPU",
        "options": {"a": 2},
        "dims": {"N": (1, 2, 5)},
        "code": "other code",
        "plugins": ({"name": "p"},),
        "weights": ({"file": "w"},),
    }
    assert set(other) == {field.name for field in fields(manifests.Ingredients)}
    keys = [replace(plain, **{name: value}).key for name, value in other.items()]
    assert len({plain.key, *keys}) == len(other) + 1
    assert replace(plain, options={"a": 1}).key == plain.key
    several = replace(plain, options={"a": 1, "b": 2})
    assert replace(plain, options={"b": 2, "a": 1}).key == several.key


def test_a_gpu_that_engines_are_not_tuned_for_does_not_change_the_key(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.key()
    monkeypatch.setattr(manifests, "current_gpu", lambda: "a GPU")
    assert project.key() == before


# Each: a change of the package's files, and whether engines are made by another code then.
CODE: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "a text": (lambda package: (package / "engine" / "a.py").write_text("a = 2"), True),
    "a file's name": (lambda package: (package / "engine" / "a.py").rename(package / "engine" / "b.py"), True),
    "a file's folder": (lambda package: (package / "engine" / "a.py").rename(package / "a.py"), True),
    "a new file": (lambda package: (package / "b.py").touch(), True),
    "what is no code": (lambda package: (package / "notes").write_text("a = 2"), False),
    "the package's folder": (lambda package: package.rename(package.with_name("other")), False),
}


@pytest.mark.parametrize(("change", "is_another"), CODE.values(), ids=CODE)
def test_what_is_another_code(
    change: Callable[[Path], Any], is_another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    (package / "engine").mkdir(parents=True)
    (package / "engine" / "a.py").write_text("a = 1")

    def code_of(folder: Path) -> str:
        monkeypatch.setattr(manifests, "__file__", str(folder / "engine" / "manifest.py"))
        digest: str = manifests._code_hash.__wrapped__()
        return digest

    before = code_of(package)
    change(package)
    assert (code_of(package if package.exists() else tmp_path / "other") != before) is is_another


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"format": 1, "name": "sm',
    "not UTF-8": b"\xff\xfe\x00",
    "not a mapping": b"[1, 2]",
    "of no format": b'{"name": "small"}',
    "without what it should say": b'{"format": 2, "key": "k", "engine": {}}',
    "of the first format, without what it should say": b'{"format": 1, "key": "k", "engine": {}}',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_manifest_is_refused(content: bytes, tmp_path: Path) -> None:
    engine = tmp_path / "net.engine"
    manifests.manifest_path(engine).write_bytes(content)
    with pytest.raises(EngineFileError) as error:
        manifests.read(engine)
    assert error.value.diagnostics[0].code == "manifest-damaged"


# Each: a part of a manifest, and what is no such part.
INNER = {
    "weights": ("built_from", "weights", [3]),
    "plugins": ("built_from", "plugins", [{"library": "x.so"}]),
    "sizes": ("built_from", "dims", {"N": 3}),
    "a GPU": ("built_from", "gpu", 3),
    "inputs": ("inputs", "x", None),
    "shapes": ("outputs", "y", {"dtype": "fp32", "shape": [1, "N"]}),
    "counts": ("precision", "layers", {"fp32": "all"}),
    "what differs": ("precision", "differs", {"a": "fp16"}),
    "implementations": ("implementations", "a", 3),
    "a commit": ("source", "git", {"commit": 3}),
    "given params": ("given", "parameters", 3),
    "given weights": ("given", "weights", [3]),
    "something else given": ("given", "colour", "red"),
    "types that nothing tells": ("precision", "unverified", {"a": "fp16"}),
}


@pytest.mark.parametrize(("section", "part", "wrong"), INNER.values(), ids=INNER)
def test_parts_of_another_form_are_refused(section: str, part: str, wrong: object, project: Project) -> None:
    engine = project.build()
    manifest = json.loads(engine.manifest_path.read_text())
    manifest[section][part] = wrong
    engine.manifest_path.write_text(json.dumps(manifest))
    with pytest.raises(EngineFileError, match="is not a manifest of format 2"):
        manifests.read(engine.path)


# Each: a whole section of a manifest, in another form.
SECTIONS: dict[str, dict[str, Any]] = {
    "libraries": {"libraries": [3]},
    "tactics": {"tactics": {"fc": 3}},
    "a timing cache": {"timing_cache": 3},
    "a timing cache without its hash": {"timing_cache": {"file": "net.engine.tactics"}},
    "the network": {"network": [3]},
}


@pytest.mark.parametrize("wrong", SECTIONS.values(), ids=SECTIONS)
def test_sections_of_another_form_are_refused(wrong: dict[str, Any], project: Project) -> None:
    engine = project.build()
    engine.manifest_path.write_text(json.dumps({**engine.manifest, **wrong}))
    with pytest.raises(EngineFileError, match="is not a manifest of format 2"):
        manifests.read(engine.path)


def test_every_part_of_the_layout_is_looked_for(project: Project) -> None:
    engine = project.build()
    path = engine.manifest_path
    whole = json.loads(path.read_text())
    for key in set(whole) - {"format"}:
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        with pytest.raises(EngineFileError, match="is not a manifest"):
            manifests.read(engine.path)
    path.write_text(json.dumps(whole))
    assert manifests.read(engine.path) == whole


def test_a_missing_manifest_and_a_missing_engine_are_refused(tmp_path: Path, project: Project) -> None:
    with pytest.raises(EngineFileError, match="there is no engine"):
        manifests.read(tmp_path / "none.engine")
    (tmp_path / "alone.engine").write_bytes(b"an engine")
    with pytest.raises(EngineFileError, match="has no manifest"):
        manifests.read(tmp_path / "alone.engine")
    with pytest.raises(EngineFileError, match="is the file of a network, not of an engine"):
        manifests.read(project.path)
    manifests.manifest_path(tmp_path / "alone.engine").mkdir()
    with pytest.raises(EngineFileError, match=r"alone\.engine\.json cannot be read: is a directory"):
        manifests.read(tmp_path / "alone.engine")
    engine = project.build()
    engine.path.write_bytes(b"something else")
    with pytest.raises(EngineFileError, match="is not the engine its manifest speaks of"):
        manifests.verify(engine.path, engine.manifest)
    engine.path.unlink()
    with pytest.raises(EngineFileError, match="cannot be read"):
        manifests.verify(engine.path, engine.manifest)
