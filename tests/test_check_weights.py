"""Checks of the elements of weights, and of keys that nobody takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.flat_yaml import flatten, lines
from trtdsl.bind import bind
from trtdsl.check_weights import check_weights, unused_keys
from trtdsl.errors import Diagnostics, NetworkError
from trtdsl.graph import Graph
from trtdsl.infer import infer
from trtdsl.ops import CATALOGUE
from trtdsl.precision import assign_types

LINEAR = """
inputs: {x: 'fp32[N, 2]'}
layers:
- {op: linear, name: l, out_features: 2, bias: %s}
weights: {'': w.safetensors}
precision: {default: %s}
"""


def typed(folder: Path, weight: list[list[float]], *, precision: str = "fp32", bias: str = "false") -> Graph:
    save_file({"l.weight": np.array(weight, np.float32), "spare": np.ones(1)}, folder / "w.safetensors")
    flat = flatten(LINEAR % (bias, precision), folder)
    return assign_types(infer(bind(flat, CATALOGUE, Diagnostics()), Diagnostics()))


@pytest.mark.parametrize(
    ("precision", "largest", "lost"),
    [("fp32", 3e38, False), ("fp16", 65519.0, False), ("fp16", 65520.0, True), ("bf16", 3e38, False)],
)
def test_overflow_is_a_warning(tmp_path: Path, precision: str, largest: float, lost: bool) -> None:
    diagnostics = Diagnostics()
    check_weights(typed(tmp_path, [[1, -largest], [0, 1]], precision=precision), diagnostics)
    expected = ['4 weight-overflow: l: "l.weight" in w.safetensors has 1 element that fp16 makes infinite']
    assert lines(diagnostics.warnings) == (expected if lost else [])


def test_inline_values_overflow_as_well(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    check_weights(typed(tmp_path, [[1, 1], [1, 1]], precision="fp16", bias="[1e5, 2e5]"), diagnostics)
    assert lines(diagnostics.warnings) == [
        "4 weight-overflow: l: the list given here has 2 elements that fp16 makes infinite"
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_not_finite(tmp_path: Path, precision: str) -> None:
    graph = typed(tmp_path, [[1, 2], [float("nan"), float("-inf")]], precision=precision)
    relaxed = Diagnostics()
    check_weights(graph, relaxed)
    assert lines(relaxed.warnings) == []
    with pytest.raises(NetworkError) as caught:
        check_weights(graph, Diagnostics(), finite=True)
    assert lines(caught.value.diagnostics) == [
        '4 weight-nonfinite: l: "l.weight" in w.safetensors has 2 elements NaN or infinite, the first at [1, 0]'
    ]


@pytest.mark.parametrize(("number", "fits"), [(2**31 - 1, True), (2**31, False)])
def test_integers_have_to_fit(tmp_path: Path, number: int, fits: bool) -> None:
    save_file({"k": np.array([0, number])}, tmp_path / "w.safetensors")
    text = "inputs: {}\nlayers:\n- {op: constant, name: k, dtype: int32, value: {key: k, dtype: int32}}\n"
    flat = flatten(text + "weights: {'': w.safetensors}", tmp_path)
    graph = assign_types(infer(bind(flat, CATALOGUE, Diagnostics()), Diagnostics()))
    if fits:
        check_weights(graph, Diagnostics(), finite=True)
        return
    with pytest.raises(NetworkError, match=r'"k" in w\.safetensors has 0 to 2147483648, more than int32 holds'):
        check_weights(graph, Diagnostics())


def test_unused_keys(tmp_path: Path) -> None:
    graph = typed(tmp_path, [[1, 1], [1, 1]])
    counter = np.zeros((), np.int64)
    save_file({"other": np.ones(1), "bn.num_batches_tracked": counter}, tmp_path / "more.safetensors")
    paths = [tmp_path / "w.safetensors", tmp_path / "more.safetensors"]
    assert unused_keys(graph, paths) == {paths[0]: ["spare"], paths[1]: ["other"]}
