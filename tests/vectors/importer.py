"""A published model as a network file: node by node, by the tables of `tests/vectors/tables`.

Inputs are fed to the network, unless a layer wants their elements written down: the axes of a reduction, the kernel of
a convolution. Such parameters are read from the published arrays, and the input is not declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from tests.vectors.document import NATIVE, Document, Value, run_type, storage
from tests.vectors.left_out import OPERATORS as LEFT_OUT
from tests.vectors.node import Mapper, Node
from tests.vectors.published import Array, Published
from tests.vectors.reasons import LeftOut, Reason

_LARGEST_INLINE = 64
_CONTROL = ("If", "Loop", "Scan", "SequenceMap")


class Importer:
    """Makes the document of one model."""

    def __init__(self, case: Published, mappers: Mapping[str, Mapper], prefix: str = "") -> None:
        self.case = case
        self.mappers = mappers
        self.prefix = prefix
        self.document = Document()
        self.as_types: set[str] = set()
        self.layers = self.document.layers
        """Where layers go: into the network, or into the body of a loop or branch."""
        self._count = 0
        self.is_single = len(case.model.graph.node) == 1

    def run(self) -> Document:
        """The document. Raises LeftOut."""
        graph = self.case.model.graph
        scope: dict[str, Value] = {"": Value(None, True)}
        for name, array in self.case.inputs.items():
            if array is None or isinstance(array, list):
                raise LeftOut(Reason.SEQUENCES)
            scope[name] = Value(array, False, feed=name)
        for output in self.case.outputs.values():
            if output is None or isinstance(output, list):
                raise LeftOut(Reason.SEQUENCES)
        self.add_graph(graph, scope, {entry.name for entry in graph.output})
        for name, expected in self.case.outputs.items():
            self._deliver(name, expected, scope[name])
        self._prune()
        self._set_precision()
        if not self.document.inputs:
            # A network has inputs, even one that only makes a constant.
            self.document.is_unfed = True
            self.document.inputs[f"{self.prefix}unused"] = {"shape": [1], "dtype": "fp32"}
            self.document.feeds[f"{self.prefix}unused"] = np.zeros(1, np.float32)
        self.document.as_types = frozenset(self.as_types)
        if self.is_single:
            fed = (scope[name] for name in self.case.inputs)
            self.document.unread = frozenset(
                str(value.feed) for value in fed if not value.is_read and value.tensor not in self.document.inputs
            )
        return self.document

    def add_graph(self, graph: Any, scope: dict[str, Value], delivered: set[str]) -> None:
        """Add the layers of a graph, whose inputs are in `scope`; its tensors are there afterwards."""
        for entry in graph.initializer:
            scope[entry.name] = Value(onnx.numpy_helper.to_array(entry), True)
        for node in graph.node:
            self._add_node(node, scope, delivered)

    def _add_node(self, proto: Any, scope: dict[str, Value], delivered: set[str]) -> None:
        node = Node(self, proto, scope)
        is_known = all(value.is_static for value in node.values) and proto.op_type not in _CONTROL
        sizes_only = proto.op_type in ("Shape", "Size")
        if (is_known or sizes_only) and not delivered & set(proto.output):
            self.document.has_fixed_sizes |= sizes_only
            for name, array in zip(proto.output, node.results, strict=True):
                scope[name] = Value(array, True)
            return
        if proto.op_type not in self.mappers:
            raise LeftOut(*LEFT_OUT[proto.op_type])
        made = self.mappers[proto.op_type](node)
        tensors = made if isinstance(made, tuple) else (made,)
        for index, name in enumerate(proto.output):
            tensor = tensors[index] if index < len(tensors) else None
            if name and (proto.op_type in _CONTROL) and isinstance(tensor, Value):
                scope[name] = tensor
            elif name:
                result = node.results[index]
                # What has no elements is the same for all inputs.
                is_empty = not result.size and name not in delivered
                scope[name] = Value(result, is_empty, None if is_empty else tensor)

    def tensor(self, value: Value) -> str:
        """The name of a value in the network, which gets an input or a constant for it if it needs one."""
        if value.tensor is None:
            if isinstance(value.array, np.ndarray) and not value.array.size and value.feed is None:
                raise LeftOut(Reason.EMPTY)
            if value.feed is not None:
                value.tensor = self._feed(value.feed, value.array)
            elif value.is_static:
                value.tensor = self.constant(value.array)
            else:
                raise LeftOut(Reason.NOT_OFFERED, "an output that trtdsl's op does not have")
        return value.tensor

    def _feed(self, name: str, array: Array) -> str:
        dtype = run_type(array)
        tensor = self.prefix + re.sub(r"\W", "_", f"in_{name}")
        self.document.inputs[tensor] = {"shape": list(array.shape), "dtype": dtype}
        self.document.feeds[tensor] = array.astype(storage(dtype))
        self._note(array, dtype)
        return tensor

    def constant(self, array: Array) -> str:
        """The output of a constant layer."""
        # Outside of all bodies, whoever asks for it first.
        inner, self.layers = self.layers, self.document.layers
        name = self.layer("constant", (), {"value": array, "dtype": run_type(array)})
        self.layers = inner
        return name

    def layer(
        self, op: str, inputs: Sequence[str | None], parameters: Mapping[str, Any], precision: str | None = None
    ) -> str:
        """Add a layer; gives its name. Arrays among the parameters are weights."""
        name = f"{self.prefix}l{self.number()}"
        layer: dict[str, Any] = {"op": op, "name": name}
        if inputs:
            layer["in"] = list(inputs)
        for key, value in parameters.items():
            if value is not None:
                layer[key] = self._weight(f"{name}.{key}", value) if isinstance(value, np.ndarray) else _plain(value)
        if precision is not None:
            layer["precision"] = precision
        self.layers.append(layer)
        return name

    def number(self) -> int:
        """One that no layer has."""
        self._count += 1
        return self._count - 1

    @contextmanager
    def body(self) -> Iterator[list[dict[str, Any]]]:
        """A list that takes the layers that are added meanwhile."""
        outer, self.layers = self.layers, []
        yield self.layers
        self.layers = outer

    def _weight(self, key: str, array: Array) -> Any:
        dtype = run_type(array)
        array = array.astype(storage(dtype))
        is_written = array.size <= _LARGEST_INLINE and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))
        if is_written and array.size:
            return array.astype(np.float32).tolist() if dtype == "fp16" else array.tolist()
        self.document.weights[key] = array
        return {"key": key}

    def _deliver(self, name: str, expected: Array, value: Value) -> None:
        tensor = self.tensor(value)
        dtype = run_type(expected)
        if tensor in self.document.inputs:
            tensor = self.layer("identity", (tensor,), {})
        output = self.prefix + re.sub(r"\W", "_", f"out_{name}")
        self.document.outputs[output] = {"tensor": tensor} | ({"dtype": "fp16"} if dtype == "fp16" else {})
        self.document.expected[output] = expected
        self._note(expected, dtype)

    def _note(self, array: Array, dtype: str) -> None:
        if array.dtype.name not in NATIVE and array.dtype.name != dtype:
            self.as_types.add(f"{array.dtype.name} as {dtype}")

    def _prune(self) -> None:
        """Leave out layers and inputs that no output hangs on."""
        needed = {entry["tensor"].partition(":")[0] for entry in self.document.outputs.values()}
        kept = []
        for layer in reversed(self.document.layers):
            if layer["name"] in needed:
                kept.append(layer)
                needed |= {word.partition(":")[0] for word in _words(layer)}
        document = self.document
        document.layers[:] = kept[::-1]
        document.inputs = {name: entry for name, entry in document.inputs.items() if name in needed}
        document.feeds = {name: document.feeds[name] for name in document.inputs}
        keys = {word for layer in kept for word in _words(layer)}
        document.weights = {key: array for key, array in document.weights.items() if key in keys}

    def _set_precision(self) -> None:
        """The precision that layers without one of their own compute in: that of the floats fed."""
        types = {entry["dtype"] for entry in self.document.inputs.values()}
        if "fp16" in types and "fp32" not in types and not self.document.sums_in_fp32:
            self.document.precision = "fp16"


def _words(value: Any) -> Iterator[str]:
    """All text in a layer: among it the tensors that it reads, those that layers inside it read included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _words(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _words(entry)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value
