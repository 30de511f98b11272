"""The typing pass: the precision asked for becomes explicit casts and typed weights, one graph for every target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from trtdsl.graph import Body, Graph, GraphOutput, Layer, walk
from trtdsl.infer import infer_control, infer_layer
from trtdsl.ops.base import Policy
from trtdsl.ops.cast import Cast
from trtdsl.ops.raw import RawLayer
from trtdsl.quantization import insert_quantization
from trtdsl.source import Origin
from trtdsl.types import DataType, TensorType
from trtdsl.weights import Weight
from trtdsl.weights.quantized import is_scales


def assign_types(graph: Graph) -> Graph:
    """The graph in which every float tensor has the type its layer was asked to compute in.

    Expects an inferred graph; gives one whose layers' inputs, weights and outputs agree in type, so that a strongly
    typed runtime builds exactly that. Outputs of the network are cast to the type they are delivered in, and what
    quantised layers read goes through int8 or fp8 before.
    """
    return _Typing(insert_quantization(graph)).run()


class _Typing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, TensorType] = {entry.name: entry.type for entry in graph.inputs}
        self.layers: list[Layer] = []
        self.home: dict[str, list[Layer]] = dict.fromkeys(self.types, self.layers)
        """The list, of the network or of a body, into which the layer that makes a tensor went."""
        self.made: set[str] = set()
        """Names of the casts that this pass adds."""

    def run(self) -> Graph:
        for layer in self.graph.layers:
            self._type_layer(layer)
        outputs = tuple(self._deliver(output) for output in self.graph.outputs)
        layers = self._without_idle_casts(self.layers, {output.tensor for output in outputs})
        inner = (body.inputs for layer in walk(layers) for body in layer.bodies.values())
        names = chain((entry.name for entry in self.graph.inputs), *(layer.outputs for layer in walk(layers)), *inner)
        types = {name: self.types[name] for name in names}
        return replace(self.graph, layers=layers, outputs=outputs, types=types)

    def _without_idle_casts(self, layers: Iterable[Layer], read: set[str]) -> tuple[Layer, ...]:
        """The layers without the casts made here that nobody reads, as when all readers want the wide tensor.

        `read` has what is read further down, and gets what these layers read.
        """
        kept = []
        for layer in reversed(tuple(layers)):
            if layer.name in self.made and layer.outputs[0] not in read:
                continue
            if layer.bodies:
                read.update(name for body in layer.bodies.values() for name in body.outputs)
                bodies = {
                    name: replace(body, layers=self._without_idle_casts(body.layers, read))
                    for name, body in layer.bodies.items()
                }
                layer = replace(layer, bodies=bodies)
            read.update(name for name in layer.inputs if name is not None)
            kept.append(layer)
        return tuple(reversed(kept))

    def _type_layer(self, layer: Layer) -> None:
        if layer.bodies:
            self._type_control(layer)
            return
        policy = layer.op.precision_policy()
        if policy is Policy.AS_GIVEN and not layer.explicit:
            self._add(layer, layer.inputs, None)
            return
        if policy is Policy.TRANSPARENT:
            self._add(layer, self._unify(layer), None)
            return
        # The layer's own word stands; a network-wide default does not reach into sums that fp16 would spoil.
        accumulate = policy is Policy.ACCUMULATE and not layer.explicit
        compute = DataType.FP32 if accumulate else layer.precision
        self._add(layer, tuple(self._as(name, compute, layer.origin) for name in layer.inputs), compute)
        if compute is not layer.precision:
            self._narrow(layer)

    def _type_control(self, layer: Layer) -> None:
        """Type the bodies, and cast what comes out of them to what the op takes from them.

        What an op takes and gives keeps its type. A tensor from outside is cast outside, where the cast runs once.
        """
        inputs = tuple(None if name is None else self.types[name] for name in layer.inputs)
        given = layer.op.body_inputs(*inputs)
        inside = {name: self._type_body(body, given[name]) for name, body in layer.bodies.items()}
        found = {name: tuple(self.types[output] for output in body.outputs) for name, body in layer.bodies.items()}
        results = layer.op.body_results(found, layer.precision, *inputs)
        bodies = {}
        for name, body in layer.bodies.items():
            casts = (self._as(*pair, layer.origin) for pair in zip(body.outputs, results[name], strict=True))
            outputs = tuple(output for output in casts if output is not None)
            bodies[name] = Body(body.inputs, tuple(inside[name]), outputs)
        layer = replace(layer, bodies=bodies)
        self._place(layer, infer_control(layer, inputs, self.types))

    def _type_body(self, body: Body, given: tuple[TensorType, ...]) -> list[Layer]:
        outer, self.layers = self.layers, []
        for name, entry in zip(body.inputs, given, strict=True):
            self.types[name], self.home[name] = entry, self.layers
        for layer in body.layers:
            self._type_layer(layer)
        inside, self.layers = self.layers, outer
        return inside

    def _place(self, layer: Layer, outputs: tuple[TensorType, ...]) -> None:
        """Append a layer that is typed."""
        for name, entry in zip(layer.outputs, outputs, strict=True):
            self.types[name], self.home[name] = entry, self.layers
        self.layers.append(layer)

    def _unify(self, layer: Layer) -> tuple[str | None, ...]:
        """The inputs of a layer that only moves elements: in one float type, its own, if it puts several together."""
        floats = {self.types[name].dtype for name in layer.inputs if name and self.types[name].dtype.is_float}
        declared = layer.op.inputs
        if len(floats) < 2 or not declared[-1].variadic:
            return layer.inputs
        return tuple(self._as(name, layer.precision, layer.origin) for name in layer.inputs)

    def _add(self, layer: Layer, inputs: tuple[str | None, ...], compute: DataType | None) -> None:
        outputs = self._infer(layer, inputs, compute or DataType.FP32)
        if isinstance(layer.op, RawLayer):
            weights = layer.op.typed_weights(layer.weights, (self.types[name] for name in inputs if name), outputs)
        else:
            # What becomes int8 is rounded once, and not to fp16 before.
            kept = layer.op.quantized_weights or {} if layer.quantized is not None else {}
            weights = {
                name: weight if name in kept or is_scales(name) else _typed(weight, compute)
                for name, weight in layer.weights.items()
            }
        precision = compute or layer.precision
        self._place(replace(layer, inputs=inputs, weights=weights, precision=precision), outputs)

    def _infer(self, layer: Layer, inputs: tuple[str | None, ...], compute: DataType) -> tuple[TensorType, ...]:
        if compute is DataType.FP32 and inputs == layer.inputs and self._as_before(inputs):
            return tuple(self.graph.types[name] for name in layer.outputs)
        types = tuple(None if name is None else self.types[name] for name in inputs)
        return infer_layer(layer, types, compute)

    def _as_before(self, inputs: tuple[str | None, ...]) -> bool:
        """Whether these tensors still have the types that infer gave them."""
        return all(name is None or self.types[name] is self.graph.types[name] for name in inputs)

    def _narrow(self, layer: Layer) -> None:
        """Bring what was computed in fp32 back to the layer's precision, under the name that readers know."""
        wide = self.layers[-1]
        renamed = {}
        for name in wide.outputs:
            if self.types[name].dtype is DataType.FP32:
                renamed[name] = f"{name}/fp32"
                self.types[renamed[name]] = self.types.pop(name)
                self.home[renamed[name]] = self.home.pop(name)
        self.layers[-1] = replace(wide, outputs=tuple(renamed.get(name, name) for name in wide.outputs))
        for name, source in renamed.items():
            self._cast(source, layer.precision, layer.origin, name)

    def _as(self, name: str | None, dtype: DataType, origin: Origin) -> str | None:
        """The tensor in a float type: by a cast that all who need it share, or as it was before it was narrowed."""
        if name is None or not self.types[name].dtype.is_float or self.types[name].dtype is dtype:
            return name
        converted = f"{name}/{dtype}"
        if converted not in self.types:
            self._cast(name, dtype, origin, converted)
        return converted

    def _cast(self, source: str, dtype: DataType, origin: Origin, target: str) -> None:
        # Slashes cannot be written in YAML names, so neither the layer's nor the tensor's name can collide.
        name = f"{source}/to_{dtype}"
        self.made.add(name)
        home = self.home[target] = self.home[source]
        home.append(Layer(name, Cast({"dtype": dtype}), (source,), (target,), origin, precision=dtype))
        self.types[target] = self.types[source].with_dtype(dtype)

    def _deliver(self, output: GraphOutput) -> GraphOutput:
        wanted = output.dtype or DataType.FP32
        actual = self.types[output.tensor].dtype
        if output.dtype is None and not actual.is_float:
            return output
        if actual is wanted:
            return output
        target = f"{output.tensor}/{wanted}"
        if target not in self.types:
            self._cast(output.tensor, wanted, Origin(output.span), target)
        return replace(output, tensor=target)


def _typed(weight: Weight, compute: DataType | None) -> Weight:
    return weight.with_dtype(compute) if compute is not None and weight.dtype.is_float else weight
