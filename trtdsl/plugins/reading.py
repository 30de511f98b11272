"""Reads plugin.yaml files, and reports all that is wrong with one at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from trtdsl import nodes
from trtdsl.errors import Diagnostics, suggest
from trtdsl.expressions import ExpressionError
from trtdsl.names import IDENTIFIER
from trtdsl.nodes import Node, Scalar, plain
from trtdsl.plugins.declaration import (
    LAYOUTS,
    Format,
    Formula,
    InputDeclaration,
    OutputDeclaration,
    PluginDeclaration,
    Requirement,
    TensorFormat,
)
from trtdsl.plugins.fields import Elements, FieldDeclaration, FieldError, FieldType, Number, coerce
from trtdsl.reader import open_source, read
from trtdsl.source import Span
from trtdsl.types import DataType

FILE = "plugin.yaml"
MAX_RANK = 8
"""The most axes that a tensor has for kernels, and for TensorRT."""

_KEYS = ("plugin", "help", "fields", "inputs", "outputs", "formats", "requires")
_NEEDED = ("plugin", "help", "inputs", "outputs", "formats")
_FIELD_KEYS = ("type", "length", "default", "minimum", "maximum", "above", "below", "choices", "memory", "help")
_BOUNDS = ("minimum", "maximum", "above", "below")
CPP_WORDS = frozenset(
    """
    alignas alignof and asm auto bitand bitor bool break case catch char class compl const constexpr continue decltype
    default delete do double else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not nullptr operator or private protected public register requires return short signed sizeof
    static struct switch template this throw true try typedef typeid typename union unsigned using virtual void volatile
    while xor
    """.split()  # noqa: SIM905
)
"""What C++ keeps for itself."""
_RESERVED = CPP_WORDS.union(
    "null min max abs round floor ceil sqrt len int float enumerate zip range sum".split()  # noqa: SIM905
)
"""Words of C++ and of expressions, of which a field or a tensor cannot have the name."""
_EXPRESSIBLE = (
    ast.Constant, ast.Name, ast.List, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript,
    ast.Call, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_FUNCTIONS = ("min", "max", "len", "abs", "int")
T = TypeVar("T")


def read_declaration(path: Path) -> PluginDeclaration:
    """The declaration in a plugin.yaml. Raises NetworkError with all that is wrong with it."""
    diagnostics = Diagnostics()
    document = read(open_source(path), diagnostics)
    declaration = _Reader(diagnostics).plugin(document, path.resolve().parent.name)
    diagnostics.end_stage()
    assert declaration is not None, f"{path} was given up without an error"
    return declaration


class _Reader:
    """Reports to its diagnostics whatever is not as it should be; what is wrong is left out."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.names: dict[str, str] = {}
        """What fields, inputs and outputs are called, and which of these each is."""

    def error(self, message: str, span: Span, hint: str | None = None) -> None:
        self.diagnostics.error("plugin-declaration", message, span, hint=hint)

    def plugin(self, document: Node, folder: str) -> PluginDeclaration | None:
        sections = self.mapping(document, _KEYS, "a plugin.yaml", _NEEDED)
        if sections is None:
            return None
        name = self.identifier(sections.get("plugin"), "the plugin")
        fields = tuple(self.each(sections.get("fields"), "fields", self.field))
        inputs = self.some(sections.get("inputs"), "inputs", self.input)
        for before, entry in pairwise(inputs):
            if before.optional and not entry.optional:
                place = _place(sections, "inputs", document)
                self.error(f"`{before.name}` is optional, so what follows it is too", place)
        output = partial(self.output, inputs=_names(sections.get("inputs")))
        outputs = self.some(sections.get("outputs"), "outputs", output)
        # Those that are wrong as well, so that what speaks of them is not wrong for that.
        tensors = [name for key in ("inputs", "outputs") for name in _names(sections.get(key))]
        formats = tuple(self.formats(sections.get("formats"), tensors))
        requires = tuple(self.requirements(sections.get("requires")))
        if self.diagnostics.errors or name is None:
            return None
        help = self.text(sections.get("help"), "help")
        return PluginDeclaration(name, folder, help, fields, inputs, outputs, formats, requires, document.span)

    def some(self, node: Node | None, what: str, make: Any) -> tuple[Any, ...]:
        """As `each`, of a section that cannot be empty."""
        if isinstance(node, nodes.Mapping) and not node.entries:
            self.error(f"a plugin has at least one of its `{what}`", node.span)
        return tuple(self.each(node, what, make))

    # The forms that YAML takes.

    def mapping(
        self, node: Node | None, known: Sequence[str], what: str, needed: Sequence[str] = ()
    ) -> dict[str, Node] | None:
        """The entries of a mapping that may have only some keys."""
        if not isinstance(node, nodes.Mapping):
            if node is not None:
                self.error(f"expected {what}, which is a mapping of {', '.join(known)}", node.span)
            return None
        for key, _ in node:
            if key.value not in known:
                self.error(
                    f"{what} has no `{key.value}`", key.span, suggest(key.value, known) or f"it has {', '.join(known)}"
                )
        for name in needed:
            if node.get(name) is None:
                self.error(f"{what} needs `{name}`", node.span)
        return {key: entry for key, entry in node.as_dict().items() if key in known}

    def each(self, node: Node | None, what: str, make: Any) -> Iterator[Any]:
        """What `make` makes of every name and entry of a mapping."""
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return
        if not isinstance(node, nodes.Mapping):
            self.error(f"`{what}` is a mapping by name", node.span)
            return
        for key, entry in node:
            if self.is_free(key.value, what.removesuffix("s"), key.span):
                made = make(key.value, entry)
                if made is not None:
                    yield made

    def is_free(self, name: str, what: str, span: Span) -> bool:
        if not IDENTIFIER.allows(name) or name in _RESERVED or name.startswith("_"):
            reason = (
                "is a word of C++ or of expressions" if name in _RESERVED else f"holds more than {IDENTIFIER.words}"
            )
            self.error(f"no {what} can be called `{name}`, which {reason}", span)
            return False
        if name in self.names:
            self.error(f"the {what} `{name}` has the name of another {self.names[name]}", span)
            return False
        self.names[name] = what
        return True

    def identifier(self, node: Node | None, what: str) -> str | None:
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, str) and IDENTIFIER.allows(node.value):
            return node.value
        self.error(f"the name of {what} is made of {IDENTIFIER.words}", node.span)
        return None

    def text(self, node: Node | None, what: str) -> str:
        if node is None:
            return ""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value.strip()
        self.error(f"`{what}` is a text", node.span)
        return ""

    def flag(self, node: Node | None, what: str) -> bool:
        if node is None:
            return False
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.error(f"`{what}` is true or false", node.span)
        return False

    def word(self, node: Node | None, words: Sequence[str], what: str, default: str) -> str:
        if node is None:
            return default
        value = plain(node)
        if isinstance(value, str) and value in words:
            return value
        hint = suggest(value, words) if isinstance(value, str) else None
        self.error(f"`{what}` is one of {', '.join(words)}", node.span, hint)
        return default

    # The sections.

    def field(self, name: str, node: Node) -> FieldDeclaration | None:
        entries = self.mapping(node, _FIELD_KEYS, f"the field `{name}`", ("type",))
        if entries is None or "type" not in entries:
            return None
        kind = FieldType(self.word(entries["type"], [one.value for one in FieldType], "type", "int32"))
        length, is_list = self.length(entries.get("length"))
        numbers = {bound: self.bound(entries.get(bound), kind, bound) for bound in _BOUNDS}
        memory = self.word(entries.get("memory"), ("host", "device"), "memory", "host")
        if memory == "device" and (not is_list or kind in (FieldType.CHAR, FieldType.DIMS)):
            self.error(
                "only lists of numbers lie in device memory", entries["memory"].span, "say how long: `length: any`"
            )
        declared = FieldDeclaration(
            name,
            kind,
            length,
            is_list,
            is_required="default" not in entries,
            choices=self.choices(entries.get("choices"), kind),
            on_device=memory == "device",
            help=self.text(entries.get("help"), "help"),
            **numbers,  # type: ignore[arg-type]
        )
        return self.with_default(declared, entries.get("default"))

    def with_default(self, declared: FieldDeclaration, node: Node | None) -> FieldDeclaration | None:
        if node is None:
            return declared
        elements: Elements
        try:
            elements = coerce(plain(node), declared)
        except FieldError as error:
            self.error(f"the default of `{declared.name}`: {error.message}", node.span, error.hint)
            return None
        return FieldDeclaration(**{**vars(declared), "default": elements})

    def length(self, node: Node | None) -> tuple[int | None, bool]:
        if node is None:
            return 1, False
        value = plain(node)
        if value == "any":
            return None, True
        if type(value) is int and value >= 1:
            return value, True
        self.error("`length` is a number of elements, or any", node.span)
        return None, True

    def bound(self, node: Node | None, kind: FieldType, name: str) -> Number | None:
        if node is None:
            return None
        value = plain(node)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.error(f"`{name}` is a number", node.span)
            return None
        if not (kind.is_float or kind.bits):
            self.error(f"a field of type {kind} has no `{name}`", node.span)
        return value

    def choices(self, node: Node | None, kind: FieldType) -> dict[str, int] | None:
        if node is None:
            return None
        value = plain(node)
        if not kind.bits:
            self.error("only whole numbers have words to choose from", node.span)
        elif not isinstance(value, dict) or not value or any(type(number) is not int for number in value.values()):
            self.error("`choices` is a mapping from words to whole numbers", node.span)
        elif len(set(value.values())) < len(value) or not all(map(IDENTIFIER.allows, value)):
            self.error(f"`choices` has each number once, and words of {IDENTIFIER.words}", node.span)
        else:
            return dict(value)
        return None

    def input(self, name: str, node: Node) -> InputDeclaration | None:
        entries = self.mapping(node, ("rank", "optional", "help"), f"the input `{name}`")
        if entries is None:
            return None
        optional = self.flag(entries.get("optional"), "optional")
        return InputDeclaration(name, self.ranks(entries.get("rank")), optional, self.text(entries.get("help"), "help"))

    def ranks(self, node: Node | None) -> tuple[int, ...] | None:
        if node is None or plain(node) == "any":
            return None
        value = plain(node)
        each = value if isinstance(value, list) else [value]
        if each and all(type(rank) is int and 0 <= rank <= MAX_RANK for rank in each):
            return tuple(each)
        self.error(f"`rank` is a number of axes up to {MAX_RANK}, a list of those that it may have, or any", node.span)
        return None

    def output(self, name: str, node: Node, *, inputs: Sequence[str]) -> OutputDeclaration | None:
        entries = self.mapping(node, ("shape", "dtype", "help"), f"the output `{name}`", ("shape",))
        if entries is None or "shape" not in entries:
            return None
        shape = self.formula(entries["shape"], "shape")
        if shape is None:
            return None
        is_list, is_input = isinstance(shape.tree, ast.List), isinstance(shape.tree, ast.Name)
        if not is_list and not (is_input and shape.text.strip() in inputs):
            self.error("`shape` is a list of sizes, or the name of the input whose shape it is", shape.span)
            return None
        dtypes = [dtype.value for dtype in DataType]
        word = self.word(entries.get("dtype"), [*dtypes, *inputs], "dtype", inputs[0] if inputs else "fp32")
        dtype = DataType(word) if word in dtypes else word
        return OutputDeclaration(name, shape, dtype, self.text(entries.get("help"), "help"))

    def formula(self, node: Node | None, what: str) -> Formula | None:
        """An expression that speaks of nothing but inputs and fields, in the parts that C++ has too."""
        if node is None:
            return None
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            self.error(f"`{what}` is an expression, in quotes", node.span)
            return None
        try:
            formula = Formula.of(node.value, node.span)
        except ExpressionError as error:
            start = error.offset + (1 if node.quoted else 0)
            self.error(error.message, node.span.within(start, error.length), error.hint)
            return None
        known = [name for name, kind in self.names.items() if kind != "output"]
        for part in ast.walk(formula.tree):
            problem, hint = _problem(part, known)
            if problem:
                start = getattr(part, "col_offset", 0) + (1 if node.quoted else 0)
                width = (getattr(part, "end_col_offset", None) or 1) - getattr(part, "col_offset", 0)
                self.error(problem, node.span.within(start, width), hint)
                return None
        return formula

    def formats(self, node: Node | None, tensors: Sequence[str]) -> Iterator[Format]:
        if node is None:
            return
        if not isinstance(node, nodes.Sequence) or not node.items:
            self.error("`formats` is a list of [element type, layout]", node.span)
            return
        for item in node.items:
            if isinstance(item, nodes.Mapping):
                entries = self.mapping(item, tensors, "a format", tensors)
                made = {name: self.tensor_format(entry) for name, entry in (entries or {}).items()}
                if len(made) == len(tensors) and all(made.values()):
                    yield {name: made[name] for name in tensors}  # type: ignore[misc]
            elif format := self.tensor_format(item):
                yield dict.fromkeys(tensors, format)

    def tensor_format(self, node: Node) -> TensorFormat | None:
        value = plain(node)
        dtypes = [dtype.value for dtype in DataType]
        if not isinstance(value, list) or len(value) != 2 or value[0] not in dtypes or value[1] not in LAYOUTS:
            self.error(f"a format is [element type, layout], and the layout one of {', '.join(LAYOUTS)}", node.span)
            return None
        if value[1] == "hwc8" and value[0] != "fp16":
            self.error("the layout hwc8 is for fp16", node.span)
            return None
        return TensorFormat(DataType(value[0]), value[1])

    def requirements(self, node: Node | None) -> Iterator[Requirement]:
        if node is None:
            return
        if not isinstance(node, nodes.Sequence):
            self.error("`requires` is a list of {that, otherwise}", node.span)
            return
        for item in node.items:
            entries = self.mapping(item, ("that", "otherwise"), "a requirement", ("that", "otherwise"))
            that = self.formula((entries or {}).get("that"), "that")
            otherwise = self.text((entries or {}).get("otherwise"), "otherwise")
            if that is not None:
                yield Requirement(that, otherwise)


def _problem(part: ast.AST, known: Sequence[str]) -> tuple[str | None, str | None]:
    """What a part of a formula has that C++ has not, or what it speaks of that is not there."""
    if isinstance(part, ast.Name) and part.id not in known and part.id not in (*_FUNCTIONS, "true", "false", "null"):
        return f"there is no field or input `{part.id}`", suggest(part.id, known) or f"there are {', '.join(known)}"
    if isinstance(part, (ast.Pow, ast.Div, ast.In, ast.NotIn)) or not isinstance(part, _EXPRESSIBLE):
        return "formulas of plugins add, subtract, multiply, divide by `//` and `%`, and compare", None
    return None, None


def _names(section: Node | None) -> list[str]:
    return [key.value for key, _ in section] if isinstance(section, nodes.Mapping) else []


def _place(sections: dict[str, Node], name: str, document: Node) -> Span:
    return sections[name].span if name in sections else document.span
