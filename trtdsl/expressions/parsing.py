"""Texts taken apart into what stands for itself and expressions, which are checked before anything is evaluated."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from trtdsl.errors import suggest
from trtdsl.expressions.operations import BINARY, COMPARISONS, FUNCTIONS, UNARY

MAX_LENGTH = 1000
"""The longest text that may hold an expression."""
MAX_DEPTH = 40
"""How deep an expression may nest."""


class ExpressionError(Exception):
    """What is wrong with an expression, and where in its text; the caller knows the file."""

    def __init__(self, code: str, message: str, offset: int, length: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.length, self.hint = code, message, offset, length, hint


@dataclass(frozen=True)
class Part:
    """One expression inside a text: its tree, and where it starts."""

    tree: ast.expr
    offset: int


Template = tuple["str | Part", ...]
"""A text taken apart into what stands for itself and what is to be evaluated."""

_START = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<open>\())")


def parse(text: str) -> Template:
    """Take a text apart. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError("limit", f"an expression is at most {MAX_LENGTH} characters long", 0, len(text))
    parts: list[str | Part] = []
    literal = ""
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        literal += text[position:dollar]
        match = _START.match(text, dollar)
        if match is None:
            raise ExpressionError(
                "expression-syntax", "`$` needs a name or `(` after it", dollar, 1, "write `$$` for a dollar"
            )
        position = match.end()
        if match["dollar"]:
            literal += "$"
            continue
        if match["open"]:
            position = _closing(text, dollar + 1) + 1
            part = Part(_parse_expression(text[dollar + 2 : position - 1], dollar + 2), dollar + 2)
        else:
            part = Part(
                ast.Name(match["name"], ast.Load(), col_offset=0, end_col_offset=len(match["name"])), dollar + 1
            )
        parts += [literal, part] if literal else [part]
        literal = ""
    literal += text[position:]
    return (*parts, literal) if literal else tuple(parts)


def _closing(text: str, opening: int) -> int:
    """Where the bracket that opens at a place is closed."""
    depth = 0
    quote = ""
    for position in range(opening, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth == 0:
                return position
    raise ExpressionError("expression-syntax", "`$(` is not closed", opening - 1, 2)


def _parse_expression(source: str, offset: int) -> ast.expr:
    blank = source.replace("\n", " ").replace("\t", " ")
    # Python's columns count bytes; with nothing beyond ASCII they are characters.
    if not blank.isascii():
        bad = next(position for position, character in enumerate(blank) if ord(character) > 127)
        raise ExpressionError("expression-syntax", f"`{blank[bad]}` has no meaning here", offset + bad, 1)
    lead = len(blank) - len(blank.lstrip())
    if lead == len(blank):
        raise ExpressionError("expression-syntax", "the brackets are empty", offset - 2, len(source) + 3)
    try:
        with warnings.catch_warnings():
            # Python finds `1if` and odd escapes questionable, which is its business alone.
            warnings.simplefilter("ignore")
            tree = ast.parse(blank[lead:], mode="eval").body
    except SyntaxError as error:
        place = offset + lead + max((error.offset or 1) - 1, 0)
        raise ExpressionError("expression-syntax", _syntax_message(error), place, 1) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("limit", "the expression nests too deep", offset, len(source)) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += lead
            node.end_col_offset = (node.end_col_offset or 0) + lead
    _check(tree, offset, 1)
    return tree


def _syntax_message(error: SyntaxError) -> str:
    text = (error.msg or "").split(".")[0].lower()
    return "not an expression" if not text or "invalid syntax" in text else f"not an expression: {text}"


_ALLOWED = (
    ast.Constant,
    ast.Name,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.List,
    ast.Tuple,
    ast.Call,
)
_WHAT = {
    ast.Attribute: "attributes such as `.{attr}` do",
    ast.Lambda: "`lambda` does",
    ast.Dict: "`{{}}` does",
    ast.Set: "`{{}}` does",
    ast.ListComp: "`for` does",
    ast.GeneratorExp: "`for` does",
    ast.JoinedStr: "f-texts do",
    ast.Starred: "`*` before a list does",
    ast.NamedExpr: "`:=` does",
}


def _check(node: ast.expr, offset: int, depth: int) -> None:
    """Refuse what the language leaves out, before anything is evaluated."""
    place = offset + node.col_offset, (node.end_col_offset or 0) - node.col_offset
    if depth > MAX_DEPTH:
        raise ExpressionError("limit", "the expression nests too deep", *place)
    allowed = isinstance(node, _ALLOWED)
    if isinstance(node, ast.Constant):
        allowed = node.value is None or isinstance(node.value, (bool, int, float, str))
    if isinstance(node, ast.BinOp):
        allowed = type(node.op) in BINARY
    if isinstance(node, ast.UnaryOp):
        allowed = type(node.op) in UNARY
    if isinstance(node, ast.Compare):
        allowed = all(type(op) in COMPARISONS for op in node.ops)
    if not allowed:
        what = _WHAT.get(type(node), "this does").format(attr=getattr(node, "attr", ""))
        raise ExpressionError("expression-syntax", f"{what} not belong to the language", *place)
    if isinstance(node, ast.Call):
        _check_call(node, place)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
            _check(child, offset, depth + 1)


def _check_call(node: ast.Call, place: tuple[int, int]) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        name = node.func.id if isinstance(node.func, ast.Name) else "this"
        raise ExpressionError(
            "unknown-name",
            f"there is no function `{name}`" if name != "this" else "only functions can be called",
            *place,
            suggest(name, FUNCTIONS) or f"there are {', '.join(FUNCTIONS)}",
        )
    if node.keywords:
        raise ExpressionError("expression-syntax", "functions take no named arguments", *place)
    function = FUNCTIONS[node.func.id]
    if not function.least <= len(node.args) <= (function.most or len(node.args)):
        message = f"`{node.func.id}` takes {function.takes}, not {len(node.args)}"
        raise ExpressionError("expression-syntax", message, *place)
