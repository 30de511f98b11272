"""What frames the layers: outputs, weights files, precision and quantisation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate

from trtdsl import nodes
from trtdsl.errors import Note, suggest
from trtdsl.expand.references import References
from trtdsl.expand.scope import Scope
from trtdsl.expand.values import DTYPE_WORDS, FLOAT_WORDS, PRECISION_WORDS, Evaluator, Failed
from trtdsl.flat import FlatLayer, FlatOutput, FlatPrecision, FlatQuantization, ScaleFile, walk
from trtdsl.nodes import Node
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.source import Span
from trtdsl.types import DataType
from trtdsl.weights.library import FileUse

_IMPLEMENTATIONS = {name: name for name in ("native", "auto")}


def read_outputs(node: Node | None, scope: Scope, references: References, span: Span) -> tuple[FlatOutput, ...]:
    """The outputs of the network; those of the last layer when the document names none."""
    if node is None:
        return _last(scope, span, references)
    outputs: dict[str, FlatOutput] = {}
    for name, place, entry in _entries(references.evaluator, scope, node):
        if name in outputs:
            references.evaluator.error(
                scope,
                "duplicate-name",
                f"the output `{name}` is given twice",
                place,
                notes=[Note("first given here", outputs[name].span)],
            )
            continue
        try:
            outputs[name] = _output(name, place, entry, scope, references)
        except Failed:
            continue
    return tuple(outputs.values())


def _last(scope: Scope, span: Span, references: References) -> tuple[FlatOutput, ...]:
    """What the last layer gives, at its place."""
    if scope.previous is None:
        references.evaluator.error(scope, "value", "the network has no layers, so it has no output", span)
        return ()
    places = references.names.places
    return tuple(
        FlatOutput(tensor, tensor, None, places.get(tensor.partition(":")[0], span))
        for tensor in scope.previous.ports.values()
    )


def _entries(evaluator: Evaluator, scope: Scope, node: Node) -> Iterator[tuple[str, Span, Node]]:
    """The name outside, its place, and what is said of it."""
    if isinstance(node, nodes.Mapping):
        for key, entry in node:
            yield key.value, key.span, entry
        return
    for item in node.items if isinstance(node, nodes.Sequence) else (node,):
        try:
            yield evaluator.text(item, scope, "an output"), item.span, item
        except Failed:
            continue


def _output(name: str, place: Span, entry: Node, scope: Scope, references: References) -> FlatOutput:
    evaluator = references.evaluator
    dtype = None
    if isinstance(entry, nodes.Mapping):
        fields = entry.as_dict()
        if "dtype" in fields:
            dtype = evaluator.word(fields["dtype"], scope, "`dtype`", DTYPE_WORDS)
        entry = fields["tensor"]
    text = evaluator.text(entry, scope, "an output")
    return FlatOutput(name, references.tensor(scope, text, entry.span), dtype, place)


def read_weights(node: Node | None, scope: Scope, evaluator: Evaluator) -> tuple[FileUse, ...]:
    """The weights files, with their paths made relative to the folder that this process works in."""
    if node is None:
        return ()
    entries: list[tuple[str, Node]] = []
    if isinstance(node, nodes.Mapping):
        entries = [(key.value, entry) for key, entry in node]
    else:
        entries = [("", item) for item in (node.items if isinstance(node, nodes.Sequence) else (node,))]
    files = []
    for prefix, entry in entries:
        for item in entry.items if isinstance(entry, nodes.Sequence) else (entry,):
            try:
                text = evaluator.text(item, scope, "a weights file")
            except Failed:
                continue
            files.append(FileUse(prefix, item.span.file.directory / text, item.span))
    return tuple(files)


def read_impl(node: Node | None, scope: Scope, evaluator: Evaluator) -> str:
    """What is preferred where an op is both a layer of TensorRT's and a plugin."""
    try:
        return "native" if node is None else evaluator.word(node, scope, "`impl`", _IMPLEMENTATIONS)
    except Failed:
        return "native"


