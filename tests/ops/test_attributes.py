"""What parameters take and refuse, apart from any op; YAML's literals and what expressions give."""

from __future__ import annotations

import pytest

from trtdsl.ops.attributes import AttributeType, DimList, Float, Int, Ints, Number, Padding
from trtdsl.types import Dim, Sizes

N = Dim.dynamic("N", Sizes(1, 4, 8))
DIMS = {"N": N}
FIXED = Dim.of(3)

TAKEN = [
    ("a whole float", Int(), 2.0, 2),
    ("a fixed dimension", Int(minimum=1), FIXED, 3),
    ("one for a list", Ints(), 2, (2,)),
    ("fixed dimensions", Ints(), [FIXED, 1], (3, 1)),
    ("sizes", DimList(), [2, "N", N * 2, -1], (Dim.of(2), N, N * 2, Dim.of(-1))),
    ("one size", DimList(single=True), "N", (N,)),
    ("sizes that are large enough", DimList(minimum=1), [N, N * 2 - 1], (N, N * 2 - 1)),
    ("a whole number", Number(), -2, Dim.of(-2)),
    ("a number with a fraction", Number(), 2.0, 2.0),
    ("a dimension for a number", Number(), "N", N),
    ("padding", Padding(), 1, ((1, 1),)),
    ("padding per axis", Padding(), [1, FIXED], ((1, 1), (3, 3))),
    ("padding before and after", Padding(), [[0, 1], 2], ((0, 1), (2, 2))),
    ("padding in a word", Padding(), "same_lower", "same_lower"),
]


@pytest.mark.parametrize(("type_", "value", "parsed"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_taken(type_: AttributeType[object], value: object, parsed: object) -> None:
    assert type_.parse(value, DIMS) == parsed


REFUSED = [
    ("a fraction", Int(), 1.5, "expected integer, got 1.5"),
    ("a truth", Int(), True, "expected integer, got true"),
    ("a dynamic dimension", Int(), N, "expected integer, got `N`"),
    ("too small", Int(minimum=1), 0, "expected integer, at least 1, got 0"),
    ("not a number", Float(minimum=0), float("nan"), "expected number, at least 0, got nan"),
    ("not a number at most", Float(maximum=1), float("nan"), "expected number, at most 1, got nan"),
    ("no values", Ints(), [], "expected integer, or a list of them, got an empty list"),
    ("not declared", DimList(), ["M"], "`M` is not a declared dimension (N)"),
    ("a size of 0", DimList(minimum=1), [0], "expected integer, at least 1, got 0"),
    ("a fixed size of 0", DimList(minimum=1), [FIXED - 3], "expected integer, at least 1, got 0"),
    ("0 at min", DimList(minimum=1), [N // 2], "expected sizes of at least 1, N // 2 is 0 at its smallest"),
    ("negative at min", DimList(minimum=0), [N - 3], "expected sizes of at least 0, N - 3 is -2 at its smallest"),
    ("a truth for a number", Number(), True, "expected a number or a dimension, got true"),
    ("a list for a number", Number(), [1], "expected a number or a dimension, got [1]"),
    ("negative padding", Padding(), -1, "got -1"),
    ("three sides", Padding(), [[1, 2, 3]], "got [1, 2, 3]"),
]


@pytest.mark.parametrize(("type_", "value", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(type_: AttributeType[object], value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        type_.parse(value, DIMS)
    assert message in str(caught.value)
