"""Values of fields: what is taken for what, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trtdsl.plugins.fields import FieldDeclaration, FieldError, FieldType, coerce
from trtdsl.types import Dim, Sizes

N = Dim.dynamic("N", Sizes(1, 2, 8))


def field(kind: str, length: int | None = 1, is_list: bool = False, **more: Any) -> FieldDeclaration:
    return FieldDeclaration("f", FieldType(kind), length, is_list, **more)


TAKEN = [
    ("int32", -(2**31), (-(2**31),)),
    ("int32", 2**31 - 1, (2**31 - 1,)),
    ("int8", -128, (-128,)),
    ("int16", 32767, (32767,)),
    ("int64", 2**63 - 1, (2**63 - 1,)),
    ("int32", True, (1,)),
    ("int8", False, (0,)),
    ("int32", Dim.of(7), (7,)),
    ("bool", True, (1,)),
    ("bool", 0, (0,)),
    ("fp32", 3, (3.0,)),
    ("fp32", 0.1, (0.1,)),
    ("fp32", math.inf, (math.inf,)),
    ("fp16", 65504, (65504.0,)),
    ("fp16", 6e-8, (6e-8,)),
    ("fp64", 1e300, (1e300,)),
    ("fp32", 0, (0.0,)),
    ("char", "words", "words"),
    ("char", "", ""),
    ("dims", [3, 224, 224], ((3, 224, 224),)),
    ("dims", [], ((),)),
    ("dims", [-1, 3], ((-1, 3),)),
]

REFUSED = [
    ("int32", 2**40, "1099511627776 is beyond int32, which holds -2147483648 to 2147483647"),
    ("int32", 2**31, "beyond int32"),
    ("int8", 128, "128 is beyond int8, which holds -128 to 127"),
    ("int8", -129, "beyond int8"),
    ("int16", 2**15, "beyond int16"),
    ("int64", 2**63, "beyond int64"),
    ("int32", 2.0, r"expected a whole number \(int32\), got 2.0"),
    ("int32", 2.5, "expected a whole number"),
    ("int32", "3", 'expected a whole number .*got "3"'),
    ("int32", None, "got nothing"),
    ("int32", [3], "expected int32, got a list"),
    ("int32", {"a": 1}, "got a mapping"),
    ("int32", N, "`N` differs from run to run"),
    ("bool", 2, "expected true or false, got 2"),
    ("bool", "yes", 'expected true or false, got "yes"'),
    ("fp32", True, "expected a number .*got true"),
    ("fp32", "0.1", "expected a number"),
    ("fp32", 1e39, "1e\\+39 is beyond the range of fp32"),
    ("fp32", 1e-60, "1e-60 is too small for fp32, in which it is 0"),
    ("fp16", 65520, "65520 is beyond the range of fp16"),
    ("fp16", 1e-8, "too small for fp16"),
    ("char", 3, "expected text, got 3"),
    ("char", "a\0b", "no NUL"),
    ("char", ["a"], "expected text"),
    ("dims", 3, "expected a list of sizes, got 3"),
    ("dims", [1] * 9, "at most 8 sizes, got 9"),
    ("dims", [1.5], "expected a whole number"),
    ("dims", [True], "expected a size, got true"),
    ("dims", [[1], [2]], "expected one list of sizes, got several"),
]


@pytest.mark.parametrize(("kind", "value", "elements"), TAKEN, ids=lambda value: str(value)[:20])
def test_values_are_taken(kind: str, value: Any, elements: Any) -> None:
    found = coerce(value, field(kind))
    assert found == elements
    assert [type(one) for one in found] == [type(one) for one in elements]


@pytest.mark.parametrize(("kind", "value", "message"), REFUSED, ids=lambda value: str(value)[:20])
def test_values_are_refused(kind: str, value: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        coerce(value, field(kind))


def test_a_float_for_a_whole_number_is_told_how() -> None:
    with pytest.raises(FieldError) as caught:
        coerce(4.0, field("int32"))
    assert caught.value.hint == "write 4, and `//` where an expression divides"


LENGTHS = [
    (4, [1, 2, 3, 4], (1, 2, 3, 4)),
    (None, [], ()),
    (None, [1, 2], (1, 2)),
    (None, 5, (5,)),
    (1, 5, (5,)),
    (1, [5], (5,)),
    (4, [1, 2, 3], "expected 4 int32, got 3"),
    (4, 1, "expected 4 int32, got one value, 1"),
    (1, [], "expected 1 int32, got 0"),
]


@pytest.mark.parametrize(("length", "value", "expected"), LENGTHS, ids=str)
def test_lengths(length: int | None, value: Any, expected: Any) -> None:
    declared = field("int32", length, is_list=True)
    if isinstance(expected, str):
        with pytest.raises(FieldError, match=expected):
            coerce(value, declared)
    else:
        assert coerce(value, declared) == expected


def test_the_element_to_blame_is_told() -> None:
    with pytest.raises(FieldError) as caught:
        coerce([1, 2, 300], field("int8", None, is_list=True))
    assert caught.value.index == 2
    with pytest.raises(FieldError) as caught:
        coerce([[1], [2, 2.5]], field("dims", None, is_list=True))
    assert caught.value.index == 1


def test_several_dims() -> None:
    assert coerce([[1, 2], [3]], field("dims", None, is_list=True)) == ((1, 2), (3,))
    with pytest.raises(FieldError, match="expected 3 lists of sizes, got 2"):
        coerce([[1, 2], [3]], field("dims", 3, is_list=True))


RANGES: list[tuple[dict[str, Any], Any, str | None]] = [
    ({"minimum": 0}, 0, None),
    ({"minimum": 0}, -1, "expected fp32, at least 0, got -1"),
    ({"maximum": 1}, 1, None),
    ({"maximum": 1}, 1.5, "at most 1"),
    ({"above": 0}, 0, "expected fp32, above 0, got 0"),
    ({"below": 1}, 1, "below 1"),
    ({"above": 0, "maximum": 2}, 3, "expected fp32, above 0 and at most 2, got 3"),
    ({"minimum": 0}, math.nan, "got nan"),
]


@pytest.mark.parametrize(("bounds", "value", "message"), RANGES, ids=str)
def test_ranges(bounds: dict[str, Any], value: float, message: str | None) -> None:
    declared = field("fp32", **bounds)
    if message is None:
        assert coerce(value, declared) == (value,)
    else:
        with pytest.raises(FieldError, match=message):
            coerce(value, declared)


def test_choices_are_words_or_their_numbers() -> None:
    mode = field("int32", choices={"reflect": 0, "edge": 1})
    assert coerce("edge", mode) == (1,)
    assert coerce(0, mode) == (0,)
    with pytest.raises(FieldError, match=r"expected one of reflect \(0\), edge \(1\), got 2"):
        coerce(2, mode)
    with pytest.raises(FieldError) as caught:
        coerce("egde", mode)
    assert caught.value.hint == "did you mean `edge`?"
