"""What a network computes, by ONNX Runtime on a CPU: the reference that engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, Any]


def run_model(model: bytes | Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs of a serialised ONNX model, or of one in a file, by name; the model's nodes are run as they stand."""
    options = onnxruntime.SessionOptions()
    # Fused kernels round differently; a reference shows what the nodes say.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_outputs()]
    values = session.run(names, {name: np.asarray(array) for name, array in inputs.items()})
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
