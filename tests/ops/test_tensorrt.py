"""Every op in every case against TensorRT-RTX: its shapes and types equal infer's, and its builder takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.ops.harness import POINTS, Case, cases
from trtdsl.engine.config import fit_to_network
from trtdsl.engine.log import BuildLog
from trtdsl.errors import BuildError
from trtdsl.graph import Graph
from trtdsl.ops import CATALOGUE
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.targets.tensorrt import emit
from trtdsl.types import DataType, Dim, symbols

EVERY = list(cases())
ALL = [case for case in EVERY if not case.op.built_on]
BY_PLUGIN = [case for case in EVERY if case.op.built_on]
BY_DATA = [case for case in ALL if case.op.kind in ("nms", "non_zero")]
"""What RTX takes into a network, and has no kernels for."""
every_case = pytest.mark.parametrize("case", ALL, ids=[case.id for case in ALL])


@pytest.fixture(scope="module")
def builder(rtx: Runtime) -> Builder:
    return Builder(Unlimited(rtx.flavor, rtx.version, rtx.module))


class Unlimited(Runtime):
    """RTX that is not asked for what it builds, so that all it says of shapes and types can be heard."""

    @property
    def has_data_dependent_sizes(self) -> bool:
        return True


class Builder:
    """TensorRT-RTX's builder, shared by all cases, and what its logger hears."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.log = BuildLog(runtime)
        self._builder = runtime.module.Builder(self.log.logger)

    def emit(self, graph: Graph) -> tuple[Any, Any]:
        """The network of a graph, and what has to outlive it."""
        self.log.take_errors()
        network = self._builder.create_network(self.runtime.network_flags(strongly_typed=True))
        return network, emit(graph, network, self.runtime, self.log, strongly_typed=True)

    def build(self, graph: Graph) -> Any:
        """The serialized engine, or None."""
        network, alive = self.emit(graph)
        config = self._builder.create_builder_config()
        fit_to_network(config, self._builder, graph, self.runtime, strongly_typed=True)
        plan = self._builder.build_serialized_network(network, config)
        del alive
        return plan


def tensors(network: Any, graph: Graph) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of every tensor of the graph, by its name there, as TensorRT has them."""
    found = [network.get_input(index) for index in range(network.num_inputs)]
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        found += [layer.get_output(position) for position in range(layer.num_outputs)]
    inside = {output.name: output.tensor for output in graph.outputs}
    return {inside.get(tensor.name, tensor.name): (tuple(tensor.shape), tensor.dtype) for tensor in found}


@every_case
def test_types_equal_tensorrts_own(case: Case, builder: Builder) -> None:
    graph = case.graph()
    network, alive = builder.emit(graph)
    actual = tensors(network, graph)
    for name, expected in graph.types.items():
        shape, dtype = actual[name]
        assert dtype == builder.runtime.data_type(expected.dtype), name
        assert len(shape) == expected.rank, name
        for size, dim in zip(shape, expected.shape, strict=True):
            assert size in (-1, *dim.sizes) if not dim.is_static else size in (-1, dim.value), name
    del alive


def hangs_on_data(dim: Dim) -> bool:
    """Whether a size is known only once the layer has run."""
    return any(symbol.is_data_dependent for symbol in symbols(dim.expression))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("case", [case for case in ALL if case.is_dynamic], ids=lambda case: case.id)
def test_sizes_of_dynamic_networks_equal_those_of_static_ones(case: Case, point: str, builder: Builder) -> None:
    graph = case.at(point).graph()
    network, alive = builder.emit(graph)
    actual = tensors(network, graph)
    for name, expected in case.graph().types.items():
        sizes = tuple(-1 if hangs_on_data(dim) else getattr(dim.sizes, point) for dim in expected.shape)
        assert actual[name] == (sizes, builder.runtime.data_type(expected.dtype)), name
    del alive


@pytest.mark.parametrize("case", [case for case in ALL if case not in BY_DATA], ids=lambda case: case.id)
def test_builder_takes_the_network(case: Case, builder: Builder) -> None:
    plan = builder.build(case.graph())
    assert plan is not None, builder.log.take_errors()
    assert plan.nbytes > 0


@every_case
def test_lowering_needs_no_tensorrt(case: Case) -> None:
    graph = case.graph()
    runtime = Runtime("tensorrt", (11, 1)) if case in BY_DATA else LATEST
    assert {layer.name for layer in graph.layers} <= {calls.name for calls in record(graph, runtime)}


@pytest.mark.parametrize("case", BY_DATA, ids=[case.id for case in BY_DATA])
def test_what_hangs_on_data_is_refused_before_the_builder_fails(case: Case, builder: Builder) -> None:
    graph = case.graph()
    assert builder.build(graph) is None
    assert "has no runners" in "".join(builder.log.take_errors())
    with pytest.raises(BuildError, match=f"TensorRT-RTX 1.7 has no kernel for {case.op.kind}"):
        list(record(graph, LATEST))


def test_a_deconvolution_in_bf16_is_refused_before_the_builder_fails(builder: Builder) -> None:
    case = next(case for case in cases("conv") if case.layer["op"] == "deconv")
    graph = replace(case, precision=DataType.BF16).graph()
    with pytest.raises(BuildError, match="does not deconvolve in bf16"):
        builder.emit(graph)
    with pytest.raises(BuildError, match="does not deconvolve in bf16"):
        list(record(graph))


@pytest.mark.parametrize("case", BY_PLUGIN, ids=[case.id for case in BY_PLUGIN])
def test_what_is_a_plugin_is_refused_where_there_are_none(case: Case, builder: Builder) -> None:
    with pytest.raises(BuildError, match=f"has no plugins, and {case.op.kind} is the plugin {case.op.built_on}"):
        builder.emit(case.graph())


@pytest.mark.parametrize("case", BY_PLUGIN, ids=[case.id for case in BY_PLUGIN])
def test_plugins_are_written_down_with_their_fields(case: Case) -> None:
    statements = [text for calls in record(case.graph(), Runtime("tensorrt", (8, 6, 1))) for text in calls.statements]
    made = f"plugin('{case.op.built_on}', '1', '', ["
    assert any("add_plugin_v2([" in text and made in text for text in statements)


@pytest.mark.parametrize("kind", sorted({op.kind for op in CATALOGUE.values() if not op.bodies} - {"plugin"}))
def test_every_op_has_a_case(kind: str) -> None:
    assert any(CATALOGUE[case.layer["op"]].kind == kind for case in EVERY)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.id for case in EVERY]
    assert sorted(names) == sorted(set(names))
