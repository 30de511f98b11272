"""The mapped cases as one folder, for machines that have TensorRT and a GPU but no onnx.

`python -m tests.vectors.bundle DIR` writes it. Cases are put together into networks of many inputs and outputs, since
an engine of twenty small networks takes hardly longer to build than one of one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    import trtdsl
    from tests.vectors.document import Document

Array = np.ndarray[Any, Any]
CASES, ARRAYS = "cases.json", "arrays.npz"
_LARGEST_FP16 = 65504.0
_ROUNDED = 5e-3
"""What rounded inputs may change, over the largest element expected."""


@dataclass(frozen=True)
class Bundled:
    """One case, whose names no other case has."""

    name: str
    group: str
    precision: str
    inputs: Mapping[str, Any]
    layers: Sequence[Mapping[str, Any]]
    outputs: Mapping[str, Any]
    weights: Sequence[str]
    is_unordered: bool
    dims: Mapping[str, Any]
    dynamic_inputs: Mapping[str, Any]
    """The inputs of the dynamic variant; empty where there is none."""
    published_error: float
    """How far ONNX Runtime's outputs are from the published ones, some of which were rounded."""
    fits_fp16: bool
    """Whether fp16 holds all numbers on the way, and gives the same outputs for inputs rounded to it."""


def write(folder: Path) -> int:
    """Write the bundle; gives the number of cases."""
    from tests.vectors import check
    from tests.vectors.outcome import dynamic, examine
    from tests.vectors.published import published

    cases: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for index, case in enumerate(published().values()):
            outcome = examine(case, Path(scratch), prefix=f"c{index}_")
            document = outcome.document
            if (
                document is None
                or outcome.network is None
                or outcome.left_out is not None
                or _has_bf16(document.layers)
            ):
                continue
            variant = dynamic(outcome, Path(scratch))
            expected = {name: _plain(array) for name, array in document.expected.items()}
            arrays |= {f"in:{name}": array for name, array in document.feeds.items()}
            arrays |= {f"out:{name}": array for name, array in expected.items()}
            arrays |= {f"weight:{name}": array for name, array in document.weights.items()}
            bundled = Bundled(
                case.name,
                case.group,
                document.precision,
                document.inputs,
                document.layers,
                document.outputs,
                list(document.weights),
                document.is_unordered,
                variant[0].dims if variant else {},
                variant[0].inputs if variant else {},
                check.compare_all(outcome.network, document, case),
                all(map(_fits_fp16, (*document.feeds.values(), *document.weights.values(), *expected.values())))
                and _stays_in_fp16(outcome.network, document)
                and _bears_rounding(outcome.network, document),
            )
            cases.append(asdict(bundled))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CASES).write_text(json.dumps(cases))
    np.savez_compressed(folder / ARRAYS, **arrays)
    return len(cases)


def _has_bf16(layers: Sequence[Mapping[str, Any]]) -> bool:
    return any(layer.get("dtype") == "bf16" for layer in layers)


def _plain(array: Array) -> Array:
    """An array of a type that numpy has by itself."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _bears_rounding(network: trtdsl.Network, document: Document) -> bool:
    """Whether inputs rounded to fp16 give the expected outputs, but for what fp16 is allowed to be off by."""
    from tests.vectors import check

    feeds = {name: _rounded(array) for name, array in document.feeds.items()}
    if all(np.array_equal(feeds[name], array, equal_nan=True) for name, array in document.feeds.items()):
        return True
    found = check.outputs(network, replace(document, feeds=feeds))
    return all(_alike(found[name], array, document.is_unordered) for name, array in document.expected.items())


def _stays_in_fp16(network: trtdsl.Network, document: Document) -> bool:
    """Whether fp16 holds what every layer on the way gives."""
    from trtdsl.running import run_in_fp32, with_every_layer

    return all(map(_fits_fp16, run_in_fp32(with_every_layer(network.graph), document.feeds).values()))


def _rounded(array: Array) -> Array:
    return array.astype(np.float16).astype(array.dtype) if array.dtype == np.float32 else array


def _alike(actual: Array, expected: Array, is_unordered: bool) -> bool:
    if actual.shape != expected.shape:
        return False
    if is_unordered:
        actual, expected = sort_rows(actual), sort_rows(expected)
    if actual.dtype.kind != "f":
        return np.array_equal(actual, expected)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    return np.allclose(actual, expected, rtol=0, atol=_ROUNDED * float(largest), equal_nan=True)


def _fits_fp16(array: Array) -> bool:
    if array.dtype.kind != "f":
        return True
    finite = np.abs(array[np.isfinite(array)])
    return not finite.size or bool(finite.max() <= _LARGEST_FP16)


class Bundle:
    """A bundle that was written."""

    def __init__(self, folder: Path) -> None:
        self.cases = [Bundled(**entry) for entry in json.loads((folder / CASES).read_text())]
        with np.load(folder / ARRAYS) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}

    def feeds(self, cases: Sequence[Bundled]) -> dict[str, Array]:
        """The inputs of all cases."""
        return {name: self._arrays[f"in:{name}"] for case in cases for name in case.inputs}

    def expected(self, case: Bundled) -> dict[str, Array]:
        """The published outputs of a case."""
        return {name: self._arrays[f"out:{name}"] for name in case.outputs}

    def write(self, cases: Sequence[Bundled], folder: Path, *, dynamic: bool) -> Path:
        """The file of one network that holds all these cases, which have the same precision."""
        document: dict[str, Any] = {"trtdsl": 1}
        weights = {name: self._arrays[f"weight:{name}"] for case in cases for name in case.weights}
        if weights:
            np.savez(folder / "weights.npz", **weights)
            document["weights"] = "weights.npz"
        if dynamic:
            document["dims"] = {name: sizes for case in cases for name, sizes in case.dims.items()}
        document["precision"] = cases[0].precision
        document["inputs"] = _joined(case.dynamic_inputs if dynamic else case.inputs for case in cases)
        document["layers"] = [layer for case in cases for layer in case.layers]
        document["outputs"] = _joined(case.outputs for case in cases)
        path = folder / "net.yaml"
        dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        path.write_text(yaml.dump(document, Dumper=dumper, sort_keys=False, default_flow_style=None))
        return path


def _joined(parts: Iterator[Mapping[str, Any]] | Any) -> dict[str, Any]:
    return {name: entry for part in parts for name, entry in part.items()}


def sort_rows(rows: Array) -> Array:
    """The rows of a matrix in one order."""
    return rows[np.lexsort(rows.T[::-1])]


if __name__ == "__main__":
    print(write(Path(sys.argv[1])), "cases")
