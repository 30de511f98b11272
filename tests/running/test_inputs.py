"""What a network is run on: names, sizes and types are held against the network, and the rest is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import RunError
from trtdsl.graph import Graph
from trtdsl.running import make_inputs, read_npz, save_npz

NET = """\
trtdsl: 1
dims: {N: [1, 2, 4], T: [2, 4, 8], S: 3}
inputs:
  x: {shape: [N, T], dtype: fp32}
  half: {shape: [N, $(T * 2 + 1)], dtype: fp16}
  brain: {shape: [N], dtype: bf16}
  tokens: {shape: [N, T], dtype: int32}
  flag: {shape: [$S], dtype: bool}
layers:
  - {op: embedding, name: words, in: tokens, num_embeddings: 100, embedding_dim: 2}
  - {op: embedding, name: kinds, in: tokens, num_embeddings: 7, embedding_dim: 2}
  - {op: add, in: [words, kinds]}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    (tmp_path / "net.yaml").write_text(NET)
    return trtdsl.load(tmp_path / "net.yaml", random_weights=True).graph


def shapes(arrays: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def test_without_any_sizes_are_at_opt(graph: Graph) -> None:
    arrays = make_inputs(graph, {})
    assert shapes(arrays) == {"x": (2, 4), "half": (2, 9), "brain": (2,), "tokens": (2, 4), "flag": (3,)}
    types = {"x": "float32", "half": "float16", "brain": "uint16", "tokens": "int32", "flag": "bool"}
    assert {name: array.dtype.name for name, array in arrays.items()} == types


def test_what_is_given_tells_the_sizes_of_the_rest(graph: Graph) -> None:
    arrays = make_inputs(graph, {"half": np.zeros((3, 11), np.float16)})
    assert shapes(arrays) == {"x": (3, 5), "half": (3, 11), "brain": (3,), "tokens": (3, 5), "flag": (3,)}


def test_random_numbers_are_decided_by_seed_and_name(graph: Graph) -> None:
    one, again, other = make_inputs(graph, {}, seed=1), make_inputs(graph, {}, seed=1), make_inputs(graph, {}, seed=2)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["x"], other["x"])
    given = make_inputs(graph, {"flag": np.zeros(3, bool)}, seed=1)
    assert np.array_equal(given["x"], one["x"])


def test_random_integers_are_rows_of_every_table_they_pick_from(graph: Graph) -> None:
    tokens = make_inputs(graph, {"x": np.zeros((4, 8), np.float32)})["tokens"]
    assert set(tokens.ravel()) == set(range(7))


def test_random_floats_spread_around_zero(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: {shape: [10000], dtype: fp16}}\nlayers: [relu]\n")
    x = make_inputs(trtdsl.load(tmp_path / "net.yaml").graph, {})["x"].astype(np.float64)
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05


def test_pixels_are_bytes(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "trtdsl: 1\ninputs: {x: {shape: [10000], dtype: uint8}}\nlayers: [{op: cast, dtype: fp32}]\n"
    )
    x = make_inputs(trtdsl.load(tmp_path / "net.yaml").graph, {})["x"]
    assert (x.min(), x.max(), x.dtype) == (0, 255, np.uint8)


