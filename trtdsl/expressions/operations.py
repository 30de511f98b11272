"""The operators and functions of expressions. Each refuses what it does not mean, and results beyond all use."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trtdsl.types import Arithmetic, Dim

MAX_ITEMS = 100_000
"""The most values a list may hold, its lists' values included; also the longest text."""
MAX_STEPS = 200
"""The most operations that a dimension may be computed in."""
MAX_BITS = 128
"""The widest whole number."""


class LimitError(Exception):
    """A value, or the work done for one, would grow beyond all use."""


class Budget:
    """How much all expressions of a network may do together, counted in values of lists that are made or read."""

    def __init__(self, values: int = 20_000_000) -> None:
        self.values = values

    def spend(self, value: Any) -> None:
        """Pay for a value. Raises LimitError."""
        if isinstance(value, (list, str)):
            self.values -= len(value)
            if self.values < 0:
                raise LimitError("the expressions of this network take too much work")


def describe(value: Any) -> str:
    """What a value is, for messages."""
    names = {
        type(None): "null",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        dict: "a mapping",
        slice: "a stretch",
    }
    return "a dimension" if isinstance(value, Dim) else names.get(type(value), "a list")


def bounded(value: Any) -> Any:
    """A result, within bounds. Raises LimitError."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise LimitError(f"whole numbers have at most {MAX_BITS} bits")
    if isinstance(value, Dim):
        _check_steps(value)
        return value.value if value.is_static else value
    if isinstance(value, complex):
        raise ValueError("the root of a negative number is not a number")
    if isinstance(value, list):
        count_items(value)
    return value


def _check_steps(dim: Dim) -> None:
    """Refuse dimensions that took too many steps to compute, each of which would become a layer."""
    steps, pending = 0, [dim.expression]
    while pending:
        expression = pending.pop()
        if isinstance(expression, Arithmetic):
            steps += 1
            pending += [expression.left, expression.right]
        if steps > MAX_STEPS:
            raise LimitError(f"a dimension is computed in at most {MAX_STEPS} steps")


def count_items(value: Any, seen: int = 0) -> int:
    """The values in nested lists and mappings. Raises LimitError beyond MAX_ITEMS."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return seen + 1
    if seen + len(value) > MAX_ITEMS:
        raise LimitError(f"lists have at most {MAX_ITEMS:,} values")
    for item in value:
        seen = count_items(item, seen)
    if seen > MAX_ITEMS:
        raise LimitError(f"lists have at most {MAX_ITEMS:,} values")
    return seen


