"""What tuning may change of a network, and in which stretches; the work in them is counted by hand."""

from __future__ import annotations

from pathlib import Path

import trtdsl
from trtdsl.api import flatten
from trtdsl.tuning.search import Unit
from trtdsl.tuning.units import tunable, units_of

TEXT = """\
trtdsl: 1
dims: {N: [1, 2, 8]}
inputs: {x: [N, 4], y: [3, 5]}
modules:
  wide:
    inputs: [x]
    layers: [{op: relu, name: inside}]
layers:
  - {op: relu, name: before, in: x}
  - {op: linear, name: fc, out_features: 3}
  - {op: tanh, name: act}
  - {op: reshape, name: moved, shape: [-1, 3]}
  - {op: matmul, name: product, in: [moved, y]}
  - {op: linear, name: own, out_features: 5, precision: fp16}
  - {op: wide, name: group, precision: fp16}
  - op: loop
    name: rounds
    count: 2
    state: {h: group.inside}
    layers: [{op: sigmoid, name: step, in: h}]
"""


def test_stretches_begin_with_what_multiplies(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TEXT)
    graph = trtdsl.load(path, random_weights=True).graph
    layers = tunable(flatten(path), graph)
    assert [layer.name for layer in layers] == ["before", "fc", "act", "product", "rounds.step"]
    # Two rows at opt: an operation for each element, and for each element of a product as many as it sums.
    assert units_of(layers, graph) == (
        Unit(("before",), 2 * 4),
        Unit(("fc", "act"), 2 * 3 * 4 + 2 * 3),
        Unit(("product", "rounds.step"), 2 * 5 * 3 + 2 * 5),
    )
