"""Every op in every case as an ONNX model: ONNX's checker takes it, and its shape inference agrees with infer.

Where PyTorch is installed, ONNX Runtime's numbers for the model are compared with PyTorch's for the case.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import onnx
import pytest

from tests.ops.harness import POINTS, Case, cases
from trtdsl.errors import ExportError
from trtdsl.graph import Graph
from trtdsl.ops import CATALOGUE
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.reference import run_model
from trtdsl.types import DataType

ALL = [case for case in cases() if not CATALOGUE[case.layer["op"]].no_onnx]
REPEATABLE, RANDOM = ([case for case in ALL if bool(case.check) is drawn] for drawn in (False, True))
every_case = pytest.mark.parametrize("case", ALL, ids=[case.id for case in ALL])
points = pytest.mark.parametrize("point", POINTS)
HAS_TORCH = importlib.util.find_spec("torch") is not None


def model_of(graph: Graph) -> Any:
    return to_onnx(graph).proto()


def inferred_outputs(model: Any) -> dict[str, tuple[int, list[int | str | None]]]:
    """Element type and shape of every output as ONNX infers them, whatever the model itself says of them."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    for output in stripped.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(stripped, check_type=True, strict_mode=True, data_prop=True)
    return {output.name: _described(output.type.tensor_type) for output in inferred.graph.output}


def _described(tensor: Any) -> tuple[int, list[int | str | None]]:
    sizes = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
    return tensor.elem_type, sizes


@every_case
def test_onnx_takes_it_with_dynamic_shapes(case: Case) -> None:
    graph = case.graph()
    model = model_of(graph)
    onnx.checker.check_model(model, full_check=True)
    for output in graph.outputs:
        _, sizes = inferred_outputs(model)[output.name]
        expected = graph.types[output.tensor].shape
        assert len(sizes) == len(expected)
        for size, dim in zip(sizes, expected, strict=True):
            assert not isinstance(size, int) or (dim.is_static and dim.value == size)


@points
@every_case
def test_shapes_equal_what_onnx_infers(case: Case, point: str) -> None:
    graph = case.at(point).graph()
    model = model_of(graph)
    onnx.checker.check_model(model, full_check=True)
    inferred = inferred_outputs(model)
    for output in graph.outputs:
        expected = graph.types[output.tensor]
        declared = next(entry for entry in model.graph.output if entry.name == output.name)
        element_type, sizes = inferred[output.name]
        assert element_type == declared.type.tensor_type.elem_type
        # What hangs on data no one can infer.
        wanted = [dim.value if dim.is_static else None for dim in expected.shape]
        assert [size if isinstance(size, int) else None for size in sizes] == wanted


@pytest.mark.skipif(not HAS_TORCH, reason="ONNX Runtime's numbers were NOT compared with PyTorch's: no PyTorch here")
@points
@pytest.mark.parametrize("case", REPEATABLE, ids=[case.id for case in REPEATABLE])
def test_numbers_equal_pytorch(case: Case, point: str) -> None:
    from tests.ops.torch_numbers import evaluate

    if case.precision is DataType.BF16:
        pytest.skip("ONNX Runtime's CPU kernels have no bf16")
    graph = case.graph()
    inputs = case.input_arrays(point)
    outputs = run_model(model_of(graph).SerializeToString(), _as_declared(graph, inputs))
    tolerance = 1e-5 if case.precision is DataType.FP32 else 5e-3
    for output, expected in zip(graph.outputs, evaluate(case, point), strict=True):
        actual = outputs[output.name]
        assert actual.shape == expected.shape
        scale = max(float(np.abs(expected[np.isfinite(expected)].astype(np.float64)).max(initial=0)), 1e-12)
        np.testing.assert_allclose(
            actual.astype(np.float64), expected.astype(np.float64), rtol=0, atol=tolerance * scale
        )


@points
@pytest.mark.parametrize(
    "case", [case for case in RANDOM if case.precision is not DataType.BF16], ids=lambda case: case.id
)
def test_random_numbers_are_distributed_as_they_should_be(case: Case, point: str) -> None:
    graph = case.graph()
    outputs = run_model(model_of(graph).SerializeToString(), _as_declared(graph, case.input_arrays(point)))
    assert case.failures(outputs[graph.outputs[0].name], point) == []


def _as_declared(graph: Graph, inputs: dict[str, Any]) -> dict[str, Any]:
    return {entry.name: inputs[entry.name].astype(entry.type.dtype.storage) for entry in graph.inputs}


def test_what_has_no_onnx_form_says_why() -> None:
    refused = [op for op in dict.fromkeys(CATALOGUE.values()) if op.no_onnx and op.kind != "plugin"]
    for op in refused:
        graph = next(case for case in cases() if CATALOGUE[case.layer["op"]] is op).graph()
        with pytest.raises(ExportError, match=r"."):
            to_onnx(graph)
