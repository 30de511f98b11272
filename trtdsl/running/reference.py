"""A network on a CPU, by ONNX Runtime: all in fp32 for a reference, or in the types that it was given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trtdsl.errors import Diagnostics, needs_extra
from trtdsl.export import BESIDE_FROM, write_onnx
from trtdsl.graph import Graph, GraphInput, GraphOutput, Layer
from trtdsl.infer import infer
from trtdsl.precision import assign_types
from trtdsl.running.inputs import as_numbers
from trtdsl.types import FLOATS, DataType

Array = np.ndarray[Any, Any]


def in_fp32(graph: Graph) -> Graph:
    """The typed graph of an untyped one as if every precision were fp32, its inputs and outputs included.

    What stays narrow is what `cast` layers narrow.
    """
    layers = tuple(map(_wide_layer, graph.layers))
    inputs = tuple(map(_wide_input, graph.inputs))
    outputs = tuple(map(_wide_output, graph.outputs))
    wide = replace(graph, inputs=inputs, layers=layers, outputs=outputs, types={})
    return assign_types(infer(wide, Diagnostics()))


def _wide_layer(layer: Layer) -> Layer:
    bodies = {name: replace(body, layers=tuple(map(_wide_layer, body.layers))) for name, body in layer.bodies.items()}
    return replace(layer, precision=DataType.FP32, quantized=None, quantized_inputs={}, bodies=bodies)


def _wide_input(entry: GraphInput) -> GraphInput:
    return replace(entry, type=entry.type.with_dtype(DataType.FP32)) if entry.type.dtype.is_float else entry


def _wide_output(output: GraphOutput) -> GraphOutput:
    return replace(output, dtype=None) if output.dtype in FLOATS else output


def run_in_fp32(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of an untyped graph, computed in fp32. `inputs` are in the storage of their declared types.

    Raises ExportError for layers that ONNX cannot say, RunError where ONNX Runtime is missing or cannot go on.
    """
    return load_in_fp32(graph)(inputs)


def load_in_fp32(graph: Graph) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """What gives an untyped graph's outputs for inputs, in fp32, any number of times. As `run_in_fp32`."""
    run = load_on_cpu(in_fp32(graph))
    return lambda inputs: run(inputs_in_fp32(graph, inputs))


def inputs_in_fp32(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs in the storage of their declared types as those that the graph takes once it is all in fp32."""
    types = {entry.name: entry.type.dtype for entry in graph.inputs}
    return {name: _as_fp32(array, types[name]) for name, array in inputs.items()}


def _as_fp32(array: Array, dtype: DataType) -> Array:
    return as_numbers(array, dtype).astype(np.float32) if dtype.is_float else array


def run_on_cpu(graph: Graph, inputs: Mapping[str, Array], *, stepwise: bool = False) -> dict[str, Array]:
    """The outputs of a typed graph by ONNX Runtime; `stepwise` in its own types at every step. Raises as `run_in_fp32`.

    Without it, nodes that have no kernel in fp16 may hand on what they have computed in fp32.
    """
    return load_on_cpu(graph, stepwise=stepwise)(inputs)


def load_on_cpu(graph: Graph, *, stepwise: bool = False) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """What gives a typed graph's outputs for inputs, by ONNX Runtime, any number of times. As `run_on_cpu`."""
    with needs_extra("onnx", "running on a CPU"):
        from trtdsl.targets.onnx import to_onnx
        from trtdsl.targets.reference import Model

    model = to_onnx(graph, stepwise=stepwise)
    if model.weight_bytes < BESIDE_FROM:
        return Model(model.proto().SerializeToString(), optimize=not stepwise).run
    with tempfile.TemporaryDirectory() as folder:
        path, *_ = write_onnx(model, Path(folder) / "model.onnx", external=True)
        return Model(path, optimize=not stepwise).run
