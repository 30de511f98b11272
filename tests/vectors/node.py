"""One node of a published model, as the tables see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from tests.vectors.document import Value, run_type
from tests.vectors.published import Array
from tests.vectors.reasons import LeftOut, Reason

if TYPE_CHECKING:
    from tests.vectors.importer import Importer

_EVALUATED_FROM = 11
"""The version from which on ONNX's evaluator knows Gemm; older ones say the same."""
_UNTYPED = ("cast", "constant")

Mapper = Callable[["Node"], "str | tuple[str | None, ...]"]


class Node:
    """One node of the model, as its mapper sees it."""

    def __init__(self, importer: Importer, proto: Any, scope: dict[str, Value]) -> None:
        self.importer = importer
        self.proto = proto
        self.scope = scope
        self.values = [scope[name] for name in proto.input]
        self.version = importer.case.versions[proto.domain]
        self._attributes = {entry.name: entry for entry in proto.attribute}
        self._results: list[Any] | None = None
        self._exact = False

    @property
    def op_type(self) -> str:
        return str(self.proto.op_type)

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value."""
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.proto.input) and bool(self.proto.input[index])

    def wants(self, index: int) -> bool:
        """Whether there is such an output."""
        return index < len(self.proto.output) and bool(self.proto.output[index])

    def x(self, index: int = 0) -> str:
        """An input as a tensor of the network."""
        return self.importer.tensor(self.values[index])

    def known(self, index: int) -> Array:
        """An input's elements, to be written into the network."""
        self.values[index].is_read = True
        array: Array = self.values[index].array
        return array

    def ints(self, index: int) -> list[int]:
        """An input's elements as whole numbers."""
        return [int(value) for value in self.known(index).reshape(-1)]

    def axes(self, index: int = 1) -> list[int] | None:
        """Axes, which older operators have as an attribute and later ones as an input; None where they are absent."""
        if self.has(index):
            return self.ints(index)
        found = self.attribute("axes")
        return None if found is None else list(found)

    def rank(self, index: int = 0) -> int:
        return int(self.values[index].array.ndim)

    def sizes(self, index: int = 0) -> tuple[int, ...]:
        """An input's shape; the network then fits no other."""
        self.importer.document.has_fixed_sizes = True
        return tuple(self.values[index].array.shape)

    def channels(self, index: int = 0, axis: int = 1) -> int:
        """The size of an axis that is fixed anyway, by the shapes of weights."""
        return int(self.values[index].array.shape[axis])

    def dtype(self, index: int = 0) -> np.dtype[Any]:
        found: np.dtype[Any] = self.values[index].array.dtype
        return found

    def is_float(self, index: int = 0) -> bool:
        return run_type(self.values[index].array) in ("fp32", "fp16")

    def is_bool(self, index: int = 0) -> bool:
        return run_type(self.values[index].array) == "bool"

    @property
    def results(self) -> list[Any]:
        """The outputs' elements in the published run."""
        if self._results is None:
            case = self.importer.case
            if all(name in case.outputs or not name for name in self.proto.output) and self.importer.is_single:
                self._results = [case.outputs.get(name) for name in self.proto.output]
            else:
                self._results = self._evaluate()
        return self._results

    def _evaluate(self) -> list[Any]:
        feeds = {name: value.array for name, value in zip(self.proto.input, self.values, strict=True) if name}
        versions = dict(self.importer.case.versions)
        proto = self.proto
        if versions.get("", 13) < 13 and self.op_type in ("Squeeze", "Unsqueeze") and self.attribute("axes"):
            array = self.values[0].array
            axes = tuple(self.attribute("axes"))
            return [np.expand_dims(array, axes) if self.op_type == "Unsqueeze" else np.squeeze(array, axes)]
        if versions.get("", _EVALUATED_FROM) < _EVALUATED_FROM and self.op_type == "Gemm":
            versions = {"": _EVALUATED_FROM}
            proto = onnx.NodeProto()
            proto.CopyFrom(self.proto)
            del proto.attribute[:]
            proto.attribute.extend(entry for entry in self.proto.attribute if entry.name != "broadcast")
        inner = {name for entry in proto.attribute if entry.HasField("g") for name in _read_inside(entry.g)}
        feeds |= {name: value.array for name, value in self.scope.items() if name in inner and name}
        graph = onnx.GraphProto(name="node", node=[proto])
        graph.input.extend(onnx.ValueInfoProto(name=name) for name in feeds)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in proto.output if name)
        with np.errstate(all="ignore"):
            found = iter(ReferenceEvaluator(graph, opsets=versions).run(None, feeds))
        return [np.asarray(next(found)) if name else None for name in proto.output]

    def in_fp32(self) -> None:
        """Say that this node's layers hold whole numbers in floats, for which fp16 is too narrow."""
        self._exact = True

    def precision(self) -> str | None:
        """The layer's own precision, where the model's types are not all the same."""
        if self._exact:
            return "fp32"
        floats = {
            value.array.dtype.name
            for value in self.values
            if isinstance(value.array, np.ndarray) and value.array.dtype.name in ("float32", "float16")
        }
        if self.importer.is_single or not floats:
            return None
        return "fp16" if floats == {"float16"} else "fp32"

    def layer(self, op: str, *inputs: str | None, **parameters: Any) -> str:
        """Add a layer; gives its name. Arrays among the parameters are weights, None is left out."""
        return self.importer.layer(op, inputs, parameters, self.precision() if op not in _UNTYPED else None)

    def second(self, op: str, x: str, index: int) -> str:
        """A layer whose second operand is an input, written down where it is the same for all inputs."""
        value = self.values[index]
        if value.is_static:
            return self.layer(op, x, other=value.array)
        return self.layer(op, x, self.x(index))

    def differs(self, reason: Reason, detail: str) -> None:
        """Say that TensorRT means something else by this layer, so that the numbers are not those expected."""
        self.importer.document.differs = LeftOut(reason, detail)

    def refuse(self, reason: Reason, detail: str = "") -> LeftOut:
        """To be raised."""
        return LeftOut(reason, detail)


def _read_inside(graph: Any) -> Iterator[str]:
    """The names that a graph's nodes read."""
    for node in graph.node:
        yield from node.input
        for entry in node.attribute:
            if entry.HasField("g"):
                yield from _read_inside(entry.g)
