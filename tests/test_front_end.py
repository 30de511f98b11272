"""Whatever a file holds, the stages up to expansion either accept it or say what is wrong with it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from trtdsl.errors import Diagnostics, NetworkError
from trtdsl.expand import dump, expand
from trtdsl.flat import FlatNetwork
from trtdsl.includes import read_document
from trtdsl.ops import CATALOGUE
from trtdsl.schema import check
from trtdsl.source import SourceFile

FOLDER = Path(__file__).parents[1] / "networks"
NETWORKS = sorted(FOLDER.glob("*.yaml"))
PIECES = [
    *(
        "$x",
        "$(1 +",
        "$(i)",
        "null",
        "[]",
        "{}",
        "true",
        "-1",
        "1e99",
        "''",
        "a:b",
        "&a ",
        "*a",
        "<<: ",
        "- ",
        ": ",
        "\t",
    ),
    *(
        "op",
        "name",
        "in",
        "repeat",
        "when",
        "foreach",
        "rows",
        "layers",
        "modules",
        "params",
        "inputs",
        "{",
        "}",
        "[",
        "]",
    ),
    *(
        "\n",
        ",",
        "0",
        "x",
        "sequence",
        "conv",
        "weight",
        "outputs",
        "$",
        "\x00",
        "é",
        "'",
        '"',
        "#",
        "!!str ",
        "---\n",
        "?",
    ),
]


def accepted(text: str) -> FlatNetwork | None:
    """The flat network, or None when the text is refused; anything else is a bug."""
    diagnostics = Diagnostics()
    try:
        document = read_document(SourceFile(str(FOLDER / "net.yaml"), text), diagnostics)
        check(document, CATALOGUE, diagnostics)
        return expand(document, CATALOGUE, diagnostics)
    except NetworkError as refusal:
        rendered = [diagnostic.render() for diagnostic in refusal.diagnostics]
    assert rendered
    return None


@pytest.mark.parametrize("path", NETWORKS, ids=[path.stem for path in NETWORKS])
def test_damaged_networks_are_accepted_or_refused(path: Path) -> None:
    rng = random.Random(path.stem)
    text = path.read_text(encoding="utf-8")
    for _ in range(40):
        damaged = text
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(damaged))
            piece = rng.choice(PIECES)
            damaged = damaged[:place] + piece + damaged[place + rng.choice([0, 0, len(piece), rng.randint(1, 40)]) :]
        flat = accepted(damaged)
        if flat is not None:
            # A parameter may have become one that only binding refuses, so the dump may be refused as well.
            accepted(dump(flat, CATALOGUE))


VALUES = ["a", "1", "-1", "1.5", "true", "null", "[]", "[1]", "[a, b]", "{}", "{a: 1}", "$x", "$(1 / 2)", "''", "'a b'"]
DOCUMENT = {
    "trtdsl": "1",
    "name": "net",
    "params": "{x: 1}",
    "dims": "{N: [1, 2, 3]}",
    "inputs": "{x: [N, 3]}",
    "modules": "{m: {layers: [relu]}}",
    "layers": "[relu]",
    "outputs": "x",
    "weights": "w.npz",
    "precision": "fp16",
    "build": "{}",
}
LAYER = {
    "op": "relu",
    "name": "n",
    "in": "x",
    "out": "o",
    "when": "true",
    "repeat": "1",
    "index": "i",
    "precision": "fp16",
}
MODULE = {"params": "{p: 1}", "inputs": "[x]", "layers": "[relu]", "outputs": "x"}
FOREACH = {"foreach": "k", "rows": "[1, 2]", "when": "true", "layers": "[relu]"}


def test_odd_values_are_accepted_or_refused() -> None:
    rng = random.Random(5)

    def odd(usual: dict[str, str]) -> dict[str, str]:
        """Some keys left out, some with a value of another kind."""
        kept = {key: value for key, value in usual.items() if rng.random() < 0.9}
        return {key: rng.choice(VALUES) if rng.random() < 0.15 else value for key, value in kept.items()}

    def flow(entries: dict[str, str]) -> str:
        return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"

    survivors = 0
    for _ in range(1500):
        kind = rng.choice(["relu", "conv", "split", "sequence", "m", "add", "constant", "concat"])
        layer = {**LAYER, "op": kind, **({"layers": "[relu]"} if kind == "sequence" else {})}
        layers = f"[{flow(odd(layer))}, {flow(odd(FOREACH)) if rng.random() < 0.3 else 'relu'}]"
        entries = {**odd(DOCUMENT), "layers": layers, "modules": f"{{m: {flow(odd(MODULE))}}}"}
        survivors += accepted("\n".join(f"{key}: {value}" for key, value in entries.items())) is not None
    assert survivors > 20
