"""Writes types into the `precision` section of a YAML text; all else in it stays as it is, comments and spaces too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import Diagnostics, NetworkError, RunError
from trtdsl.nodes import Key, Mapping, Node, plain
from trtdsl.reader import read
from trtdsl.source import LINE_END, SourceFile, Span
from trtdsl.tuning.patterns import Said
from trtdsl.types import DataType

_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ANCHOR = re.compile(r"&\S+\s+")
_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class _Edit:
    """Text that takes the place of what stands between two offsets."""

    start: int
    end: int
    text: str


def write_precision(file: SourceFile, said: Said) -> str:
    """The text of a network's file with another `precision` section.

    It is read again, and holds what was meant and nothing else anew. Raises NetworkError for what is no YAML, and
    RunError where the section is laid out so that types cannot be written into it, through aliases for example.
    """
    document = read(file, Diagnostics())
    assert isinstance(document, Mapping), "a network is a mapping"
    text = file.text
    writer = _Writer(_Text(text), document)
    for edit in sorted(writer.edits(said), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    if not _is_meant(SourceFile(file.name, text), document, said):
        key = document.key("precision")
        message = "types cannot be written here without changing something else"
        hint = f"nothing was written; these are the types:\nprecision: {_whole(said)}"
        raise RunError.of("tune", message, key.span if key else document.span, hint=hint)
    return text


def _is_meant(file: SourceFile, before: Mapping, said: Said) -> bool:
    """Whether a text that was written says the types, and else what the document before it says."""
    try:
        after = plain(read(file, Diagnostics()))
    except NetworkError:
        return False
    rest = plain(before)
    others, layers = _section(rest.pop("precision", None))
    if said.changed_default is not None:
        others["default"] = str(said.default)
    kept = zip(layers, said.changed, strict=True)
    layers = [(pattern, old if dtype is None else str(dtype)) for (pattern, old), dtype in kept]
    layers += [(pattern, str(dtype)) for pattern, dtype in said.added]
    return _section(after.pop("precision", None)) == (others, layers) and after == rest


def _section(value: Any) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """A `precision` section without the types by patterns, and these in their order."""
    others = dict(value) if isinstance(value, dict) else {} if value is None else {"default": value}
    layers = others.pop("layers", {})
    return {"default": str(DataType.FP32), **others}, list(layers.items())


class _Text:
    """A text with the offsets of its lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        ends = [match.end() for match in LINE_END.finditer(text)]
        self.newline = next(iter(re.findall("\r\n|\n|\r", text)), "\n")
        self._starts = [len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0, *ends]

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
        return self.text[self._starts[number - 1] : end]


