"""Typed fields: what a plugin declares of one, and what YAML gives made a value that cannot be taken for another.

Whatever does not fit its type, length or range is refused. Nothing is rounded to a whole number, cut short or wrapped.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from trtdsl.errors import suggest
from trtdsl.types import Dim

Number = int | float
Elements = tuple[Number, ...] | tuple[tuple[int, ...], ...] | str
"""The elements of a value: numbers, sizes of several dims, or a text."""

MAX_DIMS = 8
"""The most sizes that TensorRT's Dims holds."""


class FieldType(Enum):
    """The element types of fields; the value is the name used in YAML."""

    FP16 = "fp16"
    FP32 = "fp32"
    FP64 = "fp64"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"
    CHAR = "char"
    DIMS = "dims"

    def __str__(self) -> str:
        return self.value

    @property
    def trt_name(self) -> str:
        """The member of `tensorrt.PluginFieldType`; TensorRT has none for booleans, which are int32."""
        return _TRT_NAMES.get(self, self.name)

    @property
    def is_float(self) -> bool:
        return self in _PACKED

    @property
    def bits(self) -> int:
        """The width of a whole number; 0 for other types."""
        return _BITS.get(self, 0)


_TRT_NAMES = {
    FieldType.FP16: "FLOAT16",
    FieldType.FP32: "FLOAT32",
    FieldType.FP64: "FLOAT64",
    FieldType.BOOL: "INT32",
}
_BITS = {FieldType.INT8: 8, FieldType.INT16: 16, FieldType.INT32: 32, FieldType.INT64: 64}
_PACKED = {FieldType.FP16: "<e", FieldType.FP32: "<f", FieldType.FP64: "<d"}
"""How floats are packed."""


