"""Params and dimensions that are given from outside: by `--set` and `--dim`, or by a Python program."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

from trtdsl import nodes
from trtdsl.errors import Diagnostics, suggest
from trtdsl.modules import declared_params
from trtdsl.nodes import Key, Node, Scalar
from trtdsl.reader import MAX_DEPTH
from trtdsl.source import SourceFile, Span

Params = dict[str, tuple["Key | None", "Node | None"]]
"""Params by name: the key that declares each, and its value, which may be lacking."""


def override_nodes(values: Mapping[str, object], argument: str, diagnostics: Diagnostics) -> dict[str, Node]:
    """Python values, given as the argument of that name, as nodes like those of a file.

    Text may hold expressions, as in YAML. Nodes stay as they are. Reports values that YAML could not hold.
    """
    found: dict[str, Node] = {}
    for name, value in values.items():
        if isinstance(value, Node):
            found[name] = value
            continue
        label = f'{argument}["{name}"]'
        text = repr(value)
        file = SourceFile(label, text if len(text) <= 100 else text[:97] + "...")
        try:
            found[name] = node_of(value, Span(file, 1, 1, 1, len(file.text) + 1))
        except TypeError as error:
            hint = "a value is a number, text, True, False, None, or a list or mapping of such values"
            diagnostics.error("override", f"`{label}`: {error}", hint=hint)
    return found


def node_of(value: object, span: Span, depth: int = 1) -> Node:
    """A Python value as a node. Raises TypeError for one that YAML could not hold."""
    if depth > MAX_DEPTH:
        raise TypeError(f"values nest deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return Scalar(value, span)
    if isinstance(value, str):
        return Scalar(str(value), span, quoted=True)
    # Numbers of all kinds, numpy's too.
    if isinstance(value, Integral):
        return Scalar(int(value), span)
    if isinstance(value, Real):
        return Scalar(float(value), span)
    if isinstance(value, abc.Mapping):
        return nodes.Mapping(
            tuple((_key(key, span), node_of(item, span, depth + 1)) for key, item in value.items()), span
        )
    if isinstance(value, abc.Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return nodes.Sequence(tuple(node_of(item, span, depth + 1) for item in value), span)
    raise TypeError(f"a {_type_name(value)} has no place in a network")


def _key(key: object, span: Span) -> Key:
    if isinstance(key, str) or type(key) is int:
        return Key(str(key), span)
    raise TypeError(f"a key must be text, not {_type_name(key)}")


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def set_params(section: Node | None, overrides: Mapping[str, Node], diagnostics: Diagnostics) -> Params:
    """The network's params, some with another value than their default.

    Overrides are by the names of params, or of entries inside them: `cfg.depth`.
    """
    keys = {key.value: key for key, _ in section} if isinstance(section, nodes.Mapping) else {}
    params = declared_params(section)
    for path, value in overrides.items():
        label = value.span.file.name
        name, *rest = path.split(".")
        if name not in params:
            hint = suggest(name, params) or (f"the params are {', '.join(params)}" if params else "it has none")
            diagnostics.error("override", f"`{label}`: the network has no param `{name}`", hint=hint)
        elif (replaced := _replace(params[name], rest, value)) is None:
            diagnostics.error("override", f"`{label}`: the param `{name}` has no entry `{'.'.join(rest)}`")
        else:
            params[name] = replaced
    return {name: (keys.get(name), default) for name, default in params.items()}


def set_dims(section: Node | None, overrides: Mapping[str, Node], diagnostics: Diagnostics) -> nodes.Mapping | None:
    """The `dims` section, some of them with other sizes."""
    declared = section if isinstance(section, nodes.Mapping) else None
    known = [key.value for key, _ in declared or ()]
    for name, sizes in overrides.items():
        if name not in known:
            label = sizes.span.file.name
            hint = suggest(name, known) or (f"the dimensions are {', '.join(known)}" if known else "it declares none")
            diagnostics.error("override", f"`{label}`: the network has no dimension `{name}`", hint=hint)
    if declared is None or not overrides:
        return declared
    return nodes.Mapping(tuple((key, overrides.get(key.value, sizes)) for key, sizes in declared), declared.span)


def _replace(node: Node | None, path: list[str], value: Node) -> Node | None:
    """The tree with one entry replaced, or None where there is no such entry."""
    if not path:
        return value
    head, *rest = path
    if isinstance(node, nodes.Mapping) and (current := node.get(head)) is not None:
        replaced = _replace(current, rest, value)
        entries = tuple((key, replaced if key.value == head else entry) for key, entry in node)
        return None if replaced is None else nodes.Mapping(_known(entries), node.span)
    if isinstance(node, nodes.Sequence) and head.isdecimal() and int(head) < len(node.items):
        position = int(head)
        replaced = _replace(node.items[position], rest, value)
        items = (*node.items[:position], replaced, *node.items[position + 1 :])
        return None if replaced is None else nodes.Sequence(tuple(i for i in items if i is not None), node.span)
    return None


def _known(entries: Iterable[tuple[Key, Node | None]]) -> tuple[tuple[Key, Node], ...]:
    return tuple((key, node) for key, node in entries if node is not None)
