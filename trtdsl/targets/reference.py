"""What a network computes, by ONNX Runtime on a CPU: the reference that engines are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, NotImplemented, RuntimeException

from trtdsl.errors import RunError

Array = np.ndarray[Any, Any]


class Model:
    """A serialised ONNX model, or one in a file, to run any number of times; its nodes are run as they stand.

    What is left of optimisation removes nodes that do nothing; without `optimize` they are run as well. Raises RunError
    for a node that has no kernel on a CPU.
    """

    def __init__(self, model: bytes | Path, *, optimize: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        # Fused kernels round differently; a reference shows what the nodes say.
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_BASIC if optimize else levels.ORT_DISABLE_ALL
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        with _refusals():
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._names = [entry.name for entry in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. Raises RunError for numbers that a node does not take."""
        with _refusals():
            values = self._session.run(self._names, {name: np.asarray(array) for name, array in inputs.items()})
        return {name: np.asarray(value) for name, value in zip(self._names, values, strict=True)}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (InvalidArgument, NotImplemented, RuntimeException) as error:
        raise RunError.of("reference", f"ONNX Runtime does not run the network: {error}") from error


def run_model(model: bytes | Path, inputs: Mapping[str, Array], *, optimize: bool = True) -> dict[str, Array]:
    """All outputs of a model that is run once. Raises as `Model`."""
    return Model(model, optimize=optimize).run(inputs)