class FieldError(ValueError):
    """What is wrong with a value; `index` is the element of a list that is to blame."""

    def __init__(self, message: str, *, hint: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.index = message, hint, index


@dataclass(frozen=True)
class FieldDeclaration:
    """What a plugin says of one of its fields.

    `type` is None where a creator does not tell. `length` counts the elements of a list, None where there may be any
    number; a field that is no list holds one element. Only the fields of plugins that we have a plugin.yaml of may be
    required, or have bounds, choices and a default, which is the value as `coerce` gives it.
    """

    name: str
    type: FieldType | None
    length: int | None = 1
    is_list: bool = False
    is_required: bool = False
    default: Elements | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    above: Number | None = None
    below: Number | None = None
    choices: Mapping[str, int] | None = None
    on_device: bool = False
    """Whether the elements are uploaded once, for launchers to find in device memory."""
    help: str = ""

    def describe(self) -> str:
        """What YAML gives, in words: `4 int32`, `one of reflect, edge`."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is None:
            return "`{type: …, value: …}`"
        if self.type is FieldType.CHAR:
            return "text"
        if self.type is FieldType.DIMS:
            return "a list of sizes"
        kind = "true or false" if self.type is FieldType.BOOL else str(self.type)
        amount = kind if not self.is_list else f"{'a list of' if self.length is None else self.length} {kind}"
        return amount + self._range_in_words()

    def _range_in_words(self) -> str:
        bounds = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        words = [f"{word} {bound}" for word, bound in bounds if bound is not None]
        return f", {' and '.join(words)}" if words else ""


@dataclass(frozen=True)
class Field:
    """A field with its value, as a creator is given it."""

    name: str
    type: FieldType
    elements: Elements

    @property
    def count(self) -> int:
        """How many elements there are: the characters of a text, one for each dims."""
        return len(self.elements.encode()) if isinstance(self.elements, str) else len(self.elements)


def coerce(value: object, declared: FieldDeclaration) -> Elements:
    """The elements of what YAML gives for a field. Raises FieldError."""
    assert declared.type is not None, f"{declared.name} has no type"
    if declared.type is FieldType.CHAR:
        return _text(value, declared)
    if declared.type is FieldType.DIMS:
        return _dims(value, declared)
    if not isinstance(value, (list, tuple)):
        if declared.is_list and declared.length not in (None, 1):
            raise FieldError(f"expected {declared.describe()}, got one value, {show(value)}")
        return (_element(value, declared, None),)
    if not declared.is_list:
        raise FieldError(f"expected {declared.describe()}, got a list")
    if declared.length is not None and len(value) != declared.length:
        raise FieldError(f"expected {declared.describe()}, got {len(value)}")
    return tuple(_element(entry, declared, index) for index, entry in enumerate(value))


def _element(value: object, declared: FieldDeclaration, index: int | None) -> Number:
    value = _settled(value, index)
    if declared.choices is not None and (isinstance(value, str) or value not in declared.choices.values()):
        return _choice(value, declared.choices, index)
    assert declared.type is not None
    if declared.type.is_float:
        number: Number = _float(value, declared.type, index)
    else:
        number = _integer(value, declared.type, index)
    if not _in_range(number, declared):
        raise FieldError(f"expected {declared.describe()}, got {show(number)}", index=index)
    return number


def _settled(value: object, index: int | None) -> object:
    if not isinstance(value, Dim):
        return value
    if not value.is_static:
        raise FieldError(
            f"`{value}` differs from run to run, and a field is fixed when the plugin is made", index=index
        )
    return value.value


def _choice(value: object, choices: Mapping[str, int], index: int | None) -> int:
    if isinstance(value, str) and value in choices:
        return choices[value]
    hint = suggest(value, choices) if isinstance(value, str) else None
    known = ", ".join(f"{word} ({number})" for word, number in choices.items())
    raise FieldError(f"expected one of {known}, got {show(value)}", hint=hint, index=index)


def _float(value: object, kind: FieldType, index: int | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FieldError(f"expected a number ({kind}), got {show(value)}", index=index)
    try:
        rounded = stored(value, kind)
    except OverflowError:
        raise FieldError(f"{show(value)} is beyond the range of {kind}", index=index) from None
    if value and not rounded:
        raise FieldError(f"{show(value)} is too small for {kind}, in which it is 0", index=index)
    return float(value)


def stored(value: Number, kind: FieldType) -> float:
    """A number as a float of a type holds it. Raises OverflowError."""
    [number] = struct.unpack(_PACKED[kind], struct.pack(_PACKED[kind], float(value)))
    return float(number)


def _integer(value: object, kind: FieldType, index: int | None) -> int:
    if isinstance(value, bool):
        return int(value)
    if kind is FieldType.BOOL:
        if isinstance(value, int) and value in (0, 1):
            return value
        raise FieldError(f"expected true or false, got {show(value)}", index=index)
    if isinstance(value, float):
        hint = f"write {int(value)}, and `//` where an expression divides" if value.is_integer() else None
        raise FieldError(f"expected a whole number ({kind}), got {show(value)}", hint=hint, index=index)
    if not isinstance(value, int):
        raise FieldError(f"expected a whole number ({kind}), got {show(value)}", index=index)
    smallest, largest = -(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1
    if not smallest <= value <= largest:
        raise FieldError(f"{value} is beyond {kind}, which holds {smallest} to {largest}", index=index)
    return value


def _in_range(number: Number, declared: FieldDeclaration) -> bool:
    # Written so that NaN, which every comparison fails with, is outside of any range.
    return (
        (declared.minimum is None or number >= declared.minimum)
        and (declared.maximum is None or number <= declared.maximum)
        and (declared.above is None or number > declared.above)
        and (declared.below is None or number < declared.below)
    )


def _text(value: object, declared: FieldDeclaration) -> str:
    if not isinstance(value, str):
        hint = "put it in quotes" if isinstance(value, (int, float)) else None
        raise FieldError(f"expected text, got {show(value)}", hint=hint)
    if "\0" in value:
        raise FieldError("a text that a plugin takes holds no NUL character")
    if declared.is_list and declared.length is not None and len(value.encode()) != declared.length:
        raise FieldError(f"expected {declared.length} characters, got {len(value.encode())}")
    return value


def _dims(value: object, declared: FieldDeclaration) -> tuple[tuple[int, ...], ...]:
    """One Dims of a list of sizes, or several of a list of such lists."""
    if not isinstance(value, (list, tuple)):
        raise FieldError(f"expected a list of sizes, got {show(value)}")
    several = bool(value) and all(isinstance(entry, (list, tuple)) for entry in value)
    each: Sequence[Any] = value if several else [value]
    if several and not declared.is_list:
        raise FieldError("expected one list of sizes, got several")
    if declared.is_list and declared.length not in (None, len(each)):
        raise FieldError(f"expected {declared.length} lists of sizes, got {len(each)}")
    return tuple(_sizes(sizes, index if several else None) for index, sizes in enumerate(each))


def _sizes(sizes: Sequence[object], index: int | None) -> tuple[int, ...]:
    if len(sizes) > MAX_DIMS:
        raise FieldError(f"expected at most {MAX_DIMS} sizes, got {len(sizes)}", index=index)
    found = []
    for position, size in enumerate(sizes):
        place = position if index is None else index
        settled = _settled(size, place)
        if isinstance(settled, bool):
            raise FieldError(f"expected a size, got {show(settled)}", index=place)
        found.append(_integer(settled, FieldType.INT32, place))
    return tuple(found)


def show(value: object) -> str:
    """A value as YAML has it, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value if len(value) <= 40 else value[:37] + "…"}"'
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "a mapping" if isinstance(value, Mapping) else str(value)
