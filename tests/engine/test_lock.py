"""Locked builds: what a manifest says decides, and whatever is another one is named with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.building import TEXT, Project, is_whole, weights
from tests.engine.inspected import engine, layer
from trtdsl.engine import make
from trtdsl.engine import manifest as manifests
from trtdsl.engine.builder import Built, Tactics
from trtdsl.engine.files import sha256
from trtdsl.engine.inspection import EngineLayer, Inspection, parse
from trtdsl.errors import BuildError, EngineFileError
from trtdsl.targets.runtime import Runtime


def messages(error: pytest.ExceptionInfo[BuildError]) -> list[str]:
    assert {diagnostic.code for diagnostic in error.value.diagnostics} == {"locked"}
    return [diagnostic.message.partition(".json: ")[2] for diagnostic in error.value.diagnostics]


def test_the_same_is_up_to_date(project: Project) -> None:
    first = project.build()
    again = project.build(locked=True)
    assert again.reused
    assert again.manifest == first.manifest


def test_the_engine_need_not_be_there(project: Project) -> None:
    first = project.build()
    first.path.unlink()
    again = project.build(locked=True)
    # The store has it, but who knows by which tactics.
    assert not again.reused
    assert is_whole(again.path)


def test_without_a_manifest_there_is_nothing_to_be_locked_to(project: Project) -> None:
    with pytest.raises(EngineFileError, match=r"a locked build comes to what .* says, and there is no such file"):
        project.build(locked=True)


def _changed(name: str) -> Callable[[Project], Any]:
    def change(project: Project) -> dict[str, Any]:
        arrays = weights()
        arrays[name] = arrays[name] + np.float32(1)
        project.save(arrays)
        return {}

    return change


def _written(old: str, new: str) -> Callable[[Project], Any]:
    assert old in TEXT
    return lambda project: project.write(TEXT.replace(old, new))


# Each: a change, and what is said of it, with the line where there is one.
CHANGES: dict[str, tuple[Callable[[Project], Any], list[tuple[str, int | None]]]] = {
    "an op": (
        _written("op: tanh", "op: relu"),
        [("layer last: was {op: tanh, name: last, in: part.fc}, is {op: relu, name: last, in: part.fc}", 9)],
    ),
    "a name": (
        _written("name: last", "name: end"),
        [
            ("layer end: new, {op: tanh, name: end, in: part.fc}", 9),
            ("outputs end: new, end", None),
            ("layer last: gone, was {op: tanh, name: last, in: part.fc}", None),
            ("outputs last: gone, was last", None),
        ],
    ),
    "a dimension": (
        _written("[1, 2, 4]", "[1, 2, 5]"),
        [("dims: was {N: [1, 2, 4]}, is {N: [1, 2, 5]}", None), ("dimension N: was 1, 2, 4, is 1, 2, 5", None)],
    ),
    "a weight": (_changed("fc.bias"), [("weights w.safetensors: was sha256 …, is sha256 …", None)]),
    "an option": (lambda project: {"tf32": False}, [("option tf32: was True, is False", None)]),
    "a precision": (lambda project: {"precision": "fp16"}, [("precision: new, fp16", None)]),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_another_ingredient_is_refused_and_nothing_written(
    change: Callable[[Project], Any], expected: list[tuple[str, int | None]], project: Project
) -> None:
    first = project.build()
    before = first.path.read_bytes(), first.manifest_path.read_bytes()
    arguments = change(project) or {}
    with pytest.raises(BuildError) as error:
        project.build(locked=True, **arguments)
    said = [_without_hashes(message) for message in messages(error)]
    lines = [diagnostic.span and diagnostic.span.line for diagnostic in error.value.diagnostics]
    assert list(zip(said, lines, strict=True))[: len(expected)] == expected
    # Types of weights follow from the precision.
    assert len(said) == len(expected) or all("weights" in message for message in said[len(expected) :])
    assert (first.path.read_bytes(), first.manifest_path.read_bytes()) == before


def _without_hashes(message: str) -> str:
    words = message.replace(",", " ,").split(" ")
    hidden = ["…" if len(word) == 12 and set(word) <= set("0123456789abcdef") else word for word in words]
    return " ".join(hidden).replace(" ,", ",")


class Measuring:
    """Stands in for a TensorRT that measures tactics: what it builds, and what its inspector says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tactics = {"fc": "kernel a", "last": "kernel b"}
        self.detailed = True
        self.begun_anew: str | None = None
        self.given: list[Tactics | None] = []
        monkeypatch.setattr(make, "build_by_tactics", self.build)
        monkeypatch.setattr(make, "has_gpu", lambda: True)
        monkeypatch.setattr(make, "inspect", lambda *_, **__: self.inspection)
        monkeypatch.setattr(manifests, "current_gpu", lambda: "a GPU")

    def build(self, *arguments: Any) -> Built:
        self.given.append(arguments[-1])
        return Built(b"an engine", b"timings", self.begun_anew)

    @property
    def inspection(self) -> Inspection:
        layers = tuple(EngineLayer(name, "", tactic=tactic) for name, tactic in self.tactics.items())
        return Inspection(layers, self.detailed)


