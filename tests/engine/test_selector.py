"""Tactics that a builder is told by their numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trtdsl.engine.selector import make_selector, numbers_of


class Base:
    """As TensorRT's own class, which wants to be initialised itself."""

    def __init__(self) -> None:
        self.is_made = True


CHOSEN = {
    "conv1 + relu": "0x0000000000000005 sm80_kernel",
    "high": "0xc4e457eb6dc4cc67 sm90_kernel",
    "copy": "0x00000000000003ea",
    "named only": "some kernel",
}


def test_numbers_are_signed_and_of_64_bits() -> None:
    # 0xc4e4… is beyond 2 ** 63: its two's complement is negative.
    assert numbers_of(CHOSEN) == {"conv1 + relu": 5, "high": 0xC4E457EB6DC4CC67 - 2**64, "copy": 1002}


# Each: the layer, the numbers on offer, and the indices that are left.
CASES: dict[str, tuple[str, list[int], list[int]]] = {
    "one of several": ("conv1 + relu", [3, 5, 7], [1]),
    "in two formats": ("conv1 + relu", [5, 3, 5], [0, 2]),
    "a negative one": ("high", [1, 0xC4E457EB6DC4CC67 - 2**64], [1]),
    "not on offer": ("conv1 + relu", [3, 7], [0, 1]),
    "a layer that is new": ("conv2", [3, 5], [0, 1]),
    "a name without a number": ("named only", [3], [0]),
}


@pytest.mark.parametrize(("name", "offered", "left"), CASES.values(), ids=CASES)
def test_no_other_tactic_is_left(name: str, offered: list[int], left: list[int]) -> None:
    selector = make_selector(SimpleNamespace(IAlgorithmSelector=Base), CHOSEN)
    assert selector.is_made
    choices: list[Any] = [SimpleNamespace(algorithm_variant=SimpleNamespace(tactic=number)) for number in offered]
    assert selector.select_algorithms(SimpleNamespace(name=name), choices) == left
    selector.report_algorithms([], [])
