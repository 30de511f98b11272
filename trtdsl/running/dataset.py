"""A folder of data as inputs of a network, one run after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trtdsl.engine.files import sha256, sha256_of
from trtdsl.errors import RunError, suggest
from trtdsl.graph import Graph, GraphInput
from trtdsl.running.images import Array, Pictures
from trtdsl.running.inputs import make_inputs, read_npy, read_npz

_IMAGES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Dataset:
    """The inputs of as many runs as its length says, each an array by name in the storage of its input's type.

    Files are read when it is iterated, in the order of their paths. Files of single samples, without the first axis,
    and images are put together where the network takes no batch of one; the last batch may then repeat some.
    Iterating raises RunError for a file that does not fit.
    """

    graph: Graph
    files: tuple[Path, ...]
    pictures: Pictures = field(default_factory=Pictures)
    per_run: int = 1
    is_samples: bool = False
    """Whether each file has one sample without a first axis."""

    def __len__(self) -> int:
        return -(-len(self.files) // self.per_run)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for run in range(len(self)):
            yield self._inputs(self._files_of(run))

    def _files_of(self, run: int) -> tuple[Path, ...]:
        # What is left over is filled up with what goes before it.
        start = min(run * self.per_run, len(self.files) - self.per_run)
        return self.files[start : start + self.per_run]

    def label(self, run: int) -> str:
        """What a run is called in messages: its first file."""
        return str(self._files_of(run)[0])

    @property
    def digest(self) -> str:
        """SHA-256 of the files' own, in their order: the same data give it wherever they lie."""
        return sha256("".join(map(sha256_of, self.files)).encode())

    def _inputs(self, paths: Sequence[Path]) -> dict[str, Array]:
        if paths[0].suffix.lower() in _IMAGES:
            entry = self.graph.inputs[0]
            return make_inputs(self.graph, {entry.name: self.pictures.read(entry.name, entry.type, paths)})
        samples = [_arrays(self.graph, path) for path in paths]
        given: Mapping[str, Array] = samples[0]
        if self.is_samples:
            given = {entry.name: _stacked(entry, samples, paths) for entry in self.graph.inputs}
        try:
            return make_inputs(self.graph, given)
        except RunError as error:
            first = error.diagnostics[0]
            raise RunError.of("data", f"{paths[0]}: {first.message}", first.span, hint=first.hint) from None


def read_dataset(graph: Graph, folder: Path, *, pictures: Pictures | None = None, limit: int | None = None) -> Dataset:
    """The data in a folder and the folders inside: .npz files with an array for each input, by name; or, for a
    network of one input, .npy files or images.

    A file of arrays is a batch, or one sample without the first axis. Arrays that are no inputs are passed over, as
    are files of other kinds. At most `limit` files are taken. Raises RunError (`data`) where there is nothing, or
    nothing that fits.
    """
    files = data_files(folder)
    kinds = {_kind(path) for path in files}
    if len(kinds) > 1:
        raise RunError.of("data", f"{folder} holds {' as well as '.join(sorted(kinds))}", hint="one kind in a folder")
    if kinds != {"npz files"} and len(graph.inputs) != 1:
        names = ", ".join(entry.name for entry in graph.inputs)
        hint = f"npz files with an array for each: {names}"
        raise RunError.of(
            "data", f"{folder} holds {kinds.pop()}, and the network has {len(graph.inputs)} inputs", hint=hint
        )
    if limit is not None and limit < 1:
        raise RunError.of("data", f"a limit of {limit} leaves no data")
    files = files[:limit]
    is_images = kinds == {"images"}
    is_samples = not is_images and _is_sample(graph, files[0])
    per_run = _batch(graph) if is_images or is_samples else 1
    if len(files) < per_run:
        raise RunError.of("data", f"{folder} has {len(files)} samples, and the network takes no fewer than {per_run}")
    return Dataset(graph, files, pictures or Pictures(), per_run, is_samples)


def holds_images(folder: Path) -> bool:
    """Whether data in a folder are images. Raises RunError (`data`) where there is nothing."""
    return any(_kind(path) == "images" for path in data_files(folder))


def data_files(folder: Path) -> tuple[Path, ...]:
    """The files of data in a folder and the folders inside, in order. Raises RunError (`data`) where there is none."""
    if not folder.is_dir():
        raise RunError.of("data", f"{folder} is no folder" if folder.exists() else f"there is no folder {folder}")
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = sorted((path for path in found if _kind(path)), key=lambda path: path.relative_to(folder).parts)
    if not files:
        raise RunError.of("data", f"{folder} holds no data", hint="npz files, npy files or images")
    return tuple(files)


def _kind(path: Path) -> str:
    """What a file holds; nothing of use where empty."""
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return f"{suffix[1:]} files"
    return "images" if suffix in _IMAGES else ""


def _arrays(graph: Graph, path: Path) -> dict[str, Array]:
    """The arrays of a file that are inputs, which have to be all."""
    if path.suffix.lower() == ".npy":
        return {graph.inputs[0].name: read_npy(path)}
    found = read_npz(path)
    for entry in graph.inputs:
        if entry.name not in found:
            hint = suggest(entry.name, found) or f"it has {', '.join(found) or 'none'}"
            raise RunError.of("data", f"{path} has no array `{entry.name}`", hint=hint)
    return {entry.name: found[entry.name] for entry in graph.inputs}


def _is_sample(graph: Graph, path: Path) -> bool:
    """Whether the arrays of a file lack the first axis of the inputs."""
    arrays = _arrays(graph, path)
    return all(arrays[entry.name].ndim == entry.type.rank - 1 for entry in graph.inputs)


def _batch(graph: Graph) -> int:
    """The fewest samples that the network takes at once."""
    return max((entry.type.shape[0].sizes.min for entry in graph.inputs if entry.type.shape), default=1)


def _stacked(entry: GraphInput, samples: Sequence[Mapping[str, Array]], paths: Sequence[Path]) -> Array:
    arrays = [sample[entry.name] for sample in samples]
    for array, path in zip(arrays, paths, strict=True):
        if array.shape != arrays[0].shape or array.dtype != arrays[0].dtype:
            message = f"{entry.name} is {array.dtype}{list(array.shape)} in {path}"
            raise RunError.of("data", f"{message}, and {arrays[0].dtype}{list(arrays[0].shape)} in {paths[0]}")
    return np.stack(arrays)
