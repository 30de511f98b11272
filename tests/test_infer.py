"""The infer pass: types between layers, settled weights, and errors that do not cascade."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.flat_yaml import flatten, lines
from trtdsl.bind import bind
from trtdsl.errors import Diagnostic, Diagnostics, NetworkError
from trtdsl.graph import Graph
from trtdsl.infer import infer
from trtdsl.ops import CATALOGUE
from trtdsl.types import DataType


def inferred(text: str, folder: Path = Path(), *, random_weights: bool = True) -> Graph:
    graph = bind(flatten(text, folder), CATALOGUE, Diagnostics(), random_weights=random_weights)
    return infer(graph, Diagnostics())


def refused(text: str, folder: Path = Path(), *, random_weights: bool = True) -> tuple[Diagnostic, ...]:
    with pytest.raises(NetworkError) as caught:
        inferred(text, folder, random_weights=random_weights)
    return caught.value.diagnostics


def test_types_of_all_tensors_at_all_sizes() -> None:
    graph = inferred("""
inputs: {x: 'fp32[N, 3, 8, 8]', ids: 'int64[N]'}
layers:
- {op: conv, name: c, out_channels: 4, kernel_size: 3, stride: 2}
- {op: flatten, name: f}
- {op: embedding, name: e, in: [ids], num_embeddings: 9, embedding_dim: 36}
- {op: add, name: sum, in: [f, e]}
""")
    # (8 - 3) // 2 + 1 = 3, and 4 * 3 * 3 = 36.
    assert {name: str(entry) for name, entry in graph.types.items()} == {
        "x": "fp32[N, 3, 8, 8]",
        "ids": "int64[N]",
        "c": "fp32[N, 4, 3, 3]",
        "f": "fp32[N, 36]",
        "e": "fp32[N, 36]",
        "sum": "fp32[N, 36]",
    }
    assert [tuple(dim.sizes) for dim in graph.types["sum"].shape] == [(1, 4, 8), (36, 36, 36)]


def test_weights_are_settled() -> None:
    (layer,) = inferred("inputs: {x: 'fp32[N, 5]'}\nlayers:\n- {op: linear, out_features: 2}\n").layers
    assert {name: weight.shape for name, weight in layer.weights.items()} == {"weight": (2, 5), "bias": (2,)}
    assert layer.weights["weight"].array().shape == (2, 5)


def test_one_mistake_is_one_error() -> None:
    found = refused("""
inputs: {x: 'fp32[N, 5]', z: 'fp32[N, 6]'}
layers:
- {op: add, name: wrong, in: [x, z]}
- {op: linear, name: reads_wrong, out_features: 2}
- {op: relu, name: reads_that}
- {op: matmul, name: wrong_too, in: [x, z]}
""")
    assert [(d.code, d.span and d.span.line) for d in found] == [("shape", 4), ("shape", 7)]
    assert found[0].message.startswith("wrong: ")


def test_carets_are_under_what_is_to_blame() -> None:
    found = refused("""
inputs: {x: 'fp32[N, 5]', ids: 'int64[N]'}
layers:
- {op: softmax, name: a, in: [x], dim: 7}
- {op: linear, name: b, out_features: 2, in: [ids]}
""")
    carets = [d.span and (d.span.line, d.span.column) for d in found]
    assert carets == [(4, 40), (5, 47)]
    assert found[0].code == "parameter-value"
    assert lines(found[1:]) == ["5 shape: b: input ids is int64[N], linear takes bf16, fp16, fp32"]
    assert "cast" in (found[1].hint or "")


def test_ops_without_float_input_take_the_default_type() -> None:
    graph = inferred("inputs: {x: 'int64[N]'}\nlayers:\n- {op: embedding, num_embeddings: 3, embedding_dim: 2}\n")
    assert graph.types["embedding"].dtype is DataType.FP32


WEIGHTS = "inputs: {x: 'fp32[N, 5]'}\nlayers:\n- {op: linear, name: l, out_features: 2}\nweights: {'': %s}\n"


@pytest.mark.parametrize(
    ("weight", "bias", "expected", "hint"),
    [
        ((2, 5), (2,), [], None),
        (
            (5, 2),
            (2,),
            ['3 weight-shape: l expects weight [2, 5], "l.weight" in w.safetensors is [5, 2]'],
            "it is transposed: `weight: {transpose: true}`",
        ),
        (
            (2, 4),
            (3,),
            [
                '3 weight-shape: l expects weight [2, 5], "l.weight" in w.safetensors is [2, 4]',
                '3 weight-shape: l expects bias [2], "l.bias" in w.safetensors is [3]',
            ],
            None,
        ),
        ((10,), (2,), ['3 weight-shape: l expects weight [2, 5], "l.weight" in w.safetensors is [10]'], None),
    ],
)
def test_stored_shapes(
    tmp_path: Path, weight: tuple[int, ...], bias: tuple[int, ...], expected: list[str], hint: str | None
) -> None:
    arrays = {"l.weight": np.ones(weight, np.float32), "l.bias": np.ones(bias, np.float32)}
    save_file(arrays, tmp_path / "w.safetensors")
    text = WEIGHTS % "w.safetensors"
    if not expected:
        inferred(text, tmp_path, random_weights=False)
        return
    found = refused(text, tmp_path, random_weights=False)
    assert lines(found) == expected
    assert found[0].hint == hint


def test_flat_files_are_checked_by_count(tmp_path: Path) -> None:
    words = " ".join(["3f800000"] * 9)
    (tmp_path / "w.wts").write_text(f"2\nl.weight 9 {words}\nl.bias 2 3f800000 3f800000\n")
    found = refused(WEIGHTS % "w.wts", tmp_path, random_weights=False)
    assert lines(found) == ['3 weight-shape: l expects weight [2, 5], which is 10 elements, "l.weight" in w.wts has 9']


def test_flat_files_take_the_order_of_axes_that_fits(tmp_path: Path) -> None:
    words = " ".join(["3f800000"] * 10)
    (tmp_path / "w.wts").write_text(f"1\nl.weight 10 {words}\n")
    text = WEIGHTS.replace("features: 2", "features: 2, bias: false, weight: {transpose: [0, 2, 1]}") % "w.wts"
    found = refused(text, tmp_path, random_weights=False)
    assert lines(found) == ["3 weight-shape: l expects weight [2, 5], `transpose` orders 3 axes"]


def test_inline_lists_are_checked() -> None:
    text = "inputs: {x: 'fp32[N, 5]'}\nlayers:\n- {op: linear, name: l, out_features: 2, bias: [1, 2, 3]}\n"
    assert lines(refused(text)) == ["3 weight-shape: l expects bias [2], the list given here is [3]"]
