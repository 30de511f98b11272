"""Raw layers: every method of TensorRT's networks is within reach.

`raw_layers.yaml` has one network for each method of TensorRT-RTX. The signatures of 8.6.1 and 10.15, which build
nothing on a CPU, are gone through one by one; `TRTDSL_BINDINGS` says where they are, as in test_bindings.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import trtdsl
from tests.targets.emitting import emitted, typed
from tests.targets.test_bindings import NAMED, Symbol, bindings_of
from trtdsl.errors import BuildError
from trtdsl.ops import CATALOGUE
from trtdsl.ops.raw import RawLayer
from trtdsl.targets.lowering import NetworkState
from trtdsl.targets.network import LayerNet
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import LATEST, Runtime
from trtdsl.targets.signatures import NETWORK, Argument, Declarations, Signature

TABLE = Path(__file__).with_name("raw_layers.yaml")
NETWORKS: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
BINDINGS = ["rtx", *dict.fromkeys(["8.6", "10.15", *NAMED])]

WRITTEN_ELSEWHERE = {
    "add_input": "under `inputs`",
    "add_loop": "op: loop",
    "add_if_conditional": "op: if",
    "add_plugin": "takes a Python function that holds a plugin",
    "add_plugin_v2": "takes a plugin, which is an object of Python",
    "add_plugin_v3": "takes a plugin, which is an object of Python",
}
"""Methods that no raw layer has."""
NOT_BUILT = {
    "moe": "Cannot decompose operation",
    "nms": "has no runners that implement it",
    "non_zero": "has no runners that implement it",
}
"""What TensorRT-RTX's builder says of layers that its networks take and that it has no kernels for."""


def text_of(network: dict[str, Any]) -> str:
    """A network of the table as a document."""
    dims = {"dims": {"N": [1, 4, 8]}} if '"N"' in json.dumps(network["inputs"]) else {}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {**dims, **network}.items())


def declarations_of(declared: dict[str, Any]) -> Declarations:
    members = {name: tuple(members) for name, members in declared["enumerations"].items()}
    signatures = declared["signatures"]
    return Declarations(f"TensorRT {declared['version']}", signatures["methods"], signatures["attributes"], members)


# What the bindings declare.


class Layer:
    """Stands in for a layer: keeps what is set and called."""

    def __init__(self) -> None:
        object.__setattr__(self, "done", {})

    def __setattr__(self, name: str, value: object) -> None:
        self.done[name] = value

    def __getattr__(self, name: str) -> Any:
        if name == "num_outputs":
            raise AttributeError(name)
        return lambda *arguments, **keywords: self.done.update({name: (*arguments, *keywords.values())})

    def get_output(self, index: int) -> Symbol:
        return Symbol(f"output {index}")


class Network:
    """Stands in for a network of these bindings."""

    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self.calls: list[tuple[Any, ...]] = []
        self.layers: list[Layer] = []

    @property
    def trt(self) -> Any:
        enumerations = {
            name: type(name, (), {member: Symbol(f"{name}.{member}") for member in members})
            for name, members in self.declarations.enumerations.items()
        }
        return type("trt", (), enumerations)

    def weights_of(self, weight: object, label: str) -> Symbol:
        return Symbol(label)

    def method(self, name: str) -> Any:
        def call(*arguments: object, **keywords: object) -> Layer:
            self.calls.append((*arguments, *keywords.values()))
            self.layers.append(Layer())
            return self.layers[-1]

        return call


PLAIN = {
    "int": 2,
    "float": 0.5,
    "bool": True,
    "str": "text",
    "Dims": [2, 3],
    "DimsHW": [2, 3],
    "Permutation": [1, 0],
    "DataType": "fp32",
    "object": [1, 2],
}


