"""What a network computes, by ONNX Runtime on a CPU: the reference that engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, NotImplemented, RuntimeException

from trtdsl.errors import RunError

Array = np.ndarray[Any, Any]


def run_model(model: bytes | Path, inputs: Mapping[str, Array], *, optimize: bool = True) -> dict[str, Array]:
    """All outputs of a serialised ONNX model, or of one in a file, by name; the model's nodes are run as they stand.

    What is left of optimisation removes nodes that do nothing; without `optimize` they are run as well. Raises
    RunError for a node that has no kernel on a CPU, and for numbers that a node does not take.
    """
    options = onnxruntime.SessionOptions()
    # Fused kernels round differently; a reference shows what the nodes say.
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_outputs()]
        values = session.run(names, {name: np.asarray(array) for name, array in inputs.items()})
    except (InvalidArgument, NotImplemented, RuntimeException) as error:
        raise RunError.of("reference", f"ONNX Runtime does not run the network: {error}") from error
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
