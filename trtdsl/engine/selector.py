"""Tells a builder which tactics to take, by the numbers that an inspector gave.

TensorRT 8.6.1 does not read timing caches that hold Myelin's graphs, which those of most networks do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BITS = 64


def numbers_of(chosen: Mapping[str, str]) -> dict[str, int]:
    """The numbers of tactics, as algorithms have them, out of what `Inspection.tactics` gives."""
    found = {}
    for name, tactic in chosen.items():
        number = tactic.split(" ")[0]
        if number.startswith("0x"):
            value = int(number, 16)
            found[name] = value - (1 << _BITS) if value >> (_BITS - 1) else value
    return found


def make_selector(trt: Any, chosen: Mapping[str, str]) -> Any:
    """An IAlgorithmSelector that leaves a layer no tactic but the one chosen, where that is among those on offer.

    The object has to live as long as the build.
    """
    wanted = numbers_of(chosen)

    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Selector(trt.IAlgorithmSelector):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IAlgorithmSelector.__init__(self)

        def select_algorithms(self, context: Any, choices: Sequence[Any]) -> list[int]:
            every = list(range(len(choices)))
            number = wanted.get(context.name)
            same = [index for index in every if choices[index].algorithm_variant.tactic == number]
            return same or every

        def report_algorithms(self, contexts: Sequence[Any], choices: Sequence[Any]) -> None: ...

    return Selector()
