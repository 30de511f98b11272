"""Raw layers: `op: trt.<method>` is TensorRT's own `add_<method>`, by its own names of arguments and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from trtdsl import nodes
from trtdsl.nodes import Node
from trtdsl.ops.attributes import AttributeType, Dims, DType, Ints, Maybe, Schema, parse_dim, show
from trtdsl.ops.base import Op, OpError, Policy, WeightParameter, attribute, tensor
from trtdsl.ops.net import Net
from trtdsl.source import Span
from trtdsl.types import ANY, DataType, Dim, Shape, TensorType
from trtdsl.weights import Weight
from trtdsl.weights.sources import Inline

PATTERN = r"^trt\.[a-z0-9_]+$"
"""What the names of raw layers look like."""

OPEN = "arguments"
"""Where the values of a raw layer hold the parameters that no op declares."""

_KIND = re.compile(PATTERN)
_ELSEWHERE = {
    "trt.input": "the network's inputs stand under `inputs`",
    "trt.loop": "a loop is written `op: loop`",
    "trt.if_conditional": "a conditional is written `op: if`",
    **dict.fromkeys(
        ("trt.plugin", "trt.plugin_v2", "trt.plugin_v3", "trt.plugin_ext"),
        "a plugin is written `op: plugin`",
    ),
}
"""Methods of a network that add something other than one layer, or that need what no YAML can say."""
_FROM_NOTHING = ("trt.constant", "trt.fill")
"""Layers that read no tensor unless `in` says so."""


@dataclass(frozen=True)
class RawOutput:
    """What YAML says of an output; None where it is as the first input."""

    shape: Shape | None
    dtype: DataType | None


@dataclass(frozen=True)
class RawWeight:
    """What YAML says of a weight besides where its elements are from."""

    shape: tuple[int, ...] | None = None
    dtype: DataType | None = None


class Values(AttributeType["dict[str, Any]"]):
    """Values by TensorRT's names. Names of dimensions in lists stand for them; fixed ones are their sizes."""

    def schema(self) -> Schema:
        return {"type": "object"}

    def parse(self, value: object, dims: Dims) -> dict[str, Any]:
        return {name: _settled(entry, dims) for name, entry in _mapping(value, self).items()}

    def describe(self) -> str:
        return "mapping from TensorRT's names to values"


class Calls(AttributeType["dict[str, tuple[dict[str, Any], ...]]"]):
    """Arguments by the names of methods; a list of them calls a method several times."""

    def schema(self) -> Schema:
        arguments: Schema = {"type": ["object", "null"]}
        return {
            "type": "object",
            "additionalProperties": {"anyOf": [arguments, {"type": "array", "items": {"type": "object"}}]},
        }

    def parse(self, value: object, dims: Dims) -> dict[str, tuple[dict[str, Any], ...]]:
        calls = {}
        for name, entry in _mapping(value, self).items():
            each = entry if isinstance(entry, list) else [{} if entry is None else entry]
            calls[name] = tuple(Values().parse(arguments, dims) for arguments in each)
        return calls

    def describe(self) -> str:
        return "mapping from methods to their arguments, or to a list of such"


class Outputs(AttributeType["dict[str, RawOutput]"]):
    """The type of the output, or of each: a list, or a mapping by the names they are referred to by."""

    def schema(self) -> Schema:
        dtypes = [dtype.value for dtype in DataType]
        largest: Schema = {
            "type": "object",
            "title": "the largest that the data may make it",
            "properties": {"at_most": {"type": ["integer", "string"]}},
            "required": ["at_most"],
            "additionalProperties": False,
        }
        sizes: Schema = {"type": "array", "items": {"anyOf": [{"type": ["integer", "string"]}, largest]}}
        expression: Schema = {"type": "string", "pattern": "\\$"}
        one: Schema = {
            "type": "object",
            "title": "an output",
            "properties": {
                "shape": {"anyOf": [sizes, expression], "title": "a list of sizes"},
                "dtype": {"anyOf": [{"enum": dtypes}, expression], "title": f"one of {', '.join(dtypes)}"},
            },
            "additionalProperties": False,
        }
        named: Schema = {
            "type": "object",
            "title": "outputs by name",
            "additionalProperties": one,
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$", "title": "letters, digits, `_` and `-`"},
        }
        return {"anyOf": [one, {"type": "array", "items": one}, named]}

    def parse(self, value: object, dims: Dims) -> dict[str, RawOutput]:
        if isinstance(value, dict) and value.keys() - _OUTPUT_KEYS:
            return {name: _output(entry, name, dims) for name, entry in value.items()}
        if isinstance(value, list) and len(value) != 1:
            return {str(index): _output(entry, str(index), dims) for index, entry in enumerate(value)}
        return {"": _output(value[0] if isinstance(value, list) else value, "", dims)}

    def describe(self) -> str:
        return "{shape, dtype}, or a list of such or {name: {shape, dtype}} where there are several"