def _numbers(symbol: str, *values: Any) -> None:
    """Refuse operands that are not numbers; a bool is none."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float, Dim)):
            raise TypeError(f"`{symbol}` needs numbers, not {describe(value)}")
    if any(isinstance(value, Dim) for value in values) and any(isinstance(value, float) for value in values):
        raise TypeError("a dimension takes whole numbers only")


def _arithmetic(symbol: str, compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operation(left: Any, right: Any) -> Any:
        _numbers(symbol, left, right)
        return compute(Dim.of(left) if isinstance(right, Dim) and isinstance(left, int) else left, right)

    return operation


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, (str, list)) and type(left) is type(right):
        if len(left) + len(right) > MAX_ITEMS:
            raise LimitError(f"lists and texts have at most {MAX_ITEMS:,} values")
    else:
        _numbers("+", left, right)
    return operator.add(left, right)


def _multiply(left: Any, right: Any) -> Any:
    if isinstance(right, (str, list)):
        left, right = right, left
    if isinstance(left, (str, list)):
        if not isinstance(right, int) or isinstance(right, bool):
            raise TypeError(f"a list or text is repeated by a whole number, not {describe(right)}")
        size = len(left) if isinstance(left, str) else count_items(left)
        if size * right > MAX_ITEMS:
            raise LimitError(f"lists and texts have at most {MAX_ITEMS:,} values")
        return left * right
    _numbers("*", left, right)
    return left * right


def _divide(left: Any, right: Any) -> float:
    _numbers("/", left, right)
    if isinstance(left, Dim) or isinstance(right, Dim):
        raise TypeError("dimensions are divided by `//`, which rounds down")
    quotient: float = left / right
    return quotient


def _power(base: Any, exponent: Any) -> Any:
    _numbers("**", base, exponent)
    if isinstance(base, Dim) or isinstance(exponent, Dim):
        raise TypeError("`**` does not take dimensions")
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > MAX_BITS * 2:
        raise LimitError(f"whole numbers have at most {MAX_BITS} bits")
    return base**exponent


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _add,
    ast.Sub: _arithmetic("-", operator.sub),
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.FloorDiv: _arithmetic("//", operator.floordiv),
    ast.Mod: _arithmetic("%", operator.mod),
    ast.Pow: _power,
}


def _negative(value: Any) -> Any:
    _numbers("-", value)
    return 0 - value if isinstance(value, Dim) else -value


def _positive(value: Any) -> Any:
    _numbers("+", value)
    return value


UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: _negative,
    ast.UAdd: _positive,
    ast.Not: operator.not_,
}


def _key(value: Any) -> Any:
    """The key of a mapping that a value means. Keys are always text; a whole number means the one that spells it."""
    return str(value) if type(value) is int else value


def _contains(values: Any, item: Any) -> bool:
    return _key(item) in values if isinstance(values, dict) else item in values


COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, values: _contains(values, item),
    ast.NotIn: lambda item, values: not _contains(values, item),
}
WORDS = {"true": True, "false": False, "null": None}


def _settled(value: Any) -> None:
    if isinstance(value, Dim):
        raise TypeError(
            f"`{value}` differs from run to run ({value.sizes.min} to {value.sizes.max}): nothing can depend on it"
        )


def truth(value: Any) -> bool:
    """Whether a value counts as true, as in Python."""
    _settled(value)
    return bool(value)


def compare(compute: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """A comparison of settled values. Raises TypeError for kinds that cannot be compared."""
    _settled(left)
    _settled(right)
    if isinstance(right, list):
        for item in right:
            _settled(item)
    try:
        return compute(left, right)
    except TypeError:
        raise TypeError(f"{describe(left)} and {describe(right)} cannot be compared") from None


def item(value: Any, index: Any) -> Any:
    """An entry of a list, text or mapping, or a slice of a list or text."""
    if isinstance(value, dict):
        key = _key(index)
        if not isinstance(key, str):
            raise TypeError(f"a mapping is indexed by text or a whole number, not {describe(key)}")
        if key not in value:
            known = f"there are {', '.join(value)}" if value else "it is empty"
            raise IndexError(f"there is no entry `{key}`, {known}")
        return value[key]
    if not isinstance(value, (list, str)):
        raise TypeError(f"{describe(value)} has no entries to pick from")
    if not isinstance(index, (int, slice)) or isinstance(index, bool):
        raise TypeError(f"a list is indexed by a whole number, not {describe(index)}")
    try:
        return value[index]
    except IndexError:
        raise IndexError(f"there is no entry {index} in a list of {len(value)}") from None


def _extreme(name: str, choose: Callable[[Any], Any]) -> Callable[..., Any]:
    def function(*values: Any) -> Any:
        candidates = values[0] if len(values) == 1 and isinstance(values[0], list) else list(values)
        if not candidates:
            raise ValueError(f"`{name}` of nothing")
        _numbers(name, *candidates)
        if not any(isinstance(candidate, Dim) for candidate in candidates):
            return choose(candidates)
        result = candidates[0] if isinstance(candidates[0], Dim) else Dim.of(candidates[0])
        for candidate in candidates[1:]:
            result = result.maximum(candidate) if name == "max" else result.minimum(candidate)
        return result

    return function


def _numeric(name: str, compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        _numbers(name, value)
        if isinstance(value, Dim):
            raise TypeError(f"`{name}` does not take dimensions")
        return compute(value)

    return function


def _int(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        return int(value)
    _numbers("int", value)
    return value if isinstance(value, Dim) else int(value)


def _float(value: Any) -> float:
    if not isinstance(value, (bool, str)):
        _numbers("float", value)
    if isinstance(value, Dim):
        raise TypeError("`float` does not take dimensions")
    return float(value)


def _len(value: Any) -> int:
    if not isinstance(value, (list, dict, str)):
        raise TypeError(f"{describe(value)} has no length")
    return len(value)


def _round(value: Any, digits: Any = None) -> Any:
    _numbers("round", value)
    if isinstance(value, Dim):
        raise TypeError("`round` does not take dimensions")
    if digits is not None and (type(digits) is not int or abs(digits) > 20):
        raise TypeError("`round` keeps a whole number of digits, at most 20")
    return round(value, digits)


def _sqrt(value: Any) -> float:
    if value < 0:
        raise ValueError("the root of a negative number is not a number")
    return math.sqrt(value)


def _range(*ends: Any) -> list[int]:
    for end in ends:
        _settled(end)
        if not isinstance(end, int) or isinstance(end, bool):
            raise TypeError(f"`range` needs whole numbers, not {describe(end)}")
    values = range(*ends)
    if len(values) > MAX_ITEMS:
        raise LimitError(f"lists have at most {MAX_ITEMS:,} values")
    return list(values)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"`{name}` needs a list, not {describe(value)}")
    return value


def _sum(values: Any) -> Any:
    total: Any = 0
    for value in _list("sum", values):
        total = bounded(BINARY[ast.Add](total, value))
    return total


def _enumerate(values: Any, start: int = 0) -> list[list[Any]]:
    return [[position, value] for position, value in enumerate(_list("enumerate", values), _int(start))]


def _zip(*lists: Any) -> list[list[Any]]:
    lengths = {len(_list("zip", values)) for values in lists}
    if len(lengths) > 1:
        raise ValueError(f"`zip` needs lists of one length, not {' and '.join(map(str, sorted(lengths)))}")
    return [list(row) for row in zip(*lists, strict=True)]


@dataclass(frozen=True)
class Function:
    """What a name followed by brackets computes, and from how many values."""

    compute: Callable[..., Any]
    least: int = 1
    most: int | None = 1

    @property
    def takes(self) -> str:
        """How many values, for messages."""
        if self.most is None:
            return f"{self.least} or more values"
        return "1 value" if self.most == 1 else f"{self.least} to {self.most} values"


FUNCTIONS: Mapping[str, Function] = {
    "min": Function(_extreme("min", min), 1, None),
    "max": Function(_extreme("max", max), 1, None),
    "abs": Function(_numeric("abs", abs)),
    "round": Function(_round, 1, 2),
    "floor": Function(_numeric("floor", math.floor)),
    "ceil": Function(_numeric("ceil", math.ceil)),
    "sqrt": Function(_numeric("sqrt", _sqrt)),
    "len": Function(_len),
    "int": Function(_int),
    "float": Function(_float),
    "enumerate": Function(_enumerate, 1, 2),
    "zip": Function(_zip, 1, None),
    "range": Function(_range, 1, 3),
    "sum": Function(_sum),
}
