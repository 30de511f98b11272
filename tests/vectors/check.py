"""Runs a document by way of YAML, our ONNX form and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

import trtdsl
from tests.vectors.bundle import sort_rows
from tests.vectors.document import Document
from tests.vectors.published import Array, Published
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.reference import run_model

# Beside sums of that size the absolute tolerance of ONNX's own runner, 1e-7, is less than fp32 can tell apart.
ABSOLUTE = {"DFT": 1e-6}


def write(document: Document, folder: Path, name: str) -> Path:
    """The network's file, with its weights beside it."""
    if document.weights:
        np.savez(folder / f"{name}.npz", **document.weights)
    path = folder / f"{name}.yaml"
    path.write_text(text(document, f"{name}.npz"))
    return path


def text(document: Document, weights_file: str = "weights.npz") -> str:
    """The network as YAML."""
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(document.mapping(weights_file), Dumper=dumper, sort_keys=False, default_flow_style=None, width=120)


def load(document: Document, folder: Path, name: str = "net") -> trtdsl.Network:
    return trtdsl.load(write(document, folder, name))


def outputs(network: trtdsl.Network, document: Document) -> dict[str, Array]:
    """What ONNX Runtime makes of our own ONNX form."""
    return run_model(to_onnx(network.typed).proto().SerializeToString(), document.feeds)


def compare_all(network: trtdsl.Network, document: Document, case: Published) -> float:
    """Run the network and raise AssertionError unless it gives the expected outputs; gives the largest error."""
    found = outputs(network, document)
    atol = ABSOLUTE.get(case.group, case.atol)
    return max(
        compare(
            *(sort_rows(array) if document.is_unordered else array for array in (found[name], expected)),
            case.rtol,
            atol,
        )
        for name, expected in document.expected.items()
    )


def compare(actual: Array, expected: Array, rtol: float, atol: float) -> float:
    """Raise AssertionError unless they are alike; gives the error over the largest element expected."""
    assert actual.shape == expected.shape, f"{actual.shape} for {expected.shape}"
    kinds = [_kind(array) for array in (actual, expected)]
    assert kinds[0] == kinds[1], f"{actual.dtype} for {expected.dtype}"
    if kinds[0] != "float":
        np.testing.assert_array_equal(actual.astype(np.int64), expected.astype(np.int64))
        return 0.0
    got, wanted = actual.astype(np.float64), expected.astype(np.float64)
    if expected.dtype.name == "bfloat16":
        # We compute in fp32; the expected numbers were rounded, perhaps more than once.
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
        rtol, atol = max(rtol, 2**-7), max(atol, 2**-8 * float(largest))
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)
    finite = np.isfinite(wanted)
    largest = np.abs(wanted[finite]).max(initial=0)
    return float(np.abs(got[finite] - wanted[finite]).max(initial=0) / max(largest, 1e-12))


def _kind(array: Array) -> str:
    if array.dtype == bool:
        return "bool"
    return "integer" if array.dtype.kind in "iu" else "float"
