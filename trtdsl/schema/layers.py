"""Single layers against what their op, module or sequence takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trtdsl import nodes
from trtdsl.errors import Diagnostics, suggest
from trtdsl.modules import Module
from trtdsl.names import is_name
from trtdsl.nodes import Key, Node, Scalar
from trtdsl.ops.attributes import Schema
from trtdsl.ops.base import LAYER_KEYS
from trtdsl.ops.raw import elsewhere
from trtdsl.reader import QUOTE_EXPRESSIONS
from trtdsl.schema import forms
from trtdsl.schema.document import Catalogue, op_keys, op_required, sequence_keys
from trtdsl.schema.values import ValueChecker, about, place
from trtdsl.source import Span

_MEANT_FOR_IN = frozenset({"from", "input", "inputs", "bottom", "src"})
"""What other languages call `in`."""
_NEEDLESS = {
    **dict.fromkeys(("in_channels", "in_features", "num_features", "num_channels"), "it follows from the input"),
    **dict.fromkeys(("inplace", "momentum", "track_running_stats"), "an engine has no use for it"),
}
"""Parameters of PyTorch's modules that ops do not have."""


class LayerKinds:
    """What layers of each kind may hold, made when it is first asked for."""

    def __init__(self, catalogue: Catalogue, modules: Mapping[str, Module]) -> None:
        self.catalogue, self.modules = catalogue, modules
        self.values = ValueChecker(forms.SHARED)
        self._keys: dict[str, dict[str, Schema]] = {}

    def keys(self, kind: str) -> dict[str, Schema] | None:
        """The forms by key, or None for a kind that does not exist."""
        if kind not in self._keys:
            if kind == "sequence":
                self._keys[kind] = sequence_keys()
            elif kind in self.catalogue:
                self._keys[kind] = op_keys(self.catalogue[kind])
            elif kind in self.modules:
                params: dict[str, Schema] = {name: {} for name in self.modules[kind].params}
                self._keys[kind] = {"op": {}, **forms.COMMON, **params}
            else:
                return None
        return self._keys[kind]

    def required(self, kind: str) -> tuple[str, ...]:
        """The parameters that every layer of a kind must give."""
        if kind in self.modules:
            return self.modules[kind].required
        return op_required(self.catalogue[kind]) if kind in self.catalogue else ("layers",)

    def is_open(self, kind: str) -> bool:
        """Whether layers of a kind may have any parameter."""
        return kind in self.catalogue and self.catalogue[kind].is_open

    def bodies(self, kind: str) -> tuple[str, ...]:
        """The keys under which layers of a kind have layers of their own."""
        if kind == "sequence":
            return ("layers",)
        return self.catalogue[kind].bodies if kind in self.catalogue else ()

    def is_weight(self, kind: str, name: str) -> bool:
        return kind in self.catalogue and name in self.catalogue[kind].weight_parameters

    def known(self) -> Iterable[str]:
        """All that may stand after `op:`."""
        return (*self.catalogue, *self.modules, "sequence")


class LayerCheck:
    """Checks single layers; alike ones share a verdict."""

    def __init__(
        self,
        catalogue: Catalogue,
        modules: Mapping[str, Module],
        diagnostics: Diagnostics,
        declared: Iterable[str] = (),
    ) -> None:
        self.kinds = LayerKinds(catalogue, modules)
        self.diagnostics = diagnostics
        # Names that expressions may hold somewhere in the document.
        self.declared = {*declared, *(name for module in modules.values() for name in module.params)}
        self._good: set[tuple[str, frozenset[str]]] = set()
        self._failed = False

    def layer(self, node: Node, kind: str) -> bool:
        """Whether a layer is one of its kind; reports what is not."""
        self._failed = False
        fields = node if isinstance(node, nodes.Mapping) else None
        op = fields.get("op") if fields else node
        keys = self.kinds.keys(kind)
        if keys is None:
            span = op.span if op else node.span
            message = f"there is no op or module `{kind}`"
            self._error("unknown-op", message, span, elsewhere(kind) or suggest(kind, self.kinds.known()))
            return False
        self._check_keys(kind, keys, fields.entries if fields else (), op.span if op else node.span)
        for key, value in fields.entries if fields else ():
            if key.value not in ("op", *self.kinds.bodies(kind)) and (form := keys.get(key.value)):
                self._check_value(kind, key, value, form)
        return not self._failed

    def _check_keys(
        self, kind: str, keys: Mapping[str, Schema], entries: tuple[tuple[Key, Node], ...], span: Span
    ) -> None:
        given = frozenset([key.value for key, _ in entries])
        if (kind, given) in self._good:
            return
        missing = [name for name in self.kinds.required(kind) if name not in given]
        unknown = [key for key, _ in entries if key.value not in keys and not self.kinds.is_open(kind)]
        for key in unknown:
            self._report_unknown(kind, keys, key, missing)
        for name in missing:
            self._error("missing-parameter", f"{kind} needs `{name}`{self._form_of(keys, name)}", span)
        if not unknown and not missing:
            self._good.add((kind, given))

    def _report_unknown(self, kind: str, keys: Mapping[str, Schema], key: Key, missing: list[str]) -> None:
        own = [name for name in keys if name not in LAYER_KEYS]
        hint = suggest(key.value, [name for name in keys if name != "op"])
        if hint is None and key.value in _MEANT_FOR_IN:
            hint = "`in` says what a layer reads: `in: x`, or `in: [x, y]`"
        if kind in self.kinds.catalogue and key.value in _NEEDLESS:
            hint = f"leave it out: {_NEEDLESS[key.value]}"
        if "$(" in key.value or key.value.endswith(")"):
            hint = QUOTE_EXPRESSIONS
        # The name that was meant is not missing as well.
        missing[:] = [name for name in missing if not hint or f"`{name}`" not in hint]
        if hint is None:
            hint = f"its parameters are {', '.join(own)}" if own else "it has none of its own"
        self._error("unknown-parameter", f"{kind} has no parameter `{key.value}`", key.span, hint)

    def _form_of(self, keys: Mapping[str, Schema], name: str) -> str:
        title = keys[name].get("title")
        return f", {title}" if title else ""

    def _check_value(self, kind: str, key: Key, value: Node, form: Schema) -> None:
        name = key.value
        if name in ("name", "in", "out") and isinstance(value, Scalar) and isinstance(value.value, str):
            # Names differ from layer to layer, so remembering verdicts on them is of no use.
            if is_name(value.value):
                return
        elif self.kinds.is_weight(kind, name) and _is_numbers(value):
            return
        code = "value" if name in LAYER_KEYS else "parameter-value"
        for finding in self.kinds.values.findings(value, form):
            report = code if finding.code == "value" else finding.code
            hint = finding.hint or self._reference(value)
            self._error(report, f"{kind}: {about(key, finding)}", place(value, finding), hint)

    def _reference(self, value: Node) -> str | None:
        """The hint for text that is the name of a param or dimension without its dollar."""
        text = value.value if isinstance(value, Scalar) else None
        return f"`${text}` is the value of `{text}`" if text in self.declared else None

    def _error(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self._failed = True
        self.diagnostics.error(code, message, span, hint=hint)


def _is_numbers(node: Node) -> bool:
    """Whether this is numbers in lists: inline weights are long, and need no closer look."""
    if isinstance(node, nodes.Sequence):
        return bool(node.items) and all(_is_numbers(item) for item in node.items)
    return isinstance(node, Scalar) and isinstance(node.value, (int, float))
