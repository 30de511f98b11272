"""Every lowering against the signatures of real bindings, 8.6.1 and 10.15 among them, which cannot build on a CPU.

A stand-in for INetworkDefinition takes the calls of every op case and refuses methods, arguments, attributes and
enumeration members that the bindings do not declare. `TRTDSL_BINDINGS` says where bindings are, and the libraries that
they load: `8.6=FOLDER:LIBRARIES,10.15=FOLDER:LIBRARIES`, the folders as `pip install --target` makes them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.control.networks import CASES as CONTROL_CASES
from tests.control.test_networks import loaded
from tests.ops.harness import Case, cases
from trtdsl.graph import Graph, Layer
from trtdsl.targets.lowering import Lowering, NetworkState
from trtdsl.targets.network import LayerNet
from trtdsl.targets.plugins import SettledPlugin
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType
from trtdsl.weights import Weight

DUMP = Path(__file__).with_name("bindings.py")


def _named() -> dict[str, tuple[str, str]]:
    """Folder and libraries of the bindings that are there, by version."""
    named = {}
    for entry in filter(None, os.environ.get("TRTDSL_BINDINGS", "").split(",")):
        version, _, paths = entry.partition("=")
        folder, _, libraries = paths.partition(":")
        named[version] = (folder, libraries)
    return named


NAMED = _named()


def bindings_of(name: str) -> dict[str, Any]:
    """What bindings declare; asked of a process of its own, for one process loads one TensorRT."""
    environment = dict(os.environ)
    if name == "rtx":
        pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install 'trtdsl[rtx]'")
    elif name in NAMED:
        environment["PYTHONPATH"], environment["LD_LIBRARY_PATH"] = NAMED[name]
    else:
        pytest.skip(f"the bindings of TensorRT {name} were NOT checked: TRTDSL_BINDINGS does not say where they are")
    module = "tensorrt_rtx" if name == "rtx" else "tensorrt_bindings"
    dump = [sys.executable, str(DUMP), module]
    done = subprocess.run(dump, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    declared: dict[str, Any] = json.loads(done.stdout)
    assert name == "rtx" or declared["version"].startswith(f"{name}.")
    return declared


class Symbol:
    """Any value of TensorRT: a tensor, a member of an enumeration, weights."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return self.what


class Module:
    """The enumerations."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self._enumerations = declared["enumerations"]

    def __getattr__(self, name: str) -> Any:
        members = self._enumerations[name]
        return type(name, (), {member: Symbol(f"{name}.{member}") for member in members})


class DeclaredLayer:
    """A layer that has the attributes its class declares, and no other."""

    _declared: dict[str, Any]
    _members: dict[str, str]

    def __init__(self, name: str, declared: dict[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_declared", declared)
        object.__setattr__(self, "_members", declared["classes"][name])

    def __setattr__(self, name: str, value: object) -> None:
        assert name in self._members, f"{self._name} has no {name}"

    def get_output(self, index: int) -> Symbol:
        return Symbol(f"{self._name} output {index}")

    def __getattr__(self, name: str) -> Callable[..., DeclaredLayer]:
        """The methods by which loops and conditionals add layers."""
        assert name.startswith("add_") or name == "set_condition"
        assert name in self._members, f"{self._name} has no {name}"
        return _adding(name, self._members[name], self._declared)

    def set_input(self, index: int, tensor: object) -> None:
        assert isinstance(tensor, Symbol)


def _adding(name: str, signature: str, declared: dict[str, Any]) -> Callable[..., DeclaredLayer]:
    """A method that gives a layer, with the arguments of its signature."""

    def call(*arguments: object, **keywords: object) -> DeclaredLayer:
        match = re.search(r"\(self: [\w.]+(.*)\) -> [\w.]*?(\w+)$", signature)
        assert match, f"{name}: {signature}"
        parameters = re.findall(r", (\w+): ", match[1])
        assert len(arguments) + len(keywords) <= len(parameters), f"{name} takes {parameters}"
        assert set(keywords) <= set(parameters[len(arguments) :]), f"{name} takes {parameters}"
        return DeclaredLayer(match[2], declared)

    return call


class Declared:
    """Stands in for an INetworkDefinition of these bindings."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self.declared = declared
        self.network = declared["classes"]["INetworkDefinition"]
        self.trt = Module(declared)

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return Symbol(label)

    def weights_of(self, weight: Weight, label: str) -> Any:
        return Symbol(label)

    def no_weights(self, dtype: DataType) -> Any:
        return Symbol("no weights")

    def plugin(self, plugin: SettledPlugin, label: str) -> Any:
        if plugin.is_bundled:
            return Symbol(label)
        declared = self.declared["plugins"][f"{plugin.name} {plugin.version}"]
        given = {field.name: field.type.trt_name for field in plugin.fields}
        assert given == declared, f"{plugin.name} has the fields {declared}"
        return Symbol(label)

    def data_type(self, dtype: DataType) -> Any:
        return getattr(self.trt.DataType, dtype.trt_name)

    def has(self, name: str) -> bool:
        return name in self.network

    def method(self, name: str) -> Callable[..., DeclaredLayer]:
        assert name in self.network, f"INetworkDefinition has no {name}"
        return _adding(name, self.network[name], self.declared)


every_binding = pytest.mark.parametrize("name", ["rtx", *dict.fromkeys(["8.6", "10.15", *NAMED])])


def _runtime(name: str, declared: dict[str, Any]) -> Runtime:
    version = tuple(int(part) for part in declared["version"].split("."))
    return Runtime("rtx" if name == "rtx" else "tensorrt", version)


@every_binding
def test_control_flow_uses_what_the_bindings_declare(name: str, tmp_path: Path) -> None:
    declared = bindings_of(name)
    for case in CONTROL_CASES:
        _lower_graph(case.id, loaded(case, tmp_path).typed, declared, _runtime(name, declared))


@every_binding
def test_lowerings_use_what_the_bindings_declare(name: str) -> None:
    declared = bindings_of(name)
    runtime = _runtime(name, declared)
    lowered = [case for case in cases() if _lower(case, declared, runtime)]
    assert len(lowered) > 250


def _lower(case: Case, declared: dict[str, Any], runtime: Runtime) -> bool:
    """Lower a case; one of types that the runtime does not know is left out."""
    graph = case.graph()
    if {tensor.dtype for tensor in graph.types.values()} - runtime.dtypes:
        return False
    if case.op.built_on and runtime.is_rtx:
        return False
    if case.op.kind in ("nms", "non_zero") and not runtime.has_data_dependent_sizes:
        return False
    _lower_graph(case.id, graph, declared, runtime)
    return True


def _lower_graph(name: str, graph: Graph, declared: dict[str, Any], runtime: Runtime) -> None:
    state = NetworkState(Declared(declared), runtime, graph)
    state.tensors.update({entry.name: Symbol(entry.name) for entry in graph.inputs})

    def lower(layer: Layer) -> None:
        net = LayerNet(state, layer, graph.types, Lowering(lower, lambda net, given: given))
        result = layer.op.to_tensorrt(net, *(tensor and state.tensor(tensor) for tensor in layer.inputs))
        outputs = result if isinstance(result, tuple) else (result,)
        state.tensors.update(zip(layer.outputs, outputs, strict=True))

    for layer in graph.layers:
        try:
            lower(layer)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
