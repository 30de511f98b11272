"""Data types, dimensions with their sizes at the minimum, optimum and maximum, and the type of a tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class DataType(Enum):
    """The element types of tensors and weights; the value is the name used in YAML."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    FP4 = "fp4"
    E8M0 = "e8m0"
    INT64 = "int64"
    INT32 = "int32"
    INT8 = "int8"
    INT4 = "int4"
    UINT8 = "uint8"
    BOOL = "bool"

    def __str__(self) -> str:
        return self.value

    @property
    def is_float(self) -> bool:
        return self in FLOATS

    @property
    def storage(self) -> str:
        """The numpy dtype that holds one element; types that numpy lacks are held as bits of the same width."""
        return _STORAGE[self]

    @property
    def trt_name(self) -> str:
        """The member of `tensorrt.DataType`."""
        return _TRT_NAMES.get(self, self.name)

    @property
    def reach(self) -> float:
        """The largest magnitude of a type that numbers are quantised to, the same on both sides of zero."""
        return _REACH[self]


PRECISIONS = (DataType.FP32, DataType.FP16, DataType.BF16)
"""The types that layers compute in, in the order in which messages list them."""
QUANTIZED_PRECISIONS = (DataType.INT8, DataType.FP8)
"""Those in which layers multiply what is a scale times small numbers."""
FLOATS = frozenset(PRECISIONS)
QUANTIZED = frozenset(QUANTIZED_PRECISIONS)
INTEGERS = frozenset({DataType.INT64, DataType.INT32})
NUMBERS = FLOATS | INTEGERS
ANY = frozenset(DataType)

_STORAGE = {
    DataType.FP32: "float32",
    DataType.FP16: "float16",
    DataType.BF16: "uint16",
    DataType.FP8: "uint8",
    DataType.FP4: "uint8",
    DataType.E8M0: "uint8",
    DataType.INT64: "int64",
    DataType.INT32: "int32",
    DataType.INT8: "int8",
    DataType.INT4: "int8",
    DataType.UINT8: "uint8",
    DataType.BOOL: "bool",
}
_REACH = {DataType.INT8: 127.0, DataType.FP8: 448.0}
_TRT_NAMES = {DataType.FP32: "FLOAT", DataType.FP16: "HALF"}


class Sizes(NamedTuple):
    """The size of a dimension at the three points of an optimisation profile."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dimension declared under `dims`, or one that hangs on the data that a layer reads (`nms?boxes`)."""

    name: str

    @property
    def is_data_dependent(self) -> bool:
        """Whether the size is known only once a layer has run. No declared name holds a question mark."""
        return "?" in self.name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """An operation on two dimensions, kept so that a target can compute it at run time."""

    operator: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        if self.operator in ("min", "max"):
            return f"{self.operator}({self.left}, {self.right})"
        left = _operand(self.left, wrap=_binding(self.left) < _binding(self))
        if self.operator == "+" and isinstance(self.right, int) and self.right < 0:
            return f"{left} - {-self.right}"
        # What stands on the right was computed first, which matters to all but the terms of a sum.
        limit = _binding(self) + (self.operator != "+")
        return f"{left} {self.operator} {_operand(self.right, wrap=_binding(self.right) < limit)}"


Expression = int | Symbol | Arithmetic
_BINDING = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2, "min": 3, "max": 3}


def _binding(expression: Expression) -> int:
    """How tightly an expression holds together where it is written beside an operator, as in Python."""
    return _BINDING[expression.operator] if isinstance(expression, Arithmetic) else 3


