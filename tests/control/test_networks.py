"""Networks with control flow: TensorRT-RTX takes them as infer says, ONNX Runtime computes the numbers expected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import trtdsl
from tests.control.networks import CASES, Control, network_text
from tests.targets.emitting import Emitted, emitted
from tests.targets.statements import check_variables
from trtdsl import Network
from trtdsl.engine.config import fit_to_network
from trtdsl.graph import Graph
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.recorder import record
from trtdsl.targets.reference import run_model
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

PRECISIONS = ("fp32", "fp16", "bf16")
every_case = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
every_precision = pytest.mark.parametrize("precision", PRECISIONS)


def loaded(case: Control, folder: Path, precision: str = "fp32") -> Network:
    path = folder / "net.yaml"
    path.write_text(network_text(case))
    asked = None if "precision:" in case.text.partition("layers:")[0] else precision
    return trtdsl.load(path, random_weights=True, precision=asked)


def weights_of(graph: Graph) -> dict[str, Any]:
    return {
        f"{layer.name}.{name}": weight.with_dtype(DataType.FP32).array()
        for layer in graph.all_layers()
        for name, weight in layer.weights.items()
    }


def tensors(made: Emitted, graph: Graph) -> dict[str, Any]:
    """Shape and type of every tensor of the network, as TensorRT has them."""
    found = [made.network.get_input(index) for index in range(made.network.num_inputs)]
    found += [layer.get_output(index) for layer in made.layers for index in range(layer.num_outputs)]
    inside = {output.name: output.tensor for output in graph.outputs}
    return {inside.get(tensor.name, tensor.name): (tuple(tensor.shape), tensor.dtype) for tensor in found}


@every_precision
@every_case
def test_types_equal_tensorrts_own(case: Control, precision: str, rtx: Runtime, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path, precision).typed
    made = emitted(graph, rtx)
    actual = tensors(made, graph)
    inputs = {entry.name for entry in graph.inputs}
    named = [name for name in graph.types if name not in {o.tensor for o in graph.outputs} & inputs]
    assert set(named) <= set(actual)
    for name in named:
        shape, dtype = actual[name]
        expected = graph.types[name]
        assert dtype == rtx.data_type(expected.dtype), name
        assert len(shape) == expected.rank, name
        for size, dim in zip(shape, expected.shape, strict=True):
            assert size in (-1, *dim.sizes) if not dim.is_static else size in (-1, dim.value), name


@pytest.mark.parametrize(
    ("case", "precision"),
    [(case, precision) for case in CASES for precision in PRECISIONS if precision not in case.unbuilt],
    ids=lambda value: getattr(value, "id", value),
)
def test_builder_takes_the_network(case: Control, precision: str, rtx: Runtime, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path, precision).typed
    made = emitted(graph, rtx)
    builder = made.alive[0]
    config = builder.create_builder_config()
    fit_to_network(config, builder, graph, rtx, strongly_typed=True)
    plan = builder.build_serialized_network(made.network, config)
    assert plan is not None, made.log.take_errors()


@every_case
def test_every_layer_of_tensorrt_has_a_name_and_a_place(case: Control, rtx: Runtime, tmp_path: Path) -> None:
    network = loaded(case, tmp_path)
    layers = emitted(network.typed, rtx).layers
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    known = {layer.name for layer in network.typed.all_layers()} | {o.name for o in network.typed.outputs}
    for layer in layers:
        assert re.sub(r"#\d+$", "", layer.name).split("/")[0] in {name.split("/")[0] for name in known}
        assert re.fullmatch(r".*net\.yaml:\d+", layer.metadata)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@every_case
def test_numbers_by_onnx_runtime(case: Control, precision: str, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path, precision).typed
    model = to_onnx(graph).proto()
    onnx.checker.check_model(model, full_check=True)
    weights = weights_of(loaded(case, tmp_path).typed)
    is_narrow = DataType.FP16 in {entry.dtype for entry in graph.types.values()}
    for arrays in case.runs():
        fed = {entry.name: arrays[entry.name].astype(entry.type.dtype.storage) for entry in graph.inputs}
        actual = run_model(model.SerializeToString(), fed)
        for name, expected in case.expected(arrays, weights).items():
            assert actual[name].shape == expected.shape
            scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
            tolerance = 5e-3 if is_narrow else 1e-5
            np.testing.assert_allclose(actual[name], expected, rtol=0, atol=tolerance * scale)


@every_precision
@every_case
def test_what_is_expanded_is_the_same_network(case: Control, precision: str, tmp_path: Path) -> None:
    network = loaded(case, tmp_path, precision)
    path = tmp_path / "flat.yaml"
    path.write_text(network.expanded)
    again = trtdsl.load(path, random_weights=True)
    assert again.expanded == network.expanded
    assert again.typed.types == network.typed.types
    assert weights_of(again.typed).keys() == weights_of(network.typed).keys()


@every_case
def test_the_calls_are_written_down_in_order(case: Control, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path).typed
    calls = list(record(graph))
    assert {layer.name for layer in graph.all_layers()} <= {entry.name for entry in calls}
    check_variables(statement for entry in calls for statement in entry.statements)
