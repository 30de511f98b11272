"""The search for layers that may be narrow, on errors that are made up: what it finds, and how little it asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest

from trtdsl.tuning.search import Assignment, ExhaustedError, Trial, Unit, cheapest, narrow
from trtdsl.types import DataType

FP32, FP16 = DataType.FP32, DataType.FP16


class Network:
    """So many layers, each with the error that it adds where it is narrow; counts what it is asked."""

    def __init__(self, count: int, errors: Mapping[int, float], rounding: float = 0.0, per_unit: int = 1) -> None:
        self.names = [f"l{index}" for index in range(count)]
        self.errors = {name: errors.get(index, rounding) for index, name in enumerate(self.names)}
        groups = [self.names[start : start + per_unit] for start in range(0, count, per_unit)]
        self.units = tuple(Unit(tuple(group), float(len(group))) for group in groups)
        self.asked: list[Assignment] = []

    def measure(self, assignment: Assignment) -> Trial:
        self.asked.append(assignment)
        return Trial(sum(self.errors[name] for name, dtype in assignment.items() if dtype is FP16))

    def narrowed(self, tolerance: float, measure: Callable[[Assignment], Trial] | None = None) -> set[str]:
        """The layers that stay wide."""
        base: Assignment = dict.fromkeys(self.names, FP32)
        found = [(base, Trial(0.0), 0.0), *narrow(self.units, base, FP16, tolerance, measure or self.measure)]
        assignment, trial = cheapest(found)
        assert trial.error <= tolerance
        return {name for name, dtype in assignment.items() if dtype is FP32}


# Each: layers, errors of some, rounding of all others, layers to a unit; which stay wide at a tolerance of 0.01; the
# most trials it may take.
CASES: dict[str, tuple[Network, set[str], int]] = {
    "nothing spoils": (Network(64, {}, 1e-5), set(), 1),
    "one overflows": (Network(64, {17: math.inf}, 1e-5), {"l17"}, 20),
    "the first": (Network(64, {0: math.inf}), {"l0"}, 20),
    "the last": (Network(64, {63: math.inf}), {"l63"}, 20),
    "three in a row": (Network(64, {30: math.inf, 31: math.inf, 32: math.inf}), {"l30", "l31", "l32"}, 36),
    "far apart": (Network(64, {3: math.inf, 60: 0.5}, 1e-5), {"l3", "l60"}, 34),
    "all": (Network(4, dict.fromkeys(range(4), 1.0)), {"l0", "l1", "l2", "l3"}, 7),
    "one of a unit": (Network(64, {17: math.inf}, 1e-5, per_unit=4), {"l17"}, 20),
    "an only layer": (Network(1, {0: 1.0}), {"l0"}, 1),
}


@pytest.mark.parametrize(("network", "wide", "trials"), CASES.values(), ids=CASES)
def test_finds_what_spoils(network: Network, wide: set[str], trials: int) -> None:
    assert network.narrowed(0.01) == wide
    assert len(network.asked) <= trials


def test_errors_that_add_up_leave_as_many_narrow_as_fit() -> None:
    network = Network(64, {}, 0.01 / 40.5)
    wide = network.narrowed(0.01)
    assert len(wide) == 24
    assert len(network.asked) <= 40


def test_those_that_work_most_for_their_error_come_first() -> None:
    network = Network(4, {0: 0.006, 1: 0.006, 2: 0.006, 3: 0.006})
    network.units = (*network.units[:2], Unit(("l2",), 100.0), network.units[3])
    assert "l2" not in network.narrowed(0.01)


def test_a_part_that_works_more_goes_before_one_of_less_error() -> None:
    network = Network(4, {0: 0.001, 1: 0.001, 2: 0.006, 3: 0.005})
    network.units = (*network.units[:2], Unit(("l2",), 100.0), network.units[3])
    # Beside the third only one more part is within tolerance; the last adds less than the third, and does less.
    assert network.narrowed(0.0085) == {"l3"}


def test_an_error_of_the_tolerance_is_within() -> None:
    assert Network(1, {0: 0.01}).narrowed(0.01) == set()


def test_the_same_questions_every_time() -> None:
    first, second = (Network(64, {3: math.inf, 40: 0.5}, 1e-4) for _ in range(2))
    assert first.narrowed(0.01) == second.narrowed(0.01)
    assert first.asked == second.asked


def test_what_was_found_before_the_trials_ran_out_counts() -> None:
    network = Network(64, {17: math.inf}, 1e-5)

    def measure(assignment: Assignment) -> Trial:
        if len(network.asked) == 3:
            raise ExhaustedError
        return network.measure(assignment)

    # All, and the first half, are spoilt; its own first half is not.
    assert network.narrowed(0.01, measure) == {f"l{index}" for index in range(16, 64)}


def test_the_fastest_is_taken_and_of_those_as_fast_the_narrowest() -> None:
    wide, some, most, all_ = ({"a": dtype} for dtype in (FP32, FP16, DataType.BF16, DataType.INT8))
    found = [(wide, Trial(0.0, 2.0), 0.0), (some, Trial(1e-3, 1.0), 1.0), (most, Trial(2e-3, 1.01), 2.0)]
    assert cheapest(found)[0] is most
    assert cheapest([*found, (all_, Trial(3e-3, 1.05), 3.0)])[0] is most
    assert cheapest([(entry[0], Trial(entry[1].error), entry[2]) for entry in found])[0] is most
