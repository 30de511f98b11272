"""Networks with random mistakes: each is read or refused with a place, and never ends in a bug report."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import trtdsl
from trtdsl.errors import TrtdslError

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "networks").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])
ROUNDS = int(os.environ.get("TRTDSL_MUTATIONS", "12"))
"""Mutations of each file; more of them find rarer mistakes."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|-?\d+(?:\.\d+)?|[\[\]{},:$()*]")
_STRANGE = (
    *("null", "true", "[]", "{}", "-1", "0", "1e400", ".nan", ".inf", '""', "~", "x", "$x", "$(", "$(1/0)", "2**70"),
    *("[[1], 2]", "{a: {b: 1}}", "'a b'", "fp16", "int8", "N", "9999999999999", "relu", "*", "&a", "!!python/none"),
)

Mutation = Callable[[random.Random, str], str]


def _replace_token(chance: random.Random, text: str) -> str:
    token = chance.choice(list(_TOKEN.finditer(text)))
    return text[: token.start()] + chance.choice(_STRANGE) + text[token.end() :]


def _swap_tokens(chance: random.Random, text: str) -> str:
    first, second = sorted(chance.sample(list(_TOKEN.finditer(text)), 2), key=lambda token: token.start())
    between = text[first.end() : second.start()]
    return text[: first.start()] + second[0] + between + first[0] + text[second.end() :]


def _drop_line(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return "".join(lines)


def _repeat_line(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return "".join(lines)


def _indent_line(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    lines[place] = "  " + lines[place]
    return "".join(lines)


def _drop_characters(chance: random.Random, text: str) -> str:
    start = chance.randrange(len(text))
    return text[:start] + text[start + chance.randint(1, 5) :]


MUTATIONS: tuple[Mutation, ...] = (
    *(_replace_token,) * 4,
    *(_swap_tokens,) * 2,
    _drop_line,
    _repeat_line,
    _indent_line,
    _drop_characters,
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_mistake_is_refused_with_a_reason(source: Path, tmp_path: Path) -> None:
    path = tmp_path / source.name
    refused = 0
    for seed in range(ROUNDS):
        chance = random.Random(f"{source.name} {seed}")
        text = source.read_text(encoding="utf-8")
        for _ in range(chance.randint(1, 3)):
            text = chance.choice(MUTATIONS)(chance, text)
        path.write_text(text, encoding="utf-8")
        refused += _refused(path, f"seed {seed}:\n{text}")
    assert refused, "no mutation was noticed"


def _refused(path: Path, what: str) -> bool:
    try:
        trtdsl.load(path, random_weights=True)
    except TrtdslError as error:
        return all(entry.render() for entry in error.diagnostics)
    except Exception as error:
        raise AssertionError(what) from error
    return False
