"""How layers of control flow, and references out of and into their bodies, are written in a dump."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trtdsl.flat import FlatLayer, FlatNetwork, walk
from trtdsl.nodes import plain

Escape = Callable[[Any], Any]
Write = Callable[[FlatLayer, "Place"], dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where a layer is written: inside the bodies with these prefixes, the outermost first.

    `known` are all names of the network, by which a reference may have to say that it means the outer one.
    """

    prefixes: tuple[str, ...]
    known: frozenset[str]

    @classmethod
    def top(cls, flat: FlatNetwork) -> Place:
        """The list of the network's own layers."""
        known = {entry.name for entry in flat.inputs}
        for layer in walk(flat.layers):
            known.update((layer.name, *(name.partition(":")[0] for name in layer.outputs)))
            known.update(name for body in layer.bodies.values() for name in body.inputs)
        return cls((), frozenset(known))

    def inside(self, prefix: str) -> Place:
        return replace(self, prefixes=(*self.prefixes, prefix))

    def name(self, name: str) -> str:
        """The name of a layer, or of a tensor that is made here, as it is given here."""
        return name.removeprefix(self.prefixes[-1]) if self.prefixes else name

    def reference(self, tensor: str) -> str:
        """A tensor, from here or from outside, as it is referred to here."""
        if self.prefixes and tensor.startswith(self.prefixes[-1]):
            return self.name(tensor)
        stem = tensor.partition(":")[0]
        return f"/{tensor}" if any(prefix + stem in self.known for prefix in self.prefixes) else tensor


def control_fields(layer: FlatLayer, place: Place, write: Write, escape: Escape) -> dict[str, Any]:
    """What stands in YAML of a layer with bodies, besides its op and its name."""
    told = {key: escape(plain(node)) for key, node in layer.parameters.items()}
    return _if(layer, told, place, write) if layer.op == "if" else _loop(layer, told, place, write)


def _if(layer: FlatLayer, told: Mapping[str, Any], place: Place, write: Write) -> dict[str, Any]:
    inside = {name: place.inside(f"{layer.name}.{name}.") for name in layer.bodies}
    fields: dict[str, Any] = {"in": place.reference(_given(layer.inputs)[0])}
    for name, body in layer.bodies.items():
        fields[name] = _layers(body.layers, inside[name], write)
    results = [
        {name: inside[name].reference(tensor) for name, tensor in zip(layer.bodies, pair, strict=True)}
        for pair in zip(*(body.outputs for body in layer.bodies.values()), strict=True)
    ]
    return {**fields, "outputs": _by_port(told["outputs"], results)}


def _loop(layer: FlatLayer, told: Mapping[str, Any], place: Place, write: Write) -> dict[str, Any]:
    body, inner = layer.bodies["layers"], place.inside(f"{layer.name}.")
    sources = iter(map(place.reference, _given(layer.inputs)))
    results = iter(map(inner.reference, body.outputs))
    fields: dict[str, Any] = {}
    if "counted" in told:
        fields["count"] = {"tensor": next(sources)}
    elif "count" in told:
        fields["count"] = told["count"]
    if told["conditional"]:
        fields["while"] = next(results)
    states = told["state"]
    if states:
        fields["state"] = {name: next(sources) for name in states}
    if told["scan"]:
        fields["scan"] = {name: {"tensor": next(sources), **axis} for name, axis in told["scan"].items()}
    fields["layers"] = _layers(body.layers, inner, write)
    if states:
        fields["next"] = {name: next(results) for name in states}
    stacked = list(results)
    outputs = [_output(entry, states, stacked) for entry in told["outputs"]]
    return {**fields, "outputs": _by_port([entry["port"] for entry in told["outputs"]], outputs)}


def _output(entry: Mapping[str, Any], states: list[str], stacked: list[str]) -> Any:
    if "last" in entry:
        return states[entry["last"]]
    axis = {key: value for key, value in entry.items() if key in ("dim", "reverse")}
    return {"stack": stacked[entry["stack"]], **axis}


def _given(names: Iterable[str | None]) -> list[str]:
    return [name for name in names if name is not None]


def _layers(layers: Iterable[FlatLayer], place: Place, write: Write) -> list[dict[str, Any]]:
    return [write(layer, place) for layer in layers]


def _by_port(ports: list[str], results: list[Any]) -> Any:
    return results[0] if ports == [""] else dict(zip(ports, results, strict=True))
