"""ONNX's published test cases on a GPU: many small networks in each engine, in fp32 and fp16, static and dynamic."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.vectors.bundle import Bundle, Bundled, sort_rows
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import BuildError, Diagnostics, TrtdslError
from trtdsl.targets.runtime import find_runtime

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

OPTIONS = BuildOptions(tactic_sources=(), tf32=False, optimization_level=0)
"""For engines of many cases, of which most of the time is building."""
PER_ENGINE = 20
# Relative to the largest output of the case.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}
LACKING = {r"test_top_k_(uint64|same_values.*)": ("has_integer_topk", "picks no elements of int32")}
"""Cases that need an ability of the runtime that 8.6 lacks, and what trtdsl says of them."""
WITHOUT_KERNEL = r"test_Conv\dd_groups.*|test_Conv2d_depthwise_with_multiplier"
"""Cases of grouped convolutions that 8.6.1 itself has no kernel for in fp16, of four channels in two groups for
example. cuDNN, which is not among the sources here, may have one."""
ALONE = {
    r"test_gridsample.*": "grid samples of different kinds are refused in one network, as 8.6.1 mixes up their kernels",
    r"test_(nonmaxsuppression|nonzero|compress).*": "8.6.1 fails on an assertion of its own beside others",
    r"test_flexattention_diff_head_sizes.*": "beside several attentions of other sizes 8.6.1 spoils them in fp16",
    r"test_Conv\dd_(groups|depthwise).*": "8.6.1 finds grouped convolutions in fp16 fewer kernels at the lowest level",
}
"""Cases that get engines of their own, and why."""


@dataclass(frozen=True)
class Batch:
    """Cases that go into one engine."""

    cases: tuple[Bundled, ...]
    precision: str
    is_dynamic: bool

    def __str__(self) -> str:
        kind = "dynamic" if self.is_dynamic else "static"
        return f"{self.cases[0].name}-{len(self.cases)}-{self.precision}-{kind}"

    @property
    def tolerance(self) -> float:
        """That of fp16 where some layers or inputs of a case are in it."""
        return TOLERANCE["fp16" if any(map(has_fp16, self.cases)) else self.precision]


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
            for group in _together(chosen):
                yield Batch(group, precision, is_dynamic)


def _together(cases: Sequence[Bundled]) -> Iterator[tuple[Bundled, ...]]:
    """Cases that share an engine. Those with layers in fp16 have their own: beside them 8.6.1 rounds others to fp16."""
    sociable = [case for case in cases if not _is_alone(case)]
    for is_mixed in (False, True):
        alike = [case for case in sociable if has_fp16(case) is is_mixed]
        for start in range(0, len(alike), PER_ENGINE):
            yield tuple(alike[start : start + PER_ENGINE])
    yield from ((case,) for case in cases if _is_alone(case))


def _is_alone(case: Bundled) -> bool:
    return any(re.fullmatch(pattern, case.name) for pattern in ALONE)


def has_fp16(case: Bundled) -> bool:
    """Whether a case says fp16 of some of its layers or inputs."""
    return "fp16" in json.dumps([case.layers, case.inputs])


def lacking(case: Bundled) -> tuple[str, str] | None:
    """The ability that a case needs and 8.6 lacks, and what trtdsl says of it."""
    return next((found for pattern, found in LACKING.items() if re.fullmatch(pattern, case.name)), None)


BUNDLE = _bundle()
CASES = [] if BUNDLE is None else BUNDLE.cases


@pytest.mark.parametrize("case", [case for case in CASES if lacking(case)], ids=lambda case: case.name)
def test_says_what_the_runtime_lacks(case: Bundled, gpu: Any, tmp_path: Path) -> None:
    found = lacking(case)
    assert found is not None
    ability, words = found
    for is_dynamic in (False, True) if case.dynamic_inputs else (False,):
        batch = Batch((case,), case.precision, is_dynamic)
        if getattr(find_runtime("tensorrt"), ability):
            assert list(_wrong(batch, gpu, tmp_path)) == []
            continue
        with pytest.raises(BuildError, match=words):
            _run(batch, gpu, tmp_path)
        gpu.note(f"{_label(batch, case)} refused: {words}")


BATCHES = list(batches([case for case in CASES if not lacking(case)]))
REFUSED = [
    batch for batch in BATCHES if batch.precision == "fp16" and re.fullmatch(WITHOUT_KERNEL, batch.cases[0].name)
]


@pytest.mark.parametrize("batch", REFUSED, ids=str)
def test_says_where_a_kernel_is_missing_and_what_helps(batch: Batch, gpu: Any, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="Could not find any implementation for node") as error:
        _run(batch, gpu, tmp_path)
    [found] = error.value.diagnostics
    assert found.span
    assert "fp32" in (found.hint or "")
    gpu.note(f"{_label(batch, batch.cases[0])} refused: {found.message}; {found.hint}")


@pytest.mark.parametrize("batch", [batch for batch in BATCHES if batch not in REFUSED], ids=str)
def test_gives_the_published_outputs(batch: Batch, gpu: Any, tmp_path: Path) -> None:
    wrong = list(_wrong(batch, gpu, tmp_path))
    assert not wrong, "\n".join(wrong)


def _wrong(batch: Batch, gpu: Any, folder: Path) -> Iterator[str]:
    """What is wrong with any of the cases. An engine that is not built is built in halves, down to single cases."""
    try:
        outputs = _run(batch, gpu, folder)
    except (TrtdslError, RuntimeError, ValueError) as error:
        if len(batch.cases) == 1:
            line = f"{_label(batch, batch.cases[0])} {' '.join(str(error).split())[:500]}"
            gpu.note(line)
            yield line
            return
        gpu.note(f"{batch} is built in halves: {' '.join(str(error).split())[:200]}")
        middle = len(batch.cases) // 2
        for half in (batch.cases[:middle], batch.cases[middle:]):
            yield from _wrong(replace(batch, cases=half), gpu, folder)
        return
    for case in batch.cases:
        error = _error(case, outputs)
        line = f"{_label(batch, case)} {error:.1e}"
        gpu.note(line)
        if not error <= batch.tolerance + 2 * case.published_error:
            yield line


def _label(batch: Batch, case: Bundled) -> str:
    return f"{case.group:28} {case.name:70} {batch.precision} {'dynamic' if batch.is_dynamic else 'static ':7}"


def _run(batch: Batch, gpu: Any, folder: Path) -> dict[str, Any]:
    assert BUNDLE is not None
    path = BUNDLE.write(batch.cases, folder, dynamic=batch.is_dynamic)
    network = trtdsl.load(path, precision=batch.precision)
    options = replace(OPTIONS, optimization_level=1) if _is_alone(batch.cases[0]) else OPTIONS
    plan = build(network.typed, find_runtime("tensorrt"), options, Diagnostics())
    engine = gpu.runtime.deserialize_cuda_engine(bytes(plan))
    outputs: dict[str, Any] = device.run(gpu.trt, engine, BUNDLE.feeds(batch.cases), gpu.log)
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
