"""Layers of control flow: their bodies, and what goes into them and comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtdsl import nodes
from trtdsl.errors import suggest
from trtdsl.expand.scope import LayerUse, Scope, Source, Tensors
from trtdsl.expand.values import as_text
from trtdsl.flat import FlatBody, FlatLayer
from trtdsl.nodes import Key, Node, Scalar, describe
from trtdsl.source import Origin, Span

if TYPE_CHECKING:
    from trtdsl.expand.layers import Expander


@dataclass(frozen=True)
class _Result:
    """A tensor that comes out of a body, and the place that says so."""

    tensor: str
    span: Span


class ControlFlow:
    """Expands conditionals and loops, whose bodies are lists of layers of their own."""

    def __init__(self, expander: Expander) -> None:
        self.expander = expander
        self.evaluator, self.references = expander.evaluator, expander.references

    def conditional(self, use: LayerUse) -> Tensors:
        """An `if`: its first source is the condition, its branches begin with the second. Raises Failed."""
        condition, passed = use.sources
        previous = Tensors.single(passed.tensor) if passed.tensor else None
        scopes, layers = {}, {}
        before = len(self.references.names.tensors)
        for branch in ("then", "else"):
            scopes[branch] = self._inner(use, f"{use.name}.{branch}", previous)
            layers[branch] = self._layers(scopes[branch], use.fields.get(branch), use.span)
        ports = list(self._branch_outputs(use, scopes))
        self._hide(use, before)
        bodies = {
            branch: FlatBody(
                (), layers[branch], tuple(r[branch].tensor for _, r in ports), tuple(r[branch].span for _, r in ports)
            )
            for branch in scopes
        }
        parameters: dict[str, Node] = {"outputs": _words([port for port, _ in ports], self._place(use, "outputs"))}
        return self._add(use, [condition], parameters, bodies, [port for port, _ in ports])

    def _branch_outputs(
        self, use: LayerUse, scopes: Mapping[str, Scope]
    ) -> Iterator[tuple[str, Mapping[str, _Result]]]:
        """What comes out of an `if`: by port, the tensor of each branch."""
        node = use.fields.get("outputs")
        if node is None:
            yield "", {branch: self._last(use, scope, branch) for branch, scope in scopes.items()}
            return
        value = self.evaluator.node(node, use.scope)
        for port, entry in _by_port(value, ("then", "else")):
            chosen = entry.as_dict() if isinstance(entry, nodes.Mapping) else dict.fromkeys(scopes, entry)
            yield port, {branch: self._result(scope, chosen.get(branch), entry) for branch, scope in scopes.items()}

    def loop(self, use: LayerUse) -> Tensors:
        """A `loop`. Raises Failed."""
        scope, fields = use.scope, use.fields
        states = dict(self._tensors(use, "state"))
        scans = dict(self._scans(use))
        counted, parameters = self._count(use)
        if not (states or scans):
            message = "a loop needs `state` or `scan`: without, no round differs from another"
            raise self.evaluator.error(scope, "missing-key", message, use.span)
        if not (counted or scans or "count" in fields or "while" in fields):
            message = "nothing ends the loop: it needs `count`, `scan` or `while`"
            raise self.evaluator.error(scope, "missing-key", message, use.span)
        before = len(self.references.names.tensors)
        inner = self._inner(use, use.name, None)
        inside = [self._declare(inner, key) for key in (*states, *scans)]
        inner.previous = Tensors.single(inside[len(states)] if scans else inside[0])
        layers = self._layers(inner, fields["layers"], use.span)
        going = [self._result(inner, fields["while"], fields["while"])] if "while" in fields else []
        following = self._next(use, inner, [key.value for key in states])
        outputs, stacked = self._loop_outputs(use, inner, [key.value for key in states])
        self._hide(use, before)
        results = [*going, *following, *stacked]
        body = FlatBody(
            tuple(inside), layers, tuple(result.tensor for result in results), tuple(result.span for result in results)
        )
        parameters |= {
            "state": _words([key.value for key in states], self._place(use, "state")),
            "scan": nodes.Mapping(tuple((key, form) for key, (_, form) in scans.items()), self._place(use, "scan")),
            "conditional": Scalar(bool(going), use.span),
            "outputs": outputs,
        }
        sources = [*counted, *states.values(), *(source for source, _ in scans.values())]
        ports = [str(_value(entry, "port")) for entry in outputs.items]
        return self._add(use, sources, parameters, {"layers": body}, ports)

    def _count(self, use: LayerUse) -> tuple[list[Source], dict[str, Node]]:
        """The tensor that tells the number of rounds, if one does, and what the op is told of that number."""
        node = use.fields.get("count")
        value = None if node is None else self.evaluator.node(node, use.scope)
        if isinstance(value, nodes.Mapping):
            tensor = value.get("tensor")
            if tensor is None:
                raise self.evaluator.error(use.scope, "missing-key", "`count` needs `tensor`", value.span)
            return [self._source(use.scope, tensor)], {"counted": Scalar(True, value.span)}
        return [], {} if value is None else {"count": value}

    def _tensors(self, use: LayerUse, key: str) -> Iterator[tuple[Key, Source]]:
        for name, node in self._mapping(use, key):
            yield name, self._source(use.scope, node)

    def _scans(self, use: LayerUse) -> Iterator[tuple[Key, tuple[Source, Node]]]:
        """What is scanned by the names of the slices, with the axis as the op is told of it."""
        for name, node in self._mapping(use, "scan"):
            fields = node.as_dict() if isinstance(node, nodes.Mapping) else {"tensor": node}
            if "tensor" not in fields:
                raise self.evaluator.error(use.scope, "missing-key", "a scan needs `tensor`", node.span)
            yield name, (self._source(use.scope, fields["tensor"]), _axis_of(node))

    def _mapping(self, use: LayerUse, key: str) -> tuple[tuple[Key, Node], ...]:
        node = use.fields.get(key)
        if node is None:
            return ()
        value = self.evaluator.node(node, use.scope)
        if not isinstance(value, nodes.Mapping):
            message = f"`{key}` must be a mapping by names inside the loop, not {describe(value)}"
            raise self.evaluator.error(use.scope, "value", message, node.span)
        return value.entries

    def _next(self, use: LayerUse, inner: Scope, states: list[str]) -> list[_Result]:
        """What the states become, in their order."""
        if "next" not in use.fields and len(states) == 1:
            return [self._last(use, inner, "layers")]
        given = {key.value: (key, node) for key, node in self._mapping(use, "next")}
        for name, (key, _) in given.items():
            if name not in states:
                message = f"`next`: the loop has no state `{name}`"
                raise self.evaluator.error(use.scope, "unknown-key", message, key.span, hint=suggest(name, states))
        for name in states:
            if name not in given:
                message = f"`next` does not say what becomes of state `{name}`"
                hint = f"`next: {{{name}: …}}`; `{name}: {name}` leaves it as it is"
                raise self.evaluator.error(use.scope, "missing-key", message, self._place(use, "next"), hint=hint)
        return [self._result(inner, given[name][1], given[name][1]) for name in states]

    def _loop_outputs(self, use: LayerUse, inner: Scope, states: list[str]) -> tuple[nodes.Sequence, list[_Result]]:
        """The outputs as the op is told of them, and the tensors that are stacked."""
        node = use.fields.get("outputs")
        place = self._place(use, "outputs")
        if node is None:
            if not states:
                message = "the loop has no state, so `outputs` has to say what comes out"
                raise self.evaluator.error(use.scope, "missing-key", message, place, hint="`outputs: {stack: …}`")
            ports = states if len(states) > 1 else [""]
            told = [_output(port, "last", index, place) for index, port in enumerate(ports)]
            return nodes.Sequence(tuple(told), place), []
        told = []
        stacked: list[_Result] = []
        for port, entry in _by_port(self.evaluator.node(node, use.scope), ("stack", "dim", "reverse")):
            if isinstance(entry, nodes.Mapping):
                told.append(_output(port, "stack", len(stacked), entry.span, _axis_of(entry)))
                stacked.append(self._result(inner, entry.get("stack"), entry))
            else:
                told.append(_output(port, "last", self._state(use, inner, entry, states), entry.span))
        return nodes.Sequence(tuple(told), place), stacked

    def _state(self, use: LayerUse, inner: Scope, node: Node, states: list[str]) -> int:
        name = self.evaluator.text(node, inner, "an output")
        if name in states:
            return states.index(name)
        self.references.find(inner, name, node.span)
        message = f"`{name}` is no state of the loop, so it has no last value"
        hint = suggest(name, states) or f"`{{stack: {name}}}` gives its values of all rounds"
        raise self.evaluator.error(use.scope, "unknown-tensor", message, node.span, hint=hint)

    def _inner(self, use: LayerUse, name: str, previous: Tensors | None) -> Scope:
        scope = use.scope
        return Scope(
            f"{scope.prefix}{name}.",
            scope.variables,
            parent=scope,
            uses=scope.uses,
            precision=use.precision or scope.precision,
            previous=previous,
        )

    def _layers(self, inner: Scope, node: Node | None, span: Span) -> tuple[FlatLayer, ...]:
        if node is None:
            return ()
        assert isinstance(node, nodes.Sequence)
        outer, self.expander.layers = self.expander.layers, []
        try:
            self.expander.nested(inner, node.items, span)
            return tuple(self.expander.layers)
        finally:
            self.expander.layers = outer

    def _hide(self, use: LayerUse, before: int) -> None:
        """Let nothing outside refer to what bodies hold; names that were there `before` stay."""
        names = self.references.names
        for name in list(names.tensors)[before:]:
            names.hidden[name] = use.scoped
            del names.tensors[name]

    def _declare(self, inner: Scope, key: Key) -> str:
        self.expander.declare(inner, key.value, key.span)
        tensor = inner.prefix + key.value
        self.references.names.tensors[tensor] = Tensors.single(tensor)
        return tensor

    def _source(self, scope: Scope, node: Node) -> Source:
        return Source(self.references.tensor(scope, self._text(scope, node), node.span), node.span)

    def _result(self, inner: Scope, node: Node | None, around: Node) -> _Result:
        if node is None:
            raise self.evaluator.error(inner, "value", "`outputs` lacks the tensor of a branch", around.span)
        value = self.evaluator.node(node, inner)
        return _Result(self.references.tensor(inner, self._text(inner, value), node.span), node.span)

    def _text(self, scope: Scope, node: Node) -> str:
        text = as_text(node)
        if text is None:
            raise self.evaluator.error(
                scope, "value", f"expected the name of a tensor, not {describe(node)}", node.span
            )
        return text

    def _last(self, use: LayerUse, inner: Scope, key: str) -> _Result:
        """What the last layer of a body gives."""
        span = self._place(use, key)
        if inner.previous is None:
            hint = "`in: [condition, x]` says what a branch without layers passes on" if use.kind == "if" else None
            raise self.evaluator.error(use.scope, "inputs", f"`{key}` gives nothing out", span, hint=hint)
        return _Result(self.references.only(inner, inner.previous, "", span), span)

    def _place(self, use: LayerUse, key: str) -> Span:
        node = use.fields.get(key)
        return use.span if node is None else node.span

    def _add(
        self,
        use: LayerUse,
        sources: list[Source],
        parameters: Mapping[str, Node],
        bodies: Mapping[str, FlatBody],
        ports: list[str],
    ) -> Tensors:
        scope = use.scope
        tensors = [f"{use.scoped}:{port}" if port else use.scoped for port in ports]
        if "out" in use.fields:
            tensors = self.expander.renamed(scope, use.fields["out"], len(ports))
        layer = FlatLayer(
            use.kind,
            use.scoped,
            tuple(source.tensor for source in sources),
            parameters,
            tuple(tensors),
            use.precision,
            None,
            Origin(use.span, scope.uses),
            tuple(source.span for source in sources),
            scope.precision,
            bodies,
        )
        self.expander.layers.append(layer)
        return Tensors(dict(zip(ports, tensors, strict=True)))


def _by_port(value: Node, own: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
    """Outputs by port; a single one, which may be a mapping with keys of its `own`, has none."""
    if isinstance(value, nodes.Sequence):
        yield from ((as_text(item) or "", item) for item in value.items)
    elif isinstance(value, nodes.Mapping) and not any(key.value in own for key, _ in value):
        yield from ((key.value, node) for key, node in value)
    else:
        yield "", value


def _axis_of(node: Node) -> nodes.Mapping:
    """What is said of an axis: `dim` and `reverse`."""
    entries = node.entries if isinstance(node, nodes.Mapping) else ()
    return nodes.Mapping(tuple((key, value) for key, value in entries if key.value in ("dim", "reverse")), node.span)


def _output(port: str, what: str, index: int, span: Span, axis: nodes.Mapping | None = None) -> Node:
    entries = ((Key("port", span), Scalar(port, span)), (Key(what, span), Scalar(index, span)))
    return nodes.Mapping((*entries, *(axis.entries if axis else ())), span)


def _words(words: list[str], span: Span) -> nodes.Sequence:
    return nodes.Sequence(tuple(Scalar(word, span) for word in words), span)


def _value(node: Node, key: str) -> object:
    entry = node.get(key) if isinstance(node, nodes.Mapping) else None
    return entry.value if isinstance(entry, Scalar) else None