class Sample:
    """A layer that gives each argument of a method a value."""

    def __init__(self, declarations: Declarations, signature: Signature) -> None:
        self.declarations, self.signature = declarations, signature
        self.tensors = [f"t{index}" for index, _ in enumerate(signature.tensors)]
        self.weights: dict[str, Any] = {}
        owner = signature.returns
        self.args = {
            argument.name: self.value(argument)
            for argument in signature.arguments
            if argument.type not in ("ITensor", "Weights")
        }
        self.weights |= {entry.name: {"values": [1.0]} for entry in signature.arguments if entry.type == "Weights"}
        names = [name for name in declarations.settable(owner) if name not in ("name", "metadata")]
        self.set = {name: self.value(declarations.attribute(owner, name)) for name in names}
        self.call = dict(self.calls(owner))

    def value(self, argument: Argument | None) -> Any:
        assert argument is not None
        kind = argument.type
        if kind == "ITensor":
            self.tensors.append(f"t{len(self.tensors)}")
            return f"in.{len(self.tensors) - 1}"
        if kind == "Weights":
            name = f"w{len(self.weights)}"
            self.weights[name] = {"values": [1.0]}
            return f"weights.{name}"
        if kind == "int" and "axes" in argument.name.lower():
            return [0, -1]
        value = PLAIN[kind] if kind in PLAIN else self.declarations.enumerations[kind][-1]
        return [value] if argument.each else value

    def calls(self, owner: str) -> Iterator[tuple[str, Any]]:
        """The methods of the layer that its class has for itself."""
        for name in self.declarations.callable(owner):
            if name in self.declarations.callable("ILayer") or name.startswith("get_") or name == "set_input":
                continue
            [signature] = self.declarations.signatures(owner, name)
            yield name, {argument.name: self.value(argument) for argument in signature.arguments}

    def text(self) -> str:
        kind = self.signature.name.removeprefix("add_")
        layer = {"op": f"trt.{kind}", "in": self.tensors, "args": self.args, "weights": self.weights}
        layer |= {"set": self.set, "call": self.call, "outputs": {"shape": [2, 2], "dtype": "fp32"}}
        inputs = {name: [2, 2] for name in self.tensors} or {"x": [2, 2]}
        return f"inputs: {json.dumps(inputs)}\nlayers: [{json.dumps(layer)}]\n"


@pytest.mark.parametrize("name", BINDINGS)
def test_every_method_is_within_reach(name: str, tmp_path: Path) -> None:
    declarations = declarations_of(bindings_of(name))
    reached = []
    for method in declarations.added:
        kind = f"trt.{method.removeprefix('add_')}"
        if method in WRITTEN_ELSEWHERE:
            assert kind not in CATALOGUE
            continue
        assert kind in CATALOGUE, f"{method} of {declarations.label} cannot be written"
        overloads = declarations.signatures(NETWORK, method)
        assert overloads, f"the signature of {method} is not understood"
        for signature in overloads:
            check(Sample(declarations, signature), tmp_path / f"{method}.yaml")
        reached.append(method)
    assert len(reached) > 40
    assert set(WRITTEN_ELSEWHERE) >= set(declarations.added) - set(reached)


def check(sample: Sample, path: Path) -> None:
    """A raw layer gives every argument, attribute and method that is declared a value."""
    graph = typed(path, sample.text())
    [layer] = [layer for layer in graph.layers if isinstance(layer.op, RawLayer)]
    network = Network(sample.declarations)
    state = NetworkState(network, LATEST, graph, declarations=sample.declarations)  # type: ignore[arg-type]
    tensors = {name: Symbol(name) for name in graph.types}
    net = LayerNet(state, layer, graph.types)
    net.raw(layer.op, tuple(tensors[name] for name in layer.inputs if name))  # type: ignore[arg-type]
    [arguments], [added] = network.calls, network.layers
    assert len(arguments) == len(sample.signature.arguments)
    assert set(added.done) == {*sample.set, *sample.call}
    for declared, value in zip(sample.signature.arguments, arguments, strict=True):
        assert_fits(declared, value)
    for name in sample.set:
        declared = sample.declarations.attribute(sample.signature.returns, name)
        assert declared is not None
        assert_fits(declared, added.done[name])


def assert_fits(argument: Argument, value: Any) -> None:
    """A value is of the Python type that pybind11 takes for an argument."""
    kind = argument.type
    if argument.each:
        assert isinstance(value, list)
        value = value[0]
    if kind in ("Dims", "DimsHW", "Permutation"):
        assert type(value) is tuple
    elif kind in ("int", "float", "bool", "str"):
        assert type(value).__name__ == kind
    elif kind == "DataType":
        assert repr(value) == "DataType.FLOAT"
    elif kind != "object":
        assert isinstance(value, Symbol)


@pytest.mark.parametrize("name", BINDINGS)
def test_every_type_has_a_conversion(name: str) -> None:
    declarations = declarations_of(bindings_of(name))
    known = {*PLAIN, *declarations.enumerations, "ITensor", "Weights"}
    for method in set(declarations.added) - set(WRITTEN_ELSEWHERE):
        for signature in declarations.signatures(NETWORK, method):
            owner = signature.returns
            attributes = [declarations.attribute(owner, entry) for entry in declarations.settable(owner)]
            for argument in (*signature.arguments, *attributes):
                assert argument is not None
                assert argument.type in known, f"{method}: {argument}"


