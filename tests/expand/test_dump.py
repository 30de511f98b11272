"""A dumped network reads and expands to the same network, whatever it holds."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.expand.expanding import expanded
from tests.toy_ops import TOYS
from trtdsl.errors import Diagnostics
from trtdsl.expand import dump, expand
from trtdsl.flat import FlatNetwork
from trtdsl.includes import read_document
from trtdsl.nodes import plain
from trtdsl.ops import CATALOGUE
from trtdsl.reader import open_source
from trtdsl.schema import check
from trtdsl.source import SourceFile

NETWORKS = sorted((Path(__file__).parents[2] / "networks").glob("*.yaml"))


def essence(flat: FlatNetwork) -> Any:
    """All of a flat network but the places it comes from."""
    return (
        flat.name,
        flat.description,
        flat.dims,
        [(entry.name, entry.shape, entry.dtype) for entry in flat.inputs],
        [
            (
                layer.op,
                layer.name,
                layer.inputs,
                {key: plain(node) for key, node in layer.parameters.items()},
                layer.outputs,
                layer.precision,
                layer.impl,
            )
            for layer in flat.layers
        ],
        [(output.name, output.tensor, output.dtype) for output in flat.outputs],
        [(entry.prefix, entry.path.resolve()) for entry in flat.weights],
        flat.precision.default,
        [(pattern, dtype) for pattern, dtype, _ in flat.precision.patterns],
        None if flat.build is None else plain(flat.build),
    )


def again(flat: FlatNetwork, catalogue: Any, folder: Path) -> FlatNetwork:
    """What a dump in some folder expands to."""
    diagnostics = Diagnostics()
    document = read_document(SourceFile(str(folder / "flat.yaml"), dump(flat, catalogue, folder)), diagnostics)
    check(document, catalogue, diagnostics)
    return expand(document, catalogue, diagnostics)


@pytest.mark.parametrize("path", NETWORKS, ids=[path.stem for path in NETWORKS])
def test_networks_survive(path: Path) -> None:
    diagnostics = Diagnostics()
    document = read_document(open_source(path), diagnostics)
    check(document, CATALOGUE, diagnostics)
    flat = expand(document, CATALOGUE, diagnostics)
    assert essence(again(flat, CATALOGUE, path.parent)) == essence(flat)


EVERYTHING = """\
trtdsl: 1
name: "1.0"
description: "a: \\"b\\" $$c # d\\n\\tsecond line \\u2028 \\x85 \\U0001F600 \\x7f"
dims: {N: [1, 8, 32], M: 4, "no": [2, 3, 4]}
inputs: {x: {shape: [N, M, "no"], dtype: fp16}, y: [$(N * 2 + 1)]}
weights: {"": [a b.npz, "$$.npz"], head: ../h.npz}
precision: {default: fp16, layers: {"s*": fp32, "*": bf16}}
build: {workspace: 4GiB, tactic_sources: [], timing_cache: $$x}
modules:
  m: {params: [n], layers: [{op: conv, name: c, channels: $n, out: named}, {op: relu, repeat: 2, precision: bf16}]}
layers:
  - {op: m, name: m, n: 3}
  - {op: split, name: s, parts: 2}
  - {op: attention, in: {q: s:0, k: s:1}}
  - {op: split, parts: 2, out: [left, right]}
  - {op: attention, name: "0", in: [left, right, x], impl: native}
  - op: constant
    name: "1e5"
    shape: [N, $(M), $((N + 1) // 2 * 3), '$(max(N, 4) - 10 % N)']
    trained: null
    value: [[1e-5, .inf], [-1, 2.5e300]]
  - {op: constant, name: "true", value: {key: "1_000", file: w$$.npz, transpose: [1, 0]}}
  - {op: constant, name: "null", value: "a$$b: [c"}
  - {op: constant, name: "-", value: {normal: 0.02}, trained: true}
outputs: {y: {tensor: "0", dtype: int8}, "on": s:1}
"""


def test_everything_survives(tmp_path: Path) -> None:
    folder = tmp_path / "nets"
    flat = expanded(EVERYTHING, folder=folder)
    assert essence(again(flat, TOYS, folder)) == essence(flat)


def test_paths_follow_the_text(tmp_path: Path) -> None:
    flat = expanded(EVERYTHING, folder=tmp_path / "nets")
    moved = again(flat, TOYS, tmp_path / "other" / "deep")
    assert [(tmp_path / "nets" / entry.path).resolve() for entry in moved.weights] == [
        entry.path.resolve() for entry in flat.weights
    ]
    file = plain(next(layer for layer in moved.layers if layer.name == "true").parameters["value"])["file"]
    assert file == "../../nets/w$.npz"
    assert 'weights: {"": ["../../nets/a b.npz"' in dump(flat, TOYS, tmp_path / "other" / "deep")


def test_other_readers_of_yaml_read_the_same() -> None:
    """PyYAML's own loader follows YAML 1.1, and takes text that is not quoted for dates, flags and the like."""
    flat = expanded(EVERYTHING)
    theirs = yaml.safe_load(dump(flat, TOYS))
    diagnostics = Diagnostics()
    ours = plain(read_document(SourceFile("flat.yaml", dump(flat, TOYS)), diagnostics))
    assert theirs == ours


def test_random_networks_survive() -> None:
    rng = random.Random(3)
    for _ in range(60):
        text = _network(rng)
        flat = expanded(text)
        # The default output is named after the layer; a dump says it outright.
        assert essence(again(flat, TOYS, Path())) == essence(flat), text
        twice = again(again(flat, TOYS, Path()), TOYS, Path())
        assert dump(replace(twice, file=flat.file), TOYS) == dump(flat, TOYS)


def _network(rng: random.Random) -> str:
    """A network of nested groups in which layers read anything above them."""
    lines = ["trtdsl: 1", "dims: {N: [1, 2, 4]}", "inputs: {x: [N, 3]}", "layers:"]
    known = ["x"]
    for number in range(rng.randint(1, 12)):
        name = f"n{number}" if rng.random() < 0.7 else None
        named = f"name: {name}, " if name else ""
        kind = rng.choice(["relu", "add", "split", "sequence", "foreach", "repeat", "when"])
        first, second = rng.choice(known), rng.choice(known)
        if kind == "relu":
            lines.append(
                f"  - {{op: relu, {named}in: {first}, slope: {rng.choice(['1e-5', '-3', '$(1 / 3)', '.inf'])}}}"
            )
        elif kind == "add":
            lines.append(f"  - {{op: add, {named}in: [{first}, {second}], precision: fp16}}")
        elif kind == "split":
            lines.append(f"  - {{op: split, {named}in: {first}, parts: 2, out: [l{number}, r{number}]}}")
            known.append(f"r{number}")
            continue
        elif kind == "sequence":
            lines.append(f"  - {{op: sequence, {named}in: {first}, layers: [relu, {{op: add, in: [{second}, x]}}]}}")
        elif kind == "foreach":
            row = f"{{op: relu, name: f{number}_$k, in: {first}}}"
            lines.append(f"  - {{foreach: k, rows: $(range({rng.randint(1, 3)})), layers: [{row}]}}")
            known.append(f"f{number}_0")
            continue
        elif kind == "repeat":
            lines.append(f"  - {{op: relu, {named}in: {first}, repeat: {rng.randint(0, 3)}}}")
        else:
            lines.append(f"  - {{op: relu, {named}in: {first}, when: {rng.choice(['true', 'false'])}}}")
        if name:
            known.append(name)
    return "\n".join([*lines, f"outputs: {{y: {rng.choice(known)}}}"]) + "\n"
