"""Every file under `invalid/` is refused as the comments in it say, and every code has such a file.

A comment stands on the line that the error is about: `kernel: 3  # error[unknown-parameter]: conv has no parameter`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import trtdsl
from trtdsl.codes import CODES
from trtdsl.errors import Diagnostic, TrtdslError

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "invalid"
FILES = sorted(FOLDER.glob("*.yaml"))

NO_FILE_SHOWS = {
    "file": "shown by a missing include; the rest is about paths on the command line",
    "override": "it is the command line that is wrong",
    "onnx-form": "only an export to ONNX asks",
    "onnx-size": "only an export to ONNX asks",
    "package-missing": "depends on what is installed",
    "input-value": "about what is run on the network",
    "data": "about what is run on the network",
    "reference": "about what is run on the network",
    "gpu-missing": "depends on the machine",
    "plugin-build": "is of compilers, not of networks",
    "plugin-headers": "is of compilers, not of networks",
    "engine-run": "depends on the machine",
    "engine-use": "about how an engine is run",
    "engine-elsewhere": "about an engine",
    "plugin-declaration": "about a plugin.yaml",
    "plugin-library": "only a TensorRT loads libraries",
    "plugin-missing": "TensorRT has to be asked",
    "runtime-missing": "depends on what is installed",
    "tensorrt-refused": "TensorRT has to be asked",
    "tensorrt-type": "TensorRT has to be asked",
    "tensorrt-build": "TensorRT has to be asked",
    "tensorrt-warning": "TensorRT has to be asked",
    "engine-missing": "about an engine",
    "engine-differs": "about an engine",
    "manifest-missing": "about an engine",
    "manifest-damaged": "about an engine",
    "manifest-format": "about an engine",
    "engine-inspection": "about an engine",
    "precision-differs": "TensorRT has to be asked",
    "locked": "about an engine",
    "tune": "about what tunes, and on what",
    "interrupted": "about what the user does",
}


@dataclass(frozen=True)
class Expected:
    """One comment."""

    path: Path
    line: int
    code: str
    fragment: str

    def fits(self, diagnostic: Diagnostic) -> bool:
        span = diagnostic.span
        return (
            span is not None
            and (Path(span.file.name), span.line) == (self.path, self.line)
            and diagnostic.code == self.code
            and self.fragment in diagnostic.message
        )


def expectations(path: Path) -> list[Expected]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        for code, fragment in re.findall(r"# (?:error|warning)\[([a-z-]+)\]: (.*?)(?= # (?:error|warning)\[|$)", line):
            found.append(Expected(path, number, code, fragment.strip()))
    return found


def diagnostics_of(path: Path) -> tuple[Diagnostic, ...]:
    try:
        return trtdsl.load(path, check_finite="check_finite: true" in path.read_text(errors="replace")).warnings
    except TrtdslError as error:
        return error.diagnostics


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_file_is_refused_as_it_says(path: Path) -> None:
    diagnostics = diagnostics_of(path)
    included = {Path(d.span.file.name) for d in diagnostics if d.span} - {path}
    expected = expectations(path) + [entry for other in sorted(included) for entry in expectations(other)]
    assert expected, "the file says nothing of what is wrong with it"
    missed = [entry for entry in expected if not any(entry.fits(diagnostic) for diagnostic in diagnostics)]
    unexpected = [d.render() for d in diagnostics if not any(entry.fits(d) for entry in expected)]
    assert not missed, "\n\n".join([f"not reported: {missed}", *(d.render() for d in diagnostics)])
    assert not unexpected, "\n\n".join(unexpected)


def test_every_code_has_a_file() -> None:
    shown = {entry.code for path in FOLDER.rglob("*.yaml") for entry in expectations(path)}
    assert set(CODES) - shown - set(NO_FILE_SHOWS) == set()
    assert set(NO_FILE_SHOWS) <= set(CODES)
    assert shown <= set(CODES)


REPORTERS = {
    "error",
    "warning",
    "of",
    "stop",
    "unusable",
    "ExpressionError",
    "Diagnostic",
    "Finding",
    "_error",
    "_report",
}


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes that calls in a source pass on: the first or second argument of what reports."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        for argument in node.args[:2] if function in REPORTERS else ():
            choices = (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
            for choice in choices:
                if isinstance(choice, ast.Constant) and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(choice.value)):
                    yield str(choice.value)
                    break


def test_the_codes_are_those_the_sources_use() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "trtdsl").rglob("*.py") if path.name != "codes.py"]
    used = {code for source in sources for code in codes_in(ast.parse(source))}
    assert used - set(CODES) == set(), "codes that the table lacks"
    assert [code for code in CODES if not any(f'"{code}"' in source for source in sources)] == [], "codes nobody uses"
