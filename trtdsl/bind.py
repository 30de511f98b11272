"""From flat layers to the Graph: parameters parsed, inputs counted, weights found, precision settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Any

from trtdsl.errors import Diagnostics, Note, suggest, used_at
from trtdsl.flat import FlatLayer, FlatNetwork, FlatPrecision
from trtdsl.graph import Body, Graph, GraphInput, GraphOutput, Layer
from trtdsl.nodes import Node, Scalar, plain
from trtdsl.ops.base import Op, OpError, WeightParameter
from trtdsl.ops.raw import OPEN, Values, weight_node
from trtdsl.source import Span
from trtdsl.types import QUANTIZED, DataType, Dim, TensorType
from trtdsl.weights.base import Weight
from trtdsl.weights.library import WeightLibrary
from trtdsl.weights.quantized import SCALES
from trtdsl.weights.resolve import Request, WeightResolver


def bind(
    flat: FlatNetwork,
    catalogue: Mapping[str, type[Op]],
    diagnostics: Diagnostics,
    *,
    random_weights: bool = False,
) -> Graph:
    """The network as typed ops that hold handles on their weights; no element is read yet.

    `random_weights` makes up what would come from files. Reports every parameter, input and weight that does not fit,
    and raises NetworkError when there was any.
    """
    library = WeightLibrary(() if random_weights else flat.weights, diagnostics)
    resolver = WeightResolver(library, diagnostics, random_weights=random_weights)
    precision = _Precision(flat.precision)
    scales: dict[str, float] = {}
    binding = _Binding(catalogue, flat.dims, resolver, precision, diagnostics, flat.impl, scales)
    layers = _bind_layers(flat.layers, binding)
    resolver.finish()
    _check_outputs(flat, diagnostics)
    diagnostics.end_stage()
    return Graph(
        flat.name,
        tuple(GraphInput(entry.name, TensorType(entry.dtype, entry.shape), entry.span) for entry in flat.inputs),
        layers,
        tuple(GraphOutput(output.name, output.tensor, output.dtype, output.span) for output in flat.outputs),
        flat.dims,
        libraries=flat.libraries,
        scales=scales,
    )


@dataclass(frozen=True)
class _Binding:
    """What binding all layers of a network shares."""

    catalogue: Mapping[str, type[Op]]
    dims: Mapping[str, Dim]
    resolver: WeightResolver
    precision: _Precision
    diagnostics: Diagnostics
    impl: str
    scales: dict[str, float]
    """Those of tensors that quantisers in the weights tell."""


def _bind_layers(layers: Iterable[FlatLayer], binding: _Binding) -> tuple[Layer, ...]:
    """The layers, and those in their bodies; without those that are wrong."""
    bound: list[Layer] = []
    for flat in layers:
        op_class = binding.catalogue.get(flat.op)
        if op_class is None:
            message = f"there is no op `{flat.op}`"
            hint, notes = suggest(flat.op, binding.catalogue), used_at(flat.origin)
            binding.diagnostics.error("unknown-op", message, flat.origin.span, hint=hint, notes=notes)
            continue
        bodies = {
            name: Body(body.inputs, _bind_layers(body.layers, binding), body.outputs)
            for name, body in flat.bodies.items()
        }
        binder = _LayerBinder(flat, op_class, binding)
        if layer := binder.bind(binding.resolver, binding.precision):
            if layer.quantized is not None and op_class.quantized_weights is not None:
                layer = _with_trained_scales(layer, binding)
            bound.append(replace(layer, bodies=bodies) if bodies else layer)
    return tuple(bound)


def _with_trained_scales(layer: Layer, binding: _Binding) -> Layer:
    """The layer with the scales of its weight that it was trained with, if it was; those of tensors are noted."""
    trained = binding.resolver.trained(layer.name, layer.origin)
    for name, scale in ((layer.inputs[0], trained.input), (layer.outputs[0], trained.output)):
        if name is not None and scale is not None:
            # Several quantisers of one tensor saw the same numbers, if perhaps not as many.
            binding.scales[name] = max(scale, binding.scales.get(name, scale))
    if trained.weight is None or "weight" not in layer.weights:
        return layer
    scales = Weight(trained.weight, trained.weight.shape, DataType.FP32)
    return replace(layer, weights={**layer.weights, SCALES.format("weight"): scales})


def _check_outputs(flat: FlatNetwork, diagnostics: Diagnostics) -> None:
    """An engine's inputs and outputs share one space of names."""
    inputs = {entry.name: entry for entry in flat.inputs}
    for output in flat.outputs:
        if output.name in inputs:
            diagnostics.error(
                "duplicate-name",
                f"the output `{output.name}` has the name of an input",
                output.span,
                hint=f"give it another: `{output.name}_out: {output.tensor}`",
                notes=[Note("the input", inputs[output.name].span)],
            )


