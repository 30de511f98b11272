"""`include`: the modules and params of other files become the document's own, each still knowing its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trtdsl import nodes
from trtdsl.errors import Diagnostics, NetworkError, Note, suggest
from trtdsl.nodes import Key, Node, Scalar, plain
from trtdsl.reader import open_source, read
from trtdsl.source import SourceFile, Span
from trtdsl.version import LANGUAGE_VERSION

_BROUGHT = ("params", "modules")
_ALLOWED = ("trtdsl", "name", "description", "include", *_BROUGHT)
MAX_FILES = 200
"""How many files one network may include, directly and through others."""


def read_document(file: SourceFile, diagnostics: Diagnostics) -> nodes.Mapping:
    """The document of a file, with what it includes merged in. Raises NetworkError.

    Params and modules of included files come first, so that the document's own params may use theirs.
    """
    document, _ = read_with_includes(file, diagnostics)
    return document


def read_with_includes(file: SourceFile, diagnostics: Diagnostics) -> tuple[nodes.Mapping, frozenset[Path]]:
    """The same with all files that it was read from, as absolute paths."""
    document = _mapping(file, diagnostics)
    if document.get("include") is None:
        return document, frozenset((Path(file.name).resolve(),))
    inclusion = _Inclusion(diagnostics)
    merged = inclusion.merge(document)
    diagnostics.end_stage()
    return merged, frozenset(inclusion.seen)


def _mapping(file: SourceFile, diagnostics: Diagnostics) -> nodes.Mapping:
    document = read(file, diagnostics)
    if not isinstance(document, nodes.Mapping):
        diagnostics.error("document", "the file must be a mapping that starts with `trtdsl: 1`", document.span)
        raise NetworkError(diagnostics.errors)
    return document


class _Inclusion:
    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.sections: dict[str, dict[str, tuple[Key, Node]]] = {name: {} for name in _BROUGHT}
        self.seen: set[Path] = set()

    def merge(self, document: nodes.Mapping) -> nodes.Mapping:
        path = Path(document.span.file.name)
        self.seen.add(path.resolve())
        self._include(document, (path,))
        self._bring(document)
        entries = tuple(entry for entry in document if entry[0].value not in ("include", *_BROUGHT))
        brought = tuple(
            (Key(name, _place(document, name)), nodes.Mapping(tuple(section.values()), _place(document, name)))
            for name, section in self.sections.items()
            if section
        )
        return nodes.Mapping((*entries, *brought), document.span)

    def _include(self, document: nodes.Mapping, chain: tuple[Path, ...]) -> None:
        for text, span in self._paths(document):
            path = document.span.file.directory / text
            if path.resolve() in {outer.resolve() for outer in chain}:
                names = " → ".join(outer.name for outer in (*chain, path))
                self.diagnostics.error("include-cycle", f"this file includes itself: {names}", span)
            elif path.resolve() not in self.seen:
                self.seen.add(path.resolve())
                self._file(path, span, chain)

    def _file(self, path: Path, span: Span, chain: tuple[Path, ...]) -> None:
        if len(self.seen) > MAX_FILES:
            self.diagnostics.error("limit", f"more than {MAX_FILES} files are included", span)
            return
        try:
            source = open_source(path)
        except NetworkError as error:
            first = error.diagnostics[0]
            self.diagnostics.error(first.code, first.message, span)
            return
        inner = Diagnostics()
        try:
            document = _mapping(source, inner)
        except NetworkError as error:
            for diagnostic in error.diagnostics:
                self.diagnostics.add(diagnostic)
            return
        self._check_version(document)
        for key, _ in document:
            if key.value not in _ALLOWED:
                self.diagnostics.error(
                    "include",
                    f"an included file has no `{key.value}`; it brings params and modules only",
                    key.span,
                    hint=suggest(key.value, _ALLOWED),
                    notes=[Note("included here", span)],
                )
        self._include(document, (*chain, path))
        self._bring(document)

    def _check_version(self, document: nodes.Mapping) -> None:
        version = document.get("trtdsl")
        if version is None:
            self.diagnostics.error("missing-key", "an included file needs `trtdsl`", _start(document))
        elif plain(version) != LANGUAGE_VERSION:
            message = f"an included file must be in version {LANGUAGE_VERSION} of the language"
            self.diagnostics.error("language-version", message, version.span)

    def _paths(self, document: nodes.Mapping) -> Iterator[tuple[str, Span]]:
        node = document.get("include")
        if node is None:
            return
        for item in node.items if isinstance(node, nodes.Sequence) else (node,):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item.value, item.span
            else:
                self.diagnostics.error("value", "`include` must be a file, or a list of files", item.span)

    def _bring(self, document: nodes.Mapping) -> None:
        for name, section in self.sections.items():
            node = document.get(name)
            if not isinstance(node, nodes.Mapping):
                if node is not None:
                    self.diagnostics.error("value", f"`{name}` must be a mapping", node.span)
                continue
            for key, value in node:
                if (first := section.get(key.value)) is not None:
                    kind = name.removesuffix("s")
                    self.diagnostics.error(
                        "duplicate-name",
                        f"the {kind} `{key.value}` is given in two files",
                        key.span,
                        notes=[Note("first given here", first[0].span)],
                    )
                else:
                    section[key.value] = key, value


def _start(document: nodes.Mapping) -> Span:
    return document.entries[0][0].span if document.entries else document.span


def _place(document: nodes.Mapping, name: str) -> Span:
    key = document.key(name) or document.key("include")
    return key.span if key else document.span