def _operand(expression: Expression, *, wrap: bool) -> str:
    return f"({expression})" if wrap else str(expression)


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "min": min,
    "max": max,
}


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension of a tensor: an expression over declared dimensions, and its size at min, opt and max.

    A dimension whose expression is an int is static. Arithmetic gives new dimensions; ints may stand on either side.
    """

    expression: Expression
    sizes: Sizes

    @staticmethod
    def of(size: int) -> Dim:
        """A static dimension."""
        return _static(size)

    @classmethod
    def dynamic(cls, name: str, sizes: Sizes) -> Dim:
        """A declared dimension; one whose sizes agree is static."""
        return _static(sizes.min) if sizes.min == sizes.max else cls(Symbol(name), sizes)

    @classmethod
    def data_dependent(cls, label: str, largest: Dim) -> Dim:
        """A size that a layer's data decides, from 0 to `largest`; infer puts the layer's name before the label."""
        return cls(Symbol(f"?{label}"), Sizes(0, largest.sizes.opt, largest.sizes.max))

    @property
    def is_static(self) -> bool:
        return isinstance(self.expression, int)

    @property
    def value(self) -> int:
        """The size of a static dimension. Raises ValueError for a dynamic one."""
        if not isinstance(self.expression, int):
            raise ValueError(f"{self} is dynamic")
        return self.expression

    @property
    def is_one(self) -> bool:
        """Whether this is the static size 1, the one that broadcasts."""
        return self.expression == 1

    def matches(self, other: Dim) -> bool:
        """Whether both have the same size at min, opt and max."""
        return self.sizes == other.sizes

    def __str__(self) -> str:
        return str(self.expression)

    def __add__(self, other: Dim | int) -> Dim:
        return _arithmetic("+", self, _dim(other))

    def __radd__(self, other: int) -> Dim:
        return _arithmetic("+", self, _dim(other))

    def __sub__(self, other: Dim | int) -> Dim:
        return _arithmetic("-", self, _dim(other))

    def __rsub__(self, other: int) -> Dim:
        return _arithmetic("-", _dim(other), self)

    def __mul__(self, other: Dim | int) -> Dim:
        return _arithmetic("*", self, _dim(other))

    def __rmul__(self, other: int) -> Dim:
        return _arithmetic("*", self, _dim(other))

    def __floordiv__(self, other: Dim | int) -> Dim:
        return _arithmetic("//", self, _dim(other))

    def __rfloordiv__(self, other: int) -> Dim:
        return _arithmetic("//", _dim(other), self)

    def __mod__(self, other: Dim | int) -> Dim:
        return _arithmetic("%", self, _dim(other))

    def ceil_div(self, divisor: int) -> Dim:
        """The quotient, rounded up."""
        return (self + (divisor - 1)) // divisor

    def maximum(self, other: Dim | int) -> Dim:
        return _arithmetic("max", self, _dim(other))

    def minimum(self, other: Dim | int) -> Dim:
        return _arithmetic("min", self, _dim(other))


@lru_cache(maxsize=4096)
def _static(size: int) -> Dim:
    """A static dimension, made once for each of the sizes in use: most of a network's dimensions are static."""
    return Dim(size, Sizes(size, size, size))


def _dim(value: Dim | int) -> Dim:
    return value if isinstance(value, Dim) else _static(value)


def _arithmetic(name: str, left: Dim, right: Dim) -> Dim:
    compute = _OPERATORS[name]
    if isinstance(left.expression, int) and isinstance(right.expression, int):
        return _static(compute(left.expression, right.expression))
    sizes = Sizes(*(compute(a, b) for a, b in zip(left.sizes, right.sizes, strict=True)))
    expression = _simplify(name, left.expression, right.expression)
    return Dim.of(expression) if isinstance(expression, int) else Dim(expression, sizes)


def _simplify(name: str, left: Expression, right: Expression) -> Expression:
    """Fold constants and undo what was just done, so that `(N * 4) // 4` is `N` again and prints as such."""
    if isinstance(left, int) and isinstance(right, int):
        return _OPERATORS[name](left, right)
    if name == "-" and isinstance(right, int):
        return _simplify("+", left, -right)
    if name in ("+", "*") and isinstance(left, int):
        left, right = right, left
    found = _whatever_the_sizes(name, left, right)
    if found is None:
        found = _with_the_one_before(name, left, right)
    return Arithmetic(name, left, right) if found is None else found


def _whatever_the_sizes(name: str, left: Expression, right: Expression) -> Expression | None:
    """What an operation comes to if that depends on no size: `N * 0`, `N + 0`, `(N + 3) - N`, `N // N`."""
    if name == "*" and right == 0:
        return 0
    if (name, right) in (("+", 0), ("*", 1), ("//", 1)):
        return left
    if name == "-":
        (base, offset), (taken, less) = _split_offset(left), _split_offset(right)
        return offset - less if base == taken else None
    if left == right and name in ("//", "min", "max"):
        return 1 if name == "//" else left
    return None