_OUTPUT_KEYS = {"shape", "dtype"}


class RawWeights(AttributeType["dict[str, RawWeight | None]"]):
    """What is said of weights by the names of TensorRT's arguments; None for one that is left out."""

    def schema(self) -> Schema:
        return {
            "anyOf": [
                {"type": "object"},
                {"type": "array", "items": {"type": "string"}, "title": "names of weights that a file has"},
            ]
        }

    def parse(self, value: object, dims: Dims) -> dict[str, RawWeight | None]:
        if isinstance(value, list):
            return {str(name): RawWeight() for name in value}
        return {name: _weight(entry, dims) for name, entry in _mapping(value, self).items()}

    def describe(self) -> str:
        return "mapping from TensorRT's names to weights"


class RawLayer(Op):
    """A layer by TensorRT's own method of that name, checked against the TensorRT that builds.

    The method's arguments stand beside the keys of every layer, or under `args` where the name is that of a key. The
    tensors among them are what `in` lists, in the order of the signature; what it lists beyond them is given to the
    layer's `set_input` by its position. Tensors, float weights and outputs keep their types unless the layer has a
    `precision`.
    """

    kind = "trt"
    policy = Policy.AS_GIVEN
    is_open = True
    no_onnx = "it is a call of TensorRT's, which does not say what it computes"

    tensors = tensor(ANY, help="in the order of the method's arguments", optional=True, variadic=True)
    outputs = attribute(
        Maybe(Outputs()), default=None, help="the types of the outputs; default: one like the first input"
    )
    weights = attribute(RawWeights(), default={}, help="weights by the names of the method's arguments")  # type: ignore[assignment]
    args = attribute(Values(), default={}, help="arguments that are called as a key of every layer: `args: {op: EXP}`")
    set = attribute(Values(), default={}, help="attributes of the layer: `set: {axes: [1], mask: in.3}`")
    call = attribute(Calls(), default={}, help="methods of the layer, with their arguments")

    @property
    def method(self) -> str:
        """The method of INetworkDefinition."""
        return f"add_{self.kind.removeprefix('trt.')}"

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What YAML gives of the method's arguments, besides tensors and weights."""
        return {**self.values.get(OPEN, {}), **self.args}

    @property
    def weight_options(self) -> Mapping[str, RawWeight]:
        """The weights that are there."""
        given: Mapping[str, RawWeight | None] = self.values["weights"]
        return {name: options for name, options in given.items() if options is not None}

    @property
    def declares_outputs(self) -> bool:
        return True

    @property
    def output_names(self) -> tuple[str, ...]:
        return ("",) if self.outputs is None else tuple(self.outputs)

    def declared_weights(self) -> Mapping[str, WeightParameter]:
        return {name: WeightParameter("", floats=False) for name in self.weight_options}

    def default_weights(self) -> list[str]:
        return list(self.weight_options)

    def weight_shapes(self, *inputs: TensorType | None) -> dict[str, tuple[int, ...] | None]:
        return {name: options.shape for name, options in self.weight_options.items()}

    def infer_with(self, weights: Mapping[str, Weight], *inputs: TensorType | None) -> tuple[TensorType, ...]:
        for name, weight in weights.items():
            if weight.is_made_up and self.weight_options[name].shape is None:
                message = f"elements are made up for the weight `{name}`, whose shape is not given"
                raise OpError(message, at=name, hint=f"`weights: {{{name}: {{shape: […], …}}}}`")
        return self.infer(*inputs)

    def infer(self, *inputs: TensorType | None) -> tuple[TensorType, ...]:
        return declared_types(self.outputs, inputs[0] if inputs else None)

    def typed_weights(
        self, weights: Mapping[str, Weight], inputs: Iterable[TensorType | None], outputs: Iterable[TensorType]
    ) -> dict[str, Weight]:
        """The weights in the type that the layer computes in: that of its first float input, else of its output.

        Integers stay what they are, but numbers written in the network, which have no type of their own.
        """
        floats = [entry.dtype for entry in inputs if entry is not None and entry.dtype.is_float]
        dtype = next(iter([*floats, *(entry.dtype for entry in outputs)]), DataType.FP32)
        return {name: self._typed(name, weight, dtype) for name, weight in weights.items()}

    def _typed(self, name: str, weight: Weight, dtype: DataType) -> Weight:
        wanted = self.weight_options[name].dtype
        if wanted is not None:
            return weight.with_dtype(wanted)
        untyped = weight.source.dtype is None or isinstance(weight.source, Inline)
        if weight.dtype is DataType.BOOL or not (untyped or (weight.dtype.is_float and dtype.is_float)):
            return weight
        return weight.with_dtype(dtype)

    @classmethod
    def places(cls, parameters: Mapping[str, Node]) -> dict[str, Span]:
        """Those of all that the mappings of a raw layer hold, by their own names and by dotted ones."""
        return mapping_places(parameters, ("weights", "args", "set", "call", "outputs"), bare=("weights", "args"))

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        return net.raw(self, inputs)


