"""YAML to nodes: values as YAML 1.2 reads them, places, bounds, and errors that say where."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtdsl import nodes, reader
from trtdsl.errors import Diagnostic, Diagnostics, NetworkError
from trtdsl.nodes import Node, Scalar, plain
from trtdsl.source import SourceFile


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers, of which the fast one is not everywhere."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader")
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.fail("PyYAML without libyaml: reading will be slow")
    return str(request.param)


def read(text: str) -> Node:
    return reader.read(SourceFile("net.yaml", text), Diagnostics())


def refused(text: str) -> Diagnostic:
    with pytest.raises(NetworkError) as caught:
        read(text)
    return caught.value.diagnostics[0]


SCALARS: dict[str, Any] = {
    # The examples of the core schema in YAML 1.2.2, section 10.3, and what 1.1 would make of others.
    "0": 0,
    "-19": -19,
    "+12": 12,
    "012": 12,
    "0o14": 12,
    "0x3A": 58,
    "0.": 0.0,
    "-0.0": -0.0,
    ".5": 0.5,
    "+12e03": 12000.0,
    "-2E+05": -200000.0,
    "1e-5": 1e-5,
    "1.5e3": 1500.0,
    ".inf": math.inf,
    "-.Inf": -math.inf,
    "+.INF": math.inf,
    "true": True,
    "True": True,
    "FALSE": False,
    "~": None,
    "null": None,
    "NULL": None,
    "no": "no",
    "Yes": "Yes",
    "on": "on",
    "y": "y",
    "nULL": "nULL",
    "1_000": "1_000",
    "0b11": "0b11",
    "0X1F": "0X1F",
    "12:30:45": "12:30:45",
    "2001-01-01": "2001-01-01",
    "=": "=",
    "1.2.3": "1.2.3",
    "-": "-",
    ".": ".",
    "e5": "e5",
    "'12'": "12",
    '"true"': "true",
    '"\\u00e9"': "é",
}


@pytest.mark.parametrize("text", [text for text in SCALARS if text != "-"])
def test_scalars_follow_yaml_1_2(text: str, parser: str) -> None:
    value = plain(read(f"[{text}]"))[0]
    assert (type(value), value) == (type(SCALARS[text]), SCALARS[text])


def test_nan_and_nothing() -> None:
    value = plain(read("{a: .NaN, b: , c}"))
    assert math.isnan(value["a"])
    assert (value["b"], value["c"]) == (None, None)


def test_quoted_text_is_told_from_plain() -> None:
    node = read("[a, 'a', \"a\"]")
    assert isinstance(node, nodes.Sequence)
    assert [item.quoted for item in node.items if isinstance(item, Scalar)] == [False, True, True]


TEXT = """\
name: net
layers:
  - {op: conv, bias: false}
  - op: relu   # a comment

    in: [a,
         b]