def _with_the_one_before(name: str, left: Expression, right: Expression) -> Expression | None:
    """An operation with a number as one with that before it: `N + 1 + 2` is `N + 3`, `(N * 4) // 2` is `N * 2`."""
    if not (isinstance(left, Arithmetic) and isinstance(left.right, int) and isinstance(right, int)):
        return None
    if name == left.operator == "+":
        return _simplify("+", left.left, left.right + right)
    if name == left.operator == "*":
        return _simplify("*", left.left, left.right * right)
    if name == "//" and left.operator == "*" and right and left.right % right == 0:
        return _simplify("*", left.left, left.right // right)
    return None


def _split_offset(expression: Expression) -> tuple[Expression, int]:
    """An expression as another one and a number added to it."""
    if isinstance(expression, Arithmetic) and expression.operator == "+" and isinstance(expression.right, int):
        return expression.left, expression.right
    return expression, 0


def symbols(expression: Expression) -> frozenset[Symbol]:
    """The declared dimensions that an expression is computed from."""
    if isinstance(expression, Arithmetic):
        return symbols(expression.left) | symbols(expression.right)
    return frozenset({expression}) if isinstance(expression, Symbol) else frozenset()


def evaluate(expression: Expression, sizes: Mapping[Symbol, int]) -> int:
    """The value of an expression, given those of its symbols."""
    if isinstance(expression, Arithmetic):
        return _OPERATORS[expression.operator](evaluate(expression.left, sizes), evaluate(expression.right, sizes))
    return sizes[expression] if isinstance(expression, Symbol) else expression


def of_layer(dim: Dim, layer: str) -> Dim:
    """A dimension whose data-dependent symbols are those of a layer."""
    expression = _of_layer(dim.expression, layer)
    return dim if expression is dim.expression else Dim(expression, dim.sizes)


def _of_layer(expression: Expression, layer: str) -> Expression:
    if isinstance(expression, Symbol):
        return Symbol(layer + expression.name) if expression.name.startswith("?") else expression
    if isinstance(expression, Arithmetic):
        left, right = _of_layer(expression.left, layer), _of_layer(expression.right, layer)
        if left is not expression.left or right is not expression.right:
            return Arithmetic(expression.operator, left, right)
    return expression


def steps_back(expression: Expression, symbol: Symbol) -> tuple[tuple[str, int], ...] | None:
    """What to do to the value of an expression, an operator and a number at a time, to get that of the symbol in it.

    None where the symbol does not follow from the expression: products with a number and sums with one can be undone.
    """
    if expression == symbol:
        return ()
    if isinstance(expression, Arithmetic) and isinstance(expression.right, int):
        inner = steps_back(expression.left, symbol)
        if inner is not None and expression.operator in _UNDO and expression.right:
            return (_UNDO[expression.operator], expression.right), *inner
    return None


_UNDO = {"+": "-", "*": "//"}

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """The element type and the shape of a tensor."""

    dtype: DataType
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return all(dim.is_static for dim in self.shape)

    def with_shape(self, shape: Iterable[Dim | int]) -> TensorType:
        """The same element type with another shape."""
        return TensorType(self.dtype, tuple(_dim(size) for size in shape))

    def with_dtype(self, dtype: DataType) -> TensorType:
        """The same shape with another element type."""
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{format_shape(self.shape)}"


_READABLE = 24
"""Characters that the expression of a dimension may have in messages."""


def format_shape(shape: Iterable[Dim | int]) -> str:
    """A shape as it is written in messages: `[N, 3, 224, 224]`; sizes stand for what would take long to work out."""
    return "[" + ", ".join(_readable(dim) for dim in shape) + "]"


def _readable(dim: Dim | int) -> str:
    text = str(dim)
    if isinstance(dim, int) or len(text) <= _READABLE:
        return text
    return f"{dim.sizes.min}..{dim.sizes.max} (opt {dim.sizes.opt})"


def volume(shape: Iterable[Dim]) -> Dim:
    """The number of elements."""
    product = Dim.of(1)
    for dim in shape:
        product = product * dim
    return product
