"""The typing pass: the precision asked for becomes explicit casts and typed weights, one graph for every target."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from trtdsl.graph import Graph, GraphOutput, Layer
from trtdsl.infer import infer_layer
from trtdsl.ops.base import Policy
from trtdsl.ops.cast import Cast
from trtdsl.source import Origin
from trtdsl.types import DataType, TensorType
from trtdsl.weights import Weight


def assign_types(graph: Graph) -> Graph:
    """The graph in which every float tensor has the type its layer was asked to compute in.

    Expects an inferred graph; gives one whose layers' inputs, weights and outputs agree in type, so that a strongly
    typed runtime builds exactly that. Outputs of the network are cast to the type they are delivered in.
    """
    return _Typing(graph).run()


class _Typing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, TensorType] = {entry.name: entry.type for entry in graph.inputs}
        self.layers: list[Layer] = []
        self.made: set[str] = set()
        """Names of the casts that this pass adds."""

    def run(self) -> Graph:
        for layer in self.graph.layers:
            self._type_layer(layer)
        outputs = tuple(self._deliver(output) for output in self.graph.outputs)
        layers = self._without_idle_casts({output.tensor for output in outputs})
        names = chain((entry.name for entry in self.graph.inputs), *(layer.outputs for layer in layers))
        types = {name: self.types[name] for name in names}
        return replace(self.graph, layers=layers, outputs=outputs, types=types)

    def _without_idle_casts(self, read: set[str]) -> tuple[Layer, ...]:
        """The layers without the casts made here that nobody reads, as when all readers want the wide tensor."""
        kept = []
        for layer in reversed(self.layers):
            if layer.name in self.made and layer.outputs[0] not in read:
                continue
            read.update(name for name in layer.inputs if name is not None)
            kept.append(layer)
        return tuple(reversed(kept))

    def _type_layer(self, layer: Layer) -> None:
        policy = layer.op.precision_policy()
        if policy is Policy.TRANSPARENT:
            self._add(layer, self._unify(layer), None)
            return
        # The layer's own word stands; a network-wide default does not reach into sums that fp16 would spoil.
        accumulate = policy is Policy.ACCUMULATE and not layer.explicit
        compute = DataType.FP32 if accumulate else layer.precision
        self._add(layer, tuple(self._as(name, compute, layer.origin) for name in layer.inputs), compute)
        if compute is not layer.precision:
            self._narrow(layer)

    def _unify(self, layer: Layer) -> tuple[str | None, ...]:
        """The inputs of a layer that only moves elements: in one float type, its own, if it puts several together."""
        floats = {self.types[name].dtype for name in layer.inputs if name and self.types[name].dtype.is_float}
        declared = layer.op.inputs
        if len(floats) < 2 or not declared[-1].variadic:
            return layer.inputs
        return tuple(self._as(name, layer.precision, layer.origin) for name in layer.inputs)

    def _add(self, layer: Layer, inputs: tuple[str | None, ...], compute: DataType | None) -> None:
        outputs = self._infer(layer, inputs, compute or DataType.FP32)
        weights = {name: _typed(weight, compute) for name, weight in layer.weights.items()}
        self.types.update(zip(layer.outputs, outputs, strict=True))
        precision = compute or layer.precision
        self.layers.append(replace(layer, inputs=inputs, weights=weights, precision=precision))

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
        self.layers.append(Layer(name, Cast({"dtype": dtype}), (source,), (target,), origin, precision=dtype))
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
