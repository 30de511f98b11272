"""The table of TensorRT's own plugins, of what `nvidia.py` prints; `python -m tests.plugins.nvidia_table` writes it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.plugins.real import ROOT, VERSIONS, run_python

PAGE = ROOT / "docs" / "plugins-nvidia.md"
PROGRAM = "import runpy; runpy.run_path('tests/plugins/nvidia.py', run_name='__main__')"
HEAD = """\
# TensorRT's own plugins

Which plugins TensorRT 8.6.1 and 10.15 bring, and how far each gets from a YAML layer on a machine without a GPU. All of
them are reached by `op: plugin`, and their fields are checked before TensorRT sees them. What is then given to the
creator are plausible values for all fields, in a process of its own:

- *made*: the creator gives a plugin;
- *wants a GPU*: the creator asks CUDA for something, finds no driver, and gives none;
- *refuses*: the creator gives none; these are for TensorRT's own use, or are left unfinished there;
- *ends the process*: the creator ends the program that calls it, or reads memory that is not its own. Many of these
  lie in wait for values that they do not expect, or for CUDA, cuBLAS and cuDNN, which are not on that machine.

A creator tells only names and types of fields: which are required, how long lists are and what range a number has, it
does not say. Where the table has no type, the creator tells none, and YAML has to: `{type: fp32, value: [0.5, 0.5]}`.
`trtdsl plugins NAME` shows what the TensorRT that is installed has.

The table is made by `python -m tests.plugins.nvidia_table`, and a test holds it against the real registries.
"""


def came_of(found: dict[str, Any]) -> str:
    """What came of a creator, in a word or two."""
    if "made" in found:
        return "made"
    if "ended" in found:
        return "ends the process"
    [error] = found["errors"]
    assert error["code"] == "tensorrt-refused", error
    return "wants a GPU" if "Cuda" in error["message"] else "refuses"


def ask(version: str) -> list[dict[str, Any]]:
    """What came of all creators of a TensorRT; skips the test where it is not there."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[dict[str, Any]] = json.loads(run_python(version, PROGRAM, folder).splitlines()[-1])
    return found


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """The page, for the creators by the version of TensorRT."""
    return "\n".join([HEAD, *_rows(found)]) + "\n"


def _rows(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    by_key: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for version, creators in found.items():
        for creator in creators:
            by_key.setdefault((creator["name"], creator["version"]), {})[version] = creator
    yield "| plugin | version | kind | " + " | ".join(found) + " | fields |"
    yield "|---" * (4 + len(found)) + "|"
    for (name, number), each in sorted(by_key.items(), key=lambda item: (item[0][0].lower(), int(item[0][1]))):
        latest = each[max(each, key=VERSIONS.index)]
        came = (came_of(each[version]["came"]) if version in each else "—" for version in found)
        yield f"| {name} | {number} | {latest['kind']} | {' | '.join(came)} | {_fields(latest['fields'])} |"
    yield ""
    for version, creators in found.items():
        counts = [came_of(creator["came"]) for creator in creators]
        words = ", ".join(f"{counts.count(word)} {word}" for word in dict.fromkeys(sorted(counts)))
        yield f"TensorRT {version}: {len(creators)} creators; {words}."


def _fields(fields: list[list[str | None]]) -> str:
    """The fields with their types, those of one type together."""
    by_type: dict[str, list[str]] = {}
    for name, kind in fields:
        by_type.setdefault(kind or "no type", []).append(re.sub(r"^bert_embeddings_", "…", name or ""))
    shown = []
    for kind, names in by_type.items():
        listed = ", ".join(names) if len(names) <= 14 else f"{', '.join(names[:3])} and {len(names) - 3} more"
        shown.append(f"{kind}: {listed}")
    return "; ".join(shown) or "none declared"


if __name__ == "__main__":
    PAGE.write_text(page({version: ask(version) for version in VERSIONS}), encoding="utf-8")