def read_libraries(node: Node | None, scope: Scope, evaluator: Evaluator) -> tuple[LibraryUse, ...]:
    """The libraries of plugins, with their paths made relative to the folder that this process works in."""
    section = node.get("libraries") if isinstance(node, nodes.Mapping) else None
    if section is None:
        return ()
    libraries = []
    for item in section.items if isinstance(section, nodes.Sequence) else (section,):
        try:
            text = evaluator.text(item, scope, "a library")
        except Failed:
            continue
        libraries.append(LibraryUse(item.span.file.directory / text, item.span))
    return tuple(libraries)


def read_precision(node: Node | None, layers: Sequence[FlatLayer], scope: Scope, evaluator: Evaluator) -> FlatPrecision:
    """The precision section. A pattern that matches no layer is misspelt, or its layer is gone: an error."""
    if node is None:
        return FlatPrecision()
    try:
        if not isinstance(node, nodes.Mapping):
            return FlatPrecision(evaluator.word(node, scope, "`precision`", PRECISION_WORDS))
        fields = node.as_dict()
        default, fallback = DataType.FP32, None
        if "default" in fields:
            default = evaluator.word(fields["default"], scope, "`default`", PRECISION_WORDS)
        if "fallback" in fields:
            fallback = evaluator.word(fields["fallback"], scope, "`fallback`", FLOAT_WORDS)
    except Failed:
        return FlatPrecision()
    patterns = []
    section = fields.get("layers")
    for key, entry in section if isinstance(section, nodes.Mapping) else ():
        _check_pattern(key.value, key.span, layers, scope, evaluator)
        try:
            patterns.append((key.value, evaluator.word(entry, scope, "the precision", PRECISION_WORDS), key.span))
        except Failed:
            continue
    allowed = _read_allowed(fields.get("allow"), layers, scope, evaluator)
    return FlatPrecision(default, tuple(patterns), allowed, fallback)


def _read_allowed(
    node: Node | None, layers: Sequence[FlatLayer], scope: Scope, evaluator: Evaluator
) -> tuple[str, ...]:
    """The patterns over layers that may compute in other types."""
    items = () if node is None else node.items if isinstance(node, nodes.Sequence) else (node,)
    allowed = []
    for item in items:
        try:
            pattern = evaluator.text(item, scope, "a pattern")
        except Failed:
            continue
        _check_pattern(pattern, item.span, layers, scope, evaluator)
        allowed.append(pattern)
    return tuple(allowed)


def _check_pattern(pattern: str, span: Span, layers: Sequence[FlatLayer], scope: Scope, evaluator: Evaluator) -> None:
    """Report a pattern that matches no layer."""
    matches = re.compile(translate(pattern)).match
    if not any(matches(layer.name) for layer in walk(layers)):
        hint = suggest(pattern, (layer.name for layer in walk(layers)))
        evaluator.error(scope, "precision-pattern", f"`{pattern}` matches no layer", span, hint=hint)


def read_quantization(node: Node | None, scope: Scope, evaluator: Evaluator) -> FlatQuantization | None:
    """The quantization section, with its paths made relative to the folder that this process works in."""
    if node is None:
        return None
    fields: dict[str, Node] = node.as_dict() if isinstance(node, nodes.Mapping) else {"scales": node}
    named, given = fields.get("scales"), fields.get("tensors")
    files, tensors = [], []
    for item in () if named is None else named.items if isinstance(named, nodes.Sequence) else (named,):
        try:
            path = item.span.file.directory / evaluator.text(item, scope, "a file of scales")
        except Failed:
            continue
        files.append(ScaleFile(path, item.span))
    for key, entry in given if isinstance(given, nodes.Mapping) else ():
        try:
            value = evaluator.node(entry, scope)
        except Failed:
            continue
        number = value.value if isinstance(value, nodes.Scalar) else None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            evaluator.error(scope, "value", f"a scale is a number, not {nodes.describe(value)}", entry.span)
            continue
        tensors.append((key.value, float(number), entry.span))
    return FlatQuantization(tuple(files), tuple(tensors), node.span)
