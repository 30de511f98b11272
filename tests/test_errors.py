"""Diagnostics: how they read, how they are collected, and what is suggested."""

from __future__ import annotations

import pytest

from trtdsl.errors import Diagnostic, Diagnostics, NetworkError, Note, TrtdslError, suggest, used_at
from trtdsl.source import Origin, SourceFile, Span, Use

FILE = SourceFile("net.yaml", "kernel: 3\nop: block\n")
PLACE = Span(FILE, 1, 1, 1, 7)
USE = Span(FILE, 2, 5, 2, 10)


def test_a_diagnostic_shows_its_line_hint_and_notes() -> None:
    diagnostic = Diagnostic(
        "unknown-parameter",
        "conv has no parameter `kernel`",
        PLACE,
        "did you mean `kernel_size`?",
        (*used_at(Origin(PLACE, (Use("block", USE),))), Note("no place")),
    )
    assert diagnostic.render() == (
        "net.yaml:1:1: error[unknown-parameter]: conv has no parameter `kernel`\n"
        "  1 | kernel: 3\n"
        "    | ^^^^^^\n"
        "  hint: did you mean `kernel_size`?\n"
        "  note: net.yaml:2:5: in `block`, used here\n"
        "  note: no place"
    )


def test_a_diagnostic_without_a_place_is_one_line() -> None:
    assert Diagnostic("file", "cannot read a.yaml").render() == "error[file]: cannot read a.yaml"
    assert str(Diagnostic("shape", "odd", PLACE, severity="warning")) == "net.yaml:1:1: warning[shape]: odd"


def test_the_same_thing_is_reported_once() -> None:
    diagnostics = Diagnostics()
    for message in ("a", "b", "a"):
        diagnostics.error("shape", message, PLACE)
    diagnostics.error("shape", "a", PLACE, hint="another")
    assert [(d.message, d.hint) for d in diagnostics.errors] == [("a", None), ("b", None), ("a", "another")]


def test_only_errors_end_a_stage() -> None:
    diagnostics = Diagnostics()
    diagnostics.warning("weight-overflow", "large", PLACE)
    diagnostics.end_stage()
    diagnostics.error("shape", "wrong", PLACE)
    with pytest.raises(NetworkError) as caught:
        diagnostics.end_stage()
    assert [d.code for d in caught.value.diagnostics] == ["shape"]
    assert [d.code for d in diagnostics.warnings] == ["weight-overflow"]
    assert str(caught.value) == "net.yaml:1:1: error[shape]: wrong"


ALIKE = {"one": (1, 1, None), "some": (4, 4, None), "many": (20, 3, "and 17 more like it at this place")}


@pytest.mark.parametrize(("count", "shown", "note"), ALIKE.values(), ids=ALIKE.keys())
def test_errors_alike_at_one_place_are_counted(count: int, shown: int, note: str | None) -> None:
    diagnostics = Diagnostics()
    for number in range(count):
        diagnostics.error("shape", f"layer{number} is wrong", PLACE)
    diagnostics.error("value", "another kind", PLACE)
    with pytest.raises(NetworkError) as caught:
        diagnostics.end_stage()
    alike, other = caught.value.diagnostics[:-1], caught.value.diagnostics[-1]
    assert [entry.message for entry in alike] == [f"layer{number} is wrong" for number in range(shown)]
    assert [entry.message for entry in alike[-1].notes] == ([note] if note else [])
    assert other.message == "another kind"


def test_an_exception_of_one_diagnostic() -> None:
    error = NetworkError.of("file", "gone", PLACE, hint="look")
    assert isinstance(error, TrtdslError)
    assert error.diagnostics == (Diagnostic("file", "gone", PLACE, "look"),)


SUGGESTIONS = {
    "a slip": ("kernal_size", ["kernel_size", "stride"], "did you mean `kernel_size`?"),
    "case": ("CONV", ["conv", "deconv"], "did you mean `conv`?"),
    "part of it": ("kernel", ["kernel_size", "groups"], "did you mean `kernel_size`?"),
    "nothing like it": ("zzz", ["kernel_size", "stride"], None),
    "nothing at all": ("a", [], None),
}


@pytest.mark.parametrize(("name", "known", "hint"), SUGGESTIONS.values(), ids=SUGGESTIONS.keys())
def test_suggest(name: str, known: list[str], hint: str | None) -> None:
    assert suggest(name, known) == hint
