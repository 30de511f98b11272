"""What an engine was built from beside what there is now: each difference with the line that it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.source import Span

_LAYER = re.compile(r"  - .*?\bname: (\"[^\"]*\"|[^,}]+)")
_KEY = re.compile(r"( *)(\"[^\"]*\"|[\w.-]+): ?(.*)")


@dataclass(frozen=True)
class Difference:
    """One ingredient that is another one now. `was` or `now` is None where there is none; `span` is its place."""

    what: str
    was: str | None
    now: str | None
    span: Span | None = None

    def __str__(self) -> str:
        if self.was is None:
            return f"{self.what}: new" + (f", {self.now}" if self.now else "")
        if self.now is None:
            return f"{self.what}: gone" + (f", was {self.was}" if self.was else "")
        return f"{self.what}: was {self.was}, is {self.now}"

    def as_dict(self) -> dict[str, str | None]:
        return {
            "what": self.what,
            "was": self.was,
            "now": self.now,
            "line": None if self.span is None else self.span.file_and_line,
        }


def differences(
    manifest: Mapping[str, Any],
    built_from: Mapping[str, Any],
    network: Sequence[str],
    places: Mapping[str, Span] | None = None,
) -> tuple[Difference, ...]:
    """How the ingredients of a manifest differ from those there are now.

    `built_from` is that part of a manifest made now; of what it lacks, nothing is said. `network` has the lines of the
    expanded network, `places` where layers stand in YAML.
    """
    before = manifest["built_from"]
    found = list(_network(manifest, built_from, network, places or {}))
    for name, title in (("runtime", "runtime"), ("gpu", "GPU")):
        if name in built_from:
            found += _entries(title, {"": before[name]}, {"": built_from[name]})
    found += _entries("option", before["options"], built_from["options"])
    found += _entries("dimension", before["dims"], built_from["dims"])
    found += _files("weights", before["weights"], built_from["weights"], "file")
    if "plugins" in built_from:
        found += _files("plugins", before["plugins"], built_from["plugins"], "library")
    found += _code(before["trtdsl"], built_from["trtdsl"])
    return tuple(found)


def _network(
    manifest: Mapping[str, Any], built_from: Mapping[str, Any], network: Sequence[str], places: Mapping[str, Span]
) -> Iterator[Difference]:
    if manifest["built_from"]["spec"] == built_from["spec"]:
        return
    if not manifest["network"]:
        yield Difference("network", "another one", "this one (the manifest is too old to say more)")
        return
    old, new = _parts(manifest["network"]), _parts(network)
    changed = list(_entries("", old, new))
    for entry in changed:
        name = entry.what.removeprefix("layer ")
        yield Difference(entry.what, entry.was, entry.now, places.get(name) if name != entry.what else None)
    if not changed:
        order = [name for name in old if name.startswith("layer ")]
        moved = next((pair for pair in zip(order, (name for name in new if name in order), strict=True)), None)
        yield Difference("order of the layers", moved and moved[0], moved and moved[1])


def _parts(lines: Sequence[str]) -> dict[str, str]:
    """The lines of an expanded network by what they are about: `layer conv1`, `inputs image`, `precision`."""
    parts: dict[str, str] = {}
    section = ""
    for line in lines:
        if layer := _LAYER.match(line):
            parts[f"layer {_bare(layer[1])}"] = line.removeprefix("  - ")
        elif key := _KEY.fullmatch(line):
            if not key[1]:
                section = key[2]
            label = _bare(key[2]) if not key[1] else f"{section} {_bare(key[2])}"
            if key[3]:
                parts[label] = key[3]
    return parts


def _bare(text: str) -> str:
    return text.strip().strip('"')


def _entries(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """The differences of two mappings, in the order of the second, what is gone last."""
    for name, value in after.items():
        label = " ".join(filter(None, [what, name]))
        if name not in before:
            yield Difference(label, None, _shown(value))
        elif before[name] != value:
            yield Difference(label, _shown(before[name]), _shown(value))
    for name, value in before.items():
        if name not in after:
            yield Difference(" ".join(filter(None, [what, name])), _shown(value), None)


def _files(
    what: str, before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]], key: str
) -> Iterator[Difference]:
    """The differences of files whose bytes were hashed. Several may bear one name."""
    old, new = _numbered(before, key), _numbered(after, key)
    for name, entry in new.items():
        if name not in old:
            yield Difference(f"{what} {name}", None, "")
        elif old[name] != entry:
            yield Difference(f"{what} {name}", f"sha256 {_hash(old[name])}", f"sha256 {_hash(entry)}")
    for name in old:
        if name not in new:
            yield Difference(f"{what} {name}", "", None)


def _numbered(entries: Iterable[Mapping[str, Any]], key: str) -> dict[str, Mapping[str, Any]]:
    named: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        name = stem = str(entry[key] or "of TensorRT's own")
        number = 1
        while name in named:
            number += 1
            name = f"{stem} ({number})"
        named[name] = entry
    return named


def _hash(entry: Mapping[str, Any]) -> str:
    return str(entry["sha256"] or "none")[:12]


def _code(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    if before["version"] != after["version"]:
        yield Difference("trtdsl", before["version"], after["version"])
    elif before["code"] != after["code"]:
        yield Difference("trtdsl", f"{before['version']}, another copy of it", f"{after['version']}, this copy")


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def tactic_differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """The layers of an engine whose tactic is another one."""
    return tuple(_entries("tactic of", before, after))