CONVERTED = {
    "float64 to fp32": ("x", np.full((2, 4), 0.1), np.full((2, 4), 0.1, np.float32)),
    "integers to fp32": ("x", np.full((2, 4), 3), np.full((2, 4), 3, np.float32)),
    "fp32 to fp16": ("half", np.full((2, 9), 1 / 3, np.float32), np.full((2, 9), 1 / 3, np.float16)),
    # 1.5 has the sign and exponent of 1, and the highest bit of the mantissa.
    "fp32 to bf16": ("brain", np.full(2, 1.5, np.float32), np.full(2, 0x3FC0, np.uint16)),
    "bits to bf16": ("brain", np.full(2, 0x3FC0, np.uint16), np.full(2, 0x3FC0, np.uint16)),
    "int64 to int32": ("tokens", np.full((2, 4), 6, np.int64), np.full((2, 4), 6, np.int32)),
    "as it is": ("flag", np.array([True, False, True]), np.array([True, False, True])),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_arrays_are_brought_into_the_type(case: str, graph: Graph) -> None:
    name, given, expected = CONVERTED[case]
    actual = make_inputs(graph, {name: given})[name]
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "a misspelt name": ({"tokkens": np.zeros(1)}, "the network has no input `tokkens`", "did you mean `tokens`?"),
    "an unknown name": (
        {"image": np.zeros(1)},
        "the network has no input `image`",
        "it has x, half, brain, tokens, flag",
    ),
    "another rank": ({"x": np.zeros((2, 3, 4))}, "x takes [N, T], not [2, 3, 4]", None),
    "a fixed size": ({"flag": np.zeros(4, bool)}, "flag takes [3], not [4]", None),
    "too many": ({"x": np.zeros((5, 4))}, "x takes [N, T], not [5, 4]", "N is 1 to 4; T is 2 to 8"),
    "too few": ({"x": np.zeros((0, 4))}, "x takes [N, T], not [0, 4]", "N is 1 to 4; T is 2 to 8"),
    "two that disagree": (
        {"x": np.zeros((2, 4)), "tokens": np.zeros((3, 4), int)},
        "tokens takes [N, T], not [3, 4]",
        "N is 1 to 4, and 2 by x; T is 2 to 8, and 4 by x",
    ),
    "no size that fits": (
        {"half": np.zeros((2, 8))},
        "half takes [N, T * 2 + 1], not [2, 8]",
        "N is 1 to 4; T is 2 to 8",
    ),
    "floats for integers": ({"tokens": np.zeros((2, 4))}, "tokens takes int32, not float64", None),
    "numbers for booleans": ({"flag": np.zeros(3, int)}, "flag takes bool, not int64", None),
    "booleans for floats": ({"x": np.zeros((2, 4), bool)}, "x takes fp32, not bool", None),
    "too large": ({"tokens": np.full((2, 4), 2**40)}, "tokens holds numbers that int32 does not reach", None),
    "text": ({"x": np.full((2, 4), "a")}, "x takes fp32, not <U1", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(case: str, graph: Graph) -> None:
    given, message, hint = WRONG[case]
    with pytest.raises(RunError) as error:
        make_inputs(graph, given)
    [found] = error.value.diagnostics
    assert (found.code, found.message, found.hint) == ("input-value", message, hint)


def test_files(graph: Graph, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((3, 4), 2.5))
    arrays = make_inputs(graph, {"x": str(tmp_path / "x.npy")})
    assert arrays["x"].tolist() == [[2.5] * 4] * 3
    assert arrays["tokens"].shape == (3, 4)


def _damaged(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00")


def _no_shape(path: Path) -> None:
    np.save(path, np.zeros(2))
    path.write_bytes(path.read_bytes().replace(b"(2,)", b"(2,("))


def _endless(path: Path) -> None:
    np.save(path, np.zeros(2))
    path.write_bytes(path.read_bytes().replace(b"(2,), }" + b" " * 15, b"(2000000000000000,), }"))


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(2))


def _pickled(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


FILES = {
    "missing": (lambda path: None, "cannot be read: no such file or directory"),
    "damaged": (_damaged, "is no npy file"),
    "an archive": (_archive, "is no npy file: it holds a"),
    "a pickle": (_pickled, "is no npy file: it holds objects of Python"),
    "a damaged header": (_no_shape, "is no npy file"),
    "a header of more than memory holds": (_endless, "is no npy file"),
    "a folder": (lambda path: path.mkdir(), "cannot be read: is a directory"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_read(case: str, graph: Graph, tmp_path: Path) -> None:
    make, message = FILES[case]
    make(tmp_path / "x.npy")
    with pytest.raises(RunError, match=message):
        make_inputs(graph, {"x": tmp_path / "x.npy"})


def test_npz_there_and_back(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "a/b": np.float32(2.5), "none": np.zeros((0, 4), np.float16)}
    save_npz(tmp_path / "out.npz", arrays)
    back = read_npz(tmp_path / "out.npz")
    assert {name: (array.dtype, array.shape) for name, array in back.items()} == {
        name: (array.dtype, array.shape) for name, array in arrays.items()
    }
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def _single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: no such file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 no archive"), "is no npz file"),
        (lambda path: path.write_bytes(b""), "is no npz file"),
        (lambda path: path.write_text("x: 1"), "is no npz file: it begins otherwise"),
        (_single, "is no npz file: it is a single array"),
    ],
    ids=["missing", "damaged", "empty", "text", "a single array"],
)
def test_archives_that_cannot_be_read(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "in.npz")
    with pytest.raises(RunError, match=message):
        read_npz(tmp_path / "in.npz")
