"""The test cases that the onnx package publishes for its operators: models with inputs and outputs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

Array = np.ndarray[Any, Any]
KINDS = ("node", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Published:
    """One case. Inputs and outputs are arrays, or what else the type is (lists for sequences, None)."""

    name: str
    group: str
    """The operator that the case is there for; the kind for cases made of whole modules."""
    model: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    rtol: float
    atol: float

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each domain's operators."""
        return {entry.domain: entry.version for entry in self.model.opset_import}

    @property
    def is_function_body(self) -> bool:
        """Whether the model is the operator written as other operators."""
        return "_expanded" in self.name


@cache
def published() -> Mapping[str, Published]:
    """All cases by name."""
    with warnings.catch_warnings():
        # numpy, of infinities that the cases are about.
        warnings.simplefilter("ignore")
        loaded = [(kind, case) for kind in KINDS for case in load_model_tests(kind=kind)]
    operators = {case.name: case.model.graph.node[0].op_type for kind, case in loaded if kind == "node"}
    cases = {}
    for kind, case in loaded:
        group = operators[re.sub(r"_expanded.*", "", case.name)] if kind == "node" else kind
        model, inputs, outputs = _from_files(case) if case.model is None else _in_memory(case)
        cases[case.name] = Published(case.name, group, model, inputs, outputs, case.rtol, case.atol)
    return cases


def _in_memory(case: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    graph = case.model.graph
    ((inputs, outputs),) = case.data_sets
    return case.model, _named(graph.input, inputs), _named(graph.output, outputs)


def _from_files(case: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    known = {entry.name for entry in model.graph.initializer}
    data = folder / "test_data_set_0"
    inputs = [entry for entry in model.graph.input if entry.name not in known]
    return (
        model,
        _named(inputs, [_tensor_file(data / f"input_{i}.pb") for i in range(len(inputs))]),
        _named(model.graph.output, [_tensor_file(data / f"output_{i}.pb") for i in range(len(model.graph.output))]),
    )


def _tensor_file(path: Path) -> Any:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return tensor


def _named(entries: Any, values: Any) -> dict[str, Any]:
    return {entry.name: _value(value) for entry, value in zip(entries, values, strict=True)}


def _value(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return value if value is None or isinstance(value, list) else np.asarray(value)
