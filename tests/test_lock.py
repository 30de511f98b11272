"""requirements.lock against pyproject.toml: every dependency is pinned, by hash, to one version that is allowed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [Requirement(line.removesuffix(" \\")) for line in LOCK.splitlines() if not line.startswith(" ")]
DECLARED = sorted(
    text
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
    if not text.startswith("trtdsl[")
)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("declared", dict.fromkeys(DECLARED))
def test_every_dependency_is_pinned(declared: str, python: str) -> None:
    wanted = Requirement(declared)
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    if wanted.marker and not wanted.marker.evaluate(place):
        return
    pins = [
        pin
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
        and (pin.marker is None or pin.marker.evaluate(place))
    ]
    (version,) = (specifier.version for pin in pins for specifier in pin.specifier)
    assert version in wanted.specifier


def test_every_pin_is_one_version_with_hashes() -> None:
    assert len(PINS) > len(DECLARED)
    for pin in PINS:
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(blocks) == len(PINS)
    for block in blocks:
        assert "--hash=sha256:" in block, block


def test_the_lock_names_no_host() -> None:
    assert "http" not in LOCK
    assert "://" not in LOCK