# What TensorRT-RTX makes of it.


def test_the_table_has_all_methods_of_rtx(rtx: Runtime) -> None:
    declarations = Declarations.of(rtx.module, str(rtx))
    methods = {method.removeprefix("add_") for method in declarations.added if method not in WRITTEN_ELSEWHERE}
    assert set(NETWORKS) == methods
    for name, network in NETWORKS.items():
        used = [layer["op"] for layer in network["layers"] if isinstance(layer, dict)] or network["layers"]
        assert f"trt.{name}" in used


@pytest.mark.parametrize("name", NETWORKS)
def test_rtx_builds_raw_layers(name: str, tmp_path: Path, rtx: Runtime) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(f"trtdsl: 1\n{text_of(NETWORKS[name])}")
    network = trtdsl.load(path)
    [raw] = [layer for layer in network.typed.layers if layer.op.kind == f"trt.{name}"]
    # An attention is not among the layers of a network, but its parts are.
    assert any(layer.name.startswith(raw.name) for layer in emitted(network.typed, rtx).layers)
    if name in NOT_BUILT:
        with pytest.raises(BuildError, match=NOT_BUILT[name]):
            network.build(tmp_path / "net.engine", runtime="rtx", cache=False)
    else:
        assert network.build(tmp_path / "net.engine", runtime="rtx", cache=False).path.stat().st_size > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_recorded_as_it_is_called(name: str, tmp_path: Path, rtx: Runtime) -> None:
    graph = typed(tmp_path / "net.yaml", text_of(NETWORKS[name]))
    for runtime in (LATEST, rtx):
        statements = [line for calls in record(graph, runtime) for line in calls.statements]
        assert any(f"network.add_{name}(" in line for line in statements)


def test_values_become_tensorrts(tmp_path: Path, rtx: Runtime) -> None:
    text = """\
inputs: {x: [2, 3, 8, 8], y: [2, 3, 8, 8]}
dims: {C: 3}
layers:
  - {op: trt.reduce, name: mean, in: x, args: {op: AVG}, axes: [1, -1], keep_dims: true, outputs: {shape: [2, 1, 8, 1]}}
  - {op: trt.softmax, name: soft, in: x, set: {axes: 4}}
  - op: trt.slice
    name: part
    in: x
    start: [0, 0, 0, 0]
    shape: [2, C, 4, 4]
    stride: [1, 1, 2, 2]
    outputs: {shape: [2, C, 4, 4]}
  - {op: trt.cast, name: half, in: x, to_type: HALF, outputs: {dtype: fp16}}
  - {op: trt.concatenation, name: both, in: [x, null, y], outputs: {shape: [2, 6, 8, 8]}}
outputs: [mean, soft, part, half, both]
"""
    made = emitted(typed(tmp_path / "net.yaml", text), rtx)
    layers, trt = {layer.name: layer for layer in made.layers}, rtx.module
    kinds = {"mean": "IReduceLayer", "soft": "ISoftMaxLayer", "part": "ISliceLayer", "half": "ICastLayer"}
    for name, kind in kinds.items():
        layers[name].__class__ = getattr(trt, kind)
    assert (layers["mean"].axes, layers["mean"].op) == (0b1010, trt.ReduceOperation.AVG)
    assert layers["soft"].axes == 0b100
    assert tuple(layers["part"].shape) == (2, 3, 4, 4)
    assert layers["half"].to_type == trt.DataType.HALF
    assert [layers["both"].get_input(index).name for index in range(2)] == ["x", "y"]


def test_calls_are_written_out(tmp_path: Path, rtx: Runtime) -> None:
    graph = typed(tmp_path / "net.yaml", text_of(NETWORKS["moe"]))
    of_rtx = [line for calls in record(graph, rtx) for line in calls.statements]
    assert "layer3.set_gated_weights(gate, up, down, trt.MoEActType.SILU)" in of_rtx
    without = [line for calls in record(graph, LATEST) for line in calls.statements]
    assert (
        "layer3.set_gated_weights("
        "fc_gate_weights=gate, fc_up_weights=up, fc_down_weights=down, activation_type='SILU')" in without
    )
