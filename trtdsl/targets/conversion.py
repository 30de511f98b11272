"""What YAML gives an argument or attribute of TensorRT, as the Python value that its declared type takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trtdsl.errors import suggest
from trtdsl.ops.attributes import show
from trtdsl.targets.signatures import Argument, Declarations
from trtdsl.types import DataType, Dim

INPUT = re.compile(r"in\.(\d+)")
"""How text refers to a tensor of the layer's `in`."""
WEIGHT = re.compile(r"weights\.(\w+)")
"""How text refers to one of the layer's `weights`."""

_OWN_TYPES = {dtype.value: dtype.trt_name for dtype in DataType}
_OBJECTS = {"ITensor", "Weights", "Dims", "DimsHW", "DimsCHW", "DimsNCHW", "Permutation", "DataType", "object"}
_PLAIN = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


class WrongValue(Exception):
    """What is wrong with a value."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Converter:
    """Converts values for one layer, whose `tensors` and `weights` they may refer to.

    `rank` is that of its first tensor, from whose end negative axes count. What was referred to is kept.
    """

    def __init__(
        self,
        declarations: Declarations,
        trt: Any,
        tensors: Sequence[Any],
        weights: Mapping[str, Callable[[], Any]],
        rank: int | None,
    ) -> None:
        self._declarations, self._trt = declarations, trt
        self._tensors, self._weights, self._rank = tensors, weights, rank
        self.used_weights: set[str] = set()

    def convert(self, value: Any, argument: Argument) -> Any:
        """The value that an argument, or an attribute of that type, is given. Raises WrongValue."""
        if value is None and (argument.is_nullable or argument.type == "object"):
            return None
        if not argument.each:
            return self._one(value, argument)
        if not isinstance(value, list):
            raise WrongValue(f"expected a list, each of it {self.describe(argument)}, got {show(value)}")
        return [self._one(item, argument) for item in value]

    def describe(self, argument: Argument) -> str:
        """What YAML writes for a single value of an argument."""
        kind = argument.type
        if kind == "ITensor":
            return "a tensor: `in.0` is the first that `in` names"
        if kind == "Weights":
            return "a weight: `weights.kernel` is the `kernel` under `weights`"
        if kind == "DataType":
            return f"one of {', '.join(self._data_types())}"
        if kind in self._declarations.enumerations:
            return f"one of {', '.join(self._declarations.enumerations[kind])}"
        if kind == "Permutation":
            return "the order of the axes: [0, 2, 1]"
        if kind == "DimsHW":
            return "two whole numbers: [3, 3]"
        if kind.startswith("Dims"):
            return "a list of whole numbers"
        if _is_mask(argument):
            return "a list of axes, or TensorRT's bit mask of them"
        return _PLAIN.get(kind, f"a value that TensorRT takes for {argument.name}")

    def weight(self, name: str) -> Any:
        """One of the layer's weights."""
        self.used_weights.add(name)
        return self._weights[name]()

    def _one(self, value: Any, argument: Argument) -> Any:
        kind = argument.type
        if isinstance(value, str) and kind in ("ITensor", "Weights", "object"):
            return self._text(value, argument)
        if kind in self._declarations.enumerations:
            return self._member(value, argument)
        if kind.startswith("Dims") or kind == "Permutation":
            return self._sizes(value, argument)
        if isinstance(value, Dim):
            raise WrongValue(f"{value} differs from run to run, expected {self.describe(argument)}")
        if kind == "object":
            return value
        if kind in ("ITensor", "Weights"):
            raise WrongValue(f"expected {self.describe(argument)}, got {show(value)}")
        if kind not in _PLAIN:
            raise WrongValue(f"TensorRT wants a {kind} here, which YAML cannot hold")
        return self._axes(value, argument) if _is_mask(argument) else self._plain(value, argument)

    def _text(self, text: str, argument: Argument) -> Any:
        """What text refers to: a tensor, a weight, or where anything may stand a member of an enumeration."""
        if (match := INPUT.fullmatch(text)) and argument.type != "Weights":
            index = int(match[1])
            if index >= len(self._tensors) or self._tensors[index] is None:
                there = len(self._tensors)
                raise WrongValue(f"there is no `{text}`: `in` names {there} tensor{'s' * (there != 1)}")
            return self._tensors[index]
        if (match := WEIGHT.fullmatch(text)) and argument.type != "ITensor":
            if match[1] not in self._weights:
                hint = suggest(match[1], self._weights)
                raise WrongValue(f"there is no `{match[1]}` under `weights`", hint)
            return self.weight(match[1])
        if argument.type != "object":
            raise WrongValue(f"expected {self.describe(argument)}, got {show(text)}")
        owner, _, member = text.partition(".")
        if owner not in self._declarations.enumerations:
            return text
        return self._member(member, Argument(argument.name, owner))

    def _member(self, value: Any, argument: Argument) -> Any:
        members = self._declarations.enumerations[argument.type]
        name = value.removeprefix(f"{argument.type}.") if isinstance(value, str) else value
        if argument.type == "DataType":
            name = _OWN_TYPES.get(name, name) if isinstance(name, str) else name
        if name not in members:
            known = self._data_types() if argument.type == "DataType" else members
            hint = suggest(name, known) if isinstance(name, str) else None
            raise WrongValue(f"expected {self.describe(argument)}, got {show(value)}", hint)
        return getattr(getattr(self._trt, argument.type), name)

    def _data_types(self) -> list[str]:
        """The element types by our names, by TensorRT's where we have none."""
        own = {name: ours for ours, name in _OWN_TYPES.items()}
        return [own.get(member, member) for member in self._declarations.enumerations["DataType"]]

    def _sizes(self, value: Any, argument: Argument) -> tuple[int, ...]:
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, Dim):
                hint = "give such sizes as a tensor in `in`, which TensorRT reads at run time"
                raise WrongValue(f"{item} differs from run to run, and {argument.name} takes fixed sizes", hint)
        wanted = 2 if argument.type == "DimsHW" else len(items)
        good = isinstance(value, list) and len(items) == wanted and all(type(item) is int for item in items)
        if good and argument.type == "Permutation":
            good = sorted(items) == [*range(len(items))]
        if not good:
            raise WrongValue(f"expected {self.describe(argument)}, got {show(value)}")
        return tuple(items)

    def _axes(self, value: Any, argument: Argument) -> int:
        """The mask of a list of axes; a number is a mask already."""
        if type(value) is int and value >= 0:
            return value
        if not isinstance(value, list) or not all(type(axis) is int for axis in value):
            raise WrongValue(f"expected {self.describe(argument)}, got {show(value)}")
        mask = 0
        for axis in value:
            if self._rank is not None and not -self._rank <= axis < self._rank:
                raise WrongValue(f"the first tensor has {self._rank} axes, there is no axis {axis}")
            if axis < 0 and self._rank is None:
                raise WrongValue(f"without a tensor to count from, axis {axis} is none")
            mask |= 1 << (axis + (self._rank or 0) if axis < 0 else axis)
        return mask

    def _plain(self, value: Any, argument: Argument) -> Any:
        kind = argument.type
        if kind == "float" and type(value) is int:
            return float(value)
        if type(value).__name__ != kind:
            quoted = kind == "str" and isinstance(value, (int, float))
            raise WrongValue(
                f"expected {self.describe(argument)}, got {show(value)}", "put it in quotes" if quoted else None
            )
        return value


def _is_mask(argument: Argument) -> bool:
    return argument.type == "int" and not argument.each and "axes" in argument.name.lower()
