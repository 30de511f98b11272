"""Raw layers: what YAML gives is held against what the TensorRT at hand declares, then its method is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, Diagnostic, TrtdslError, suggest, used_at
from trtdsl.graph import Graph
from trtdsl.ops.base import LAYER_KEYS, OpError, OpErrors
from trtdsl.ops.raw import RawLayer
from trtdsl.targets.conversion import INPUT, WEIGHT, Converter, WrongValue
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.signatures import NETWORK, Argument, Declarations, Signature
from trtdsl.types import DataType, Dim, TensorType

if TYPE_CHECKING:
    from trtdsl.targets.network import LayerNet

_OURS = {"name": "the layer's own `name` is set", "metadata": "it holds the line that the layer comes from"}
"""Attributes of every layer that are set for the whole network."""


def has_raw_layers(graph: Graph) -> bool:
    """Whether a network has any."""
    return any(isinstance(layer.op, RawLayer) for layer in graph.all_layers())


def declarations_for(graph: Graph, runtime: Runtime) -> Declarations | None:
    """What raw layers are checked against; None where there is no such layer, or no TensorRT at hand."""
    return Declarations.of(runtime.module, str(runtime)) if runtime.module and has_raw_layers(graph) else None


def refuse_undeclared(graph: Graph, runtime: Runtime) -> None:
    """Refuse raw layers where nothing is there to say what they take. Raises BuildError with the first one's place."""
    layer = next((layer for layer in graph.all_layers() if isinstance(layer.op, RawLayer)), None)
    if layer is not None and not runtime.module:
        message = (
            f"{layer.name} is {layer.op.kind}, whose signature only {runtime} itself knows, which is not installed"
        )
        raise BuildError([Diagnostic("runtime-missing", message, layer.origin.span, notes=used_at(layer.origin))])


def reference_of(kind: str, runtime: Runtime) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """What a TensorRT declares of a raw layer, in rows under headings. Raises TrtdslError for a method it lacks."""
    declarations = Declarations.of(runtime.module, str(runtime))
    method = f"add_{kind.removeprefix('trt.')}"
    overloads = declarations.signatures(NETWORK, method)
    if not overloads:
        raise TrtdslError.of("unknown-op", f"{runtime} has no {method}", hint=_similar(kind, declarations))
    yield str(runtime), [(str(signature),) for signature in overloads]
    owner = overloads[0].returns
    attributes = [str(declarations.attribute(owner, n)) for n in declarations.settable(owner) if n not in _OURS]
    methods = [name for name in declarations.callable(owner) if not name.startswith(("get_", "set_input"))]
    signatures = [str(signature) for name in methods for signature in declarations.signatures(owner, name)]
    text = "\n".join([*map(str, overloads), *attributes, *signatures])
    members = [f"{kind}: {' '.join(names)}" for kind, names in declarations.enumerations.items() if f": {kind}" in text]
    blocks = {"Attributes, under `set`": attributes, "Methods, under `call`": signatures, "Enumerations": members}
    for title, lines in blocks.items():
        if lines:
            yield title, [(line,) for line in lines]


def _similar(kind: str, declarations: Declarations) -> str | None:
    return suggest(kind, [f"trt.{name.removeprefix('add_')}" for name in declarations.added])


