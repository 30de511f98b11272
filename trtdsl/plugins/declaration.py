"""A plugin.yaml: the one statement of a plugin, from which its C++ and the checks on the side of YAML come.

It states the plugin's fields in the creator's order, its inputs, its outputs with their shapes as formulas over sizes
of inputs and fields, the types and layouts that its kernels take, and what has to hold besides (`requires`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trtdsl.expressions import Budget, ExpressionError, Part, evaluate, parse
from trtdsl.plugins.fields import Elements, FieldDeclaration, FieldType, stored
from trtdsl.source import Span
from trtdsl.types import DataType, Dim, Shape

NAMESPACE = "trtdsl"
"""The namespace of all plugins that are made from a plugin.yaml."""
V2, V3 = "1", "2"
"""The versions under which such a plugin is known as IPluginV2DynamicExt and as IPluginV3."""

LAYOUTS = ("linear", "hwc8")
"""How elements lie in memory: rows, or channels last with their number rounded up to eight."""


@dataclass(frozen=True)
class Formula:
    """An expression over inputs, which are lists of their sizes, and fields, which are numbers or lists of such."""

    text: str
    span: Span
    part: Part = field(repr=False, compare=False)

    @classmethod
    def of(cls, text: str, span: Span) -> Formula:
        """Raises ExpressionError, whose offsets are those in the text."""
        try:
            [part] = parse(f"$({text})")
        except ExpressionError as error:
            raise ExpressionError(error.code, error.message, error.offset - 2, error.length, error.hint) from None
        assert isinstance(part, Part)
        return cls(text, span, part)

    @property
    def tree(self) -> ast.expr:
        """The expression as Python's syntax tree, which holds nothing beyond the language of expressions."""
        return self.part.tree

    @property
    def names(self) -> frozenset[str]:
        """The inputs and fields that it reads, and the functions that it calls."""
        return frozenset(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name))

    def value(self, variables: Mapping[str, Any]) -> Any:
        """Its value. Raises ExpressionError."""
        return evaluate((self.part,), variables, Budget())


@dataclass(frozen=True)
class InputDeclaration:
    """An input: the ranks that it may have (None: any), and whether it may be left out."""

    name: str
    ranks: tuple[int, ...] | None = None
    optional: bool = False
    help: str = ""


@dataclass(frozen=True)
class OutputDeclaration:
    """An output. `dtype` is an element type, or the name of the input whose type it has.

    The tree of `shape` is a list with a formula for each size, or the name of the input whose shape it has.
    """

    name: str
    shape: Formula
    dtype: DataType | str
    help: str = ""

    @property
    def same_shape_as(self) -> str | None:
        """The input whose shape it has, where that is all."""
        return self.shape.tree.id if isinstance(self.shape.tree, ast.Name) else None

    @property
    def sizes(self) -> tuple[ast.expr, ...]:
        """The trees of its sizes; none where it has the shape of an input."""
        return tuple(self.shape.tree.elts) if isinstance(self.shape.tree, ast.List) else ()


@dataclass(frozen=True)
class TensorFormat:
    """An element type and a layout."""

    dtype: DataType
    layout: str


Format = Mapping[str, TensorFormat]
"""What every input and output has at once, by name."""


@dataclass(frozen=True)
class Requirement:
    """What has to be true of fields and of every shape, and what to say otherwise."""

    that: Formula
    otherwise: str


@dataclass(frozen=True)
class PluginDeclaration:
    """All that a plugin.yaml states. `folder` is the name of the folder that it lies in."""

    name: str
    folder: str
    help: str
    fields: tuple[FieldDeclaration, ...]
    inputs: tuple[InputDeclaration, ...]
    outputs: tuple[OutputDeclaration, ...]
    formats: tuple[Format, ...]
    requires: tuple[Requirement, ...]
    span: Span

    def field(self, name: str) -> FieldDeclaration | None:
        return next((declared for declared in self.fields if declared.name == name), None)

    def dtypes_of(self, tensor: str) -> tuple[DataType, ...]:
        """The element types that an input or output may have."""
        return tuple(dict.fromkeys(entry[tensor].dtype for entry in self.formats))

    def variables(self, values: Mapping[str, Elements], shapes: Mapping[str, Shape | None]) -> dict[str, Any]:
        """What formulas read: fields as numbers or lists, inputs as lists of sizes; null for one that is left out.

        Fields without a value have their default. Static sizes are plain numbers.
        """
        variables: dict[str, Any] = {}
        for declared in self.fields:
            elements = values.get(declared.name, declared.default)
            assert elements is not None, f"{self.name} has no {declared.name}"
            variables[declared.name] = _variable(declared, elements)
        for name, shape in shapes.items():
            variables[name] = None if shape is None else [dim.value if dim.is_static else dim for dim in shape]
        return variables

    def output_shapes(self, variables: Mapping[str, Any]) -> dict[str, Shape]:
        """The shape of every output. Raises ExpressionError."""
        shapes = {}
        for output in self.outputs:
            value = output.shape.value(variables)
            shapes[output.name] = tuple(size if isinstance(size, Dim) else Dim.of(size) for size in value)
        return shapes


def _variable(declared: FieldDeclaration, elements: Elements) -> Any:
    """What a formula reads of a field: the very number that the plugin gets, which fp32 may have rounded."""
    if isinstance(elements, str):
        return elements
    if declared.type is not None and declared.type.is_float:
        elements = tuple(stored(number, declared.type) for number in elements)  # type: ignore[arg-type]
    if declared.type is FieldType.BOOL and not declared.is_list:
        return bool(elements[0])
    if declared.type is FieldType.DIMS and not declared.is_list:
        return list(elements[0])  # type: ignore[arg-type]
    return [*elements] if declared.is_list else elements[0]
