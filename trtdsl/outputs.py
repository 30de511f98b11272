"""Files that a network is read from: nothing that is written takes the place of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from trtdsl.errors import Diagnostic, TrtdslError
from trtdsl.flat import FlatNetwork
from trtdsl.graph import Graph
from trtdsl.weights.sources import Stored


def check_outputs(
    paths: Iterable[Path],
    flat: FlatNetwork,
    graph: Graph | None = None,
    *,
    data: Iterable[Path] = (),
    scales: bool = True,
) -> None:
    """Refuse to write files that the network, or the `data` that it runs on, is read from. Raises TrtdslError.

    Without a `graph` of it, files that only single weights name are not known. Without `scales` those may be written.
    """
    named = (*_files(flat, scales=scales), *_weight_files(graph), *data)
    read = {path.resolve() for name in dict.fromkeys(named) for path in _inside(name)}
    found = [
        Diagnostic("file", f"{path} would be read and then written over", hint="write another file")
        for path in paths
        if path.resolve() in read
    ]
    if found:
        raise TrtdslError(found)


def _files(flat: FlatNetwork, *, scales: bool) -> Iterator[Path]:
    yield from flat.sources
    yield from (file.path for file in flat.weights)
    yield from (library.path for library in flat.libraries)
    if scales and flat.quantization is not None:
        yield from (file.path for file in flat.quantization.files)


def _inside(path: Path) -> Iterable[Path]:
    """A file, or those of a folder of weights."""
    return path.rglob("*.npy") if path.is_dir() else (path,)


def _weight_files(graph: Graph | None) -> Iterator[Path]:
    for layer in graph.all_layers() if graph is not None else ():
        for weight in layer.weights.values():
            if isinstance(weight.source, Stored):
                yield weight.source.entry.path
