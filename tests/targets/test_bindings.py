"""Every lowering against the signatures of real bindings, 8.6.1 and 10.15 among them, which cannot build on a CPU.

A stand-in for INetworkDefinition takes the calls of every op case and refuses methods, arguments, attributes and
enumeration members that the bindings do not declare. `TRTDSL_BINDINGS` names folders with bindings, separated by
colons, that can be imported where `LD_LIBRARY_PATH` leads to their libraries.
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

from tests.ops.harness import Case, cases
from trtdsl.targets.network import LayerNet, NetworkState
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

DUMP = Path(__file__).with_name("bindings.py")


def _declared(module: str, **environment: str) -> dict[str, Any] | None:
    done = subprocess.run(
        [sys.executable, str(DUMP), module],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def _all_bindings() -> dict[str, dict[str, Any] | None]:
    found = {"rtx": _declared("tensorrt_rtx")}
    for folder in filter(None, os.environ.get("TRTDSL_BINDINGS", "").split(":")):
        found[Path(folder).name] = _declared("tensorrt_bindings", PYTHONPATH=folder)
    return found


BINDINGS = _all_bindings()


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

    def __init__(self, name: str, declared: dict[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_members", declared["classes"][name])

    def __setattr__(self, name: str, value: object) -> None:
        assert name in self._members, f"{self._name} has no {name}"

    def get_output(self, index: int) -> Symbol:
        return Symbol(f"{self._name} output {index}")

    def set_input(self, index: int, tensor: object) -> None:
        assert isinstance(tensor, Symbol)


class Declared:
    """Stands in for an INetworkDefinition of these bindings."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self.declared = declared
        self.network = declared["classes"]["INetworkDefinition"]
        self.trt = Module(declared)

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return Symbol(label)

    def no_weights(self, dtype: DataType) -> Any:
        return Symbol("no weights")

    def data_type(self, dtype: DataType) -> Any:
        return getattr(self.trt.DataType, dtype.trt_name)

    def has(self, name: str) -> bool:
        return name in self.network

    def method(self, name: str) -> Callable[..., DeclaredLayer]:
        assert name in self.network, f"INetworkDefinition has no {name}"
        signature = self.network[name]

        def call(*arguments: object, **keywords: object) -> DeclaredLayer:
            match = re.search(r"\(self: [\w.]+(.*)\) -> [\w.]*?(\w+)$", signature)
            assert match, f"{name}: {signature}"
            parameters = re.findall(r", (\w+): ", match[1])
            assert len(arguments) + len(keywords) <= len(parameters), f"{name} takes {parameters}"
            assert set(keywords) <= set(parameters[len(arguments) :]), f"{name} takes {parameters}"
            return DeclaredLayer(match[2], self.declared)

        return call


@pytest.mark.parametrize("name", BINDINGS)
def test_lowerings_use_what_the_bindings_declare(name: str) -> None:
    declared = BINDINGS[name]
    if declared is None:
        pytest.skip(f"the bindings of {name} cannot be imported here")
    version = tuple(int(part) for part in declared["version"].split("."))
    runtime = Runtime("rtx" if name == "rtx" else "tensorrt", version)
    lowered = [case for case in cases() if _lower(case, declared, runtime)]
    assert len(lowered) > 250


def _lower(case: Case, declared: dict[str, Any], runtime: Runtime) -> bool:
    """Lower a case; one of types that the runtime does not know is left out."""
    graph = case.graph()
    if {tensor.dtype for tensor in graph.types.values()} - runtime.dtypes:
        return False
    state = NetworkState(Declared(declared), runtime, graph)
    state.tensors.update({entry.name: Symbol(entry.name) for entry in graph.inputs})
    for layer in graph.layers:
        net = LayerNet(state, layer, graph.types)
        try:
            result = layer.op.to_tensorrt(net, *(name and state.tensors[name] for name in layer.inputs))
        except AssertionError as error:
            raise AssertionError(f"{case.id}: {error}") from error
        outputs = result if isinstance(result, tuple) else (result,)
        state.tensors.update(zip(layer.outputs, outputs, strict=True))
    return True


def test_says_which_bindings_were_not_there() -> None:
    if not os.environ.get("TRTDSL_BINDINGS"):
        pytest.skip("the bindings of TensorRT 8.6.1 and 10.15 were NOT checked: TRTDSL_BINDINGS names none")
    assert all(BINDINGS.values())
