"""What a network is run on: arrays and images that a user gives, random numbers for the rest."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from trtdsl.engine.files import Staged
from trtdsl.errors import RunError, reason_of, suggest
from trtdsl.graph import Graph, GraphInput
from trtdsl.ops.gather import Embedding
from trtdsl.running.images import Pictures
from trtdsl.types import DataType, Symbol, TensorType, evaluate, format_shape, steps_back, symbols
from trtdsl.weights import to_storage
from trtdsl.weights.arrays import bf16_to_fp32
from trtdsl.weights.npz import write_npz

Array = np.ndarray[Any, Any]
_DAMAGED = (ValueError, EOFError, MemoryError, RuntimeError, TokenError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for files that are none of its own, or damaged."""
Given = Array | str | Path | Sequence[str | Path]
"""An array, the path of a .npy file or of an image, or the paths of several images."""


def make_inputs(
    graph: Graph, given: Mapping[str, Given], *, seed: int = 0, pictures: Pictures | None = None
) -> dict[str, Array]:
    """An array for each input of a network, in the storage of its type (bf16 as bits).

    Inputs that are not given hold random numbers that the seed and their names decide. Dimensions take their sizes
    from what is given, else their opt. Raises RunError for what does not fit.
    """
    declared = {entry.name: entry for entry in graph.inputs}
    for name in given:
        if name not in declared:
            hint = suggest(name, declared) or f"it has {', '.join(declared)}"
            raise RunError.of("input-value", f"the network has no input `{name}`", hint=hint)
    arrays = {
        name: _typed(declared[name], _read(declared[name], value, pictures or Pictures()))
        for name, value in given.items()
    }
    sizes = _Sizes(graph)
    for name, array in arrays.items():
        sizes.learn(declared[name], array.shape)
    for name, array in arrays.items():
        sizes.check(declared[name], array.shape)
    for name, entry in declared.items():
        if name not in arrays:
            arrays[name] = random_numbers(entry.type.dtype, sizes.shape(entry.type), f"{seed} {name}", graph, name)
    return {name: arrays[name] for name in declared}


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of a file of `numpy.savez`. Raises RunError."""
    found = _load(path, "npz")
    if isinstance(found, np.ndarray):
        raise RunError.of("input-value", f"{path} is no npz file: it is a single array")
    return found


def read_npy(path: Path) -> Array:
    """The array of a file of `numpy.save`. Raises RunError."""
    found = _load(path, "npy")
    if isinstance(found, dict):
        raise RunError.of("input-value", f"{path} is no npy file: it holds {', '.join(found)}")
    return found


def _load(path: Path, form: str) -> Array | dict[str, Array]:
    """What a file of numpy's holds. Raises RunError."""
    try:
        with path.open("rb") as file:
            found: Any = np.load(file, allow_pickle=False)
            return dict(found) if isinstance(found, np.lib.npyio.NpzFile) else np.asarray(found)
    except OSError as error:
        raise RunError.of("input-value", f"{path} cannot be read: {reason_of(error)}") from None
    except _DAMAGED as error:
        reason = str(error)
        if "Object arrays" in reason:
            reason = "it holds objects of Python, which are not loaded"
        elif "pickled" in reason:
            # What numpy says of every file that it does not know.
            reason = "it begins otherwise"
        raise RunError.of("input-value", f"{path} is no {form} file: {reason}") from None


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an .npz file, whole or not at all. Raises OSError."""
    with Staged() as staged:
        with staged.open(path) as file:
            write_npz(file, arrays.items())
        staged.commit()


def _read(entry: GraphInput, value: Given, pictures: Pictures) -> Array:
    if isinstance(value, np.ndarray):
        return value
    paths = [Path(value)] if isinstance(value, (str, Path)) else [Path(path) for path in value]
    if len(paths) != 1 or paths[0].suffix != ".npy":
        return pictures.read(entry.name, entry.type, paths)
    return read_npy(paths[0])


def _typed(entry: GraphInput, array: Array) -> Array:
    """An array as the type of the input it is for: floats are rounded, integers have to fit."""
    wanted = entry.type.dtype
    if array.dtype == wanted.storage:
        return np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.kind not in ("fiu" if wanted.is_float else "iub" if wanted is not DataType.BOOL else ""):
        raise RunError.of("input-value", f"{entry.name} takes {wanted}, not {array.dtype}")
    converted = to_storage(array, wanted)
    if not wanted.is_float and not np.array_equal(converted, array):
        raise RunError.of("input-value", f"{entry.name} holds numbers that {wanted} does not reach")
    return converted


class _Sizes:
    """The sizes of dimensions, as the given arrays tell them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._sizes: dict[Symbol, int] = {}
        self._told: dict[Symbol, str] = {}

    def learn(self, entry: GraphInput, shape: tuple[int, ...]) -> None:
        """Take the sizes that an array's shape tells."""
        if len(shape) != entry.type.rank:
            raise self._wrong(entry, shape)
        for dim, size in zip(entry.type.shape, shape, strict=True):
            for symbol in symbols(dim.expression):
                steps = steps_back(dim.expression, symbol)
                if steps is None or symbol in self._sizes:
                    continue
                value = size
                for operator, number in steps:
                    value = value - number if operator == "-" else value // number
                self._sizes[symbol] = value
                self._told[symbol] = entry.name

    def check(self, entry: GraphInput, shape: tuple[int, ...]) -> None:
        """Hold an array's shape against the type and the sizes that are known."""
        wanted = self.shape(entry.type)
        within = all(dim.sizes.min <= size <= dim.sizes.max for dim, size in zip(entry.type.shape, shape, strict=True))
        if shape != wanted or not within:
            raise self._wrong(entry, shape, self._limits(entry))

    def shape(self, type: TensorType) -> tuple[int, ...]:
        """A shape with the sizes that are known, and opt for the others."""
        opts = {
            symbol: dim.sizes.opt for dim in self._graph.dims.values() if isinstance(symbol := dim.expression, Symbol)
        }
        return tuple(evaluate(dim.expression, {**opts, **self._sizes}) for dim in type.shape)

    def _limits(self, entry: GraphInput) -> str | None:
        """What the sizes of an input may be, as a hint."""
        limits = []
        for symbol in sorted(set().union(*(symbols(dim.expression) for dim in entry.type.shape)), key=str):
            sizes = self._graph.dims[symbol.name].sizes
            limit = f"{symbol} is {sizes.min} to {sizes.max}"
            other = self._told.get(symbol, entry.name)
            limits.append(limit if other == entry.name else f"{limit}, and {self._sizes[symbol]} by {other}")
        return "; ".join(limits) or None

    def _wrong(self, entry: GraphInput, shape: tuple[int, ...], hint: str | None = None) -> RunError:
        message = f"{entry.name} takes {format_shape(entry.type.shape)}, not {list(shape)}"
        return RunError.of("input-value", message, entry.span, hint=hint)


def random_numbers(dtype: DataType, shape: tuple[int, ...], seed: str, graph: Graph, name: str) -> Array:
    """Numbers for an input: floats spread around zero with deviation 1, pixels, or rows of the tables it picks from."""
    generator = np.random.default_rng(zlib.crc32(seed.encode()))
    if dtype.is_float:
        return to_storage(generator.standard_normal(shape, np.float32), dtype)
    if dtype is DataType.BOOL:
        return generator.random(shape) < 0.5
    bound = 256 if dtype is DataType.UINT8 else min(_rows_picked(graph, name), default=2)
    return generator.integers(0, bound, shape).astype(dtype.storage)


def _rows_picked(graph: Graph, name: str) -> Iterator[int]:
    """The numbers of rows of all tables in which an input picks."""
    for layer in graph.layers:
        if isinstance(layer.op, Embedding) and name in layer.inputs:
            yield layer.op.num_embeddings


def as_numbers(array: Array, dtype: DataType) -> Array:
    """Elements in their type's storage as numbers: bf16 bits become fp32."""
    return bf16_to_fp32(array) if dtype is DataType.BF16 else array
