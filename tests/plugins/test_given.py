"""The fields of a layer against the fields that a plugin declares."""

from __future__ import annotations

from typing import Any

import pytest

from trtdsl.plugins.fields import Field, FieldDeclaration, FieldError, FieldType
from trtdsl.plugins.given import FieldProblems, guess_fields, read_given, settle_fields

INT, FLOAT, CHAR = FieldType.INT32, FieldType.FP32, FieldType.CHAR
THEIRS = (
    FieldDeclaration("mode", INT, None, is_list=True),
    FieldDeclaration("scales", FLOAT, 3, is_list=True),
    FieldDeclaration("untold", None, None, is_list=True),
)
OURS = (FieldDeclaration("size", INT, is_required=True, help="how large"), FieldDeclaration("slope", FLOAT))


def problems(value: Any, declared: tuple[FieldDeclaration, ...] = THEIRS, by_us: bool = False) -> list[Any]:
    with pytest.raises(FieldProblems) as caught:
        settle_fields(read_given(value), declared, "P", by_us=by_us)
    return [(one.message, one.at, one.hint) for one in caught.value.problems]


def test_fields_come_in_the_order_of_the_declaration() -> None:
    given = {"untold": {"type": "char", "value": "x"}, "scales": [1, 2, 3], "mode": 1}
    settled = settle_fields(read_given(given), THEIRS, "P")
    assert settled == (
        Field("mode", INT, (1,)),
        Field("scales", FLOAT, (1.0, 2.0, 3.0)),
        Field("untold", CHAR, "x"),
    )


def test_all_problems_are_told_at_once() -> None:
    found = problems({"mod": 1, "scales": [1, 2], "untold": 3, "mode": {"type": "fp32", "value": 1}})
    listing = "it has mode, scales, untold"
    assert found == [
        (f"P: there is no field `mod`; {listing}", "fields.mod.key", "did you mean `mode`?"),
        ("P: `scales`: expected 3 fp32, got 2", "fields.scales", None),
        (
            "P: `untold` has no type, which a creator that declares no type of `untold` has to be told",
            "fields.untold",
            "`{type: int32, value: …}`",
        ),
        (
            "P: `mode` is declared as int32, not fp32",
            "fields.mode.type",
            "`{type: fp32, value: …, force: true}` says that the creator is wrong",
        ),
    ]


def test_a_type_that_is_declared_may_be_said_again() -> None:
    assert settle_fields(read_given({"mode": {"type": "int32", "value": 1}}), THEIRS, "P")[0].elements == (1,)
    assert settle_fields(read_given({"mode": {"type": "bool", "value": True}}), THEIRS, "P")[0].elements == (1,)


def test_force_stands_against_a_declaration() -> None:
    given = {
        "mode": {"type": "fp16", "value": [1, 2], "force": True},
        "other": {"type": "int8", "value": 1, "force": True},
    }
    settled = settle_fields(read_given(given), THEIRS, "P")
    assert [(one.name, one.type, one.elements) for one in settled] == [
        ("mode", FieldType.FP16, (1.0, 2.0)),
        ("other", FieldType.INT8, (1,)),
    ]


def test_our_own_plugins_cannot_be_forced() -> None:
    assert problems({"size": {"type": "int8", "value": 1, "force": True}}, OURS, by_us=True) == [
        ("P: `force` is for creators that declare their fields wrongly, and this one does not", "fields.size", None)
    ]


def test_required_fields_are_missed() -> None:
    assert problems({"slope": 1}, OURS, by_us=True) == [
        ("P needs the field `size`, int32", "fields", "`size`: how large")
    ]


def test_a_creator_that_declares_nothing_takes_typed_fields_in_order() -> None:
    given = [
        {"name": "b", "type": "int32", "value": [1, 2]},
        {"type": "fp32", "value": 3},
        {"name": "a", "type": "char", "value": "hi"},
    ]
    settled = settle_fields(read_given(given), (), "P")
    assert [(one.name, one.elements) for one in settled] == [("b", (1, 2)), ("", (3.0,)), ("a", "hi")]
    assert problems({"b": 1.5}, ())[0][2] == "`{type: fp32, value: …}`"
    assert problems([{"value": "x"}], ())[0][:2] == (
        "P: field 0 has no type, which a creator that declares no fields has to be told",
        "fields.0",
    )


def test_elements_of_lists_have_their_places() -> None:
    assert [one[1] for one in problems({"mode": [1, 2, 2**40]})] == ["fields.mode.2"]
    given = [{"name": "mode", "value": [1, "x"]}, {"name": "mode", "value": 1}]
    assert [one[1] for one in problems(given)] == ["fields.0.1", "fields.1"]


FORMS = [
    (3, r"expected \{name: value\}"),
    ([3], r"a field in a list is \{name, type, value\}"),
    ([{"name": 3, "value": 1}], "the name of a field is text"),
    ({"a": {"typ": "int8", "value": 1}}, "there is no `typ`"),
    ({"a": {"type": "int8"}}, "the field `a` has no `value`"),
    ({"a": {"type": "int31", "value": 1}}, 'the type "int31"; types are fp16'),
    ({"a": {"value": 1, "force": True}}, "`force` is true or false, and needs a `type`"),
]


@pytest.mark.parametrize(("value", "message"), FORMS, ids=lambda value: str(value)[:24])
def test_other_forms_are_refused(value: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        read_given(value)


def test_types_are_guessed_where_nobody_tells() -> None:
    guessed = guess_fields(read_given({"a": 1, "b": 0.5, "c": "x", "d": [1.0], "e": {"type": "int8", "value": 1}}))
    assert [str(one.type) for one in guessed] == ["int32", "fp32", "char", "fp32", "int8"]
