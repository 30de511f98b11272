"""From what `in` and `outputs` say to the tensors that are meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trtdsl import nodes
from trtdsl.errors import suggest
from trtdsl.expand.scope import FAILED, UNKNOWN, Names, Scope, Source, Tensors
from trtdsl.expand.values import Evaluator, Failed, as_text
from trtdsl.nodes import Node, Scalar, describe
from trtdsl.ops.base import Op
from trtdsl.source import Span


@dataclass(frozen=True)
class Slots:
    """The inputs that a layer takes: their names, how many of them it needs, and whether the last one is a list.

    `holes` says that the list may be empty and have nulls in it.
    """

    kind: str
    names: tuple[str, ...]
    required: int
    variadic: bool = False
    holes: bool = False
    reads_previous: bool = True

    @classmethod
    def of_op(cls, kind: str, op: type[Op]) -> Slots:
        required = sum(not (entry.optional or entry.variadic) for entry in op.inputs)
        variadic = any(entry.variadic for entry in op.inputs)
        holes = any(entry.variadic and entry.optional for entry in op.inputs)
        names = tuple(entry.name for entry in op.inputs)
        return cls(kind, names, required, variadic, holes, op.reads_previous)

    @property
    def takes(self) -> str:
        """How many, for messages."""
        if self.variadic:
            return f"{self.required or 'one'} or more inputs"
        if self.required == len(self.names):
            return "no input" if not self.names else f"{self.required} input{'s' * (self.required > 1)}"
        return f"{self.required} to {len(self.names)} inputs"


class References:
    """Resolves names of tensors in scopes."""

    def __init__(self, names: Names, evaluator: Evaluator) -> None:
        self.names, self.evaluator = names, evaluator

    def inputs(self, scope: Scope, node: Node | None, slots: Slots, span: Span) -> list[Source]:
        """The inputs of a layer in order, optional ones that are left out as None."""
        try:
            return self._inputs(scope, node, slots, span)
        except Failed:
            return [Source(UNKNOWN)] * len(slots.names)

    def _inputs(self, scope: Scope, node: Node | None, slots: Slots, span: Span) -> list[Source]:
        sources = self._default(scope, slots, span) if node is None else self._given(scope, node, slots)
        place = span if node is None else node.span
        if not (slots.required <= len(sources) and (slots.variadic or len(sources) <= len(slots.names))):
            got = len(sources)
            hint = f"its inputs are {', '.join(slots.names)}" if len(slots.names) > 1 else None
            raise self.evaluator.error(
                scope, "inputs", f"{slots.kind} takes {slots.takes}, {got} {_are(got)} given", place, hint=hint
            )
        for position, source in enumerate(sources):
            needed = position < slots.required or (slots.variadic and not slots.holes)
            if source.tensor is None and needed:
                name = slots.names[min(position, len(slots.names) - 1)]
                raise self.evaluator.error(
                    scope, "inputs", f"{slots.kind} cannot do without its input `{name}`", source.span or place
                )
        if not slots.variadic:
            sources += [Source(None)] * (len(slots.names) - len(sources))
        return sources

    def tensor(self, scope: Scope, text: str, span: Span) -> str:
        """The tensor that a reference such as `conv1` or `topk:values` means. Raises Failed."""
        return self.only(scope, self.find(scope, text, span), text, span)

    def find(self, scope: Scope, text: str, span: Span) -> Tensors:
        """What a reference stands for. Raises Failed."""
        name, colon, port = text.partition(":")
        found = self._lookup(scope, name)
        if found is None:
            raise self._unknown(scope, name, span)
        if not colon or found is FAILED:
            return found
        if port not in found.ports:
            known = [f"`{name}:{other}`" if other else f"`{name}`" for other in found.ports]
            raise self.evaluator.error(
                scope, "unknown-port", f"`{name}` has no output `{port}`", span, hint=f"it has {', '.join(known)}"
            )
        return Tensors.single(found.ports[port])

    def only(self, scope: Scope, found: Tensors, text: str, span: Span) -> str:
        """The one tensor of what a name stands for. Raises Failed."""
        if len(found.ports) == 1 or "" in found.ports:
            return found.ports[""] if "" in found.ports else next(iter(found.ports.values()))
        name = text or "the layer before"
        choices = [f"{text or 'name'}:{port}" for port in found.ports]
        raise self.evaluator.error(
            scope,
            "several-outputs",
            f"{name} has {len(choices)} outputs" if not text else f"`{name}` has {len(choices)} outputs",
            span,
            hint=f"say which: {', '.join(f'`{choice}`' for choice in choices[:8])}",
        )

    def _default(self, scope: Scope, slots: Slots, span: Span) -> list[Source]:
        if not slots.names or not slots.reads_previous:
            return []
        if slots.required > 1 or (slots.variadic and not slots.holes):
            raise self.evaluator.error(
                scope, "inputs", f"{slots.kind} takes {slots.takes} and has no `in`", span, hint="`in: [a, b]`"
            )
        if scope.previous is None:
            if not slots.required:
                return []
            raise self.evaluator.error(
                scope, "inputs", f"there is nothing before {slots.kind} that it could read", span, hint="say `in`"
            )
        return [Source(self.only(scope, scope.previous, "", span))]

    def _given(self, scope: Scope, node: Node, slots: Slots) -> list[Source]:
        value = self.evaluator.node(node, scope)
        if isinstance(value, nodes.Mapping):
            return self._by_name(scope, value, slots)
        items = value.items if isinstance(value, nodes.Sequence) else (value,)
        return self._sources(scope, items)

    def _sources(self, scope: Scope, items: Sequence[Node]) -> list[Source]:
        """All of them, so that every wrong one is reported."""
        sources, failed = [], False
        for item in items:
            try:
                sources.append(self._source(scope, item))
            except Failed:
                failed = True
        if failed:
            raise Failed
        return sources

    def _source(self, scope: Scope, item: Node) -> Source:
        if isinstance(item, Scalar) and item.value is None:
            return Source(None, item.span)
        text = as_text(item)
        if text is None:
            raise self.evaluator.error(scope, "value", f"`in` names tensors; this is {describe(item)}", item.span)
        return Source(self.tensor(scope, text, item.span), item.span)

    def _by_name(self, scope: Scope, value: nodes.Mapping, slots: Slots) -> list[Source]:
        given = value.as_dict()
        for key, _ in value:
            if key.value not in slots.names:
                raise self.evaluator.error(
                    scope,
                    "unknown-input",
                    f"{slots.kind} has no input `{key.value}`",
                    key.span,
                    hint=suggest(key.value, slots.names) or f"its inputs are {', '.join(slots.names)}",
                )
        sources: list[Source] = []
        for name in slots.names:
            node = given.get(name)
            if node is None:
                sources.append(Source(None, value.span))
            elif slots.variadic and name == slots.names[-1] and isinstance(node, nodes.Sequence):
                sources += self._sources(scope, node.items)
            else:
                sources += self._sources(scope, (node,))
        while sources and sources[-1].tensor is None and len(sources) > slots.required:
            sources.pop()
        return sources

    def _lookup(self, scope: Scope, name: str) -> Tensors | None:
        """What a name stands for in a scope or those around it; made-up names stand for nothing."""
        if name.startswith("/"):
            # The full name, which no name in between can stand before. Modules see nothing of what is around them.
            return None if scope.uses else self.names.tensors.get(name[1:])
        head = name.partition(".")[0]
        for around in scope.outward():
            if name in around.inputs:
                return around.inputs[name]
            if around.prefix + head not in self.names.automatic:
                found = self.names.tensors.get(around.prefix + name)
                if found is None and head != name:
                    found = self._failed_instance(around.prefix, name)
                if found is not None:
                    return found
        return None

    def _failed_instance(self, prefix: str, name: str) -> Tensors | None:
        """FAILED for what lies in a module or sequence that is wrong: whether it would be there is not known."""
        parts = name.split(".")
        for end in range(1, len(parts)):
            around = self.names.tensors.get(prefix + ".".join(parts[:end]))
            if around is FAILED:
                return FAILED
        return None

    def _unknown(self, scope: Scope, name: str, span: Span) -> Failed:
        hint = None
        for around in scope.outward():
            if around.prefix + name.partition(".")[0] in self.names.automatic:
                hint = "that name was made up; give the layer a `name` to refer to it"
            elif holder := self.names.hidden.get(around.prefix + name):
                hint = f"it is inside `{holder}`, whose `outputs` say what comes out"
            elif around.prefix + name in self.names.places:
                hint = "its `when` is false, and it has no input to pass on"
            elif name in around.given:
                hint = "it stands further down; a layer reads what is above it"
            if hint is not None:
                break
        hint = hint or suggest(name, self._visible(scope))
        return self.evaluator.error(scope, "unknown-tensor", f"no tensor is called `{name}` here", span, hint=hint)

    def _visible(self, scope: Scope) -> Iterator[str]:
        for around in scope.outward():
            yield from around.inputs
            for name in self.names.tensors:
                if name.startswith(around.prefix) and name not in self.names.automatic:
                    yield name[len(around.prefix) :]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