def call(net: LayerNet, op: RawLayer, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """Add a raw layer; gives its outputs. Raises OpErrors with all that the declarations do not allow.

    Without declarations nothing is converted: what YAML gives is handed on, tensors first, the rest by name.
    """
    declarations = net.state.declarations
    layer = _unchecked(net, op, tensors) if declarations is None else _Call(net, op, tensors, declarations).make()
    count = getattr(layer, "num_outputs", len(net.output_types))
    return tuple(layer.get_output(index) for index in range(count))


class _Call:
    """One layer's method, the attributes set on the layer, and the methods of it that are called."""

    def __init__(self, net: LayerNet, op: RawLayer, tensors: tuple[Any, ...], declarations: Declarations) -> None:
        self.net, self.op, self.declarations = net, op, declarations
        first = next((entry for entry in net.input_types if entry is not None), None)
        weights = {name: partial(net.weights, name) for name in op.weight_options}
        rank = first.rank if first else None
        self.converter = Converter(declarations, net.trt, tensors, weights, rank)
        self.errors: list[OpError] = []
        named = set(_references((op.arguments, op.set, op.call)))
        self.given = sum(tensor is not None for tensor in tensors)
        self.unnamed = [(index, tensor) for index, tensor in enumerate(tensors) if index not in named]
        """The tensors that nothing else refers to, with their positions: they go to the arguments in order."""

    def make(self) -> Any:
        """The layer. Raises OpErrors before anything is added."""
        overloads = self.declarations.signatures(NETWORK, self.op.method)
        if not overloads:
            self._unknown_method()
        signature = _meant(overloads, [*self.op.arguments, *self.op.weight_options])
        arguments = self._arguments(signature, self.op.arguments, "", is_layer=True)
        self._refuse_unknown(overloads, signature, self.op.arguments, "")
        attributes = dict(self._attributes(signature.returns))
        calls = list(self._calls(signature.returns))
        self._refuse_idle_weights(signature)
        if self.errors:
            raise OpErrors(self.errors)
        layer = _invoke(getattr(self.net, self.op.method), signature, arguments)
        for index, tensor in self.unnamed:
            if tensor is not None:
                layer.set_input(index, tensor)
        for name, value in attributes.items():
            setattr(layer, name, value)
        for method, values in calls:
            _invoke(getattr(layer, method.name), method, values)
        return layer

    def _unknown_method(self) -> None:
        message = f"{self.declarations.label} has no method {self.op.method}"
        raise OpError(message, code="unknown-op", hint=_similar(self.op.kind, self.declarations))

    def _arguments(
        self, signature: Signature, given: Mapping[str, Any], place: str, *, is_layer: bool = False
    ) -> dict[str, Any]:
        """The values of a method's arguments; what is wrong with them is kept."""
        values: dict[str, Any] = {}
        lacking: list[str] = []
        for argument in signature.arguments:
            name = argument.name
            if name in given:
                self._convert(given[name], argument, place + name, values)
            elif is_layer and argument.type == "ITensor":
                self._take_tensors(argument, values, lacking)
            elif is_layer and argument.type == "Weights" and name in self.op.weight_options:
                values[name] = self.converter.weight(name)
            elif argument.is_required:
                self._missing(signature, argument, place)
        if lacking:
            names = ", ".join(argument.name for argument in signature.tensors)
            message = f"{self.op.kind} takes the tensors {names}, and `in` names {self.given}"
            self.errors.append(OpError(message, at="in", code="inputs"))
        return values

    def _take_tensors(self, argument: Argument, values: dict[str, Any], lacking: list[str]) -> None:
        """Give an argument the next tensor of `in`, or a list all that are left."""
        if argument.each:
            values[argument.name] = [tensor for _, tensor in self.unnamed if tensor is not None]
            self.unnamed = []
            return
        tensor = self.unnamed.pop(0)[1] if self.unnamed else None
        if tensor is not None:
            values[argument.name] = tensor
        elif not argument.is_nullable:
            lacking.append(argument.name)

    def _convert(self, value: Any, argument: Argument, place: str, values: dict[str, Any]) -> None:
        try:
            values[argument.name] = self.converter.convert(value, argument)
        except WrongValue as error:
            message = f"`{argument.name}`: {error.message}"
            self.errors.append(OpError(message, at=place, hint=error.hint, code="parameter-value"))

    def _missing(self, signature: Signature, argument: Argument, place: str) -> None:
        name = argument.name
        hint = f"`weights: {{{name}: …}}`" if argument.type == "Weights" and not place else None
        if name in LAYER_KEYS and not place:
            hint = f"`{name}` is a key of every layer, so it stands under `args`: `args: {{{name}: …}}`"
        message = f"{signature.name} needs `{name}`, {self.converter.describe(argument)}"
        at = place.rpartition(".")[0] or None
        self.errors.append(OpError(message, at=at, hint=hint, code="missing-parameter"))

    def _refuse_unknown(
        self, overloads: Sequence[Signature], signature: Signature, given: Mapping[str, Any], place: str
    ) -> None:
        """Report the arguments that the overload which was meant does not have."""
        known = list(dict.fromkeys(argument.name for overload in overloads for argument in overload.arguments))
        for name in given:
            if signature.argument(name) is not None:
                continue
            hint = suggest(name, known)
            if not place and not hint and name in self.declarations.settable(signature.returns):
                hint = f"it is an attribute of the layer: `set: {{{name}: …}}`"
            hint = hint or (f"its arguments are {', '.join(known)}" if known else "it takes none")
            message = f"{signature.name} has no argument `{name}`"
            self.errors.append(OpError(message, at=place + name, hint=hint, code="unknown-parameter"))

    def _attributes(self, owner: str) -> Iterator[tuple[str, Any]]:
        values: dict[str, Any] = {}
        known = [name for name in self.declarations.settable(owner) if name not in _OURS]
        for name, value in self.op.set.items():
            argument = self.declarations.attribute(owner, name)
            if argument is not None and name not in _OURS:
                self._convert(value, argument, f"set.{name}", values)
                continue
            can_be_read = name in self.declarations.attributes.get(owner, {})
            what = f"the `{name}` of {owner} can only be read" if can_be_read else f"{owner} has no attribute `{name}`"
            hint = (None if can_be_read else suggest(name, known)) or f"{owner} has {', '.join(known)}"
            if name in _OURS:
                what, hint = f"`{name}` is not set by hand", _OURS[name]
            self.errors.append(OpError(what, at=f"set.{name}", hint=hint, code="unknown-parameter"))
        yield from values.items()

    def _calls(self, owner: str) -> Iterator[tuple[Signature, dict[str, Any]]]:
        for method, each in self.op.call.items():
            overloads = self.declarations.signatures(owner, method)
            if not overloads:
                known = self.declarations.callable(owner)
                hint = suggest(method, known) or f"{owner} has {', '.join(known)}"
                message = f"{owner} has no method `{method}`"
                self.errors.append(OpError(message, at=f"call.{method}", hint=hint, code="unknown-parameter"))
                continue
            for index, given in enumerate(each):
                signature = _meant(overloads, list(given))
                place = f"call.{method}.{index}."
                yield signature, self._arguments(signature, given, place)
                self._refuse_unknown(overloads, signature, given, place)

    def _refuse_idle_weights(self, signature: Signature) -> None:
        """Weights that nothing takes are misspelt."""
        known = [argument.name for argument in signature.arguments if argument.type == "Weights"]
        for name in self.op.weight_options:
            if name not in self.converter.used_weights:
                hint = suggest(name, known) or (f"its weights are {', '.join(known)}" if known else "it takes none")
                message = f"{signature.name} takes no weights `{name}`"
                self.errors.append(OpError(message, at=f"weights.{name}", hint=hint, code="unknown-parameter"))


def _meant(overloads: Sequence[Signature], given: Sequence[str]) -> Signature:
    """The overload that fits the names that are given best."""

    def misfits(signature: Signature) -> tuple[int, int]:
        names = [argument.name for argument in signature.arguments]
        needed = [entry.name for entry in signature.arguments if entry.is_required and entry.type != "ITensor"]
        return sum(name not in names for name in given), sum(name not in given for name in needed)

    return min(overloads, key=misfits)


def _invoke(method: Any, signature: Signature, values: Mapping[str, Any]) -> Any:
    """Call a method: by position as far as no argument is left out, the rest by name."""
    names = [argument.name for argument in signature.arguments]
    count = next((index for index, name in enumerate(names) if name not in values), len(names))
    return method(
        *(values[name] for name in names[:count]), **{name: values[name] for name in names[count:] if name in values}
    )


def _references(value: Any) -> Iterator[int]:
    """The tensors of `in` that values refer to."""
    if isinstance(value, str) and (match := INPUT.fullmatch(value)):
        yield int(match[1])
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _references(item)


def _unchecked(net: LayerNet, op: RawLayer, tensors: tuple[Any, ...]) -> Any:
    """The calls as far as they can be told without a TensorRT."""

    def known(value: Any) -> Any:
        if isinstance(value, str) and (match := INPUT.fullmatch(value)) and int(match[1]) < len(tensors):
            return tensors[int(match[1])]
        if isinstance(value, str) and (match := WEIGHT.fullmatch(value)) and match[1] in op.weight_options:
            return net.weights(match[1])
        return value

    named = set(_references((op.arguments, op.set, op.call)))
    later = {text[1] for text in map(WEIGHT.fullmatch, _texts((op.set, op.call))) if text}
    weights = {name: net.weights(name) for name in op.weight_options if name not in later}
    arguments = {name: known(value) for name, value in op.arguments.items()}
    unnamed = [tensor for index, tensor in enumerate(tensors) if index not in named]
    layer = getattr(net, op.method)(*unnamed, **arguments, **weights)
    for name, value in op.set.items():
        setattr(layer, name, known(value))
    for method, each in op.call.items():
        for given in each:
            getattr(layer, method)(**{name: known(value) for name, value in given.items()})
    return layer


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def check_outputs(net: LayerNet, tensors: Sequence[Any], *, weakly_typed: bool) -> None:
    """Hold what YAML declares of a raw layer's outputs against what TensorRT says. Raises OpError."""
    declared, runtime = net.output_types, net.runtime
    # Reading a shape makes TensorRT check the layer, and raises when it refuses.
    actual = [(_our_type(tensor.dtype, runtime), tuple(tensor.shape)) for tensor in tensors]
    if len(actual) == len(declared) and all(
        _agrees(dtype, shape, entry, weakly_typed) for (dtype, shape), entry in zip(actual, declared, strict=True)
    ):
        return
    first = next((entry for entry in net.input_types if entry is not None), None)
    written = []
    for index, (dtype, shape) in enumerate(actual):
        expected = declared[index] if index < len(declared) else None
        known = expected.dtype.value if weakly_typed and expected and expected.dtype.is_float else dtype
        written.append(f"{{shape: [{', '.join(_sizes(shape, expected, first))}], dtype: {known}}}")
    says = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in actual) or "no output"
    expects = ", ".join(map(str, declared)) or "no output"
    hint = f"write `outputs: {written[0] if len(written) == 1 else '[' + ', '.join(written) + ']'}`"
    raise OpError(f"TensorRT gives {says}, the layer declares {expects}", at="outputs", hint=hint, code="tensorrt-type")


