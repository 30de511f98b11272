"""What the Python bindings of one TensorRT declare, read from the signatures that pybind11 writes into docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NETWORK = "INetworkDefinition"

_SIGNATURE = re.compile(r"^(?:\d+\. )?\w*(?=\()")
_QUALIFIER = re.compile(r"\b\w+(?:\.|::)(?=\w)")
_SEQUENCE = re.compile(r"(?:Sequence|List|list|Iterable)\[(.*)\]")
_OPTIONAL = re.compile(r"Optional\[(.*)\]")
_NUMBERS = {"SupportsInt": "int", "SupportsIndex": "int", "SupportsFloat": "float"}


@dataclass(frozen=True)
class Argument:
    """One argument: its type without modules (`ITensor`, `int`, `Dims`), `each` where it is a list of such.

    `default` is the text of the default; `is_nullable` says that it takes None.
    """

    name: str
    type: str
    each: bool = False
    default: str | None = None
    is_nullable: bool = False

    @property
    def is_required(self) -> bool:
        return self.default is None

    def __str__(self) -> str:
        kind = f"list of {self.type}" if self.each else self.type
        return f"{self.name}: {kind}" + (f" = {self.default}" if self.default is not None else "")


@dataclass(frozen=True)
class Signature:
    """The arguments of a method, without the object itself, and the type of what it gives."""

    name: str
    arguments: tuple[Argument, ...]
    returns: str

    @property
    def tensors(self) -> tuple[Argument, ...]:
        """The arguments that are tensors, or lists of them."""
        return tuple(argument for argument in self.arguments if argument.type == "ITensor")

    def argument(self, name: str) -> Argument | None:
        return next((argument for argument in self.arguments if argument.name == name), None)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))}) -> {self.returns}"


@dataclass(frozen=True)
class Declarations:
    """What one TensorRT declares. `methods` and `attributes` hold docstrings by class and name, `enumerations` members.

    An attribute that can only be read has an empty docstring. `label` is what messages call the TensorRT.
    """

    label: str
    methods: Mapping[str, Mapping[str, str]]
    attributes: Mapping[str, Mapping[str, str]]
    enumerations: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, module: Any, label: str) -> Declarations:
        """Those of a TensorRT that is imported."""
        methods: dict[str, dict[str, str]] = {}
        attributes: dict[str, dict[str, str]] = {}
        enumerations: dict[str, tuple[str, ...]] = {}
        for name, value in vars(module).items():
            if not isinstance(value, type):
                continue
            if hasattr(value, "__members__"):
                enumerations[name] = tuple(value.__members__)
                continue
            methods[name], attributes[name] = {}, {}
            for member in dir(value):
                found = getattr(value, member)
                if member.startswith("_"):
                    continue
                if isinstance(found, property):
                    attributes[name][member] = (found.fset.__doc__ or "") if found.fset else ""
                elif callable(found):
                    methods[name][member] = found.__doc__ or ""
        return cls(label, methods, attributes, enumerations)

    @property
    def added(self) -> list[str]:
        """The names of a network's `add_*` methods."""
        return [name for name in self.methods.get(NETWORK, ()) if name.startswith("add_")]

    def signatures(self, owner: str, method: str) -> tuple[Signature, ...]:
        """The overloads of a method; none where there is no such method."""
        return tuple(_signatures(method, self.methods.get(owner, {}).get(method, "")))

    def attribute(self, owner: str, name: str) -> Argument | None:
        """What an attribute is set to; None for one that can only be read, or is not there."""
        for signature in _signatures(name, self.attributes.get(owner, {}).get(name, "")):
            [argument] = signature.arguments
            return Argument(name, argument.type, argument.each, None, argument.is_nullable)
        return None

    def settable(self, owner: str) -> list[str]:
        """The attributes of a class that can be set."""
        return [name for name, text in self.attributes.get(owner, {}).items() if text]

    def callable(self, owner: str) -> list[str]:
        """The methods of a class."""
        return list(self.methods.get(owner, ()))


def _signatures(name: str, text: str) -> Iterator[Signature]:
    for line in text.splitlines():
        if "(self" not in line and "(arg0" not in line:
            continue
        start = _SIGNATURE.match(line)
        inside, arrow, returns = line[start.end() :].rpartition(" -> ") if start else ("", "", "")
        if arrow:
            # The first one is the object itself.
            arguments = tuple(_argument(part) for part in _parts(inside[1:-1])[1:])
            yield Signature(name, arguments, _type(returns)[0])


def _parts(text: str) -> list[str]:
    """The pieces between commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([<{") - (character in ")]>}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _argument(text: str) -> Argument:
    name, _, rest = text.partition(": ")
    kind, equals, default = rest.partition(" = ")
    type_name, each, nullable = _type(kind)
    return Argument(name, type_name, each, default if equals else None, nullable or default == "None")


def _type(text: str) -> tuple[str, bool, bool]:
    """A type without modules, whether there is a list of it, and whether it may be None."""
    words = _QUALIFIER.sub("", text.strip())
    while _QUALIFIER.search(words):
        words = _QUALIFIER.sub("", words)
    alternatives = [word.strip() for word in words.split("|")]
    nullable = "None" in alternatives
    kind = next((word for word in alternatives if word != "None"), "None")
    if match := _OPTIONAL.fullmatch(kind):
        kind, nullable = match[1], True
    each = _SEQUENCE.fullmatch(kind)
    kind = each[1] if each else kind
    return _NUMBERS.get(kind, kind), each is not None, nullable
