"""PyTorch's numbers for the op cases, in a file for the Python that TensorRT needs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.ops.harness import POINTS, cases
from tests.ops.torch_numbers import evaluate


def write_ops(directory: Path) -> None:
    """Write ops.npz: `CASE/POINT/INDEX` is one output of a case at min, opt or max (static cases: at opt)."""
    arrays: dict[str, np.ndarray] = {}
    for case in (case for case in cases() if not case.check):
        for point in POINTS if case.is_dynamic else ("opt",):
            for index, output in enumerate(evaluate(case, point)):
                arrays[f"{case.id}/{point}/{index}"] = output
    np.savez(directory / "ops.npz", **arrays)
    print(f"{len(arrays)} outputs of op cases")
