"""The form of the files in networks/ and examples/: short, sourced, and right in an editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from trtdsl.errors import Diagnostics
from trtdsl.nodes import plain
from trtdsl.reader import read
from trtdsl.source import SourceFile

ROOT = Path(__file__).parents[2]
NETWORKS = sorted((ROOT / "networks").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
LONGEST = {"resnet": 59, "gpt2": 49}


def each(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in files])


def read_plain(file: Path) -> Any:
    return plain(read(SourceFile.read(file), Diagnostics()))


@each(NETWORKS)
def test_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST.get(file.stem, 75)


@each(NETWORKS)
def test_says_where_it_comes_from_and_takes_the_weights_given(file: Path) -> None:
    document = read_plain(file)
    assert document["name"] == file.stem
    if file.stem == "digits":
        assert "train_digits.py" in document["description"]
        assert document["weights"] == "digits.safetensors"
    else:
        assert "https://" in document["description"]
        assert "weights named as in" in document["description"]
        assert "weights" not in document


@each(NETWORKS + EXAMPLES)
def test_editors_find_the_schema_and_nothing_to_complain_of(file: Path, schema: Draft202012Validator) -> None:
    first = file.read_text().splitlines()[0]
    link = first.removeprefix("# yaml-language-server: $schema=")
    assert (file.parent / link).resolve() == ROOT / "schema" / "trtdsl-1.schema.json"
    schema.validate(read_plain(file))


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schema" / "trtdsl-1.schema.json").read_text()))


def test_committed_weights_are_small() -> None:
    # Engines that a user built there are none of the repository's files.
    built = ("*.yaml", "*.engine", "*.engine.json", ".*")
    weights = [file for file in (ROOT / "networks").iterdir() if not any(map(file.match, built))]
    assert sorted(file.name for file in weights) == ["digits.safetensors", "digits.scales"]
    assert all(file.stat().st_size < 1_000_000 for file in weights)
