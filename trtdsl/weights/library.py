"""The weight files of one network: which file a layer's keys are looked up in, and what is like a key not found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trtdsl.errors import Diagnostics, TrtdslError, suggest
from trtdsl.source import Span
from trtdsl.weights.entries import Entry, WeightFile
from trtdsl.weights.formats import open_weights

_MOST_SUGGESTIONS = 25
"""Finding a similar key is slow; when more are missing, the first ones show what is wrong."""
_MOST_CANDIDATES = 2000


@dataclass(frozen=True)
class FileUse:
    """A weights file of a network: for the layers under `prefix`, or for all the rest when it is empty.

    Layers whose name starts with `prefix.` look their keys up in it with the prefix removed. `path` is relative to the
    folder that this process works in; `span` is None for a file that is named from outside.
    """

    prefix: str
    path: Path
    span: Span | None = None

    @classmethod
    def parse(cls, text: str | Path) -> FileUse:
        """What the command line says: `FILE`, or `PREFIX=FILE`."""
        prefix, equals, path = str(text).partition("=")
        # A file whose own name holds the sign stays within reach.
        return cls(prefix, Path(path)) if equals and not Path(text).exists() else cls("", Path(text))


class WeightLibrary:
    """The opened files. What cannot be opened is reported once, and counts as a file that may have any key."""

    def __init__(self, uses: Iterable[FileUse], diagnostics: Diagnostics) -> None:
        self._uses = tuple(uses)
        self._diagnostics = diagnostics
        self._opened: dict[Path, WeightFile | None] = {}
        self._suggestions = 0
        self._paths: dict[str, tuple[Path, ...]] = {}
        # The longest prefix that fits a layer decides.
        for use in sorted(self._uses, key=lambda use: -len(use.prefix)):
            self._paths[use.prefix] = tuple(dict.fromkeys((*self._paths.get(use.prefix, ()), use.path)))
        for use in self._uses:
            self._open(use.path, use.span)

    def scope(self, layer: str) -> tuple[str, tuple[Path, ...]]:
        """The layer's name as its files know it, and these files."""
        for prefix, paths in self._paths.items():
            if not prefix:
                return layer, paths
            if layer == prefix or layer.startswith(prefix + "."):
                return layer[len(prefix) + 1 :], paths
        return layer, ()

    def find(self, key: str, paths: Sequence[Path], span: Span) -> list[Entry] | None:
        """The entries of that key; None when a file that may have it could not be read (which was reported)."""
        found: list[Entry] = []
        readable = True
        for path in paths:
            file = self._open(path, span)
            if file is None:
                readable = False
            elif key in file:
                try:
                    found.append(file[key])
                except TrtdslError as error:
                    self._report(error, span)
                    return None
        return found if found or readable else None

    def similar(self, key: str, paths: Sequence[Path]) -> str | None:
        """A hint that names the key closest to one that is not there."""
        self._suggestions += 1
        if self._suggestions > _MOST_SUGGESTIONS:
            return None
        keys = [known for path in paths for known in self._opened.get(path) or ()]
        # Keys put under one more name (`model.conv1.weight`) are likelier than any that is spelt alike.
        for known in keys:
            if known.endswith("." + key) or key.endswith("." + known):
                return f"did you mean `{known}`?"
        last = key.rpartition(".")[2]
        alike = [known for known in keys if known.rpartition(".")[2] == last]
        return suggest(key, (alike or keys)[:_MOST_CANDIDATES])

    def _open(self, path: Path, span: Span | None) -> WeightFile | None:
        if path not in self._opened:
            try:
                self._opened[path] = open_weights(path)
            except TrtdslError as error:
                self._opened[path] = None
                self._report(error, span)
        return self._opened[path]

    def _report(self, error: TrtdslError, span: Span | None) -> None:
        for diagnostic in error.diagnostics:
            self._diagnostics.add(replace(diagnostic, span=span))
