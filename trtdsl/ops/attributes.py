"""Types of op parameters: each says what YAML may hold (as JSON Schema) and turns that into a Python value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from trtdsl.types import DataType, Dim

T = TypeVar("T")
Schema = dict[str, Any]
Dims = Mapping[str, Dim]


class AttributeType(Generic[T]):
    """How one parameter is written in YAML.

    `schema` describes literal values for editors and for the check stage; `parse` is what decides, because values may
    come from expressions, which no schema can see through.
    """

    def schema(self) -> Schema:
        raise NotImplementedError

    def parse(self, value: object, dims: Dims) -> T:
        """The Python value of what YAML holds, or ValueError with what was expected instead."""
        raise NotImplementedError

    def describe(self) -> str:
        """A few words for reference pages: `integer, at least 1`."""
        raise NotImplementedError


def _range(minimum: float | None, maximum: float | None) -> Schema:
    schema: Schema = {}
    if minimum is not None:
        schema["minimum"] = minimum
    if maximum is not None:
        schema["maximum"] = maximum
    return schema


def _describe_range(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    if minimum is not None:
        return f", at least {minimum:g}"
    return f", at most {maximum:g}" if maximum is not None else ""


class Int(AttributeType[int]):
    """A whole number."""

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self.minimum, self.maximum = minimum, maximum

    def schema(self) -> Schema:
        return {"type": "integer", **_range(self.minimum, self.maximum)}

    def parse(self, value: object, dims: Dims) -> int:
        if isinstance(value, Dim):
            if not value.is_static:
                raise ValueError(f"expected {self.describe()}, got `{value}`, which differs from run to run")
            value = value.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise ValueError(f"expected {self.describe()}, got {value}")
        return value

    def describe(self) -> str:
        return "integer" + _describe_range(self.minimum, self.maximum)


class Float(AttributeType[float]):
    """A number; YAML 1.2 reads `1e-5` as one."""

    def __init__(self, minimum: float | None = None, maximum: float | None = None) -> None:
        self.minimum, self.maximum = minimum, maximum

    def schema(self) -> Schema:
        return {"type": "number", **_range(self.minimum, self.maximum)}

    def parse(self, value: object, dims: Dims) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        # Written so that NaN, which every comparison fails with, is outside of any range.
        above = self.minimum is None or value >= self.minimum
        below = self.maximum is None or value <= self.maximum
        if not (above and below):
            raise ValueError(f"expected {self.describe()}, got {value:g}")
        return float(value)

    def describe(self) -> str:
        return "number" + _describe_range(self.minimum, self.maximum)


class Bool(AttributeType[bool]):
    """`true` or `false`."""

    def schema(self) -> Schema:
        return {"type": "boolean"}

    def parse(self, value: object, dims: Dims) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {show(value)}")
        return value

    def describe(self) -> str:
        return "true or false"


class Choice(AttributeType[str]):
    """One of a few words."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def schema(self) -> Schema:
        return {"enum": list(self.names)}

    def parse(self, value: object, dims: Dims) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return value

    def describe(self) -> str:
        return "one of " + ", ".join(self.names)


class Text(AttributeType[str]):
    """Words that the op reads itself."""

    def schema(self) -> Schema:
        return {"type": "string"}

    def parse(self, value: object, dims: Dims) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return value

    def describe(self) -> str:
        return "text"


class DType(AttributeType[DataType]):
    """An element type, optionally limited to some."""

    def __init__(self, *allowed: DataType) -> None:
        self.allowed = allowed or tuple(DataType)

    def schema(self) -> Schema:
        return {"enum": [dtype.value for dtype in self.allowed]}

    def parse(self, value: object, dims: Dims) -> DataType:
        for dtype in self.allowed:
            if value == dtype.value:
                return dtype
        raise ValueError(f"expected {self.describe()}, got {show(value)}")

    def describe(self) -> str:
        return "one of " + ", ".join(dtype.value for dtype in self.allowed)


class Ints(AttributeType[tuple[int, ...]]):
    """A list of whole numbers; a single one stands for a list of one, which `per_axis` spreads."""

    def __init__(self, minimum: int | None = None) -> None:
        self.item = Int(minimum)

    def schema(self) -> Schema:
        item = self.item.schema()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}

    def parse(self, value: object, dims: Dims) -> tuple[int, ...]:
        if isinstance(value, (list, tuple)):
            if not value:
                raise ValueError(f"expected {self.describe()}, got an empty list")
            return tuple(self.item.parse(item, dims) for item in value)
        return (self.item.parse(value, dims),)

    def describe(self) -> str:
        return f"{self.item.describe()}, or a list of them"


class Floats(AttributeType[tuple[float, ...]]):
    """A list of numbers; a single one stands for a list of one."""

    def __init__(self, minimum: float | None = None) -> None:
        self.item = Float(minimum)

    def schema(self) -> Schema:
        item = self.item.schema()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}

    def parse(self, value: object, dims: Dims) -> tuple[float, ...]:
        if isinstance(value, (list, tuple)):
            return tuple(self.item.parse(item, dims) for item in value)
        return (self.item.parse(value, dims),)

    def describe(self) -> str:
        return f"{self.item.describe()}, or a list of them"


