"""YAML to a tree of nodes that know their places, within bounds that no input can exceed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trtdsl.errors import Diagnostics, NetworkError, Note, reason_of, unreachable
from trtdsl.nodes import Key, Mapping, Node, Scalar, Sequence
from trtdsl.scalars import PlainValue, resolve
from trtdsl.source import SourceFile, Span

MAX_BYTES = 64 * 2**20
"""The largest file that is read."""
MAX_DEPTH = 64
"""How deep lists and mappings may nest."""
MAX_NODES = 2_000_000
"""How many nodes a file may have, those that aliases repeat included."""

QUOTE_EXPRESSIONS = "inside `{}` and `[]`, quote expressions that hold brackets or commas"
"""The hint for an expression that YAML has cut into pieces."""

_HINTS = {
    "mapping values are not allowed": "quote text that contains `: `",
    "found character that cannot start any token": "quote text that starts with a sign",
    "found unexpected end of stream": "a quote or a bracket is not closed",
    "could not find expected ':'": "a key needs `: ` after it",
    "did not find expected ',' or": "an entry before this one lacks a comma, or a bracket is not closed",
    "expected ',' or": "an entry before this one lacks a comma, or a bracket is not closed",
    "did not find expected key": "the line is indented less or more than the lines around it",
    "did not find expected '-' indicator": "the line is indented less or more than the lines around it",
}


def open_source(path: Path) -> SourceFile:
    """The text of a file. Raises NetworkError for one that is missing, too large or not UTF-8."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise NetworkError.of("limit", f"{path} is larger than {MAX_BYTES // 2**20} MiB")
        return SourceFile.read(path)
    except OSError as error:
        raise NetworkError.of("file", f"cannot read {path}: {reason_of(error)}") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _not_utf8(path: Path, error: UnicodeDecodeError) -> NetworkError:
    before = error.object[: error.start].decode(errors="replace")
    file = SourceFile(str(path), error.object.decode(errors="replace"))
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    span = Span(file, line, column, line, column + 1)
    byte = error.object[error.start]
    return NetworkError.of("encoding", f"the file is not UTF-8: it has the byte 0x{byte:02x}", span)


def read(file: SourceFile, diagnostics: Diagnostics) -> Node:
    """The one document of a file. Raises NetworkError after reporting what is wrong with it."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(file, loader(file.text), diagnostics).document()
    except yaml.YAMLError as error:
        _report_syntax(file, error, diagnostics)
    except _Stop:
        pass
    diagnostics.end_stage()
    unreachable("a document was given up without an error")


def read_value(file: SourceFile, diagnostics: Diagnostics) -> Node:
    """The value that a text outside of any file has, such as one of the command line; nothing is null."""
    text = file.text.strip()
    span = Span(file, 1, 1, 1, len(file.text) + 1)
    if text.startswith("#"):
        diagnostics.error("yaml-syntax", "`#` begins a comment in YAML", span, hint="put the value in quotes")
    return read(file, diagnostics) if text and not text.startswith("#") else Scalar(None, span)


Event = Any
"""An event of PyYAML, from its own parser or from libyaml's."""


class _Stop(Exception):
    """Reading cannot go on; the reason has been reported."""


class _Builder:
    def __init__(self, file: SourceFile, loader: Any, diagnostics: Diagnostics) -> None:
        import yaml

        self.yaml = yaml
        self.file = file
        self.next = loader.get_event
        self.diagnostics = diagnostics
        self.count = 0
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open_anchors: set[str] = set()
        self.resolved: dict[str, PlainValue] = {}

    def document(self) -> Node:
        yaml = self.yaml
        self.next()
        event = self.next()
        if isinstance(event, yaml.StreamEndEvent):
            raise self.stop("document", "the file is empty", Span(self.file, 1, 1, 1, 1))
        node = self.node(self.next(), 1)
        self.next()
        event = self.next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.stop("yaml-feature", "a second document starts here; a file holds one", self.span(event))
        if self.diagnostics.errors:
            raise _Stop
        return node

    def node(self, event: Event, depth: int) -> Node:
        yaml = self.yaml
        self.count += 1
        if self.count > MAX_NODES:
            raise self.stop("limit", f"the file has more than {MAX_NODES:,} values", self.span(event))
        if type(event) is yaml.AliasEvent:
            return self.alias(event)
        if event.tag is not None:
            self.diagnostics.error(
                "yaml-feature",
                f"tags such as `{event.tag}` have no meaning here",
                self.span(event),
                hint="leave it out",
            )
        before = self.count
        anchor: str | None = event.anchor
        if anchor is not None:
            self.open_anchors.add(anchor)
        node: Node
        if type(event) is yaml.ScalarEvent:
            node = self.scalar(event)
        elif depth > MAX_DEPTH:
            raise self.stop("limit", f"values nest deeper than {MAX_DEPTH} levels", self.span(event))
        elif type(event) is yaml.MappingStartEvent:
            node = self.mapping(event, depth)
        else:
            node = self.sequence(event, depth)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = node, self.count - before + 1
        return node

    def scalar(self, event: Event) -> Scalar:
        if event.style:
            return Scalar(event.value, self.span(event), quoted=True)
        return Scalar(self.resolve(event), self.span(event))

    def resolve(self, event: Event) -> PlainValue:
        text = event.value
        try:
            return self.resolved[text]
        except KeyError:
            pass
        try:
            value = self.resolved[text] = resolve(text)
        except ValueError as error:
            raise self.stop("limit", str(error), self.span(event)) from None
        return value

    def alias(self, event: Event) -> Node:
        if event.anchor in self.open_anchors:
            raise self.stop("yaml-alias", f"`*{event.anchor}` stands inside what it repeats", self.span(event))
        if event.anchor not in self.anchors:
            raise self.stop("yaml-alias", f"no anchor `&{event.anchor}` above", self.span(event))
        node, size = self.anchors[event.anchor]
        self.count += size
        return node

    def sequence(self, start: Event, depth: int) -> Sequence:
        items = []
        while type(event := self.next()) is not self.yaml.SequenceEndEvent:
            items.append(self.node(event, depth + 1))
        return Sequence(tuple(items), self.collection_span(start, event, items[-1].span if items else None))

    def mapping(self, start: Event, depth: int) -> Mapping:
        entries: dict[str, tuple[Key, Node]] = {}
        merges: list[tuple[Key, Node]] = []
        last = None
        while type(event := self.next()) is not self.yaml.MappingEndEvent:
            key = self.key(event, depth)
            node = self.node(self.next(), depth + 1)
            last = node.span
            if key is None:
                continue
            if key.value == "<<" and not key.quoted:
                if merges:
                    self.duplicate(merges[0][0], key)
                merges.append((key, node))
            elif (first := entries.get(key.value)) is not None:
                self.duplicate(first[0], key)
            else:
                entries[key.value] = key, node
        for _, node in merges:
            self.merge(entries, node)
        return Mapping(tuple(entries.values()), self.collection_span(start, event, last))

    def key(self, event: Event, depth: int) -> Key | None:
        if type(event) is self.yaml.ScalarEvent and event.anchor is None and event.tag is None:
            self.count += 1
            value = event.value if event.style else self.resolve(event)
            if isinstance(value, str) or type(value) is int:
                return Key(str(value), self.span(event), bool(event.style))
            hint = f'quote it: `"{event.value}"`' if event.value else None
            self.diagnostics.error("key", "a key must be text", self.span(event), hint=hint)
            return None
        self.node(event, depth + 1)
        self.diagnostics.error("key", "a key must be plain text", self.span(event))
        return None

    def duplicate(self, first: Key, second: Key) -> None:
        self.diagnostics.error(
            "duplicate-key",
            f"`{second.value}` is given twice",
            second.span,
            notes=[Note("first given here", first.span)],
        )

    def merge(self, entries: dict[str, tuple[Key, Node]], node: Node) -> None:
        """Add what `<<` brings, in YAML's order: keys given outright win, then earlier mappings."""
        for source in node.items if isinstance(node, Sequence) else (node,):
            if not isinstance(source, Mapping):
                self.diagnostics.error("yaml-alias", "`<<` takes a mapping, or a list of mappings", source.span)
                continue
            for key, value in source.entries:
                entries.setdefault(key.value, (key, value))

    def span(self, event: Event) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def collection_span(self, start: Event, end: Event, last: Span | None) -> Span:
        """From the first character to the last; libyaml ends a block only where the next token starts."""
        mark = start.start_mark
        if start.flow_style or last is None or last.file is not self.file:
            stop = end.end_mark
            return Span(self.file, mark.line + 1, mark.column + 1, stop.line + 1, stop.column + 1)
        if (last.line, last.column) < (mark.line + 1, mark.column + 1):
            # The last value is an alias to something above.
            last = self.span(end)
        return Span(self.file, mark.line + 1, mark.column + 1, last.end_line, last.end_column)

    def stop(self, code: str, message: str, span: Span) -> _Stop:
        self.diagnostics.error(code, message, span)
        return _Stop()


def _report_syntax(file: SourceFile, error: Exception, diagnostics: Diagnostics) -> None:
    # A ReaderError has a byte and a reason, every other error a mark and a problem.
    if (reason := getattr(error, "reason", None)) is not None:
        place = _place_of_byte(file, getattr(error, "position", 0))
        diagnostics.error("yaml-syntax", f"not YAML: {reason}", place)
        return
    problem: str = getattr(error, "problem", None) or str(error)
    context, context_mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or context_mark
    span = _point(file, mark) if mark else None
    began = _point(file, context_mark) if context_mark else None
    notes = [Note(context, began)] if context and began != span else []
    diagnostics.error("yaml-syntax", f"not YAML: {problem}", span, hint=_syntax_hint(problem, span), notes=notes)


def _syntax_hint(problem: str, span: Span | None) -> str | None:
    text = span.file.lines[span.line - 1] if span else ""
    if span and problem.startswith("mapping values") and text[: span.column - 1].strip().isidentifier():
        return "the line is indented more than the line above it"
    if span and text[span.column - 1 : span.column] == "\t":
        return "indent with spaces, not with tabs"
    if "$" in text:
        return QUOTE_EXPRESSIONS
    return next((hint for start, hint in _HINTS.items() if problem.startswith(start)), None)


def _point(file: SourceFile, mark: Any) -> Span:
    # An error at the end of the text is at a line that nobody sees; the last one with text is shown instead.
    line = mark.line
    if line >= len(file.lines) or (line == len(file.lines) - 1 and not file.lines[line]):
        line = max(0, len(file.text.rstrip().split("\n")) - 1)
        column = len(file.lines[line])
        return Span(file, line + 1, max(1, column), line + 1, column + 1)
    return Span(file, line + 1, mark.column + 1, line + 1, mark.column + 2)


def _place_of_byte(file: SourceFile, position: int) -> Span:
    before = file.text.encode()[:position].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Span(file, line, column, line, column + 1)
