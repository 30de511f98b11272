"""Shapes and types of every tensor at the min, opt and max of every dimension, and the shapes of all weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import prod

from trtdsl.errors import Diagnostics, used_at
from trtdsl.graph import Body, Graph, Layer
from trtdsl.ops.base import Input, OpError, Policy
from trtdsl.types import DataType, TensorType, format_shape, of_layer
from trtdsl.weights.base import Weight, WeightSource
from trtdsl.weights.sources import Stored


def infer(graph: Graph, diagnostics: Diagnostics) -> Graph:
    """The graph with `types` filled in and every weight's shape settled.

    Reports every layer whose inputs, parameters or weights do not fit. Of a layer that reads the output of a wrong one,
    so that one mistake gives one error, only what is wrong whatever it reads.
    """
    types: dict[str, TensorType] = {entry.name: entry.type for entry in graph.inputs}
    layers = _infer_layers(graph.layers, types, diagnostics)
    diagnostics.end_stage()
    return graph.with_layers(layers, types)


def _infer_layers(layers: Iterable[Layer], types: dict[str, TensorType], diagnostics: Diagnostics) -> tuple[Layer, ...]:
    """The layers with their weights settled, and those in bodies; the types of what they make go into `types`."""
    inferred: list[Layer] = []
    for layer in layers:
        try:
            if any(name is not None and name not in types for name in layer.inputs):
                layer.op.check_parameters()
                continue
            inputs = tuple(None if name is None else types[name] for name in layer.inputs)
            bodies = _infer_bodies(layer, inputs, types, diagnostics)
            if any(name not in types for body in bodies.values() for name in body.outputs):
                continue
            layer = replace(layer, bodies=bodies)
            outputs = infer_control(layer, inputs, types) if bodies else infer_layer(layer, inputs)
            weights = dict(_settle_weights(layer, inputs, diagnostics))
        except OpError as error:
            for one in error.errors:
                diagnostics.error(
                    one.code or ("shape" if _is_about_tensors(one.at) else "parameter-value"),
                    f"{layer.name}: {one.message}",
                    layer.span(one.at),
                    hint=one.hint,
                    notes=used_at(layer.origin),
                )
            continue
        types.update(zip(layer.outputs, outputs, strict=True))
        inferred.append(replace(layer, weights=weights))
    return tuple(inferred)


def _is_about_tensors(at: str | None) -> bool:
    """Whether an OpError is about inputs, or about what comes out of a body, rather than a parameter."""
    return at is None or at == "in" or ":" in at


def _infer_bodies(
    layer: Layer, inputs: tuple[TensorType | None, ...], types: dict[str, TensorType], diagnostics: Diagnostics
) -> dict[str, Body]:
    """The bodies of a layer. Raises OpError where they cannot be given what they want."""
    if not layer.bodies:
        return {}
    check_inputs(layer, inputs)
    given = layer.op.body_inputs(*inputs)
    for name, body in layer.bodies.items():
        types.update(zip(body.inputs, given[name], strict=True))
    return {
        name: replace(body, layers=_infer_layers(body.layers, types, diagnostics))
        for name, body in layer.bodies.items()
    }


def infer_control(
    layer: Layer, inputs: tuple[TensorType | None, ...], types: Mapping[str, TensorType]
) -> tuple[TensorType, ...]:
    """The output types of a layer with bodies, from those of what comes out of them. Raises OpError."""
    found = {name: tuple(types[output] for output in body.outputs) for name, body in layer.bodies.items()}
    return layer.op.infer_bodies(found, *inputs)


def infer_layer(
    layer: Layer, inputs: tuple[TensorType | None, ...], precision: DataType = DataType.FP32
) -> tuple[TensorType, ...]:
    """The output types of one layer that computes in `precision`. Raises OpError."""
    check_inputs(layer, inputs)
    inferred = layer.op.infer_with(layer.weights, *inputs)
    outputs = inferred if isinstance(inferred, tuple) else (inferred,)
    if any(not output.is_static for output in outputs):
        outputs = tuple(output.with_shape(of_layer(dim, layer.name) for dim in output.shape) for output in outputs)
    for output in outputs:
        for dim in output.shape:
            if min(dim.sizes) < 0:
                raise OpError(f"the output {format_shape(output.shape)} has a negative size, at {tuple(dim.sizes)}")
    reads_floats = any(entry is not None and entry.dtype.is_float for entry in inputs)
    policy = layer.op.precision_policy()
    if policy is Policy.TRANSPARENT or (policy is Policy.AS_GIVEN and not layer.explicit) or reads_floats:
        return outputs
    return tuple(entry.with_dtype(precision) if entry.dtype.is_float else entry for entry in outputs)


def check_inputs(layer: Layer, inputs: tuple[TensorType | None, ...]) -> None:
    """Refuse element types that the op does not take. Raises OpError."""
    for position, (declared, entry) in enumerate(zip(_spread(layer.op.inputs, len(inputs)), inputs, strict=True)):
        if entry is not None and entry.dtype not in declared.dtypes:
            known = ", ".join(sorted(dtype.value for dtype in declared.dtypes))
            name = layer.inputs[position]
            raise OpError(
                f"input {name} is {entry}, {layer.op.kind} takes {known}",
                at="in",
                hint="add a `cast` layer before it",
            )


def _spread(declared: tuple[Input, ...], count: int) -> Iterator[Input]:
    """The declaration of each of `count` inputs: the variadic one, which is the last, repeats."""
    for position in range(count):
        yield declared[min(position, len(declared) - 1)]


def _settle_weights(
    layer: Layer, inputs: tuple[TensorType | None, ...], diagnostics: Diagnostics
) -> Iterator[tuple[str, Weight]]:
    expected_shapes = layer.op.weight_shapes(*inputs)
    for name, weight in layer.weights.items():
        expected = expected_shapes.get(name)
        if misfit := _misfit(expected, weight.source):
            diagnostics.error(
                "weight-shape",
                f"{layer.name} expects {name}{misfit}",
                layer.span(name),
                hint=_transposed_hint(name, expected, weight.source.shape),
                notes=used_at(layer.origin),
            )
        yield name, replace(weight, shape=weight.natural_shape if expected is None else expected)


def _misfit(expected: tuple[int, ...] | None, source: WeightSource) -> str | None:
    """How a source differs from the shape the layer expects."""
    if expected is None or source.shape == expected:
        return None
    wanted, found = format_shape(expected), source.describe()
    if source.shape is not None:
        return f" {wanted}, {found} is {format_shape(source.shape)}"
    # A flat file has no shapes; all that can be told is how many elements there are.
    if source.count is not None and source.count != prod(expected):
        return f" {wanted}, which is {prod(expected)} elements, {found} has {source.count}"
    if isinstance(source, Stored) and source.axes is not None and len(source.axes) != len(expected):
        return f" {wanted}, `transpose` orders {len(source.axes)} axes"
    return None


def _transposed_hint(name: str, expected: tuple[int, ...] | None, actual: tuple[int, ...] | None) -> str | None:
    if expected and len(expected) == 2 and actual == expected[::-1]:
        return f"it is transposed: `{name}: {{transpose: true}}`"
    return None
