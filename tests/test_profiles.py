"""Optimisation profiles: what `build: {profiles: …}` asks for, and what TensorRT-RTX is told of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtdsl
from trtdsl.engine.config import fit_to_network
from trtdsl.errors import NetworkError
from trtdsl.profiles import profiles_of
from trtdsl.targets.runtime import Runtime

THREE = "[{N: 1, H: 16}, {N: [1, 8, 16]}, {N: [16, 32, 32], H: [8, 8, 8]}]"


def load(folder: Path, profiles: str) -> trtdsl.Network:
    text = "trtdsl: 1\ndims: {N: [1, 8, 32], H: [8, 16, 64], F: 3}\ninputs: {x: [N, $F, $(2 * H)], n: [N]}\n"
    (folder / "net.yaml").write_text(f"{text}layers: [{{op: relu, in: x}}]\nbuild: {{profiles: {profiles}}}\n")
    return trtdsl.load(folder / "net.yaml")


# The shapes of x and of n, worked out by hand: H is 2 wide.
SHAPES: dict[str, tuple[str, list[Any]]] = {
    "none": ("null", [((1, 3, 16), (8, 3, 32), (32, 3, 128))]),
    "one": ("[{N: 4}]", [((4, 3, 16), (4, 3, 32), (4, 3, 128))]),
    "three": (
        THREE,
        [
            ((1, 3, 32), (1, 3, 32), (1, 3, 32)),
            ((1, 3, 16), (8, 3, 32), (16, 3, 128)),
            ((16, 3, 16), (32, 3, 16), (32, 3, 16)),
        ],
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str, tmp_path: Path) -> None:
    asked, expected = SHAPES[case]
    network = load(tmp_path, asked)
    found = profiles_of(network.typed, network.options())
    assert [profile["x"] for profile in found] == expected
    assert [profile["n"] for profile in found] == [tuple(shape[:1] for shape in shapes) for shapes in expected]


def test_a_network_of_fixed_sizes_has_none(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [2]}\nlayers: [relu]\n")
    network = trtdsl.load(tmp_path / "net.yaml")
    assert profiles_of(network.typed, network.options()) == ()


class Told:
    """An IBuilderConfig that keeps what it is told, and the builder that makes its profiles."""

    def __init__(self) -> None:
        self.profiles: list[Any] = []
        self.features: list[Any] = []

    def create_optimization_profile(self) -> Any:
        return Shapes()

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.told)
        return len(self.profiles) - 1

    def set_preview_feature(self, feature: Any, value: bool) -> None:
        self.features.append((feature, value))


class Shapes:
    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.told[name] = shapes


@pytest.mark.parametrize(("version", "features"), [((8, 6, 1), [("sharing", True)]), ((10, 15), [])], ids=["8.6", "10"])
def test_contexts_may_share_profiles(version: tuple[int, ...], features: Any, tmp_path: Path) -> None:
    network = load(tmp_path, THREE)
    module = SimpleNamespace(PreviewFeature=SimpleNamespace(PROFILE_SHARING_0806="sharing"))
    told = Told()
    fit_to_network(told, told, network.typed, Runtime("tensorrt", version, module), True, network.options())
    assert told.features == features
    assert [profile["x"][1] for profile in told.profiles] == [(1, 3, 32), (8, 3, 32), (32, 3, 16)]


def test_without_profiles_there_are_none_to_share(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [2]}\nlayers: [relu]\n")
    network = trtdsl.load(tmp_path / "net.yaml")
    told = Told()
    fit_to_network(told, told, network.typed, Runtime("tensorrt", (8, 6, 1)), True, network.options())
    assert (told.profiles, told.features) == ([], [])


def test_tensorrt_takes_them(tmp_path: Path, rtx: Runtime) -> None:
    engine = load(tmp_path, THREE).build(runtime="rtx", cache=False)
    assert engine.manifest["built_from"]["options"]["profiles"] == [
        {"N": [1, 1, 1], "H": [16, 16, 16]},
        {"N": [1, 8, 16]},
        {"N": [16, 32, 32], "H": [8, 8, 8]},
    ]


WRONG = {
    "no such dimension": ("[{n: 1}]", "profiles: the network has no dimension `n`", "did you mean `N`?"),
    "a fixed one": ("[{F: 4}]", "profiles: `F` is always 3", None),
    "beyond": ("[{N: [1, 8, 64]}]", "profiles: `N` is 1 to 32, and [1, 8, 64] goes beyond", None),
    "falling": ("[{N: [8, 4, 1]}]", "`N` is one size, or [min, opt, max] in rising order, from 1, not [8, 4, 1]", None),
    "two sizes": ("[{N: [1, 8]}]", None, None),
    "a word": ("[{N: many}]", None, None),
    "no list": ("{N: 1}", None, None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_network_cannot_have(case: str, tmp_path: Path) -> None:
    profiles, message, hint = WRONG[case]
    with pytest.raises(NetworkError) as error:
        load(tmp_path, profiles)
    found = error.value.diagnostics[0]
    assert found.code == "build-option"
    assert found.span is not None
    assert found.span.line == 5
    assert message is None or message in found.message
    assert found.hint == hint


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as error:
        load(tmp_path, "[{M: 1}, {F: 2}]")
    assert len(error.value.diagnostics) == 2


def test_the_command_line_has_other_ones(tmp_path: Path) -> None:
    network = load(tmp_path, THREE)
    assert network.options({"profiles": [{"N": 2}]}).profiles == ({"N": [2, 2, 2]},)
    assert network.options({"profiles": None}).profiles == ()
