"""What `explain` prints is what is called on the real INetworkDefinition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import trtdsl
from tests.targets.emitting import emitted, typed
from tests.targets.statements import check_variables
from trtdsl.graph import Graph
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime

NETWORKS = Path(__file__).parents[2] / "networks"
CASES: dict[str, tuple[str, Mapping[str, object], str]] = {
    "digits": ("digits", {}, "fp32"),
    "digits in fp16": ("digits", {}, "fp16"),
    "resnet-18": ("resnet", {"depth": 18}, "fp32"),
    "resnet-50 in bf16": ("resnet", {"depth": 50}, "bf16"),
    "vit of one layer": ("vit", {"depth": 1}, "fp16"),
    "gpt2 of one layer": ("gpt2", {"depth": 1}, "fp32"),
    "cyclegan, every even size": ("cyclegan_generator", {}, "fp32"),
}


class Watched:
    """An INetworkDefinition that writes down which methods add layers to it."""

    def __init__(self, network: Any) -> None:
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "calls", [])

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.network, name)
        if not name.startswith("add_") or name == "add_input":
            return method

        def call(*arguments: object, **keywords: object) -> Any:
            self.calls.append(name)
            return method(*arguments, **keywords)

        return call

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.network, name, value)


def called(graph: Graph, rtx: Runtime) -> list[str]:
    """The methods that emission calls to add layers."""
    watched: list[Watched] = []

    def watch(network: Any) -> Watched:
        watched.append(Watched(network))
        return watched[0]

    emitted(graph, rtx, watch)
    calls: list[str] = watched[0].calls
    return calls


def statements(graph: Graph, runtime: Runtime) -> list[str]:
    return [statement for calls in record(graph, runtime) for statement in calls.statements]


def recorded(graph: Graph, runtime: Runtime) -> list[str]:
    """The methods that `explain` shows to add layers."""
    found = [re.match(r"layer\d+ = network\.(add_\w+)\(", statement) for statement in statements(graph, runtime)]
    return [match[1] for match in found if match]


@pytest.mark.parametrize(("name", "params", "precision"), CASES.values(), ids=CASES)
def test_the_calls_are_those_that_are_made(
    name: str, params: Mapping[str, object], precision: str, rtx: Runtime
) -> None:
    network = trtdsl.load(NETWORKS / f"{name}.yaml", parameters=params, random_weights=True, precision=precision)
    calls = recorded(network.typed, rtx)
    assert len(calls) > 5
    assert calls == called(network.typed, rtx)


SECOND_USES = """\
inputs: {x: [2, 3]}
layers:
  - {op: identity, name: same}
  - {op: relu, name: y, in: x}
outputs: {a: same, b: y, c: y}
"""


def test_what_is_delivered_twice_goes_through_an_identity(rtx: Runtime, tmp_path: Path) -> None:
    graph = typed(tmp_path / "net.yaml", SECOND_USES)
    # The input under another name, the activation, and the activation once more.
    assert recorded(graph, rtx) == ["add_activation", "add_identity", "add_identity"]
    assert called(graph, rtx) == recorded(graph, rtx)


def test_every_variable_is_made_before_it_is_used(rtx: Runtime) -> None:
    network = trtdsl.load(NETWORKS / "gpt2.yaml", parameters={"depth": 1}, random_weights=True)
    check_variables(statements(network.typed, rtx))


LAYER_NORM = "inputs: {x: [2, 8]}\nlayers: [{op: layer_norm, normalized_shape: [8]}]\n"
GELU = "inputs: {x: [2, 8]}\nlayers: [gelu]\n"
VERSIONS = {
    "TensorRT 8.6": (Runtime("tensorrt", (8, 6, 1)), "add_normalization", False),
    "TensorRT 11": (Runtime("tensorrt", (11, 1)), "add_normalization_v2", True),
    "TensorRT-RTX": (Runtime("rtx", (1, 7)), "add_normalization_v2", True),
}


@pytest.mark.parametrize(("runtime", "normalization", "has_gelu"), VERSIONS.values(), ids=VERSIONS)
def test_the_calls_are_those_of_the_version(
    runtime: Runtime, normalization: str, has_gelu: bool, tmp_path: Path
) -> None:
    assert recorded(typed(tmp_path / "norm.yaml", LAYER_NORM), runtime)[-1] == normalization
    gelu = statements(typed(tmp_path / "gelu.yaml", GELU), runtime)
    assert ("ActivationType.GELU" in "\n".join(gelu)) is has_gelu


def test_what_the_runtime_says_it_has_is_there(rtx: Runtime) -> None:
    network = rtx.module.INetworkDefinition
    assert rtx.has_method("add_normalization_v2") == hasattr(network, "add_normalization_v2")


def test_weights_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = typed(tmp_path / "net.yaml", "inputs: {x: [2, 8]}\nlayers: [{op: linear, name: fc, out_features: 4}]")
    monkeypatch.setattr("trtdsl.weights.Weight.array", None)
    text = "\n".join(statements(graph, Runtime("rtx", (1, 7))))
    assert "weights['fc.weight', fp32[4, 8]]" in text