class _Writer:
    def __init__(self, text: _Text, document: Mapping) -> None:
        self.text = text
        self.document = document
        self.in_braces = self._is_flow(document)
        first = text.text[text.start(document.entries[0][0].span) :]
        # In JSON all text is between quotes.
        self.quote = '"' if self.in_braces and first.startswith('"') else ""

    def edits(self, said: Said) -> Iterator[_Edit]:
        node, key = self.document.get("precision"), self.document.key("precision")
        if node is None or key is None:
            if said.added or said.default is not DataType.FP32:
                yield self._new_section(said)
        elif isinstance(node, Mapping) and not self._is_flow(node):
            yield from self._in_block(node, said)
        elif isinstance(node, Mapping):
            yield from self._in_flow(node, said)
        elif said.added:
            yield from self._instead_of_word(key, node, said)
        else:
            yield from self._value(key, node, said.changed_default)

    def _new_section(self, said: Said) -> _Edit:
        """A section of its own before the modules or the layers, and before the comments above these."""
        after = min((key.span for key, _ in self.document if key.value in ("modules", "layers")), key=self.text.start)
        if self.in_braces:
            word = self._word(said.default)
            word = self._section_flow(word, said) if said.added else word
            place = self.text.start(after)
            return _Edit(place, place, f"{self._word('precision')}: {word}, ")
        line, indent = after.line, self._indent(after)
        while line > 1 and self.text.line(line - 1).startswith(f"{indent}#"):
            line -= 1
        place = self.text.line_start(line)
        lines = [f"{indent}precision: {said.default}"]
        if said.added:
            lines = [f"{indent}precision:", *self._section_lines(str(said.default), said, indent + _INDENT)]
        return _Edit(place, place, self._lines(lines) + self.text.newline)

    def _instead_of_word(self, key: Key, node: Node, said: Said) -> Iterator[_Edit]:
        """A mapping instead of one word; a comment behind the word stays behind the key."""
        start, end = self._place(key, node)
        word = self.text.text[start:end] if said.changed_default is None else self._word(said.default)
        if self.text.end(key.span) <= (begin := self.text.start(node.span)) < start:
            word = self.text.text[begin:start] + word  # an anchor stays with its word
            start = begin
        if self.in_braces:
            yield _Edit(start, end, self._section_flow(word, said))
            return
        yield _Edit(self.text.end(key.span), end, ":")
        place = self.text.line_start(self._last_line(key, node) + 1)
        lines = self._lines(self._section_lines(word, said, self._indent(key.span) + _INDENT))
        yield _Edit(place, place, self._on_a_new_line(place) + lines)

    def _in_block(self, section: Mapping, said: Said) -> Iterator[_Edit]:
        indent = self._indent(section.entries[0][0].span)
        layers, layers_key = section.get("layers"), section.key("layers")
        lines: list[str] = []
        if "default" in section.as_dict():
            yield from self._default(section, said)
        elif said.default is not DataType.FP32:
            place = self.text.line_start(section.entries[0][0].span.line)
            yield _Edit(place, place, self._lines([f"{indent}default: {said.default}"]))
        if isinstance(layers, Mapping) and layers.entries:
            yield from self._kept(layers, said)
            if self._is_flow(layers):
                yield from self._into_flow(layers, said)
                return
            indent = self._indent(layers.entries[0][0].span)
            lines, last = [f"{indent}{self._entry(*entry)}" for entry in said.added], layers.entries[-1]
        elif layers is not None and layers_key is not None and said.added:
            yield _Edit(*self._place(layers_key, layers), self._layers_flow(said))
            return
        else:
            lines, last = list(self._layer_lines(said, indent)), section.entries[-1]
        if lines and said.added:
            place = self.text.line_start(self._last_line(*last) + 1)
            yield _Edit(place, place, self._on_a_new_line(place) + self._lines(lines))

    def _in_flow(self, section: Mapping, said: Said) -> Iterator[_Edit]:
        """Entries into a mapping in braces."""
        layers, layers_key = section.get("layers"), section.key("layers")
        added: list[str] = []
        if "default" in section.as_dict():
            yield from self._default(section, said)
        elif said.default is not DataType.FP32:
            added.append(self._entry("default", said.default))
        if isinstance(layers, Mapping) and layers.entries:
            yield from self._kept(layers, said)
            yield from self._into_flow(layers, said)
        elif layers is not None and layers_key is not None and said.added:
            yield _Edit(*self._place(layers_key, layers), self._layers_flow(said))
        elif said.added:
            added.append(f"{self._word('layers')}: {self._layers_flow(said)}")
        if added:
            yield self._before_brace(section, added)

    def _default(self, section: Mapping, said: Said) -> Iterator[_Edit]:
        key, node = section.key("default"), section.get("default")
        if key is not None and node is not None:
            yield from self._value(key, node, said.changed_default)

    def _kept(self, layers: Mapping, said: Said) -> Iterator[_Edit]:
        """The types of the entries that are there."""
        for (key, node), dtype in zip(layers, said.changed, strict=True):
            yield from self._value(key, node, dtype)

    def _into_flow(self, layers: Mapping, said: Said) -> Iterator[_Edit]:
        if said.added:
            yield self._before_brace(layers, [self._entry(*entry) for entry in said.added])

    def _before_brace(self, mapping: Mapping, entries: Iterable[str]) -> _Edit:
        """Entries at the end of a mapping in braces, behind a comma if there is none yet."""
        brace = self.text.end(mapping.span) - 1
        assert self.text.text[brace] == "}", "a mapping in braces ends with one"
        last = self._place(*mapping.entries[-1])[1] if mapping.entries else brace
        has_comma = not mapping.entries or "," in re.sub(r"#.*", "", self.text.text[last:brace])
        place = brace if has_comma else last
        return _Edit(place, place, ("" if has_comma else ", ") + ", ".join(entries))

    def _value(self, key: Key, node: Node, dtype: DataType | None) -> Iterator[_Edit]:
        """Another type instead of what is there, if it changes."""
        if dtype is not None:
            start, end = self._place(key, node)
            yield _Edit(start, end, self._word(dtype))

    def _place(self, key: Key, node: Node) -> tuple[int, int]:
        """Where the value of a key starts and ends, behind its anchor; an alias is a node that stands elsewhere."""
        start, end = self.text.start(node.span), self.text.end(node.span)
        if start < (behind := self.text.end(key.span)) and (alias := _ALIAS.match(self.text.text, behind)):
            return alias.span(1)
        anchor = _ANCHOR.match(self.text.text, start)
        return (anchor.end() if anchor else start), end

    def _is_flow(self, node: Mapping) -> bool:
        start = self.text.start(node.span)
        anchor = _ANCHOR.match(self.text.text, start)
        return self.text.text.startswith("{", anchor.end() if anchor else start)

    def _last_line(self, key: Key, node: Node) -> int:
        """The last line with something of an entry on it; spans of blocks reach to what follows them."""
        while isinstance(node, Mapping) and node.entries and not self._is_flow(node):
            key, node = node.entries[-1]
        is_alias = self.text.start(node.span) < self.text.end(key.span)
        return key.span.end_line if is_alias else node.span.end_line

    def _indent(self, span: Span) -> str:
        """What stands before a key on its line."""
        return " " * (span.column - 1)

    def _on_a_new_line(self, place: int) -> str:
        before = self.text.text[:place]
        return "" if not before or before.endswith(("\n", "\r")) else self.text.newline

    def _lines(self, lines: Iterable[str]) -> str:
        return "".join(f"{line}{self.text.newline}" for line in lines)

    def _section_lines(self, default: str, said: Said, indent: str) -> Iterator[str]:
        yield f"{indent}default: {default}"
        yield from self._layer_lines(said, indent)

    def _layer_lines(self, said: Said, indent: str) -> Iterator[str]:
        yield f"{indent}layers:"
        for entry in said.added:
            yield f"{indent}{_INDENT}{self._entry(*entry)}"

    def _section_flow(self, default: str, said: Said) -> str:
        entries = f"{self._word('default')}: {default}", f"{self._word('layers')}: {self._layers_flow(said)}"
        return _braced(entries)

    def _layers_flow(self, said: Said) -> str:
        return _braced(self._entry(*entry) for entry in said.added)

    def _word(self, word: object) -> str:
        return f"{self.quote}{word}{self.quote}"

    def _entry(self, pattern: str, dtype: DataType) -> str:
        return f"{self._word(pattern) if self.quote else _quoted(pattern)}: {self._word(dtype)}"


def _whole(said: Said) -> str:
    """The default and all types by patterns, in braces."""
    patterns = [pattern for pattern, _, _ in said.before.patterns]
    entries = [*zip(patterns, said.kept, strict=True), *said.added]
    layers = _braced(f"{_quoted(pattern)}: {dtype}" for pattern, dtype in entries)
    return _braced([f"default: {said.default}", f"layers: {layers}"])


def _braced(entries: Iterable[str]) -> str:
    return "{" + ", ".join(entries) + "}"


def _quoted(pattern: str) -> str:
    # A word of YAML's, such as `null`, is text between quotes only.
    is_plain = _PLAIN.fullmatch(pattern) and pattern.lower() not in ("null", "true", "false", "yes", "no", "on", "off")
    return pattern if is_plain else f'"{pattern}"'
