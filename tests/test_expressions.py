"""Expressions: values, types, dimensions, and errors that point into the text."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any

import pytest

from trtdsl.expressions import Budget, ExpressionError, evaluate, parse
from trtdsl.types import Dim, Sizes

N = Dim.dynamic("N", Sizes(1, 8, 32))
VARIABLES: dict[str, Any] = {
    "a": 3,
    "b": 1.5,
    "word": "conv",
    "flag": True,
    "nothing": None,
    "list": [1, 2, [3, 4]],
    "table": {"small": [768, 12], "18": 2},
    "N": N,
}


def value(text: str, variables: dict[str, Any] = VARIABLES) -> Any:
    return evaluate(parse(text), variables, Budget())


VALUES = {
    "$a": 3,
    "$b": 1.5,
    "$flag": True,
    "$nothing": None,
    "$list": [1, 2, [3, 4]],
    "layer$a": "layer3",
    "layer$(a + 1).conv": "layer4.conv",
    "$word-$a": "conv-3",
    "$word$a": "conv3",
    "$flag!": "true!",
    "$$a": "$a",
    "$$$a": "$3",
    "100$$": "100$",
    "$(a)": 3,
    "$( a )": 3,
    "$(2 + 3 * 4 - 1)": 13,
    "$(7 / 2)": 3.5,
    "$(7 // 2 + 7 % 4)": 6,
    "$(-7 // 2)": -4,
    "$(2 ** 10)": 1024,
    "$(-a + +a)": 0,
    "$(64 * 2 ** a)": 512,
    "$(1 < 2 <= 2 != 3)": True,
    "$(1 < 2 < 2)": False,
    "$(a == 3 and b > 1)": True,
    "$(not flag or a > 5)": False,
    "$(nothing or word)": "conv",
    "$(2 if a > 2 else 1)": 2,
    "$(1 // 0 if false else 7)": 7,
    "$(false and 1 // 0)": False,
    "$(true)": True,
    "$(False)": False,
    "$(null == None)": True,
    "$(list[2][-1])": 4,
    "$(list[:2])": [1, 2],
    "$(list[::2])": [1, [3, 4]],
    "$(word[0])": "c",
    "$(table['small'][1])": 12,
    "$(table[18])": 2,
    "$(table[a * 6])": 2,
    "$('small' in table)": True,
    "$(18 in table)": True,
    "$(19 not in table)": True,
    "$('18' in table)": True,
    "$(2 in list and 9 not in list)": True,
    "$('on' in word)": True,
    "$([a, 4] + [5])": [3, 4, 5],
    "$([0] * 3)": [0, 0, 0],
    "$(word + '_' + 'x' * 2)": "conv_xx",
    "$(\"a)b\" + ')')": "a)b)",
    "$((1, 2))": [1, 2],
    "$(min(3, 1, 2) + max([4, 9]))": 10,
    "$(abs(-2) + round(2.5) + floor(2.7) + ceil(2.1))": 9,
    "$(round(3.14159, 2))": 3.14,
    "$(sqrt(16))": 4.0,
    "$(len(list) + len(word))": 7,
    "$(int(2.9) + int('4'))": 6,
    "$(float(2))": 2.0,
    "$(range(3))": [0, 1, 2],
    "$(range(6, 0, -2))": [6, 4, 2],
    "$(enumerate(['a', 'b']))": [[0, "a"], [1, "b"]],
    "$(enumerate(['a'], 1))": [[1, "a"]],
    "$(zip([1, 2], ['a', 'b']))": [[1, "a"], [2, "b"]],
    "$(sum([1, 2, 3.5]))": 6.5,
    "$(sum([]))": 0,
}


@pytest.mark.parametrize("text", VALUES)
def test_values_keep_their_type(text: str) -> None:
    result = value(text)
    assert (type(result), result) == (type(VALUES[text]), VALUES[text])


DIMENSIONS = {
    # expression: how it prints, and its sizes where N is 1, 8 and 32
    "$N": ("N", (1, 8, 32)),
    "$(N * 4)": ("N * 4", (4, 32, 128)),
    "$((N + 1) // 2)": ("(N + 1) // 2", (1, 4, 16)),
    "$(10 - N % 3)": ("10 - N % 3", (9, 8, 8)),
    "$(100 // N)": ("100 // N", (100, 12, 3)),
    "$(100 % N)": ("100 % N", (0, 4, 4)),
    "$(max(N, 4))": ("max(N, 4)", (4, 8, 32)),
    "$(min(16, N))": ("min(16, N)", (1, 8, 16)),
    "$(sum([N, N, 1]))": ("N + N + 1", (3, 17, 65)),
    "$(-N + 40)": ("0 - N + 40", (39, 32, 8)),
    "$(int(N))": ("N", (1, 8, 32)),
}


@pytest.mark.parametrize("text", DIMENSIONS)
def test_dimensions_stay_symbols(text: str) -> None:
    result = value(text)
    assert isinstance(result, Dim)
    assert (str(result), tuple(result.sizes)) == DIMENSIONS[text]


@pytest.mark.parametrize("text", DIMENSIONS)
def test_a_dimension_reads_back_as_it_prints(text: str) -> None:
    printed = str(value(text))
    assert value(f"$({printed})") == value(text)


def test_a_dimension_that_turns_out_fixed_is_a_number() -> None:
    assert value("$(N - N)") == 0
    assert type(value("$(N // N + 1)")) is int


# The part that is to blame stands between « and ».
WRONG = {
    "a lone dollar": ("cost: «$»", "expression-syntax", "`$` needs a name or `(` after it"),
    "a dollar and a digit": ("«$»1", "expression-syntax", "`$` needs a name"),
    "an open bracket": ("a «$(»1 + (2)", "expression-syntax", "`$(` is not closed"),
    "an open quote": ("«$(»'a)", "expression-syntax", "`$(` is not closed"),
    "nothing": ("a«$( )»", "expression-syntax", "the brackets are empty"),
    "two values": ("$(1 «2»)", "expression-syntax", "not an expression"),
    "an assignment": ("$(a «=» 1)", "expression-syntax", "not an expression"),
    "an attribute": ("$(«word.upper»)", "expression-syntax", "attributes such as `.upper` do not belong"),
    "a method": ("$(1 + «word.upper()»)", "unknown-name", "only functions can be called"),
    "a loop": ("$(«[k for k in list]»)", "expression-syntax", "`for` does not belong"),
    "a lambda": ("$(«lambda: 1»)", "expression-syntax", "`lambda` does not belong"),
    "a dict": ("$(«{'a': 1}»)", "expression-syntax", "`{}` does not belong"),
    "an f-text": ("$(«f'{a}'»)", "expression-syntax", "f-texts do not belong"),
    "bytes": ("$(«b'a'»)", "expression-syntax", "this does not belong"),
    "an imaginary number": ("$(«2j»)", "expression-syntax", "this does not belong"),
    "identity": ("$(«a is 3»)", "expression-syntax", "this does not belong"),
    "bits": ("$(2 * («a | 1»))", "expression-syntax", "this does not belong"),
    "a star": ("$(max(«*list»))", "expression-syntax", "`*` before a list does not belong"),
    "beyond ASCII": ("$(a + «é»)", "expression-syntax", "`é` has no meaning here"),
    "an unknown name": ("a$(1 + «aa»)", "unknown-name", "nothing is called `aa` here"),
    "an unknown bare name": ("x.$«wrod».y", "unknown-name", "nothing is called `wrod` here"),
    "an unknown function": ("$(1 + «pow(2, 3)»)", "unknown-name", "there is no function `pow`"),
    "a function that Python has": ("$(«open('x')»)", "unknown-name", "there is no function `open`"),
    "a function alone": ("$(«max» + 1)", "expression-syntax", "`max` is a function"),
    "too few values": ("$(«range()»)", "expression-syntax", "`range` takes 1 to 3 values, not 0"),
    "too many values": ("$(1 + «len(list, 1)»)", "expression-syntax", "`len` takes 1 value, not 2"),
    "text and a number": ("$(«word + 1»)", "expression-value", "`+` needs numbers, not text"),
    "flags are no numbers": ("$(«flag * 2»)", "expression-value", "`*` needs numbers, not true or false"),
    "by zero": ("$(1 + «a % (a - 3)»)", "expression-value", "division by zero"),
    "a dimension by zero": ("$(«N // 0»)", "expression-value", "division by zero"),
    "a dimension with a fraction": ("$(«N * 1.5»)", "expression-value", "a dimension takes whole numbers only"),
    "a dimension divided": ("$(«N / 2»)", "expression-value", "dimensions are divided by `//`"),
    "a dimension compared": ("$(2 if «N > 4» else 1)", "expression-value", "`N` differs from run to run (1 to 32)"),
    "a dimension as a flag": ("$(not «N»)", "expression-value", "nothing can depend on it"),
    "a dimension in a list": ("$(«1 in [N]»)", "expression-value", "nothing can depend on it"),
    "rounds of a dimension": ("$(«range(N)»)", "expression-value", "nothing can depend on it"),
    "a dimension's root": ("$(«sqrt(N)»)", "expression-value", "`sqrt` does not take dimensions"),
    "a dimension in text": ("a«$(N)»", "expression-value", "the dimension `N` cannot stand in the middle of text"),
    "a list in text": ("a«$list»", "expression-value", "a list cannot stand in the middle of text"),
    "an entry too far": ("$(«list[7]»)", "expression-value", "there is no entry 7 in a list of 3"),
    "an entry that is not there": ("$(«table['x']»)", "expression-value", "there is no entry `x`, there are small, 18"),
    "a number that is not there": ("$(«table[19]»)", "expression-value", "there is no entry `19`, there are small, 18"),
    "a fraction as key": ("$(«table[1.5]»)", "expression-value", "a mapping is indexed by text or a whole number"),
    "part of a mapping": ("$(«table[0:1]»)", "expression-value", "a mapping is indexed by text or a whole number"),
    "an entry of a number": ("$(«a[0]»)", "expression-value", "a number has no entries"),
    "a word as index": ("$(«list['a']»)", "expression-value", "indexed by a whole number, not text"),
    "the root of less than nothing": ("$(«(-1) ** 0.5»)", "expression-value", "the root of a negative number"),
    "lists of different lengths": ("$(«zip([1], [1, 2])»)", "expression-value", "lists of one length, not 1 and 2"),
    "the least of nothing": ("$(«min([])»)", "expression-value", "`min` of nothing"),
    "no number": ("$(«int('x')»)", "expression-value", "invalid literal"),
    "an endless range": ("$(«range(0, 9, 0)»)", "expression-value", "must not be zero"),
    "infinity": ("$(«int(1e999)»)", "expression-value", "infinity"),
    "a huge power": ("$(«9 ** 9 ** 9»)", "limit", "at most 128 bits"),
    "a huge product": ("$(«2 ** 127 * 2 ** 127»)", "limit", "at most 128 bits"),
    "a huge range": ("$(«range(10 ** 9)»)", "limit", "at most 100,000 values"),
    "a huge text": ("$(«'ab' * 10 ** 6»)", "limit", "at most 100,000 values"),
    "lists of lists": ("$(«[[0] * 1000] * 1000»)", "limit", "at most 100,000 values"),
    "deep": ("$(" + "-" * 60 + "1)", "limit", "nests too deep"),
    "deeper than Python goes": ("$(" + "(" * 400 + "1" + ")" * 400 + ")", None, "ne"),
    "long": ("$(" + "1+" * 600 + "1)", "limit", "at most 1000 characters"),
}


@pytest.mark.parametrize(("marked", "code", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong(marked: str, code: str | None, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(marked.replace("«", "").replace("»", ""))
    error = caught.value
    assert code is None or error.code == code
    assert message in error.message
    if "»" in marked:
        start = marked.index("«")
        # `$(…)` in the middle of text is blamed from its dollar or from its inside; both are the expression.
        blamed = marked.replace("«", "").replace("»", "")[error.offset : error.offset + error.length]
        wanted = marked[start + 1 : marked.index("»")]
        assert blamed in (wanted, wanted.removeprefix("$").removeprefix("(").removesuffix(")"))


def test_names_that_are_close_are_suggested() -> None:
    with pytest.raises(ExpressionError) as caught:
        value("$wrod")
    assert caught.value.hint == "did you mean `word`?"
    with pytest.raises(ExpressionError) as caught:
        value("$x", {"depth": 1})
    assert caught.value.hint == "known here: `depth`"


def test_all_expressions_of_a_network_share_their_work() -> None:
    budget = Budget(values=1000)
    template = parse("$(len(range(300)))")
    assert evaluate(template, {}, budget) == 300
    with pytest.raises(ExpressionError, match="too much work"):
        evaluate(template, {}, budget)


def test_arithmetic_agrees_with_python() -> None:
    rng = random.Random(7)
    operators = ["+", "-", "*", "//", "%", "<", "==", " and ", " or "]

    def expression(depth: int) -> str:
        if depth == 0:
            return rng.choice(["1", "2", "3", "a", "10"])
        return f"({expression(depth - 1)}{rng.choice(operators)}{expression(depth - 1)})"

    agreed = 0
    for _ in range(500):
        text = expression(rng.randint(1, 4))
        try:
            ours = value(f"$({text})")
        except ExpressionError:
            # Python reckons with truth values, and so goes on where the language stops.
            continue
        assert ours == eval(text, {"a": 3}), text
        agreed += 1
    assert agreed > 150


def test_hostile_text_is_refused_or_evaluated_but_never_takes_long() -> None:
    rng = random.Random(11)
    pieces = [
        "$(",
        ")",
        "(",
        "[",
        "]",
        "9",
        "**",
        "*",
        "range",
        "a",
        "list",
        "'",
        '"',
        ",",
        "-",
        "sum",
        "if",
        " ",
        "$",
        "else",
        "\\",
    ]
    started = time.process_time()
    for _ in range(3000):
        text = "$(" + "".join(rng.choice(pieces) for _ in range(rng.randint(1, 30))) + ")"
        with contextlib.suppress(ExpressionError):
            value(text)
    assert time.process_time() - started < 5
