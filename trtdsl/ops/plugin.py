"""Plugins: `op: plugin` is any plugin that is registered with TensorRT, by the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtdsl import nodes
from trtdsl.expressions import ExpressionError
from trtdsl.nodes import Node
from trtdsl.ops.attributes import AttributeType, Dims, Ints, Maybe, Schema, Text, show
from trtdsl.ops.base import Op, OpError, OpErrors, Policy, attribute, tensor
from trtdsl.ops.net import Net
from trtdsl.ops.raw import Outputs, declared_types, mapping_places
from trtdsl.plugins.bundled import find_bundled
from trtdsl.plugins.declaration import NAMESPACE, PluginDeclaration, Requirement
from trtdsl.plugins.fields import Field, FieldType
from trtdsl.plugins.given import FieldProblems, GivenField, read_given, settle_fields
from trtdsl.plugins.use import PluginUse
from trtdsl.source import Span
from trtdsl.types import ANY, DataType, Dim, Shape, TensorType, format_shape


class Fields(AttributeType["tuple[GivenField, ...]"]):
    """The fields of a plugin, as YAML has them: what they may hold is known to the plugin only."""

    def schema(self) -> Schema:
        words = [kind.value for kind in FieldType]
        typed = {
            "type": {"enum": words, "title": f"one of {', '.join(words)}"},
            "value": {},
            "force": {"type": "boolean"},
        }
        listed: Schema = {
            "type": "object",
            "title": "{name, type, value}",
            "properties": {"name": {"type": "string"}, **typed},
            "required": ["value"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "object"}, {"type": "array", "items": listed}]}

    def parse(self, value: object, dims: Dims) -> tuple[GivenField, ...]:
        return read_given(value)

    def describe(self) -> str:
        return "mapping from names to values, or a list of {name, type, value}"


class Version(AttributeType[str]):
    """The version of a plugin, which TensorRT has as text."""

    def schema(self) -> Schema:
        return {"type": ["string", "integer"]}

    def parse(self, value: object, dims: Dims) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return str(value)

    def describe(self) -> str:
        return "a version, such as 1"


class PluginLayer(Op):
    """A plugin that is registered with TensorRT: one that comes with trtdsl, TensorRT's own, or that of a library.

    Libraries are named at the top of the network, `plugins: {libraries: [libmine.so]}`. `trtdsl plugins` lists what
    there is, with the fields of each.

    Fields of the plugins that come with trtdsl are checked without TensorRT, as are the inputs; of all others before
    TensorRT sees them, by what their creators declare. Where a creator declares no type, `{type: int32, value: 3}`
    gives one. Those that come with trtdsl compute in the layer's precision; others take their inputs as they are.
    """

    kind = "plugin"
    policy = Policy.AS_GIVEN
    example = "{op: plugin, plugin: LeakyReLU, fields: {negSlope: 0.1}}"
    no_onnx = "it is a plugin, which only TensorRT has"

    tensors = tensor(ANY, help="in the order that the plugin takes them in", optional=True, variadic=True)
    plugin = attribute(Text(), help="the name of the plugin, as its creator has it")
    version = attribute(
        Maybe(Version()), default=None, help="the version of the plugin; default: the highest that TensorRT takes"
    )
    namespace = attribute(
        Maybe(Text()), default=None, help='its namespace; default: trtdsl, "", or the only one that there is'
    )
    fields = attribute(Fields(), default=(), help="the plugin's fields by name")
    outputs = attribute(
        Maybe(Outputs()), default=None, help="the types of the outputs; default: one like the first input"
    )
    shape_inputs = attribute(
        Ints(minimum=0), default=(), help="positions in `in` of the inputs that are shape tensors (V3 plugins only)"
    )

    @property
    def use(self) -> PluginUse:
        """The plugin that is asked for."""
        namespace = self.namespace
        if namespace is None and self.declaration is not None:
            namespace = NAMESPACE
        return PluginUse(self.plugin, self.version, namespace)

    @property
    def plugin_uses(self) -> tuple[PluginUse, ...]:
        return (self.use,)

    @property
    def declaration(self) -> PluginDeclaration | None:
        """What the plugin declares, if it comes with trtdsl."""
        return find_bundled(PluginUse(self.plugin, self.version, self.namespace))

    @property
    def declares_outputs(self) -> bool:
        return self.declaration is None

    @property
    def output_names(self) -> tuple[str, ...]:
        if self.declaration is None:
            return ("",) if self.outputs is None else tuple(self.outputs)
        names = tuple(output.name for output in self.declaration.outputs)
        return names if len(names) > 1 else ("",)

    def precision_policy(self) -> Policy:
        return Policy.AS_GIVEN if self.declaration is None else Policy.COMPUTE

    @classmethod
    def places(cls, parameters: Mapping[str, Node]) -> dict[str, Span]:
        """Those of fields (`fields.scale`), of their names (`fields.scale.key`), types and elements."""
        spans = mapping_places(parameters, ("outputs",))
        node = parameters.get("fields")
        if isinstance(node, nodes.Mapping):
            for key, entry in node:
                spans[f"fields.{key.value}.key"] = key.span
                spans |= _field_places(f"fields.{key.value}", entry)
        for index, entry in enumerate(node.items if isinstance(node, nodes.Sequence) else ()):
            spans[f"fields.{index}.key"] = entry.span
            spans |= _field_places(f"fields.{index}", entry)
        return spans

    def check_parameters(self) -> None:
        if self.declaration is not None:
            settle_bundled(self.declaration, self.fields)

    def infer(self, *inputs: TensorType | None) -> tuple[TensorType, ...]:
        self._check_shape_inputs(inputs)
        declaration = self.declaration
        if declaration is None:
            if None in inputs:
                raise OpError(
                    f"{self.plugin} cannot leave out an input that another one follows", at="in", code="inputs"
                )
            return declared_types(self.outputs, inputs[0] if inputs else None)
        if self.outputs is not None:
            raise OpError(f"{declaration.name} says itself what its outputs are", at="outputs", hint="leave them out")
        fields = settle_bundled(declaration, self.fields)
        return infer_bundled(declaration, fields, inputs)

    def _check_shape_inputs(self, inputs: Sequence[TensorType | None]) -> None:
        for position in self.shape_inputs:
            if position >= len(inputs):
                raise OpError(f"there is no input {position}: `in` names {len(inputs)}", at="shape_inputs")

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        use = self.use
        present = [tensor for tensor in inputs if tensor is not None]
        shapes = self.shape_inputs
        if self.declaration is not None:
            self._check_formats(self.declaration, net)
        layer = net.plugin(
            use.name, present, self.fields, version=use.version, namespace=use.namespace, shape_inputs=shapes
        )
        count = getattr(layer, "num_outputs", len(net.output_types))
        return tuple(layer.get_output(index) for index in range(count))

    def _check_formats(self, declaration: PluginDeclaration, net: Net) -> None:
        types: dict[str, DataType] = {}
        for declared, entry in zip(declaration.inputs, net.input_types, strict=False):
            if entry is not None:
                types[declared.name] = entry.dtype
        types |= {output.name: entry.dtype for output, entry in zip(declaration.outputs, net.output_types, strict=True)}
        check_formats(declaration, types)


def settle_bundled(declaration: PluginDeclaration, given: Sequence[GivenField]) -> tuple[Field, ...]:
    """The typed fields of a plugin that comes with trtdsl. Raises OpErrors."""
    try:
        return settle_fields(given, declaration.fields, declaration.name, by_us=True)
    except FieldProblems as error:
        raise field_errors(error) from None


def field_errors(error: FieldProblems) -> OpErrors:
    """What is wrong with fields, as ops report it."""
    return OpErrors([OpError(one.message, at=one.at, hint=one.hint, code=one.code) for one in error.problems])


def infer_bundled(
    declaration: PluginDeclaration, fields: Sequence[Field], inputs: Sequence[TensorType | None]
) -> tuple[TensorType, ...]:
    """The outputs of a plugin that comes with trtdsl. Raises OpError for inputs that it does not take."""
    given = _named_inputs(declaration, inputs)
    for declared in declaration.inputs:
        if (entry := given[declared.name]) is not None:
            _check_input(declaration, declared.name, declared.ranks, entry)
    values = {field.name: field.elements for field in fields}
    for requirement in declaration.requires:
        _check_requirement(declaration, requirement, values, given)
    shapes = {name: entry.shape if entry is not None else None for name, entry in given.items()}
    found = declaration.output_shapes(declaration.variables(values, shapes))
    types = []
    for output in declaration.outputs:
        dtype = output.dtype
        if not isinstance(dtype, DataType):
            like = given[dtype]
            assert like is not None, f"{declaration.name}: {output.name} is like an input that is left out"
            dtype = like.dtype
        types.append(TensorType(dtype, found[output.name]))
    return tuple(types)


def _named_inputs(declaration: PluginDeclaration, inputs: Sequence[TensorType | None]) -> dict[str, TensorType | None]:
    """The inputs by name; those left out at the end are None."""
    needed = sum(not entry.optional for entry in declaration.inputs)
    names = [entry.name for entry in declaration.inputs]
    count = sum(entry is not None for entry in inputs)
    if not needed <= len(inputs) <= len(names) or None in inputs[: count or None]:
        takes = str(needed) if needed == len(names) else f"{needed} to {len(names)}"
        message = f"{declaration.name} takes {takes} input{'' if takes == '1' else 's'}, got {count}"
        hint = f"`in: [{', '.join(names)}]`" if len(names) > 1 else None
        raise OpError(message, at="in", hint=hint, code="inputs")
    return {name: inputs[index] if index < len(inputs) else None for index, name in enumerate(names)}


def _check_input(declaration: PluginDeclaration, name: str, ranks: Sequence[int] | None, entry: TensorType) -> None:
    if ranks is not None and entry.rank not in ranks:
        axes = " or ".join(map(str, ranks))
        message = f"{declaration.name} takes {name} of {axes} axes, it is {format_shape(entry.shape)}"
        raise OpError(message, at="in")
    known = declaration.dtypes_of(name)
    fits = any(dtype.is_float for dtype in known) if entry.dtype.is_float else entry.dtype in known
    if not fits:
        words = ", ".join(map(str, known))
        message = f"{declaration.name} takes {name} of the types {words}, it is {entry}"
        raise OpError(message, at="in", hint="add a `cast` layer before it")


def check_formats(declaration: PluginDeclaration, types: Mapping[str, DataType]) -> None:
    """Refuse element types that no kernel takes together, by the names of inputs and outputs. Raises OpError."""
    if any(all(format[name].dtype is dtype for name, dtype in types.items()) for format in declaration.formats):
        return
    known = dict.fromkeys(
        ", ".join(f"{name} {entry.dtype}" for name, entry in one.items()) for one in declaration.formats
    )
    given = ", ".join(f"{name} {dtype}" for name, dtype in types.items())
    message = f"{declaration.name} has no kernel for {given}"
    raise OpError(message, at="precision", hint=f"it has those for {'; '.join(known)}", code="tensorrt-type")


def _check_requirement(
    declaration: PluginDeclaration,
    requirement: Requirement,
    values: Mapping[str, Any],
    given: Mapping[str, TensorType | None],
) -> None:
    """Hold a requirement against the smallest, usual and largest shapes. Raises OpError."""
    for point in range(3):
        shapes = {name: _at(entry, point) for name, entry in given.items()}
        try:
            holds = requirement.that.value(declaration.variables(values, shapes))
        except ExpressionError as error:
            raise OpError(f"{declaration.name}: `{requirement.that.text}`: {error.message}", at="in") from None
        if not holds:
            blamed = next((name for name in requirement.that.names if name in values), None)
            sizes = ", ".join(format_shape(shape) for shape in shapes.values() if shape is not None)
            message = f"{declaration.name}: {requirement.otherwise} (inputs {sizes}; `{requirement.that.text}`)"
            if blamed is None:
                raise OpError(message, at="in")
            raise OpError(message, at=f"fields.{blamed}", code="plugin-field")


def _at(entry: TensorType | None, point: int) -> Shape | None:
    return None if entry is None else tuple(Dim.of(dim.sizes[point]) for dim in entry.shape)


def _field_places(place: str, node: Node) -> dict[str, Span]:
    """The places of a field's value, of its type, and of the elements of a list."""
    spans = {place: node.span}
    value: Node | None = node
    if isinstance(node, nodes.Mapping):
        value = node.get("value")
        if (kind := node.get("type")) is not None:
            spans[f"{place}.type"] = kind.span
        if value is not None:
            spans[place] = value.span
    for index, item in enumerate(value.items if isinstance(value, nodes.Sequence) else ()):
        spans[f"{place}.{index}"] = item.span
    return spans
