"""The typing pass: casts stand where types change, and nowhere else."""

from __future__ import annotations

import pytest

from tests.flat_yaml import flatten
from trtdsl.bind import bind
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.infer import infer, infer_layer
from trtdsl.ops import CATALOGUE
from trtdsl.precision import assign_types
from trtdsl.types import DataType


def typed(text: str) -> Graph:
    graph = bind(flatten(text), CATALOGUE, Diagnostics(), random_weights=True)
    return assign_types(infer(graph, Diagnostics()))


def steps(graph: Graph) -> list[str]:
    """Every layer as `name: type -> type`, casts by the names of their tensors."""
    described = []
    for layer in graph.layers:
        reads = ", ".join(f"{name} {graph.types[name].dtype}" for name in layer.inputs if name)
        writes = ", ".join(f"{name} {graph.types[name].dtype}" for name in layer.outputs)
        described.append(f"{layer.op.kind}({reads}) -> {writes}")
    return described


CONVS = """
inputs: {x: 'fp32[N, 3, 8, 8]'}
layers:
- {op: conv, name: a, out_channels: 4, kernel_size: 3}
- {op: conv, name: b, out_channels: 4, kernel_size: 3}
"""


def test_fp32_needs_no_cast() -> None:
    assert steps(typed(CONVS)) == ["conv(x fp32) -> a fp32", "conv(a fp32) -> b fp32"]


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_inputs_and_outputs_are_cast(dtype: str) -> None:
    graph = typed(CONVS + f"precision: {{default: {dtype}}}")
    assert steps(graph) == [
        f"cast(x fp32) -> x/{dtype} {dtype}",
        f"conv(x/{dtype} {dtype}) -> a {dtype}",
        f"conv(a {dtype}) -> b {dtype}",
        f"cast(b {dtype}) -> b/fp32 fp32",
    ]
    assert [(output.name, output.tensor) for output in graph.outputs] == [("y", "b/fp32")]
    weights = [weight.dtype for layer in graph.layers for weight in layer.weights.values()]
    assert weights == [DataType(dtype)] * 4


def test_a_layer_of_its_own_type() -> None:
    assert steps(typed(CONVS + "precision: {default: fp32, b: fp16}")) == [
        "conv(x fp32) -> a fp32",
        "cast(a fp32) -> a/fp16 fp16",
        "conv(a/fp16 fp16) -> b fp16",
        "cast(b fp16) -> b/fp32 fp32",
    ]


@pytest.mark.parametrize(
    ("outputs", "tensor", "dtype"),
    [("b", "b/fp32", DataType.FP32), ("b fp16", "b", DataType.FP16), ("b bf16", "b/bf16", DataType.BF16)],
)
def test_outputs_are_delivered_as_asked(outputs: str, tensor: str, dtype: DataType) -> None:
    graph = typed(CONVS + f"precision: {{default: fp16}}\noutputs: {{y: {outputs}}}")
    assert graph.outputs[0].tensor == tensor
    assert graph.types[tensor].dtype is dtype


def test_a_cast_is_shared() -> None:
    graph = typed("""
inputs: {x: 'fp32[N, 3]'}
layers:
- {op: linear, name: a, out_features: 2}
- {op: linear, name: b, in: [x], out_features: 2}
- {op: add, name: c, in: [a, b]}
precision: {default: fp16}
""")
    assert [step for step in steps(graph) if step.startswith("cast(x")] == ["cast(x fp32) -> x/fp16 fp16"]


SOFTMAX = """
inputs: {x: 'fp16[N, 3]'}
layers:
- {op: softmax, name: s, dim: -1%s}
- {op: relu, name: r}
precision: {default: fp16}
"""


def test_sums_accumulate_in_fp32() -> None:
    assert steps(typed(SOFTMAX % "")) == [
        "cast(x fp16) -> x/fp32 fp32",
        "softmax(x/fp32 fp32) -> s/fp32 fp32",
        "cast(s/fp32 fp32) -> s fp16",
        "relu(s fp16) -> r fp16",
        "cast(r fp16) -> r/fp32 fp32",
    ]


def test_sums_obey_the_layers_own_word() -> None:
    assert steps(typed(SOFTMAX % ", precision: fp16"))[0] == "softmax(x fp16) -> s fp16"


def test_what_only_moves_elements_keeps_their_type() -> None:
    graph = typed("""
inputs: {x: 'fp32[N, 4]', i: 'int64[N, 4]'}
layers:
- {op: flatten, name: f, in: [x]}
- {op: flatten, name: g, in: [i]}
precision: {default: fp16}
outputs: {f: f, g: g}
""")
    assert steps(graph) == ["flatten(x fp32) -> f fp32", "flatten(i int64) -> g int64"]


def test_what_is_only_measured_stays_as_it_is() -> None:
    graph = typed("""
inputs: {x: 'fp16[N, 3, 8]', like: 'fp32[N, 3, 4]'}
layers:
- {op: crop, name: a, in: [x, like]}
""")
    assert steps(graph) == ["crop(x fp16, like fp32) -> a fp16", "cast(a fp16) -> a/fp32 fp32"]


def test_mixed_floats_are_joined_in_the_layers_type() -> None:
    graph = typed("""
inputs: {x: 'fp32[N, 4]', z: 'bf16[N, 4]'}
layers:
- {op: concat, name: c, in: [x, z], dim: 1}
precision: {default: fp16}
""")
    assert steps(graph) == [
        "cast(x fp32) -> x/fp16 fp16",
        "cast(z bf16) -> z/fp16 fp16",
        "concat(x/fp16 fp16, z/fp16 fp16) -> c fp16",
        "cast(c fp16) -> c/fp32 fp32",
    ]


def test_layers_without_float_input_compute_in_their_type() -> None:
    graph = typed("""
inputs: {i: 'int64[N]'}
layers:
- {op: embedding, name: e, num_embeddings: 3, embedding_dim: 2}
precision: {default: bf16}
""")
    assert steps(graph) == ["embedding(i int64) -> e bf16", "cast(e bf16) -> e/fp32 fp32"]
    assert graph.layers[0].weights["weight"].dtype is DataType.BF16


@pytest.mark.parametrize("default", ["fp32", "fp16", "bf16"])
def test_the_typed_graph_infers_to_itself(default: str) -> None:
    graph = typed(f"""
inputs: {{x: 'fp32[N, 3, 8, 8]'}}
layers:
- {{op: conv, name: a, out_channels: 4, kernel_size: 3, padding: 1}}
- {{op: batch_norm, name: b}}
- {{op: relu, name: c}}
- {{op: add, name: d, in: [a, c]}}
- {{op: global_avg_pool, name: e}}
- {{op: flatten, name: f}}
- {{op: linear, name: g, out_features: 3}}
- {{op: softmax, name: h, dim: -1}}
precision: {{default: {default}, 'd': fp32, 'g': bf16}}
""")
    for layer in graph.layers:
        inputs = tuple(None if name is None else graph.types[name] for name in layer.inputs)
        assert infer_layer(layer, inputs, layer.precision) == tuple(graph.types[name] for name in layer.outputs)
        floats = {entry.dtype for entry in inputs if entry is not None and entry.dtype.is_float}
        assert len(floats) == 1
        if layer.op.kind != "cast":
            assert {weight.dtype for weight in layer.weights.values()} <= floats
