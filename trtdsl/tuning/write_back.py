"""Writes types into the `precision` section of a YAML text; all else in it stays as it is, comments and spaces too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trtdsl.errors import Diagnostics
from trtdsl.nodes import Key, Mapping, Node
from trtdsl.reader import read
from trtdsl.source import SourceFile, Span
from trtdsl.tuning.patterns import Said
from trtdsl.types import DataType

_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class _Edit:
    """Text that takes the place of what stands between two offsets."""

    start: int
    end: int
    text: str


def write_precision(file: SourceFile, said: Said) -> str:
    """The text of a network's file with another `precision` section. Raises NetworkError for what is no YAML."""
    document = read(file, Diagnostics())
    assert isinstance(document, Mapping), "a network is a mapping"
    text = file.text
    writer = _Writer(_Text(text))
    for edit in sorted(writer.edits(document, said), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


class _Text:
    """A text with the offsets of its lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def offset(self, line: int, column: int) -> int:
        """Where a place of a Span is."""
        return min(self._starts[line - 1] + column - 1, len(self.text))

    def start(self, span: Span) -> int:
        return self.offset(span.line, span.column)

    def end(self, span: Span) -> int:
        return self.offset(span.end_line, span.end_column)

    def line_start(self, line: int) -> int:
        """Where a line starts; the end of the text behind the last."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line(self, number: int) -> str:
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[self._starts[number - 1] : end].rstrip("\r\n")


class _Writer:
    def __init__(self, text: _Text) -> None:
        self.text = text

    def edits(self, document: Mapping, said: Said) -> Iterator[_Edit]:
        node, key = document.get("precision"), document.key("precision")
        if node is None or key is None:
            if said.added or said.default is not DataType.FP32:
                yield self._new_section(document, said)
        elif isinstance(node, Mapping) and not self._is_flow(node):
            yield from self._in_block(node, said)
        elif isinstance(node, Mapping):
            yield from self._in_flow(node, said)
        elif said.added:
            yield from self._instead_of_word(key, node, said)
        else:
            yield from self._value(node, said.changed_default)

    def _new_section(self, document: Mapping, said: Said) -> _Edit:
        """A section of its own before the modules or the layers, and before the comments above these."""
        after = [key for key, _ in document if key.value in ("modules", "layers")]
        line = min(key.span.line for key in after)
        while line > 1 and self.text.line(line - 1).startswith("#"):
            line -= 1
        place = self.text.line_start(line)
        lines = [f"precision: {said.default}"]
        if said.added:
            lines = ["precision:", f"{_INDENT}default: {said.default}", *_layer_lines(said, _INDENT)]
        return _Edit(place, place, self._lines(lines) + self.text.newline)

    def _instead_of_word(self, key: Key, node: Node, said: Said) -> Iterator[_Edit]:
        """A mapping instead of one word; a comment behind the word stays behind the key."""
        start, end = self.text.start(node.span), self.text.end(node.span)
        word = self.text.text[start:end] if said.changed_default is None else str(said.default)
        yield _Edit(self.text.end(key.span), end, ":")
        place = self.text.line_start(node.span.end_line + 1)
        lines = self._lines([f"{_INDENT}default: {word}", *_layer_lines(said, _INDENT)])
        yield _Edit(place, place, self._on_a_new_line(place) + lines)

    def _in_block(self, section: Mapping, said: Said) -> Iterator[_Edit]:
        indent = " " * (section.entries[0][0].span.column - 1)
        default, layers = section.get("default"), section.get("layers")
        lines: list[str] = []
        if default is not None:
            yield from self._value(default, said.changed_default)
        elif said.default is not DataType.FP32:
            place = self.text.line_start(section.entries[0][0].span.line)
            yield _Edit(place, place, self._lines([f"{indent}default: {said.default}"]))
        if isinstance(layers, Mapping) and layers.entries:
            yield from self._kept(layers, said)
            if self._is_flow(layers):
                yield from self._into_flow(layers, said)
                return
            indent = " " * (layers.entries[0][0].span.column - 1)
            lines, last = [f"{indent}{_entry(*entry)}" for entry in said.added], layers.entries[-1][1]
        elif layers is not None and said.added:
            yield _Edit(self.text.start(layers.span), self.text.end(layers.span), _flow(said))
            return
        else:
            lines, last = list(_layer_lines(said, indent)), section.entries[-1][1]
        if lines and said.added:
            place = self.text.line_start(self._last_line(last) + 1)
            yield _Edit(place, place, self._on_a_new_line(place) + self._lines(lines))

    def _in_flow(self, section: Mapping, said: Said) -> Iterator[_Edit]:
        """Entries into a mapping in braces."""
        default, layers = section.get("default"), section.get("layers")
        added: list[str] = []
        if default is not None:
            yield from self._value(default, said.changed_default)
        elif said.default is not DataType.FP32:
            added.append(f"default: {said.default}")
        if isinstance(layers, Mapping) and layers.entries:
            yield from self._kept(layers, said)
            yield from self._into_flow(layers, said)
        elif layers is not None and said.added:
            yield _Edit(self.text.start(layers.span), self.text.end(layers.span), _flow(said))
        elif said.added:
            added.append(f"layers: {_flow(said)}")
        if added:
            yield self._before_brace(section, added)

    def _kept(self, layers: Mapping, said: Said) -> Iterator[_Edit]:
        """The types of the entries that are there."""
        for (_, node), dtype in zip(layers, said.changed, strict=True):
            yield from self._value(node, dtype)

    def _into_flow(self, layers: Mapping, said: Said) -> Iterator[_Edit]:
        if said.added:
            yield self._before_brace(layers, [_entry(*entry) for entry in said.added])

    def _before_brace(self, mapping: Mapping, entries: Iterable[str]) -> _Edit:
        """Entries at the end of a mapping in braces, behind a comma if there is none yet."""
        brace = self.text.end(mapping.span) - 1
        assert self.text.text[brace] == "}", "a mapping in braces ends with one"
        last = self.text.end(mapping.entries[-1][1].span) if mapping.entries else brace
        has_comma = not mapping.entries or "," in re.sub(r"#.*", "", self.text.text[last:brace])
        place = brace if has_comma else last
        return _Edit(place, place, ("" if has_comma else ", ") + ", ".join(entries))

    def _value(self, node: Node, dtype: DataType | None) -> Iterator[_Edit]:
        """Another type instead of what is there, if it changes."""
        if dtype is not None:
            yield _Edit(self.text.start(node.span), self.text.end(node.span), str(dtype))

    def _is_flow(self, node: Mapping) -> bool:
        return self.text.text[self.text.start(node.span) :].startswith("{")

    def _last_line(self, node: Node) -> int:
        """The last line with something of a node on it; spans of blocks reach to what follows them."""
        while isinstance(node, Mapping) and node.entries and not self._is_flow(node):
            node = node.entries[-1][1]
        return node.span.end_line

    def _on_a_new_line(self, place: int) -> str:
        before = self.text.text[:place]
        return "" if not before or before.endswith("\n") else self.text.newline

    def _lines(self, lines: Iterable[str]) -> str:
        return "".join(f"{line}{self.text.newline}" for line in lines)


def _layer_lines(said: Said, indent: str) -> Iterator[str]:
    yield f"{indent}layers:"
    for entry in said.added:
        yield f"{indent}{_INDENT}{_entry(*entry)}"


def _flow(said: Said) -> str:
    return "{" + ", ".join(_entry(*entry) for entry in said.added) + "}"


def _entry(pattern: str, dtype: DataType) -> str:
    # A word of YAML's, such as `null`, is text between quotes only.
    is_plain = _PLAIN.fullmatch(pattern) and pattern.lower() not in ("null", "true", "false", "yes", "no", "on", "off")
    return (pattern if is_plain else f'"{pattern}"') + f": {dtype}"
