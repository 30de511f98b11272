"""Checking one value against one form, with errors that say what was expected and point at the part that is wrong."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl import nodes
from trtdsl.errors import suggest
from trtdsl.nodes import Key, Node, Scalar, plain
from trtdsl.ops.attributes import Schema, show
from trtdsl.schema.forms import FLAG
from trtdsl.source import Span

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_FLAGS = dict.fromkeys(("yes", "on", "y"), "write `true`") | dict.fromkeys(("no", "off", "n"), "write `false`")
_TYPES = {
    **dict.fromkeys(("float", "float32", "single"), "fp32"),
    **dict.fromkeys(("half", "float16"), "fp16"),
    "bfloat16": "bf16",
    **dict.fromkeys(("float8", "e4m3"), "fp8"),
    **dict.fromkeys(("long", "i64"), "int64"),
    **dict.fromkeys(("int", "i32"), "int32"),
    "boolean": "bool",
}
"""What PyTorch and numpy call the types."""

Path = tuple["str | int", ...]


@dataclass(frozen=True)
class Finding:
    """What is wrong inside a value. `at_key` says that the last step of the path is a key, not its value."""

    code: str
    message: str
    path: Path
    at_key: bool = False
    hint: str | None = None


class ValueChecker:
    """Checks values; a form remembers its verdict on every value it has seen."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions
        # Forms are kept beside their validators, so that no other form can come to have the same identity.
        self._validators: dict[int, tuple[Schema, Any]] = {}
        self._verdicts: dict[tuple[int, Hashable], tuple[Finding, ...]] = {}

    def findings(self, node: Node, form: Schema) -> tuple[Finding, ...]:
        """What is wrong with a value."""
        memo = id(form), freeze(node)
        if memo not in self._verdicts:
            errors = self._validator(form).iter_errors(plain(node))
            self._verdicts[memo] = tuple(finding for error in errors for finding in _explain(error))
        return self._verdicts[memo]

    def _validator(self, form: Schema) -> Any:
        from jsonschema import Draft202012Validator

        if id(form) not in self._validators:
            self._validators[id(form)] = form, Draft202012Validator({**form, "$defs": self._definitions})
        return self._validators[id(form)][1]


def freeze(node: Node) -> Hashable:
    """A key that is the same for equal values only; `1`, `1.0` and `true` differ."""
    if isinstance(node, Scalar):
        return node.value, node.value.__class__
    if isinstance(node, nodes.Sequence):
        return tuple([freeze(item) for item in node.items])
    return tuple([(key.value, freeze(item)) for key, item in node.entries]), nodes.Mapping


def place(node: Node, finding: Finding) -> Span:
    """The part of a node that a finding is about."""
    for position, step in enumerate(finding.path):
        if isinstance(node, nodes.Mapping) and isinstance(step, str):
            key, inner = node.key(step), node.get(step)
            if key is None or inner is None:
                break
            if finding.at_key and position == len(finding.path) - 1:
                return key.span
            node = inner
        elif isinstance(node, nodes.Sequence) and isinstance(step, int):
            node = node.items[step]
    return node.span


def about(key: Key, finding: Finding) -> str:
    """A finding's message, led by the innermost key that it is about."""
    if finding.code != "value" or finding.at_key:
        return finding.message
    steps = [step for step in finding.path if isinstance(step, str)]
    return f"`{steps[-1] if steps else key.value}`: {finding.message}"


def _explain(error: ValidationError, title: str = "") -> Iterable[Finding]:
    """Findings for one error of jsonschema, taken from the alternative that was meant where that can be told."""
    form = error.schema if isinstance(error.schema, dict) else {}
    title = str(form.get("title", title))
    path: Path = tuple(error.absolute_path)
    if error.validator == "anyOf" and (meant := _meant(error)):
        for inner in meant:
            yield from _explain(inner, title)
    elif error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = form.get("properties", {})
        for key in error.instance:
            if key not in known:
                close = suggest(key, known) or f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
                yield Finding("unknown-key", f"{title} has no key `{key}`", (*path, key), True, close)
    elif error.validator == "required" and isinstance(error.instance, dict):
        # jsonschema reports each missing key on its own, and names it only in its message.
        missing = next(key for key in form["required"] if error.message.startswith(repr(key)))
        yield Finding("missing-key", f"{title} needs `{missing}`", path)
    elif "propertyNames" in error.schema_path:
        yield Finding(
            "value", f"`{error.instance}` is no name here: {form['title']}", (*path, str(error.instance)), True
        )
    else:
        words = title or f"of type {error.validator_value}"
        yield Finding("value", f"expected {words}, got {show(error.instance)}", path, hint=_hint(error, words))


def _hint(error: ValidationError, words: str) -> str | None:
    """What was meant, where that can be guessed."""
    if isinstance(error.instance, str):
        word = error.instance.lower()
        if words.endswith(str(FLAG["title"])):
            return _FLAGS.get(word)
        meant = _TYPES.get(word)
        return f"did you mean `{meant}`?" if meant and re.search(rf"\b{meant}\b", words) else None
    if type(error.instance) in (int, float) and words.startswith(("a name", "the name")):
        return "put it in quotes"
    if isinstance(error.instance, dict) and error.validator == "anyOf":
        alternatives: Any = error.validator_value
        known = {name for index in range(len(alternatives)) for name in _keys(error, index)}
        return next((hint for key in error.instance if (hint := suggest(key, known))), None)
    return None


def _meant(error: ValidationError) -> list[ValidationError]:
    """The errors of the one alternative that has the value's own type, if there is just one."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    fitting = {index: branch for index, branch in branches.items() if not any(_misfit(e, error) for e in branch)}
    if isinstance(error.instance, dict) and len(fitting) > 1:
        # Of several mappings the one with the most of these keys is meant.
        shared = {index: len(_keys(error, index) & set(error.instance)) for index in fitting}
        best = max(shared.values())
        fitting = {index: fitting[index] for index, count in shared.items() if count == best > 0}
    if isinstance(error.instance, (dict, list)) and len(fitting) == 1:
        return next(iter(fitting.values()))
    return []


def _keys(error: ValidationError, index: int) -> set[str]:
    """The keys that one alternative knows."""
    alternatives: Any = error.validator_value
    return set(alternatives[index].get("properties", ()))


def _misfit(inner: ValidationError, outer: ValidationError) -> bool:
    """Whether an alternative does not even take values of that kind."""
    at_same_place = inner.absolute_path == outer.absolute_path
    return at_same_place and inner.validator in ("type", "enum", "const", "pattern")
