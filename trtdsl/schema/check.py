"""The check stage: every key and value of a document against the schema, each layer against its own op's part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trtdsl import nodes
from trtdsl.build_options import BuildOptions
from trtdsl.errors import Diagnostics, Note, suggest
from trtdsl.modules import read_modules
from trtdsl.nodes import Key, Node, Scalar, describe, plain
from trtdsl.ops.attributes import Schema
from trtdsl.ops.base import LAYER_KEYS
from trtdsl.schema.document import Catalogue, document_keys, foreach_keys, module_keys
from trtdsl.schema.forms import IDENTIFIER_FORM
from trtdsl.schema.layers import LayerCheck
from trtdsl.schema.values import about, place
from trtdsl.source import Span
from trtdsl.version import LANGUAGE_VERSION

_RESERVED = ("sequence", "foreach")


def check(document: nodes.Mapping, catalogue: Catalogue, diagnostics: Diagnostics) -> None:
    """Report everything in a document that the language does not allow. Raises NetworkError when there was any.

    Values that hold expressions pass; they are judged once they are known.
    """
    _DocumentCheck(document, catalogue, diagnostics).run()
    diagnostics.end_stage()


class _DocumentCheck:
    """One document, its modules and all bodies in them."""

    def __init__(self, document: nodes.Mapping, catalogue: Catalogue, diagnostics: Diagnostics) -> None:
        self.document, self.catalogue, self.diagnostics = document, catalogue, diagnostics
        self.modules = read_modules(document)
        declared = [name for key in ("params", "dims") for name, _ in _names(document.get(key))]
        self.layers = LayerCheck(catalogue, self.modules, diagnostics, declared)
        self.values = self.layers.kinds.values
        self.module_keys, self.foreach_keys = module_keys(), foreach_keys()

    def run(self) -> None:
        """Check all of it."""
        if self._is_of_another_version():
            return
        self._record(
            "the document",
            self.document,
            document_keys(),
            ("trtdsl", "inputs", "layers"),
            {"modules", "layers", "build"},
        )
        self._build()
        self._modules()
        layers = self.document.get("layers")
        if layers is not None:
            self._body(layers)

    def _is_of_another_version(self) -> bool:
        """Whether the language is another one, in which case nothing else can be judged."""
        version = self.document.get("trtdsl")
        if isinstance(version, Scalar) and type(version.value) is int and version.value != LANGUAGE_VERSION:
            self.diagnostics.error(
                "language-version",
                f"the file is in version {version.value} of the language, this trtdsl reads version {LANGUAGE_VERSION}",
                version.span,
            )
            return True
        if version is not None and plain(version) != LANGUAGE_VERSION:
            self.diagnostics.error(
                "value", f"`trtdsl` must be {LANGUAGE_VERSION}, the language's version", version.span
            )
        return False

    def _build(self) -> None:
        section = self.document.get("build")
        if isinstance(section, nodes.Mapping):
            literal = {key.value: (plain(v), v.span) for key, v in section if not _has_expression(v)}
            for key, _ in section:
                if key.value not in BuildOptions.types():
                    hint = suggest(key.value, BuildOptions.types())
                    self.diagnostics.error("build-option", f"`{key.value}` is not a build option", key.span, hint=hint)
                    literal.pop(key.value, None)
            BuildOptions.parse(literal, self.diagnostics)
        elif section is not None:
            self.diagnostics.error("value", f"`build` must be a mapping, not {describe(section)}", section.span)

    def _modules(self) -> None:
        section = self.document.get("modules")
        if section is None:
            return
        if not isinstance(section, nodes.Mapping):
            self.diagnostics.error("value", f"`modules` must be a mapping, not {describe(section)}", section.span)
            return
        for key, node in section:
            self._module(key, node)

    def _module(self, name: Key, node: Node) -> None:
        if name.value in self.catalogue or name.value in _RESERVED:
            self.diagnostics.error("module-name", f"`{name.value}` is an op; a module needs another name", name.span)
        if "value" in {finding.code for finding in self.values.findings(_text_of(name), IDENTIFIER_FORM)}:
            self.diagnostics.error("module-name", f"`{name.value}` must be {IDENTIFIER_FORM['title']}", name.span)
        if not isinstance(node, nodes.Mapping):
            self.diagnostics.error("value", f"a module must be a mapping, not {describe(node)}", node.span)
            return
        self._record(f"module {name.value}", node, self.module_keys, ("layers",), {"layers"}, name.span)
        self._module_names(node)
        if (layers := node.get("layers")) is not None:
            self._body(layers)

    def _module_names(self, node: nodes.Mapping) -> None:
        """Params may not be called like the keys of every layer, nor inputs twice the same."""
        params = node.get("params")
        for name, span in _names(params):
            if name in LAYER_KEYS:
                self.diagnostics.error("module-name", f"`{name}` is a key of every layer, and cannot be a param", span)
        seen: dict[str, Span] = {}
        for name, span in (*_listed(params), *_listed(node.get("inputs"))):
            if name in seen:
                notes = [Note("first given here", seen[name])]
                self.diagnostics.error("duplicate-name", f"`{name}` is given twice", span, notes=notes)
            seen.setdefault(name, span)

    def _body(self, node: Node, key: str = "layers") -> None:
        if not isinstance(node, nodes.Sequence):
            hint = "each layer begins with `- `" if isinstance(node, nodes.Mapping) else None
            message = f"`{key}` must be a list of layers, not {describe(node)}"
            self.diagnostics.error("value", message, node.span, hint=hint)
            return
        for item in node.items:
            self._item(item)

    def _item(self, item: Node) -> None:
        if isinstance(item, nodes.Mapping):
            if item.get("foreach") is not None:
                self._record("foreach", item, self.foreach_keys, ("foreach", "rows", "layers"), {"layers"})
            elif (op := item.get("op")) is None:
                self._no_op(item)
                return
            else:
                self._op(item, op)
            for key in self._bodies(item):
                if (layers := item.get(key)) is not None:
                    self._body(layers, key)
        else:
            self._op(item, item)

    def _bodies(self, item: nodes.Mapping) -> tuple[str, ...]:
        """The keys under which a layer, or a foreach, has layers."""
        op = item.get("op")
        if op is None:
            return ("layers",)
        return self.layers.kinds.bodies(op.value) if isinstance(op, Scalar) and isinstance(op.value, str) else ()

    def _no_op(self, item: nodes.Mapping) -> None:
        first = item.entries[0][0].value if item.entries else ""
        hint = suggest(first, ("op", *_RESERVED))
        if first in (*self.layers.kinds.known(), *_RESERVED):
            hint = f"write `op: {first}`"
        self.diagnostics.error("missing-key", "a layer needs `op`", item.span, hint=hint)

    def _op(self, item: Node, op: Node) -> None:
        if not isinstance(op, Scalar) or not isinstance(op.value, str):
            what = (
                "`op` must be the name of an op or module"
                if item is not op
                else "a layer is an op or a mapping with `op`"
            )
            self.diagnostics.error("value", f"{what}, not {describe(op)}", op.span)
        elif "$" not in op.value:
            self.layers.layer(item, op.value)

    def _record(
        self,
        subject: str,
        node: nodes.Mapping,
        keys: Mapping[str, Schema],
        required: tuple[str, ...],
        skipped: set[str],
        span: Span | None = None,
    ) -> None:
        """Check a mapping with known keys; those skipped are looked at elsewhere."""
        missing = [name for name in required if node.get(name) is None]
        for key, value in node:
            form = keys.get(key.value)
            if form is None:
                hint = suggest(key.value, keys)
                missing = [name for name in missing if not hint or f"`{name}`" not in hint]
                known = f"its keys are {', '.join(keys)}"
                self.diagnostics.error(
                    "unknown-key", f"{subject} has no key `{key.value}`", key.span, hint=hint or known
                )
            elif key.value not in skipped and key.value != "trtdsl":
                for finding in self.values.findings(value, form):
                    message = about(key, finding)
                    self.diagnostics.error(finding.code, message, place(value, finding), hint=finding.hint)
        for name in missing:
            hint = f"begin the file with `trtdsl: {LANGUAGE_VERSION}`" if name == "trtdsl" else None
            self.diagnostics.error("missing-key", f"{subject} needs `{name}`", span or _start(node), hint=hint)


def _text_of(key: Key) -> Scalar:
    return Scalar(key.value, key.span, key.quoted)


def _start(node: nodes.Mapping) -> Span:
    return node.entries[0][0].span if node.entries else node.span


def _names(node: Node | None) -> Iterable[tuple[str, Span]]:
    if isinstance(node, nodes.Mapping):
        return [(key.value, key.span) for key, _ in node]
    return _listed(node)


def _listed(node: Node | None) -> Iterable[tuple[str, Span]]:
    items = node.items if isinstance(node, nodes.Sequence) else ()
    return [(item.value, item.span) for item in items if isinstance(item, Scalar) and isinstance(item.value, str)]


def _has_expression(node: Node) -> bool:
    if isinstance(node, Scalar):
        return isinstance(node.value, str) and "$" in node.value
    parts = node.items if isinstance(node, nodes.Sequence) else [value for _, value in node.entries]
    return any(_has_expression(part) for part in parts)