def _our_type(member: Any, runtime: Runtime) -> str:
    names = {runtime.data_type(dtype): dtype.value for dtype in runtime.dtypes}
    return names.get(member, str(member))


def _agrees(dtype: str, shape: tuple[int, ...], declared: TensorType, weakly_typed: bool) -> bool:
    both_float = dtype in {entry.value for entry in DataType if entry.is_float} and declared.dtype.is_float
    if dtype != declared.dtype.value and not (weakly_typed and both_float):
        return False
    return len(shape) == declared.rank and all(
        size < 0 or (size == dim.value if dim.is_static else dim.sizes.min <= size <= dim.sizes.max)
        for size, dim in zip(shape, declared.shape, strict=True)
    )


def _sizes(shape: tuple[int, ...], declared: TensorType | None, first: TensorType | None) -> Iterator[str]:
    """The sizes as YAML has them; one that differs from run to run as the dimension that stands there."""
    for axis, size in enumerate(shape):
        known: list[Dim] = [entry.shape[axis] for entry in (declared, first) if entry is not None and axis < entry.rank]
        dynamic = next((str(dim) for dim in known if not dim.is_static), "…")
        yield str(size) if size >= 0 else dynamic if dynamic.isidentifier() or dynamic == "…" else f"$({dynamic})"