@cache
def raw_layer(kind: str) -> type[RawLayer] | None:
    """The op of a name such as `trt.einsum`; None for a name of another form, or of a method that adds no layer."""
    if not _KIND.match(kind) or kind in _ELSEWHERE:
        return None
    members = {"kind": kind, "reads_previous": kind not in _FROM_NOTHING, "__doc__": RawLayer.__doc__}
    return type("RawLayer", (RawLayer,), {**members, "__module__": __name__})


def elsewhere(kind: str) -> str | None:
    """Where that is written which a method adds, for those that raw layers do not reach."""
    return _ELSEWHERE.get(kind)


def weight_node(section: Node | None, name: str) -> Node | None:
    """What the `weights` of a raw layer say of where the elements of one are from."""
    node = section.get(name) if isinstance(section, nodes.Mapping) else None
    if not isinstance(node, nodes.Mapping):
        return node
    if (values := node.get("values")) is not None:
        return values
    rest = tuple((key, entry) for key, entry in node if key.value != "shape")
    return nodes.Mapping(rest, node.span) if rest else None


def mapping_places(
    parameters: Mapping[str, Node], sections: Iterable[str], *, bare: Iterable[str] = ()
) -> dict[str, Span]:
    """The places of what some parameters hold, by dotted names (`set.axes`); of those that are `bare` by keys, too."""
    spans: dict[str, Span] = {}
    for section in sections:
        node = parameters.get(section)
        for key, entry in node if isinstance(node, nodes.Mapping) else ():
            spans[f"{section}.{key.value}"] = entry.span
            if section in bare:
                spans[key.value] = entry.span
            for index, one in enumerate(entry.items if isinstance(entry, nodes.Sequence) else (entry,)):
                for inner, value in one if isinstance(one, nodes.Mapping) else ():
                    spans[f"{section}.{key.value}.{index}.{inner.value}"] = value.span
    return spans


def declared_types(outputs: Mapping[str, RawOutput] | None, first: TensorType | None) -> tuple[TensorType, ...]:
    """The types that YAML gives the outputs of a layer, with those of its first input where it says nothing.

    Raises OpError.
    """
    declared = {"": RawOutput(None, None)} if outputs is None else outputs
    return tuple(_output_type(name, output, first) for name, output in declared.items())


def _output_type(name: str, output: RawOutput, first: TensorType | None) -> TensorType:
    which = f"the output `{name}`" if name else "the output"
    if first is None and output.shape is None:
        raise OpError(f"no input tells the shape of {which}", hint="`outputs: {shape: […], dtype: …}`")
    dtype = output.dtype or (first.dtype if first else DataType.FP32)
    shape = output.shape if first is None or output.shape is not None else first.shape
    return TensorType(dtype, shape or ())


def _mapping(value: object, kind: AttributeType[Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a {kind.describe()}, got {show(value)}")
    return value


def _settled(value: Any, dims: Dims, inside: bool = False) -> Any:
    if isinstance(value, list):
        return [_settled(item, dims, inside=True) for item in value]
    if inside and isinstance(value, str) and value in dims:
        value = dims[value]
    return value.value if isinstance(value, Dim) and value.is_static else value


def _output(value: object, name: str, dims: Dims) -> RawOutput:
    if value is None:
        return RawOutput(None, None)
    if not isinstance(value, dict) or value.keys() - _OUTPUT_KEYS:
        raise ValueError(f"expected {{shape, dtype}}, got {show(value)}")
    shape = _shape(value["shape"], name, dims) if "shape" in value else None
    return RawOutput(shape, DType().parse(value["dtype"], dims) if "dtype" in value else None)


def _shape(value: object, name: str, dims: Dims) -> Shape:
    """Sizes of an output; one that hangs on the data, `{at_most: 100}`, is known by the output and its axis."""
    if not isinstance(value, list):
        raise ValueError(f"expected a list of sizes, got {show(value)}")
    sizes: list[Dim] = []
    for axis, size in enumerate(value):
        if isinstance(size, dict) and size.keys() == {"at_most"}:
            largest = parse_dim(size["at_most"], dims)
            sizes.append(Dim.data_dependent(f"{name}{'_' * bool(name)}{axis}", largest))
        else:
            sizes.append(parse_dim(size, dims))
    return tuple(sizes)


def _weight(value: object, dims: Dims) -> RawWeight | None:
    if value is False:
        return None
    if not isinstance(value, dict):
        return RawWeight()
    if "values" in value and (extra := value.keys() - {"values", "shape", "dtype"}):
        raise ValueError(f"`{min(extra)}` does not go with `values`")
    shape = Ints(minimum=0).parse(value["shape"], dims) if "shape" in value else None
    # The `dtype` of what a file holds says how to take its bits, which is for those who read it.
    dtype = DType().parse(value["dtype"], dims) if "values" in value and "dtype" in value else None
    return RawWeight(shape, dtype)
