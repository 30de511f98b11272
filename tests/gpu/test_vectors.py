"""ONNX's published test cases on a GPU: many small networks in each engine, in fp32 and fp16, static and dynamic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.vectors.bundle import Bundle, Bundled, sort_rows
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics, TrtdslError
from trtdsl.targets.runtime import find_runtime

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

OPTIONS = BuildOptions(tactic_sources=(), tf32=False, optimization_level=1)
PER_ENGINE = 20
# Relative to the largest output of the case.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}
LACKING = ("picks no elements of int32",)
"""What trtdsl says of TensorRT 8.6: later versions have it."""


@dataclass(frozen=True)
class Batch:
    """Cases that go into one engine."""

    cases: tuple[Bundled, ...]
    precision: str
    is_dynamic: bool

    def __str__(self) -> str:
        kind = "dynamic" if self.is_dynamic else "static"
        return f"{self.cases[0].name}-{len(self.cases)}-{self.precision}-{kind}"


def _bundle() -> Bundle | None:
    folder = os.environ.get("TRTDSL_VECTORS")
    return None if folder is None else Bundle(Path(folder))


def batches(cases: Sequence[Bundled]) -> Iterator[Batch]:
    """Engines for all cases: those of fp32 in fp16 as well, where that holds their numbers."""
    for own, precision in (("fp32", "fp32"), ("fp32", "fp16"), ("fp16", "fp16")):
        for is_dynamic in (False, True):
            chosen = [
                case
                for case in cases
                if case.precision == own
                and (case.fits_fp16 or precision == "fp32")
                and (case.dynamic_inputs or not is_dynamic)
            ]
            for start in range(0, len(chosen), PER_ENGINE):
                yield Batch(tuple(chosen[start : start + PER_ENGINE]), precision, is_dynamic)


BUNDLE = _bundle()


@pytest.mark.parametrize("batch", [] if BUNDLE is None else list(batches(BUNDLE.cases)), ids=str)
def test_gives_the_published_outputs(batch: Batch, gpu: Any, tmp_path: Path) -> None:
    wrong = list(_wrong(batch, gpu, tmp_path))
    assert not wrong, "\n".join(wrong)


def _wrong(batch: Batch, gpu: Any, folder: Path) -> Iterator[str]:
    """What is wrong with any of the cases. An engine that is not built is built in halves, down to single cases."""
    try:
        outputs = _run(batch, gpu, folder)
    except (TrtdslError, RuntimeError, ValueError) as error:
        if len(batch.cases) == 1:
            line = f"{_label(batch, batch.cases[0])} {' '.join(str(error).split())[:300]}"
            gpu.note(line)
            if not any(words in line for words in LACKING):
                yield line
            return
        middle = len(batch.cases) // 2
        for half in (batch.cases[:middle], batch.cases[middle:]):
            yield from _wrong(Batch(half, batch.precision, batch.is_dynamic), gpu, folder)
        return
    for case in batch.cases:
        error = _error(case, outputs)
        line = f"{_label(batch, case)} {error:.1e}"
        gpu.note(line)
        if not error <= TOLERANCE[batch.precision] + 2 * case.published_error:
            yield line


def _label(batch: Batch, case: Bundled) -> str:
    return f"{case.group:28} {case.name:70} {batch.precision} {'dynamic' if batch.is_dynamic else 'static ':7}"


def _run(batch: Batch, gpu: Any, folder: Path) -> dict[str, Any]:
    assert BUNDLE is not None
    path = BUNDLE.write(batch.cases, folder, dynamic=batch.is_dynamic)
    network = trtdsl.load(path, precision=batch.precision)
    plan = build(network.typed, find_runtime("tensorrt"), OPTIONS, Diagnostics())
    engine = gpu.runtime.deserialize_cuda_engine(bytes(plan))
    outputs: dict[str, Any] = device.run(gpu.trt, engine, BUNDLE.feeds(batch.cases))
    return outputs


def _error(case: Bundled, outputs: dict[str, Any]) -> float:
    """The largest error of any output, infinite where shapes or whole numbers differ."""
    assert BUNDLE is not None
    worst = 0.0
    for name, expected in BUNDLE.expected(case).items():
        actual = outputs[name]
        if actual.shape != expected.shape:
            return float("inf")
        if case.is_unordered:
            actual, expected = sort_rows(actual), sort_rows(expected)
        if expected.dtype.kind != "f":
            same = np.array_equal(actual.astype(np.int64), expected.astype(np.int64))
            worst = max(worst, 0.0 if same else float("inf"))
        else:
            worst = max(worst, _relative(actual.astype(np.float64), expected.astype(np.float64)))
    return worst


def _relative(actual: Any, expected: Any) -> float:
    """As `device.relative_error`, over the elements that are finite; the others have to be the same."""
    finite = np.isfinite(expected)
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    return float(device.relative_error(actual[finite], expected[finite]))
