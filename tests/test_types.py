"""Arithmetic on dimensions against plain whole numbers, and how types and dimensions are written."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from trtdsl.types import (
    Arithmetic,
    DataType,
    Dim,
    Expression,
    Sizes,
    Symbol,
    TensorType,
    evaluate,
    format_shape,
    steps_back,
    symbols,
    volume,
)

N = Dim.dynamic("N", Sizes(1, 8, 32))
H = Dim.dynamic("H", Sizes(5, 6, 9))

WRITTEN = {
    "sum": (N + H, "N + H", (6, 14, 41)),
    "number in front": (3 + N, "N + 3", (4, 11, 35)),
    "difference": (N - 1, "N - 1", (0, 7, 31)),
    "from a number": (9 - H, "9 - H", (4, 3, 0)),
    "product": (2 * N, "N * 2", (2, 16, 64)),
    "quotient": (N // 3, "N // 3", (0, 2, 10)),
    "number over": (40 // H, "40 // H", (8, 6, 4)),
    "remainder": (N % 3, "N % 3", (1, 2, 2)),
    "rounded up": (H.ceil_div(2), "(H + 1) // 2", (3, 3, 5)),
    "at least": (N.maximum(4), "max(N, 4)", (4, 8, 32)),
    "at most": (N.minimum(H), "min(N, H)", (1, 6, 9)),
    "sum in a product": ((N + 1) * H, "(N + 1) * H", (10, 54, 297)),
    "product in a sum": (N + H * 2, "N + H * 2", (11, 20, 50)),
    "quotient in a product": (N * (H // 2), "N * (H // 2)", (2, 24, 128)),
    "product in a quotient": (N * H // 2, "N * H // 2", (2, 24, 144)),
    "remainder in a product": (2 * N % 7 * H, "N * 2 % 7 * H", (10, 12, 9)),
    "difference taken away": (N - (H - N), "N - (H - N)", (-3, 10, 55)),
    "sum taken away": (N - (H + N), "N - (H + N)", (-5, -6, -9)),
    "sum in a minimum": ((N + 1).minimum(H - 2), "min(N + 1, H - 2)", (2, 4, 7)),
}


@pytest.mark.parametrize(("dim", "text", "sizes"), WRITTEN.values(), ids=WRITTEN)
def test_arithmetic(dim: Dim, text: str, sizes: tuple[int, int, int]) -> None:
    assert (str(dim), dim.sizes) == (text, sizes)


FOLDED = {
    "nothing added": (N + 0, N),
    "taken away again": (N + 3 - 3, N),
    "one time": (N * 1, N),
    "divided by one": (N // 1, N),
    "divided again": (N * 4 // 4, N),
    "divided in part": (N * 4 // 2, N * 2),
    "by itself": (H // H, Dim.of(1)),
    "from itself": (N - N, Dim.of(0)),
    "from itself and more": ((N + 5) - (N + 2), Dim.of(3)),
    "nothing": (N * 0, Dim.of(0)),
    "the smaller of the same": (N.minimum(N), N),
    "numbers": (Dim.of(7).ceil_div(2) + 1, Dim.of(5)),
}


@pytest.mark.parametrize(("dim", "simple"), FOLDED.values(), ids=FOLDED)
def test_what_was_undone_is_gone(dim: Dim, simple: Dim) -> None:
    assert dim == simple


def test_what_rounds_is_not_undone() -> None:
    assert str(N // 4 * 4) == "N // 4 * 4"
    assert (N // 4 * 4).sizes == (0, 8, 32)


Values = Mapping[str, int]
Plain = Callable[[Values], int]
_OPERATIONS: tuple[tuple[Callable[[Any, Any], Any], Callable[[int, int], int]], ...] = (
    (lambda a, b: a + b, lambda a, b: a + b),
    (lambda a, b: a - b, lambda a, b: a - b),
    (lambda a, b: a * b, lambda a, b: a * b),
    (lambda a, b: a // b, lambda a, b: a // b),
    (lambda a, b: a % b, lambda a, b: a % b),
    (lambda a, b: a.minimum(b), min),
    (lambda a, b: a.maximum(b), max),
)


def _formula(seeded: random.Random, dims: Mapping[str, Dim], depth: int) -> tuple[Dim, Plain]:
    """A dimension made by some arithmetic, and the same arithmetic on plain numbers."""
    if depth == 0 or seeded.random() < 0.2:
        if seeded.random() < 0.4:
            number = seeded.randint(-7, 9)
            return Dim.of(number), lambda values: number
        name = seeded.choice(list(dims))
        return dims[name], lambda values: values[name]
    (left, plain_left), (right, plain_right) = (_formula(seeded, dims, depth - 1) for _ in range(2))
    symbolic, plain = seeded.choice(_OPERATIONS)
    return symbolic(left, right), lambda values: plain(plain_left(values), plain_right(values))


def _value(expression: Expression, values: Values) -> int:
    """What a target would compute at run time."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, Symbol):
        return values[expression.name]
    assert isinstance(expression, Arithmetic)
    scope = {"a": _value(expression.left, values), "b": _value(expression.right, values), "min": min, "max": max}
    call = f"{expression.operator}(a, b)" if expression.operator in ("min", "max") else f"a {expression.operator} b"
    return int(eval(call, scope))