outputs: é
"""


def places(node: Node) -> Iterator[tuple[str, str]]:
    """What stands at each place: the text a span covers, by path."""

    def covered(span: Any) -> str:
        lines = span.file.lines
        if span.line == span.end_line:
            return str(lines[span.line - 1][span.column - 1 : span.end_column - 1])
        return f"{lines[span.line - 1][span.column - 1 :]}…{lines[span.end_line - 1][: span.end_column - 1]}"

    if isinstance(node, nodes.Mapping):
        for key, value in node:
            yield f"key {key.value}", covered(key.span)
            yield f"value {key.value}", covered(value.span)
            yield from places(value)
    elif isinstance(node, nodes.Sequence):
        for item in node.items:
            yield "item", covered(item.span)
            yield from places(item)


def test_every_key_and_value_has_its_place(parser: str) -> None:
    assert list(places(read(TEXT))) == [
        ("key name", "name"),
        ("value name", "net"),
        ("key layers", "layers"),
        ("value layers", "- {op: conv, bias: false}…         b]"),
        ("item", "{op: conv, bias: false}"),
        ("key op", "op"),
        ("value op", "conv"),
        ("key bias", "bias"),
        ("value bias", "false"),
        ("item", "op: relu   # a comment…         b]"),
        ("key op", "op"),
        ("value op", "relu"),
        ("key in", "in"),
        ("value in", "[a,…         b]"),
        ("item", "a"),
        ("item", "b"),
        ("key outputs", "outputs"),
        ("value outputs", "é"),
    ]


def test_lines_may_end_as_on_windows(parser: str) -> None:
    assert list(places(read(TEXT.replace("\n", "\r\n")))) == list(places(read(TEXT)))


MERGES = {
    "an alias": ("a: &a [1, 2]\nb: *a", {"a": [1, 2], "b": [1, 2]}),
    "a merge": ("a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}", {"a": {"p": 1, "q": 2}, "b": {"q": 3, "p": 1}}),
    "the earlier of two": ("b: {<<: [{p: 1}, {p: 2, q: 2}]}", {"b": {"p": 1, "q": 2}}),
    "quoted it is a key": ("b: {'<<': 1}", {"b": {"<<": 1}}),
    "an anchor anew": ("a: &a 1\nb: &a 2\nc: *a", {"a": 1, "b": 2, "c": 2}),
}


@pytest.mark.parametrize(("text", "value"), MERGES.values(), ids=MERGES.keys())
def test_anchors_aliases_and_merge_keys(text: str, value: object, parser: str) -> None:
    assert plain(read(text)) == value


REFUSED = {
    "a tab as indentation": ("a:\n\t- 1", "yaml-syntax", (2, 1)),
    "a colon in plain text": ("a: b: c", "yaml-syntax", (1, 5)),
    "an open bracket": ("a: [1,\n\n", "yaml-syntax", (1, 6)),
    "an open quote": ("a: 'x\n", "yaml-syntax", (1, 5)),
    "a control character": ("é: 1\nb: \x01", "yaml-syntax", (2, 4)),
    "nothing": ("", "document", (1, 1)),
    "comments only": ("# a\n# b\n", "document", (1, 1)),
    "two documents": ("a: 1\n---\nb: 1", "yaml-feature", (2, 1)),
    "a tag": ("a: !!int '1'", "yaml-feature", (1, 4)),
    "a bare tag": ("a: ! x", "yaml-feature", (1, 4)),
    "a tagged mapping": ("a: !x {b: 1}", "yaml-feature", (1, 4)),
    "an alias of nothing": ("a: *b", "yaml-alias", (1, 4)),
    "an alias of itself": ("a: &a {b: *a}", "yaml-alias", (1, 11)),
    "a merge of text": ("a: {<<: b}", "yaml-alias", (1, 9)),
    "a key twice": ("a: 1\nb: 2\na: 3", "duplicate-key", (3, 1)),
    "a merge twice": ("{<<: {a: 1}, <<: {b: 1}}", "duplicate-key", (1, 14)),
    "a fraction as key": ("{1.5: 2}", "key", (1, 2)),
    "a whole number twice as key": ("{18: 2, '18': 3}", "duplicate-key", (1, 9)),
    "a flag as key": ("{true: 2}", "key", (1, 2)),
    "nothing as key": ("{~: 2}", "key", (1, 2)),
    "a list as key": ("? [a]\n: 1", "key", (1, 3)),
    "deep lists": ("a: " + "[" * 100 + "]" * 100, "limit", (1, 67)),
    "very deep lists": ("[" * 100_000, "limit", (1, 65)),
    "a long number": (f"a: {'9' * 5000}", "limit", (1, 4)),
}


@pytest.mark.parametrize(("text", "code", "place"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str, code: str, place: tuple[int, int]) -> None:
    diagnostic = refused(text)
    assert diagnostic.code == code
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.column) == place


def test_a_key_twice_names_both_places() -> None:
    diagnostic = refused("layers:\n  - op: conv\n    bias: 1\n    bias: 2\n")
    assert [str(note.span) for note in diagnostic.notes] == ["net.yaml:3:5"]


def test_all_that_does_not_stop_the_parser_is_reported_at_once() -> None:
    with pytest.raises(NetworkError) as caught:
        read("a: !t 1\na: 2\n~: 4\n")
    assert [d.code for d in caught.value.diagnostics] == ["yaml-feature", "duplicate-key", "key"]


def test_a_billion_laughs_are_refused_quickly() -> None:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.process_time()
    assert refused("\n".join(lines)).code == "limit"
    assert time.process_time() - started < 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    with pytest.raises(NetworkError, match=r"cannot read .*no such file"):
        reader.open_source(path)
    with pytest.raises(NetworkError, match=r"cannot read .*is a directory"):
        reader.open_source(tmp_path)
    path.write_bytes("name: é\nb: ".encode() + b"caf\xe9\n")
    with pytest.raises(NetworkError, match=r"net.yaml:2:7: error\[encoding\]: .* byte 0xe9"):
        reader.open_source(path)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("a: 1")
    monkeypatch.setattr(reader, "MAX_BYTES", 3)
    with pytest.raises(NetworkError, match=r"error\[limit\]"):
        reader.open_source(path)
