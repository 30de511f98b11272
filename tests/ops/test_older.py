"""What ops are made of where TensorRT 8.6 lacks a layer: RTX, without that layer, builds it and agrees with infer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ops.harness import Case, cases
from tests.ops.test_tensorrt import Builder
from trtdsl.graph import Graph
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.targets.tensorrt import emit

OLD = Runtime("tensorrt", (8, 6, 1))
KINDS = ("cumsum", "rotary_embedding", "scaled_dot_product_attention", "multi_head_attention", "argmax", "argmin")
NEW_METHODS = ("add_cumulative", "add_rotary_embedding")


class Older(Runtime):
    """RTX that says of itself what 8.6 says."""

    @property
    def has_integer_topk(self) -> bool:
        return OLD.has_integer_topk

    @property
    def has_attention(self) -> bool:
        return OLD.has_attention


class WithoutNewMethods:
    """A network that has only what 8.6's has."""

    def __init__(self, network: Any) -> None:
        object.__setattr__(self, "_network", network)

    def __getattr__(self, name: str) -> Any:
        if name in NEW_METHODS:
            raise AttributeError(name)
        return getattr(self._network, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._network, name, value)


def _differs(case: Case) -> bool:
    """Whether 8.6 gets other layers than the latest."""
    graph = case.graph()
    return [list(calls.statements) for calls in record(graph, OLD)] != [
        list(calls.statements) for calls in record(graph, LATEST)
    ]


OLDER = [case for case in cases() if case.op.kind in KINDS and _differs(case)]


def test_each_kind_differs() -> None:
    assert {case.op.kind for case in OLDER} == set(KINDS)


class OlderBuilder(Builder):
    """RTX's builder, for networks that have only what 8.6's have."""

    def emit(self, graph: Graph) -> tuple[Any, Any]:
        self.log.take_errors()
        network = self._builder.create_network(self.runtime.network_flags(strongly_typed=True))
        # Raises where a shape or a type is not what infer says.
        return network, emit(graph, WithoutNewMethods(network), self.runtime, self.log, strongly_typed=True)


@pytest.fixture(scope="module")
def builder(rtx: Runtime) -> OlderBuilder:
    return OlderBuilder(Older(rtx.flavor, rtx.version, rtx.module))


@pytest.mark.parametrize("case", OLDER, ids=lambda case: case.id)
def test_builder_takes_what_stands_in_for_newer_layers(case: Case, builder: OlderBuilder) -> None:
    plan = builder.build(case.graph())
    assert plan is not None, builder.log.take_errors()
    assert plan.nbytes > 0