class _LayerBinder:
    """Binds one layer; reports all that is wrong with it."""

    def __init__(self, flat: FlatLayer, op_class: type[Op], binding: _Binding) -> None:
        self.flat = flat
        self.op_class = op_class
        self.dims = binding.dims
        self.impl = binding.impl
        self.diagnostics = binding.diagnostics
        self.failed = False

    def bind(self, resolver: WeightResolver, precision: _Precision) -> Layer | None:
        """The layer, or None when what is wrong with it has been reported."""
        flat = self.flat
        self._check_names()
        self._check_impl()
        inputs = self._inputs()
        values = self._values()
        # Without all values it is not known which weights the layer has.
        op = None if self.failed else self._op(values)
        weights = dict(self._weights(op, resolver)) if op else {}
        if op is None or len(weights) < len(op.weights):
            return None
        dtype, explicit = precision.of(flat)
        quantized = dtype if dtype in QUANTIZED else None
        if quantized is not None:
            dtype = precision.beside_quantized
        spans = self.op_class.places(flat.parameters)
        spans |= {name: node.span for name, node in flat.parameters.items()}
        if place := self._place("in"):
            spans["in"] = place
        for name, body in flat.bodies.items():
            spans |= {f"{name}:{index}": span for index, span in enumerate(body.output_spans)}
        # Of an op that has no plugin `native` says that no plugin may do it along with others.
        impl = flat.impl or (self.impl if self.op_class.by_plugin else "auto")
        return Layer(
            flat.name,
            op,
            inputs,
            flat.outputs,
            flat.origin,
            weights,
            dtype,
            explicit,
            spans,
            impl=impl,
            quantized=quantized,
        )

    def _op(self, values: Mapping[str, Any]) -> Op | None:
        try:
            op = self.op_class(values)
        except OpError as error:
            self._error("parameter-value", error.message, self._place(error.at), error.hint)
            return None
        present = [name for name, declared in op.declared_weights().items() if self._is_present(op, name, declared)]
        if self.failed:
            return None
        return op if present == list(op.weights) else self.op_class(values, present)

    def _check_names(self) -> None:
        known = (*self.op_class.attributes, *self.op_class.weight_parameters)
        for name, node in self.flat.parameters.items():
            if name not in known and not self.op_class.is_open:
                # A whole list of names helps only where there are few.
                listing = f"; it has {', '.join(known)}" if len(known) <= 8 and known else ""
                hint = suggest(name, known)
                self._error("unknown-parameter", f"{self.flat.op} has no `{name}`{listing}", node.span, hint)

    def _check_impl(self) -> None:
        if self.flat.impl == "plugin" and not self.op_class.by_plugin:
            self._error("impl", f"{self.flat.op} has no plugin behind it", hint="leave `impl` out, or say `native`")

    def _inputs(self) -> tuple[str | None, ...]:
        """The input tensors, with None for every optional one that is left out."""
        declared, given = self.op_class.inputs, self.flat.inputs
        variadic = bool(declared) and declared[-1].variadic
        needed = sum(not entry.optional for entry in declared)
        lacking = None in given[:needed] or len(given) < needed
        needs_all = variadic and not declared[-1].optional
        if lacking or (None in given and needs_all) or (not variadic and len(given) > len(declared)):
            self._error("inputs", self._count_message(needed, variadic), self._place("in"), self._inputs_hint())
        return given + (None,) * (len(declared) - variadic - len(given))

    def _count_message(self, needed: int, variadic: bool) -> str:
        declared = len(self.op_class.inputs)
        takes = f"at least {needed}" if variadic else str(needed) if needed == declared else f"{needed} to {declared}"
        got = sum(name is not None for name in self.flat.inputs)
        return f"{self.flat.op} takes {takes} input{'' if takes.endswith('1') else 's'}, got {got}"

    def _inputs_hint(self) -> str | None:
        names = [entry.name for entry in self.op_class.inputs]
        return f"`in: [{', '.join(names)}]`" if len(names) > 1 else None

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, declared in self.op_class.attributes.items():
            node = self.flat.parameters.get(name)
            if node is not None:
                try:
                    values[name] = declared.type.parse(plain(node), self.dims)
                except ValueError as error:
                    self._error("parameter-value", f"{name}: {error}", node.span)
            elif declared.is_required:
                self._error("missing-parameter", f"{self.flat.op} needs `{name}`, {declared.type.describe()}")
        if self.op_class.is_open:
            undeclared = {
                n: plain(node) for n, node in self.flat.parameters.items() if n not in self.op_class.attributes
            }
            values[OPEN] = Values().parse(undeclared, self.dims)
        return values

    def _override(self, name: str) -> Node | None:
        """What YAML says of a weight."""
        if self.op_class.is_open:
            return weight_node(self.flat.parameters.get("weights"), name)
        return self.flat.parameters.get(name)

    def _is_present(self, op: Op, name: str, declared: WeightParameter) -> bool:
        """Whether this use has a weight: as YAML says, where the op leaves it open."""
        node = self._override(name)
        if node is None:
            return name in op.weights
        if _is_false(node):
            if not declared.optional and name in op.weights:
                hint = f"`{declared.when}: false`" if declared.when else None
                self._error("parameter-value", f"{op.kind} cannot do without its {name}", node.span, hint)
            return False
        if declared.when is not None and not op.values[declared.when]:
            self._error("parameter-value", f"`{name}` is given, but `{declared.when}` is false", node.span)
        return True

    def _weights(self, op: Op, resolver: WeightResolver) -> Iterator[tuple[str, Weight]]:
        for name in op.weights:
            declared = op.declared_weights()[name]
            weight = resolver.resolve(
                Request(
                    layer=self.flat.name,
                    name=name,
                    override=self._override(name),
                    origin=self.flat.origin,
                    floats=declared.floats,
                    initial=declared.initial,
                    key=declared.key,
                )
            )
            if weight is not None:
                yield name, weight

    def _place(self, key: str | None) -> Span | None:
        if key == "in":
            return next((span for span in self.flat.input_spans if span), None)
        node = self.flat.parameters.get(key or "")
        return node.span if node else None

    def _error(self, code: str, message: str, span: Span | None = None, hint: str | None = None) -> None:
        self.failed = True
        self.diagnostics.error(
            code,
            f"{self.flat.name}: {message}",
            span or self.flat.origin.span,
            hint=hint,
            notes=used_at(self.flat.origin),
        )


def _is_false(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is False


class _Precision:
    """The type each layer computes in: its own, that of a group around it, of the last pattern that matches it, or
    the network's.
    """

    def __init__(self, flat: FlatPrecision) -> None:
        self.default = flat.default
        self.beside_quantized = flat.beside_quantized
        self.patterns = flat.patterns
        self._matchers = [re.compile(translate(pattern)).match for pattern, _, _ in flat.patterns]

    def of(self, layer: FlatLayer) -> tuple[DataType, bool]:
        """The type, and whether the layer itself asks for it: what is said of many does not mean its sums."""
        if layer.precision is not None:
            return layer.precision, True
        if layer.group_precision is not None:
            return layer.group_precision, False
        for matches, (_, dtype, _) in zip(reversed(self._matchers), reversed(self.patterns), strict=True):
            if matches(layer.name):
                return dtype, False
        return self.default, False
