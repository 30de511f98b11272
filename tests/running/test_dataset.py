"""Folders of data become the inputs of runs, in the order of their paths, or are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import trtdsl
from trtdsl.errors import RunError
from trtdsl.graph import Graph
from trtdsl.running import Pictures, read_dataset

ONE = "trtdsl: 1\ndims: {N: [%s]}\ninputs: {x: [N, 3, 2, 2]}\nlayers: [relu]\n"
TWO = (
    "trtdsl: 1\ndims: {N: [1, 2, 4]}\ninputs: {a: [N, 2], b: {shape: [N], dtype: int32}}\nlayers: [{op: relu, in: a}]\n"
)


def load(tmp_path: Path, text: str) -> Graph:
    (tmp_path / "net.yaml").write_text(text)
    return trtdsl.load(tmp_path / "net.yaml").graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def number(arrays: dict[str, np.ndarray]) -> list[float]:
    """What each sample of a run holds, which is one number throughout."""
    return [float(sample.flat[0]) for sample in arrays["x"]]


def save(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    for index in range(count):
        np.save(folder / f"{index}.npy", np.full(shape, index))


BATCHING = {
    "samples, one at a time": ("1, 2, 4", 3, (3, 2, 2), [[0], [1], [2]]),
    "samples for a larger batch": ("2, 2, 4", 4, (3, 2, 2), [[0, 1], [2, 3]]),
    "the last batch is filled up": ("2, 2, 4", 3, (3, 2, 2), [[0, 1], [1, 2]]),
    "batches as they are": ("2, 2, 4", 2, (3, 3, 2, 2), [[0, 0, 0], [1, 1, 1]]),
}


@pytest.mark.parametrize("case", BATCHING)
def test_arrays(case: str, tmp_path: Path, folder: Path) -> None:
    sizes, count, shape, expected = BATCHING[case]
    save(folder, count, shape)
    data = read_dataset(load(tmp_path, ONE % sizes), folder)
    assert [number(arrays) for arrays in data] == expected
    assert len(data) == len(expected)
    assert all(arrays["x"].dtype == np.float32 for arrays in data)


def test_images_in_folders_inside_in_the_order_of_their_paths(tmp_path: Path, folder: Path) -> None:
    for name, value in (("a-b/1.png", 30), ("a/2.PNG", 20), ("a/1.png", 10)):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (5, 5), (value,) * 3).save(path)
    (folder / "labels.txt").write_text("a\nb\n")
    (folder / ".hidden.png").write_text("no image")
    graph = load(tmp_path, ONE % "2, 2, 4")
    data = read_dataset(graph, folder, pictures=Pictures(scale=1, mean=(5.0,)))
    assert [number(arrays) for arrays in data] == [[5, 15], [15, 25]]


def test_npz_files_hold_all_inputs_and_what_else_they_like(tmp_path: Path, folder: Path) -> None:
    for index in range(2):
        np.savez(folder / f"{index}.npz", a=np.full((3, 2), index), b=np.full(3, index), label=np.zeros(3))
    runs = list(read_dataset(load(tmp_path, TWO), folder))
    assert [sorted(run) for run in runs] == [["a", "b"]] * 2
    assert [(run["a"][0, 0], run["b"].tolist(), run["b"].dtype) for run in runs] == [
        (0, [0, 0, 0], np.int32),
        (1, [1, 1, 1], np.int32),
    ]


def test_a_limit(tmp_path: Path, folder: Path) -> None:
    save(folder, 3, (3, 2, 2))
    data = read_dataset(load(tmp_path, ONE % "1, 2, 4"), folder, limit=2)
    assert [number(arrays) for arrays in data] == [[0], [1]]


def test_the_digest_is_that_of_the_data_and_not_of_their_place(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(folder, 3, (3, 2, 2))
    save(other, 3, (3, 2, 2))
    graph = load(tmp_path, ONE % "1, 2, 4")
    assert read_dataset(graph, folder).digest == read_dataset(graph, other).digest
    np.save(other / "1.npy", np.zeros((3, 2, 2)))
    assert read_dataset(graph, folder).digest != read_dataset(graph, other).digest
    assert read_dataset(graph, folder, limit=2).digest != read_dataset(graph, folder).digest


def _mixed(folder: Path) -> None:
    np.save(folder / "0.npy", np.zeros((3, 2, 2)))
    np.savez(folder / "1.npz", x=np.zeros((3, 2, 2)))


WRONG: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "no folder": (lambda folder: folder.rmdir(), ONE % "1, 2, 4", "there is no folder .*data", ""),
    "empty": (lambda folder: None, ONE % "1, 2, 4", "data holds no data", "npz files, npy files or images"),
    "two kinds": (_mixed, ONE % "1, 2, 4", "holds npy files as well as npz files", "one kind in a folder"),
    "several inputs": (
        lambda folder: save(folder, 1, (2,)),
        TWO,
        "holds npy files, and the network has 2 inputs",
        "npz files with an array for each: a, b",
    ),
    "an input is missing": (
        lambda folder: np.savez(folder / "0.npz", a=np.zeros((1, 2)), bb=np.zeros(1)),
        TWO,
        "0.npz has no array `b`",
        "did you mean `bb`?",
    ),
    "too few": (
        lambda folder: save(folder, 1, (3, 2, 2)),
        ONE % "2, 2, 4",
        "has 1 samples, and the network takes no fewer than 2",
        "",
    ),
    "a shape that does not fit": (
        lambda folder: save(folder, 1, (1, 3, 2, 5)),
        ONE % "1, 2, 4",
        r"0.npy: x takes \[N, 3, 2, 2\], not \[1, 3, 2, 5\]",
        "N is 1 to 4",
    ),
    "samples of other types": (
        lambda folder: (save(folder, 1, (3, 2, 2)), np.save(folder / "1.npy", np.zeros((3, 2, 2)))),
        ONE % "2, 2, 4",
        r"x is float64\[3, 2, 2\] in .*1.npy, and int64\[3, 2, 2\] in .*0.npy",
        "",
    ),
    "samples that do not go together": (
        lambda folder: (save(folder, 1, (3, 2, 2)), np.save(folder / "1.npy", np.zeros((3, 2, 4)))),
        ONE % "2, 2, 4",
        r"x is float64\[3, 2, 4\] in .*1.npy, and int64\[3, 2, 2\] in .*0.npy",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(case: str, tmp_path: Path, folder: Path) -> None:
    make, text, message, hint = WRONG[case]
    make(folder)
    with pytest.raises(RunError, match=message) as error:
        list(read_dataset(load(tmp_path, text), folder))
    [found] = error.value.diagnostics
    assert (found.code, found.hint or "") == ("data", hint)


def test_a_limit_below_one(tmp_path: Path, folder: Path) -> None:
    save(folder, 1, (3, 2, 2))
    with pytest.raises(RunError, match="a limit of 0 leaves no data"):
        read_dataset(load(tmp_path, ONE % "1, 2, 4"), folder, limit=0)