@pytest.fixture
def measuring(project: Project, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    project.runtime = Runtime("tensorrt", (8, 6, 1), project.runtime.module)
    return Measuring(monkeypatch)


def test_tactics_and_timings_are_kept_and_given_back(project: Project, measuring: Measuring) -> None:
    first = project.build()
    assert first.manifest["tactics"] == measuring.tactics
    assert first.manifest["timing_cache"] == {"sha256": sha256(b"timings"), "bytes": 7, "file": "net.engine.tactics"}
    assert manifests.tactics_path(first.path).read_bytes() == b"timings"
    first.path.unlink()
    project.build(locked=True)
    assert measuring.given == [Tactics(), Tactics(b"timings", locked=True, chosen=measuring.tactics)]


def test_a_build_starts_from_the_last_ones_timings_unless_it_is_to_measure(
    project: Project, measuring: Measuring
) -> None:
    project.build()
    project.write(TEXT.replace("tanh", "relu"))
    project.build()
    project.cache = None
    project.build()
    assert measuring.given == [Tactics(), Tactics(b"timings"), None]


def test_another_tactic_is_refused_and_nothing_written(project: Project, measuring: Measuring) -> None:
    first = project.build()
    first.path.unlink()
    before = first.manifest_path.read_bytes()
    measuring.tactics = {"fc": "kernel c", "new": "kernel d"}
    with pytest.raises(BuildError) as error:
        project.build(locked=True)
    assert messages(error) == [
        "tactic of fc: was kernel a, is kernel c",
        "tactic of new: new, kernel d",
        "tactic of last: gone, was kernel b",
    ]
    assert not first.path.exists()
    assert first.manifest_path.read_bytes() == before


def test_that_the_timing_cache_is_not_used_is_part_of_the_reason(project: Project, measuring: Measuring) -> None:
    project.build().path.unlink()
    measuring.tactics, measuring.begun_anew = {"fc": "kernel c", "last": "kernel b"}, "it is of another GPU"
    with pytest.raises(BuildError) as error:
        project.build(locked=True)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.hint == "the engine was not written; the lock's timing cache is not used: it is of another GPU"


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "its timing cache .* cannot be read"),
    "another one": (lambda path: path.write_bytes(b"others"), "is not the timing cache that it speaks of"),
}


@pytest.mark.parametrize(("spoil", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_timing_cache_that_is_not_the_locks(
    spoil: Callable[[Path], object], message: str, project: Project, measuring: Measuring
) -> None:
    first = project.build()
    first.path.unlink()
    spoil(manifests.tactics_path(first.path))
    with pytest.raises(BuildError, match=message):
        project.build(locked=True)


def test_an_engine_of_myelin_nodes_has_no_tactics_to_hold(project: Project, measuring: Measuring) -> None:
    measuring.tactics = {}
    first = project.build()
    first.path.unlink()
    assert project.build(locked=True).manifest["tactics"] == {}


@pytest.mark.parametrize("is_told_first", [True, False])
def test_tactics_that_nobody_tells_cannot_be_held(is_told_first: bool, project: Project, measuring: Measuring) -> None:
    measuring.detailed = is_told_first
    first = project.build()
    first.path.unlink()
    measuring.detailed = not is_told_first
    with pytest.raises(BuildError, match=r"now or then, are not known: .* `profiling_verbosity: detailed`"):
        project.build(locked=True)


def test_the_store_keeps_timings_as_well(project: Project, measuring: Measuring, tmp_path: Path) -> None:
    project.build()
    other = project.build(tmp_path / "other.engine")
    assert other.reused
    assert manifests.tactics_path(other.path).read_bytes() == b"timings"
    assert other.manifest["timing_cache"]["file"] == "other.engine.tactics"
    # Without them the engine is as good, but nothing is to be promised.
    for kept in project.path.parent.joinpath("store").glob("*.tactics"):
        kept.unlink()
    third = project.build(tmp_path / "third.engine")
    assert third.reused
    assert third.manifest["timing_cache"] is None


def test_a_difference_of_types_writes_nothing(
    project: Project, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = engine(layer("fc", "CaskGemm", {}, {}, weights="fp16"), layer("part.fc", "CaskGemm", {}, {}, weights="fp32"))
    monkeypatch.setattr(make, "inspect", lambda *_, **__: parse(text))
    with pytest.raises(BuildError) as error:
        project.build()
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "precision-differs"
    assert not project.output.exists()
    assert project.build(allowed=("f*",)).manifest["precision"]["differs"] == {
        "fc": {"asked": "fp32", "found": "fp16", "why": "the weights of `fc` are fp16"}
    }


def test_old_manifests_are_read(project: Project) -> None:
    first = project.build()
    old = json.loads(first.manifest_path.read_text())
    for key in ("given", "network", "timing_cache", "tactics"):
        del old[key]
    old |= {"format": 1, "source": {"file": "net.yaml", "git": None}}
    old["precision"] = {key: old["precision"][key] for key in ("layers", "others", "verified")}
    first.manifest_path.write_text(json.dumps(old))
    read = manifests.read(first.path)
    assert (read["format"], read["given"], read["network"], read["tactics"]) == (2, None, [], {})
    assert read["precision"]["why"] == "an older trtdsl built it"
    manifests.verify(first.path, read)


def test_manifests_of_a_later_trtdsl_are_named_as_such(tmp_path: Path) -> None:
    manifests.manifest_path(tmp_path / "net.engine").write_text('{"format": 3}')
    with pytest.raises(EngineFileError, match="of format 3") as error:
        manifests.read(tmp_path / "net.engine")
    assert error.value.diagnostics[0].code == "manifest-format"
