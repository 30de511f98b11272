"""Runs an engine once on the GPU, and measures how far its outputs are off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trtdsl.engine import execution

Array = np.ndarray[Any, Any]


def run(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a deserialized engine for these inputs, which are brought into its types; more may be given."""
    names = (engine.get_tensor_name(index) for index in range(engine.num_io_tensors))
    wanted = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    typed = {name: np.asarray(inputs[name], execution.storage(engine, name)) for name in wanted}
    return execution.run(trt, engine, typed)


def relative_error(actual: Array, expected: Array) -> float:
    """The largest difference, over the largest magnitude expected; infinite where either is not finite."""
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        same = np.array_equal(actual, expected, equal_nan=True)
        return 0.0 if same else float("inf")
    return float(np.abs(actual - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-12))
