"""Ingredients of two builds side by side: what is another one, in which words, and at which place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trtdsl.engine.differences import Difference, differences, tactic_differences
from trtdsl.source import SourceFile, Span

NETWORK = [
    "trtdsl: 1",
    "name: n",
    "inputs:",
    "  x: {shape: [1, 4], dtype: fp32}",
    "layers:",
    "  - {op: relu, name: a, in: x}",
    '  - {op: if, name: "1.0", in: a, then: [{op: relu, name: inner}]}',
    "outputs:",
    "  y: a",
]
BUILT: dict[str, Any] = {
    "spec": "spec",
    "runtime": "TensorRT 10.15",
    "gpu": "a GPU",
    "options": {"tf32": True, "target": []},
    "dims": {"N": [1, 2, 4]},
    "weights": [{"file": "w", "weights": 2, "sha256": "a" * 64}],
    "plugins": [{"library": None, "sha256": None, "plugins": []}],
    "trtdsl": {"version": "1.0", "code": "c"},
}


def compared(network: list[str] | None = None, **now: Any) -> list[str]:
    manifest = {"built_from": BUILT, "network": NETWORK}
    spec = {} if network is None else {"spec": "another"}
    return [str(entry) for entry in differences(manifest, {**BUILT, **spec, **now}, network or NETWORK)]


def changed(before: str, after: str | None) -> list[str]:
    lines = (after if line == before else line for line in NETWORK)
    return [line for line in lines if line is not None]


CASES: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "a line of a section": (
        {"network": changed(NETWORK[3], "  x: {shape: [1, 8], dtype: fp32}")},
        ["inputs x: was {shape: [1, 4], dtype: fp32}, is {shape: [1, 8], dtype: fp32}"],
    ),
    "a name in quotes": (
        {"network": changed(NETWORK[6], None)},
        [f"layer 1.0: gone, was {NETWORK[6][4:]}"],
    ),
    "an output": ({"network": changed(NETWORK[8], "  z: a")}, ["outputs z: new, a", "outputs y: gone, was a"]),
    "the order": (
        {"network": [*NETWORK[:5], NETWORK[6], NETWORK[5], *NETWORK[7:]]},
        ["order of the layers: was layer a, is layer 1.0"],
    ),
    "the runtime": ({"runtime": "TensorRT 11.1"}, ["runtime: was TensorRT 10.15, is TensorRT 11.1"]),
    "no GPU any more": ({"gpu": None}, ["GPU: was a GPU, is none"]),
    "options": (
        {"options": {"tf32": False, "target": ["8.9", "12.0"], "new": 1}},
        ["option tf32: was True, is False", "option target: was none, is 8.9, 12.0", "option new: new, 1"],
    ),
    "a dimension": ({"dims": {}}, ["dimension N: gone, was 1, 2, 4"]),
    "weights": (
        {"weights": [{"file": "w", "weights": 2, "sha256": "b" * 64}, {"file": "w", "weights": 1, "sha256": "a" * 64}]},
        ["weights w: was sha256 aaaaaaaaaaaa, is sha256 bbbbbbbbbbbb", "weights w (2): new"],
    ),
    "no weights": ({"weights": []}, ["weights w: gone"]),
    "plugins": (
        {"plugins": [{"library": "p.so", "sha256": "d" * 64, "plugins": []}]},
        ["plugins p.so: new", "plugins of TensorRT's own: gone"],
    ),
    "another version": ({"trtdsl": {"version": "1.1", "code": "d"}}, ["trtdsl: was 1.0, is 1.1"]),
    "another copy": (
        {"trtdsl": {"version": "1.0", "code": "d"}},
        ["trtdsl: was 1.0, another copy of it, is 1.0, this copy"],
    ),
}


@pytest.mark.parametrize(("now", "expected"), CASES.values(), ids=CASES)
def test_what_is_said(now: Mapping[str, Any], expected: list[str]) -> None:
    assert compared(**now) == expected


def test_of_what_is_unknown_nothing_is_said() -> None:
    known = {key: value for key, value in BUILT.items() if key not in ("runtime", "gpu", "plugins")}
    assert differences({"built_from": {**BUILT, "gpu": "another"}, "network": NETWORK}, known, NETWORK) == ()


def test_a_manifest_without_the_network_says_that_it_is_another_one() -> None:
    (found,) = differences({"built_from": BUILT, "network": []}, {**BUILT, "spec": "another"}, NETWORK)
    assert str(found) == "network: was another one, is this one (the manifest is too old to say more)"


def test_layers_have_their_places() -> None:
    place = Span(SourceFile("net.yaml", "text"), 7, 3, 7, 9)
    lines = changed(NETWORK[5], "  - {op: tanh, name: a, in: x}")
    manifest = {"built_from": BUILT, "network": NETWORK}
    (found,) = differences(manifest, {**BUILT, "spec": "another"}, lines, {"a": place})
    assert found.span == place
    assert found.as_dict()["line"] == "net.yaml:7"


def test_tactics() -> None:
    before, after = {"a": "k1", "b": "k2"}, {"a": "k3", "c": "k4"}
    assert tactic_differences(before, after) == (
        Difference("tactic of a", "k1", "k3"),
        Difference("tactic of c", None, "k4"),
        Difference("tactic of b", "k2", None),
    )