@pytest.mark.parametrize("seed", range(20))
def test_any_arithmetic_equals_that_of_plain_numbers(seed: int) -> None:
    seeded = random.Random(seed)
    made = 0
    while made < 200:
        sizes = {name: Sizes(*sorted(seeded.randint(1, 9) for _ in range(3))) for name in "NHW"}
        dims = {name: Dim.dynamic(name, size) for name, size in sizes.items()}
        try:
            dim, plain = _formula(seeded, dims, seeded.randint(1, 4))
        except ZeroDivisionError:
            continue
        made += 1
        for point, size in enumerate(dim.sizes):
            values = {name: size[point] for name, size in sizes.items()}
            assert size == plain(values) == _value(dim.expression, values), str(dim)
            assert eval(str(dim), {"min": min, "max": max}, dict(values)) == size, f"{dim} reads differently"


def test_static_dimensions_stay_static() -> None:
    fixed = Dim.dynamic("C", Sizes(3, 3, 3))
    assert fixed.is_static
    assert ((fixed * 4 + 1) // 2).value == 6
    with pytest.raises(ValueError, match="N is dynamic"):
        _ = N.value


def test_only_a_static_one_is_one() -> None:
    assert Dim.of(1).is_one
    assert not Dim.dynamic("N", Sizes(1, 1, 2)).is_one


def test_dimensions_match_by_size() -> None:
    assert N.matches(Dim.dynamic("M", N.sizes))
    assert not N.matches(N + 1)


def test_types_are_written_as_in_yaml() -> None:
    declared = TensorType(DataType.FP16, (N, Dim.of(3), H // 2))
    assert str(declared) == "fp16[N, 3, H // 2]"
    assert format_shape(()) == "[]"
    assert declared.rank == 3
    assert not declared.is_static
    assert str(volume(declared.shape)) == "N * 3 * (H // 2)"
    assert volume(()).value == 1


def test_long_arithmetic_is_shown_as_sizes() -> None:
    shrunk = ((H + 1) // 2 + 1) // 2
    assert format_shape((N, shrunk, (shrunk + 1) // 2)) == "[N, ((H + 1) // 2 + 1) // 2, 1..2 (opt 1)]"


@pytest.mark.parametrize("dtype", list(DataType), ids=str)
def test_elements_are_stored_in_as_many_bits(dtype: DataType) -> None:
    # e8m0 counts the bits of its parts.
    bits = 8 if dtype is DataType.E8M0 else int("".join(filter(str.isdigit, dtype.value)) or 8)
    assert 8 * np.dtype(dtype.storage).itemsize == max(bits, 8)


BACK: dict[str, tuple[Dim, tuple[tuple[str, int], ...] | None]] = {
    "itself": (N, ()),
    "a product": (N * 4, (("//", 4),)),
    "a sum": (N + 3, (("-", 3),)),
    "both": ((N * 4 - 1) * 2, (("//", 2), ("-", -1), ("//", 4))),
    "another one": (H, None),
    "a quotient, which loses the rest": (N // 2, None),
    "a product of two": (N * H, None),
    "a fixed size": (Dim.of(4), None),
}


@pytest.mark.parametrize("case", BACK)
def test_the_way_back_to_a_dimension(case: str) -> None:
    dim, steps = BACK[case]
    found = steps_back(dim.expression, Symbol("N"))
    assert found == steps
    compute = {"-": lambda a, b: a - b, "//": lambda a, b: a // b}
    if found is not None:
        for size, wanted in zip(dim.sizes, N.sizes, strict=True):
            for name, number in found:
                size = compute[name](size, number)
            assert size == wanted


def test_the_dimensions_that_a_size_is_computed_from() -> None:
    assert symbols(((N + 1) * H // 2).expression) == {Symbol("N"), Symbol("H")}
    assert symbols(Dim.of(3).expression) == set()


EVALUATED = {
    "a number": (Dim.of(7), 7),
    "a symbol": (N, 5),
    "a sum": (N * 3 - 2, 13),
    "a rounded quotient": ((N + H) // 4, 3),
    "a remainder": (H % N, 4),
    "the smaller": (N.minimum(H), 5),
    "the larger": (N.maximum(H), 9),
}


@pytest.mark.parametrize("case", EVALUATED)
def test_expressions_have_a_value_for_given_sizes(case: str) -> None:
    dim, value = EVALUATED[case]
    assert evaluate(dim.expression, {Symbol("N"): 5, Symbol("H"): 9}) == value
