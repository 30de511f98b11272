"""Sizes computed while an engine runs, from the dimensions of tensors that are there: the same for every target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from trtdsl.errors import unreachable
from trtdsl.graph import Graph
from trtdsl.types import Arithmetic, Expression, Shape, Symbol, steps_back


class SizeTensors(ABC):
    """Makes 1-d integer tensors that hold sizes; what is known of the target is how to compute with two of them."""

    @abstractmethod
    def shape_numbers(self, sizes: list[int]) -> Any:
        """A constant 1-d tensor of sizes."""

    @abstractmethod
    def size_of_axis(self, tensor: str, axis: int) -> Any:
        """The size of one axis of a tensor of the graph, as a tensor of one element."""

    @abstractmethod
    def combine_sizes(self, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, element by element; the operator is one of `+ - * // min max`."""

    @abstractmethod
    def join_sizes(self, pieces: list[Any]) -> Any:
        """1-d tensors put behind each other."""

    @property
    @abstractmethod
    def known_sizes(self) -> dict[Expression, Any]:
        """Tensors of one element that are made already, by what they hold."""

    @property
    @abstractmethod
    def sized_graph(self) -> Graph:
        """The graph whose dimensions these are."""

    def shape_tensor(self, dims: Shape) -> Any:
        """A 1-d tensor of these sizes."""
        pieces: list[Any] = []
        static: list[int] = []
        for dim in dims:
            if isinstance(dim.expression, int):
                static.append(dim.expression)
                continue
            if static:
                pieces.append(self.shape_numbers(static))
                static = []
            pieces.append(self._size(dim.expression))
        if static or not pieces:
            pieces.append(self.shape_numbers(static))
        return pieces[0] if len(pieces) == 1 else self.join_sizes(pieces)

    def _size(self, expression: Expression) -> Any:
        if expression not in self.known_sizes:
            self.known_sizes[expression] = self._make_size(expression)
        return self.known_sizes[expression]

    def _make_size(self, expression: Expression) -> Any:
        if isinstance(expression, int):
            return self.shape_numbers([expression])
        if isinstance(expression, Symbol):
            name, axis, steps = source_of(self.sized_graph, expression)
            size = self.size_of_axis(name, axis)
            for operator, number in steps:
                size = self.combine_sizes(operator, size, self.shape_numbers([number]))
            return size
        return self._compute_size(expression)

    def _compute_size(self, expression: Arithmetic) -> Any:
        left, right = self._size(expression.left), self._size(expression.right)
        if expression.operator == "%":
            quotient = self.combine_sizes("//", left, right)
            return self.combine_sizes("-", left, self.combine_sizes("*", quotient, right))
        return self.combine_sizes(expression.operator, left, right)


def source_of(graph: Graph, symbol: Symbol) -> tuple[str, int, tuple[tuple[str, int], ...]]:
    """The tensor and the axis that have a dimension, and the steps from the axis' size to it.

    That is a network input for a declared dimension, the output of a layer for one that hangs on data.
    """
    found = [
        (len(steps), name, axis, steps)
        for name, shape in _shapes(graph, of_layers=symbol.is_data_dependent)
        for axis, dim in enumerate(shape)
        if (steps := steps_back(dim.expression, symbol)) is not None
    ]
    if not found:
        unreachable(f"no tensor has the dimension {symbol}")
    _, name, axis, steps = min(found, key=lambda source: source[0])
    return name, axis, steps


def _shapes(graph: Graph, *, of_layers: bool) -> Iterator[tuple[str, Shape]]:
    if not of_layers:
        yield from ((entry.name, entry.type.shape) for entry in graph.inputs)
        return
    for layer in graph.all_layers():
        yield from ((name, graph.types[name].shape) for name in layer.outputs)
