"""Bodies of layers: repeat, foreach, when, sequences and modules become one flat list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trtdsl import nodes
from trtdsl.errors import Note
from trtdsl.expand.control import ControlFlow
from trtdsl.expand.references import References, Slots
from trtdsl.expand.rows import rows
from trtdsl.expand.scope import FAILED, LayerUse, Names, Scope, Source, Tensors, given_names
from trtdsl.expand.values import PRECISION_WORDS, Evaluator, Failed
from trtdsl.flat import FlatLayer
from trtdsl.modules import Module
from trtdsl.names import LAYER_NAME, is_name
from trtdsl.nodes import Node, Scalar, plain
from trtdsl.ops.base import LAYER_KEYS, Op
from trtdsl.source import Origin, Span, Use

MAX_LAYERS = 1_000_000
"""The most layers and iterations that a network may expand to."""
MAX_DEPTH = 48
"""How deep modules and sequences may nest once expanded."""

IMPLEMENTATIONS = {name: name for name in ("native", "plugin", "auto")}
_GROUPS = {
    "sequence": Slots("sequence", ("x",), 0),
    "if": Slots("if", ("condition", "x"), 1),
    "loop": Slots("loop", (), 0),
}
_OWN_KEYS = frozenset(LAYER_KEYS)

CheckLayer = Callable[[Node, str], bool]
"""Checks a layer against what its op or module takes; gives whether it is right."""


class LimitReached(Exception):
    """Expansion was given up; the reason has been reported."""


class Expander:
    """Turns the bodies of one document into `layers`."""

    def __init__(
        self,
        catalogue: Mapping[str, type[Op]],
        modules: Mapping[str, Module],
        dims: Mapping[str, Any],
        evaluator: Evaluator,
        check_layer: CheckLayer,
    ) -> None:
        self.catalogue, self.modules, self.dims = catalogue, modules, dims
        self.evaluator = evaluator
        self.check_layer = check_layer
        self.names = Names()
        self.references = References(self.names, evaluator)
        self.layers: list[FlatLayer] = []
        self.control = ControlFlow(self)
        self.slots: dict[str, Slots] = {}
        self.given: dict[int, frozenset[str]] = {}
        self.steps = 0
        self.depth = 0

    def body(self, scope: Scope, items: Sequence[Node]) -> None:
        """Expand the layers of one body in order. A wrong one is reported, and nothing that reads it."""
        for item in items:
            if isinstance(item, nodes.Mapping) and item.get("foreach") is not None:
                self._foreach(scope, item)
            else:
                self._layer(scope, item)

    def given_names(self, items: Sequence[Node]) -> frozenset[str]:
        """The names that a body gives outright, which no made-up name may take."""
        # The tree outlives the expansion, so the identity of a body's tuple stands for the body.
        if id(items) not in self.given:
            self.given[id(items)] = frozenset(given_names(items))
        return self.given[id(items)]

    def _step(self, scope: Scope, span: Span) -> None:
        self.steps += 1
        if self.steps > MAX_LAYERS:
            self.evaluator.error(scope, "limit", f"the network has more than {MAX_LAYERS:,} layers", span)
            raise LimitReached

    def _foreach(self, scope: Scope, item: nodes.Mapping) -> None:
        fields = item.as_dict()
        variables = scope.variables
        layers = fields["layers"]
        assert isinstance(layers, nodes.Sequence)
        try:
            for row in rows(self.evaluator, scope, fields):
                self._step(scope, item.span)
                scope.variables = {**variables, **row}
                if "when" not in fields or self.evaluator.flag(fields["when"], scope, "`when`"):
                    self.body(scope, layers.items)
        except Failed:
            scope.previous = FAILED
        finally:
            scope.variables = variables

    def _layer(self, scope: Scope, node: Node) -> None:
        fields = node.as_dict() if isinstance(node, nodes.Mapping) else {"op": node}
        self._step(scope, node.span)
        try:
            kind = self._kind(scope, node, fields["op"])
        except Failed:
            scope.previous = FAILED
            self._declare_failed(scope, fields.get("name"))
            return
        name = self._name(scope, kind, fields, node.span)
        try:
            sources = self.references.inputs(scope, fields.get("in"), self._slots(kind), node.span)
            result = self._repeated(LayerUse(scope, kind, name, fields, tuple(sources), node.span))
        except Failed:
            result = FAILED
            self._declare_failed(scope, fields.get("out"))
        if result is not None:
            self.names.tensors[scope.prefix + name] = result
            if result.ports:  # the next layer cannot read one that gives nothing
                scope.previous = result

    def _kind(self, scope: Scope, node: Node, op: Node) -> str:
        kind = self.evaluator.text(op, scope, "`op`")
        computed = isinstance(op, Scalar) and op.value != kind
        # What was written outright has been checked already.
        if computed and not self.check_layer(node, kind):
            raise Failed
        return kind

    def _name(self, scope: Scope, kind: str, fields: Mapping[str, Node], span: Span) -> str:
        """The name of a layer within its scope; a made-up one where YAML gives none, or a wrong one."""
        if "name" in fields:
            node = fields["name"]
            try:
                return self.declare(scope, self.evaluator.text(node, scope, "`name`"), node.span)
            except Failed:
                self._declare_failed(scope, node)
        name = self.names.automatic_name(scope, kind)
        self.names.automatic.add(scope.prefix + name)
        return self.declare(scope, name, span)

    def declare(self, scope: Scope, name: str, span: Span) -> str:
        """Take a name. Raises Failed for one that is none, or is taken."""
        if not is_name(name):
            raise self.evaluator.error(scope, "value", f"`{name}` is no name: {LAYER_NAME.words}", span)
        if name in scope.inputs:
            raise self.evaluator.error(scope, "duplicate-name", f"`{name}` is an input's name already", span)
        first = self.names.places.get(scope.prefix + name)
        if first is None:
            self.names.places[scope.prefix + name] = span
            return name
        made_up = scope.prefix + name in self.names.automatic
        hint = "give that layer a `name`" if made_up else None
        if first == span:
            hint = "the layer is expanded more than once: put something that changes into its name"
        note = Note("made up for this layer" if made_up else "first given here", first)
        raise self.evaluator.error(
            scope, "duplicate-name", f"the name `{name}` is given twice", span, hint=hint, notes=[note]
        )

    def _declare_failed(self, scope: Scope, node: Node | None) -> None:
        """Let the names of a wrong layer be referred to, since they are not what is wrong."""
        for item in node.items if isinstance(node, nodes.Sequence) else (node,):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                self.names.tensors.setdefault(scope.prefix + item.value, FAILED)

    def _repeated(self, use: LayerUse) -> Tensors | None:
        if "repeat" not in use.fields:
            return self._once(use)
        scope, name = use.scope, use.name
        count = self.evaluator.count(use.fields["repeat"], scope, "`repeat`")
        index = self.evaluator.text(use.fields["index"], scope, "`index`") if "index" in use.fields else "i"
        result = use.passed_on
        sources = use.sources
        for number in range(count):
            self._step(scope, use.span)
            inner = replace(scope, variables={**scope.variables, index: number})
            here = {key: node for key, node in use.fields.items() if key != "out" or number == count - 1}
            self.declare(scope, f"{name}.{number}", use.span)
            result = self._once(replace(use, scope=inner, name=f"{name}.{number}", fields=here, sources=sources))
            if result is not None:
                self.names.tensors[f"{scope.prefix}{name}.{number}"] = result
                if number < count - 1 and sources:
                    given = self.references.only(scope, result, f"{name}.{number}", use.span)
                    sources = (Source(given), *sources[1:])
        return result

    def _once(self, use: LayerUse) -> Tensors | None:
        scope, kind, fields = use.scope, use.kind, use.fields
        if "when" in fields and not self.evaluator.flag(fields["when"], scope, "`when`"):
            passed = use.passed_on
            if passed is not None and "out" in fields:
                self._rename(scope, fields["out"], passed)
            return passed
        if "precision" in fields:
            word = self.evaluator.word(fields["precision"], scope, "`precision`", PRECISION_WORDS)
            use = replace(use, precision=word)
        if kind in self.catalogue and self.catalogue[kind].bodies:
            return self.control.conditional(use) if kind == "if" else self.control.loop(use)
        if kind in self.catalogue:
            return self._op(use)
        inner = Scope(
            f"{use.scoped}.",
            {},
            uses=scope.uses,
            precision=use.precision or scope.precision,
            previous=use.passed_on,
        )
        result = self._sequence(use, inner) if kind == "sequence" else self._module(use, inner)
        if result is not None and "out" in fields:
            self._rename(scope, fields["out"], result)
        return result

    def _op(self, use: LayerUse) -> Tensors:
        scope, fields = use.scope, use.fields
        op = self.catalogue[use.kind]
        parameters = self._parameters(scope, fields)
        impl = None
        if "impl" in fields:
            impl = self.evaluator.word(fields["impl"], scope, "`impl`", IMPLEMENTATIONS)
        ports = self._ports(scope, op, parameters)
        tensors = [f"{use.scoped}:{port}" if port else use.scoped for port in ports]
        if "out" in fields:
            tensors = self.renamed(scope, fields["out"], len(ports))
        layer = FlatLayer(
            op.kind,
            use.scoped,
            tuple([source.tensor for source in use.sources]),
            parameters,
            tuple(tensors),
            use.precision,
            impl,
            Origin(use.span, scope.uses),
            tuple([source.span for source in use.sources]),
            scope.precision,
        )
        self.layers.append(layer)
        return Tensors(dict(zip(ports, tensors, strict=True)))

    def _parameters(self, scope: Scope, fields: Mapping[str, Node]) -> dict[str, Node]:
        """All of them evaluated, so that every wrong one is reported."""
        parameters, failed = {}, False
        for key, node in fields.items():
            if key not in _OWN_KEYS:
                try:
                    parameters[key] = self.evaluator.node(node, scope)
                except Failed:
                    failed = True
        if failed:
            raise Failed
        return parameters

    def _ports(self, scope: Scope, op: type[Op], parameters: Mapping[str, Node]) -> tuple[str, ...]:
        """The names of the op's outputs, which may hang on its parameters."""
        if op.output_names is Op.output_names:
            return ("",)
        values, failed = {}, False
        for name, attribute in op.attributes.items():
            node = parameters.get(name)
            if node is None:
                continue
            try:
                values[name] = attribute.type.parse(plain(node), self.dims)
            except ValueError as error:
                self.evaluator.error(scope, "parameter-value", f"{op.kind}: `{name}`: {error}", node.span)
                failed = True
        if failed:
            raise Failed
        return op(values).output_names

    def _sequence(self, use: LayerUse, inner: Scope) -> Tensors | None:
        inner.variables, inner.parent = use.scope.variables, use.scope
        layers = use.fields["layers"]
        assert isinstance(layers, nodes.Sequence)
        self.nested(inner, layers.items, layers.span)
        return inner.previous

    def _module(self, use: LayerUse, inner: Scope) -> Tensors | None:
        module = self.modules[use.kind]
        inner.uses = (Use(module.name, use.span), *use.scope.uses)
        inner.variables = self._arguments(use.scope, inner, module, use.fields)
        inner.inputs = {
            name: Tensors.single(source.tensor)
            for name, source in zip(module.inputs, use.sources, strict=True)
            if source.tensor is not None
        }
        self.nested(inner, module.layers, use.span)
        if module.outputs is None:
            return inner.previous
        return Tensors(dict(self._module_outputs(inner, module.outputs)))

    def _arguments(self, scope: Scope, inner: Scope, module: Module, fields: Mapping[str, Node]) -> dict[str, Any]:
        """What the names inside a module stand for: its params, and the network's dimensions."""
        values: dict[str, Any] = dict(self.dims)
        for name, default in module.params.items():
            if name in fields:
                values[name] = plain(self.evaluator.node(fields[name], scope))
            elif default is not None:
                inner.variables = values
                values[name] = plain(self.evaluator.node(default, inner))
        return values

    def nested(self, inner: Scope, items: Sequence[Node], span: Span) -> None:
        """Expand the layers of a module, a sequence or a body of control flow, in a scope of their own."""
        if self.depth >= MAX_DEPTH:
            chain = " in ".join(dict.fromkeys(use.name for use in inner.uses)) or "sequences"
            endless = len({use.name for use in inner.uses}) < len(inner.uses)
            what = "modules use each other without end" if endless else f"modules nest deeper than {MAX_DEPTH} levels"
            self.evaluator.error(inner, "limit", f"{what}: {chain}", span)
            raise LimitReached
        inner.given = self.given_names(items)
        self.depth += 1
        self.body(inner, items)
        self.depth -= 1

    def _module_outputs(self, scope: Scope, node: Node) -> list[tuple[str, str]]:
        """What a module gives out: tensors by port. Raises Failed."""
        value = self.evaluator.node(node, scope)
        entries: list[tuple[str, Node]] = [("", value)]
        if isinstance(value, nodes.Mapping):
            entries = [(key.value, entry) for key, entry in value]
        elif isinstance(value, nodes.Sequence):
            entries = [(str(plain(entry)), entry) for entry in value.items]
        found = []
        for port, entry in entries:
            text = self.evaluator.text(entry, scope, "an output")
            found.append((port, self.references.tensor(scope, text, entry.span)))
        return found

    def renamed(self, scope: Scope, node: Node, count: int) -> list[str]:
        """The scoped names that `out` gives to a layer's tensors."""
        value = self.evaluator.node(node, scope)
        items = value.items if isinstance(value, nodes.Sequence) else (value,)
        if len(items) != count:
            raise self.evaluator.error(scope, "value", f"`out` names {len(items)} of {count} outputs", node.span)
        names = []
        for item in items:
            name = self.evaluator.text(item, scope, "`out`")
            self.declare(scope, name, item.span)
            self.names.tensors[scope.prefix + name] = Tensors.single(scope.prefix + name)
            names.append(scope.prefix + name)
        return names

    def _rename(self, scope: Scope, node: Node, tensors: Tensors) -> None:
        """Second names for the tensors of a module or sequence, which have their own from the layers inside."""
        for name, tensor in zip(self.renamed(scope, node, len(tensors.ports)), tensors.ports.values(), strict=True):
            self.names.tensors[name] = Tensors.single(tensor)

    def _slots(self, kind: str) -> Slots:
        if kind not in self.slots:
            if kind in _GROUPS:
                self.slots[kind] = _GROUPS[kind]
            elif kind in self.modules:
                inputs = self.modules[kind].inputs
                self.slots[kind] = Slots(kind, inputs, len(inputs))
            else:
                self.slots[kind] = Slots.of_op(kind, self.catalogue[kind])
        return self.slots[kind]