Same = Literal["same", "same_lower"]
Pairs = tuple[tuple[int, int], ...]


class Padding(AttributeType["Same | Pairs"]):
    """Padding of the spatial axes: `1`, `[1, 2]` per axis, `[[0, 1], [2, 3]]` before and after, or `same`.

    `same` keeps `ceil(size / stride)` and puts the odd element after, `same_lower` before (as ONNX's SAME_UPPER and
    SAME_LOWER). A single pair stands for every axis.
    """

    def schema(self) -> Schema:
        size = {"type": "integer", "minimum": 0}
        pair = {"type": "array", "items": size, "minItems": 2, "maxItems": 2}
        return {
            "anyOf": [
                size,
                {"enum": ["same", "same_lower"]},
                {"type": "array", "items": {"anyOf": [size, pair]}, "minItems": 1, "maxItems": 3},
            ]
        }

    def parse(self, value: object, dims: Dims) -> Same | Pairs:
        if value == "same":
            return "same"
        if value == "same_lower":
            return "same_lower"
        sides = value if isinstance(value, (list, tuple)) else [value]
        return tuple(self._pair(side, dims) for side in sides)

    def _pair(self, side: object, dims: Dims) -> tuple[int, int]:
        size = Int(minimum=0)
        try:
            if isinstance(side, (list, tuple)):
                before, after = (size.parse(item, dims) for item in side)
                return before, after
            both = size.parse(side, dims)
        except ValueError:
            raise ValueError(f"expected {self.describe()}, got {show(side)}") from None
        return both, both

    def describe(self) -> str:
        return "an integer, one per axis, a [before, after] pair per axis, same or same_lower"


class DimList(AttributeType["tuple[Dim, ...]"]):
    """A list of sizes: integers, names of declared dimensions, or expressions of them; `-1` where the op allows it."""

    def __init__(self, *, minimum: int = -1, single: bool = False) -> None:
        self.minimum, self.single = minimum, single

    def schema(self) -> Schema:
        size = {"anyOf": [{"type": "integer", "minimum": self.minimum}, {"type": "string"}]}
        several: Schema = {"type": "array", "items": size}
        return {"anyOf": [size, several]} if self.single else several

    def parse(self, value: object, dims: Dims) -> tuple[Dim, ...]:
        if isinstance(value, (list, tuple)):
            return tuple(parse_dim(item, dims, self.minimum) for item in value)
        if self.single:
            return (parse_dim(value, dims, self.minimum),)
        raise ValueError(f"expected {self.describe()}, got {show(value)}")

    def describe(self) -> str:
        return ("a size, or " if self.single else "") + "a list of sizes (integers or dimensions)"


class DimOrList(AttributeType["Dim | tuple[Dim, ...]"]):
    """A list of sizes, or a single one, which is not the same as a list of one."""

    def __init__(self, *, minimum: int) -> None:
        self._both = DimList(minimum=minimum, single=True)

    def schema(self) -> Schema:
        return self._both.schema()

    def parse(self, value: object, dims: Dims) -> Dim | tuple[Dim, ...]:
        parsed = self._both.parse(value, dims)
        return parsed if isinstance(value, (list, tuple)) else parsed[0]

    def describe(self) -> str:
        return self._both.describe()


class Number(AttributeType["Dim | float"]):
    """A number: a Dim for whole ones and for dimensions, a float for others."""

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number"}, {"type": "string"}]}

    def parse(self, value: object, dims: Dims) -> Dim | float:
        if isinstance(value, float):
            return Float().parse(value, dims)
        if isinstance(value, (int, str, Dim)) and not isinstance(value, bool):
            return parse_dim(value, dims, ANY_SIGN)
        raise ValueError(f"expected {self.describe()}, got {show(value)}")

    def describe(self) -> str:
        return "a number or a dimension"


ANY_SIGN = -(2**31)
"""A minimum for sizes that may be negative."""


def parse_dim(value: object, dims: Dims, minimum: int = 0) -> Dim:
    """A size from YAML: an integer, the name of a declared dimension, or a Dim that an expression gave."""
    if isinstance(value, str):
        if value not in dims:
            declared = ", ".join(dims) or "none are declared"
            raise ValueError(f"`{value}` is not a declared dimension ({declared})")
        return dims[value]
    if isinstance(value, Dim) and not value.is_static:
        if min(value.sizes) < minimum:
            raise ValueError(f"expected sizes of at least {minimum}, {value} is {min(value.sizes)} at its smallest")
        return value
    return Dim.of(Int(minimum=minimum).parse(value, dims))


class Maybe(AttributeType["T | None"]):
    """Another type, or nothing (`null`, or the key left out)."""

    def __init__(self, inner: AttributeType[T]) -> None:
        self.inner = inner

    def schema(self) -> Schema:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}

    def parse(self, value: object, dims: Dims) -> T | None:
        return None if value is None else self.inner.parse(value, dims)

    def describe(self) -> str:
        return self.inner.describe()


def show(value: object) -> str:
    """A value as the user wrote it, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, Sequence):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
