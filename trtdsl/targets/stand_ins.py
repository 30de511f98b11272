"""What stands in for TensorRT's objects while a network is written down: expressions and statements of Python.

A layer or a tensor is a variable of the program, and each call and each attribute set on one becomes a statement. So
whatever a lowering does to what `add_*` gives has a counterpart on `RecordedLayer`.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from trtdsl.plugins.fields import Field
from trtdsl.targets.plugins import SettledPlugin
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType
from trtdsl.weights import Weight


class Notation(Protocol):
    """How weights are written."""

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> str:
        """An expression for computed elements, in the storage of their type."""
        ...

    def weights_of(self, weight: Weight, label: str) -> str:
        """An expression for a parameter's elements."""
        ...


def written(value: object) -> str:
    """A value as Python reads it: numbers that are not finite have no literal."""
    if isinstance(value, (list, tuple)):
        items = ", ".join(map(written, value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _elements(field: Field) -> object:
    """The value of a field as scripts have it: a text, or a list."""
    return field.elements if isinstance(field.elements, str) else list(field.elements)


def _given(arguments: Iterable[object], keywords: Mapping[str, object]) -> str:
    """The arguments of a call."""
    named = (f"{key}={written(value)}" for key, value in keywords.items())
    return ", ".join([*map(written, arguments), *named])


class Symbol:
    """A Python expression that stands for a value of TensorRT; attributes of it are expressions as well."""

    text: str
    _recorder: Recorder | None

    def __init__(self, text: str, recorder: Recorder | None = None) -> None:
        """With a recorder it is a tensor, of which may be set what is then written down."""
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_recorder", recorder)

    def __setattr__(self, name: str, value: object) -> None:
        assert self._recorder is not None, f"{self.text} is no tensor"
        self._recorder.statements.append(f"{self.text}.{name} = {written(value)}")

    def __repr__(self) -> str:
        return self.text

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return Symbol(f"{self.text}.{name}")


class RecordedLayer:
    """Writes down what is set on a layer; `recorded_method` is the one that added it."""

    _text: str
    _recorder: Recorder
    recorded_method: str

    def __init__(self, text: str, recorder: Recorder, method: str) -> None:
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "_recorder", recorder)
        object.__setattr__(self, "recorded_method", method)

    def __setattr__(self, name: str, value: object) -> None:
        self._recorder.statements.append(f"{self._text}.{name} = {written(value)}")

    def __repr__(self) -> str:
        return self._text

    def get_output(self, index: int) -> Symbol:
        return Symbol(f"{self._text}.get_output({index})", self._recorder)

    def set_input(self, index: int, tensor: object) -> None:
        self._recorder.statements.append(f"{self._text}.set_input({index}, {tensor!r})")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Any other method, as raw layers call them; how many outputs there are is known to a real layer only."""
        if name.startswith("_") or name == "num_outputs":
            raise AttributeError(name)
        if self.recorded_method in _BOUNDARIES:
            boundary = _BOUNDARIES[self.recorded_method].get(name, name)
            return self._recorder.adding(f"{self._text}.{name}", boundary)

        def call(*arguments: object, **keywords: object) -> None:
            self._recorder.statements.append(f"{self._text}.{name}({_given(arguments, keywords)})")

        return call


_BOUNDARIES: Mapping[str, Mapping[str, str]] = {
    "add_loop": {},
    "add_if_conditional": {
        "set_condition": "add_condition",
        "add_input": "add_if_conditional_input",
        "add_output": "add_if_conditional_output",
    },
}
"""What add no layer but a construct whose own methods do, and those of these that are not called as their layers."""


class Recorder:
    """Stands in for an INetworkDefinition."""

    def __init__(self, runtime: Runtime, notation: Notation) -> None:
        self._runtime = runtime
        self._notation = notation
        self.statements: list[str] = []
        self.trt = Symbol("trt")
        self._count = 0
        self._variables: set[str] = set()

    def take(self) -> tuple[str, ...]:
        """The statements since the last call."""
        taken, self.statements = tuple(self.statements), []
        return taken

    def weights(self, array: np.ndarray[Any, Any], dtype: DataType, label: str) -> Any:
        return Symbol(self._notation.weights(array, dtype, label))

    def weights_of(self, weight: Weight, label: str) -> Any:
        return Symbol(self._notation.weights_of(weight, label))

    def no_weights(self, dtype: DataType) -> Any:
        return Symbol(f"trt.Weights({self.data_type(dtype)!r})")

    def plugin(self, plugin: SettledPlugin, label: str) -> Any:
        fields = [(field.name, str(field.type), _elements(field)) for field in plugin.fields]
        arguments = (plugin.name, plugin.version, plugin.namespace, fields, label)
        return Symbol(f"plugin({', '.join(map(written, arguments))})")

    def data_type(self, dtype: DataType) -> Any:
        return Symbol(f"trt.DataType.{dtype.trt_name}")

    def has(self, name: str) -> bool:
        return self._runtime.has_method(name)

    def method(self, name: str) -> Callable[..., Any]:
        return self.adding(f"network.{name}", name)

    def adding(self, function: str, method: str) -> Callable[..., Any]:
        """A function that adds a layer, which has a variable of its own."""

        def call(*arguments: object, **keywords: object) -> RecordedLayer:
            variable = f"layer{self._count}"
            self._count += 1
            self.statements.append(f"{variable} = {function}({_given(arguments, keywords)})")
            return RecordedLayer(variable, self, method)

        return call

    def named(self, name: str, tensor: object) -> Symbol:
        """Give a tensor the variable that later statements read."""
        if isinstance(tensor, RecordedLayer):
            tensor = tensor.get_output(0)
        if isinstance(tensor, Symbol) and tensor.text in self._variables:
            return tensor  # an op that adds nothing hands its input on
        variable = self._variable(name)
        self.statements.append(f"{variable} = {tensor!r}")
        return Symbol(variable, self)

    def _variable(self, name: str) -> str:
        """A Python variable like a tensor's name, which nothing else has."""
        variable = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if variable[:1].isdigit():
            variable = f"_{variable}"
        while variable in self._variables or variable in _RESERVED or _NO_VARIABLE.fullmatch(variable):
            variable += "_"
        self._variables.add(variable)
        return variable


_RESERVED = {
    *keyword.kwlist,
    *("network", "trt", "np", "weights", "stored", "typing", "plugin", "load_plugins", "float", "builder"),
}
"""Names that mean something else in the statements."""
_NO_VARIABLE = re.compile(r"layer\d+|[lIO]?")
"""The variables of layers, and letters that look like digits."""
