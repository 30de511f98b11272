"""What an op is: one class that holds its parameters, inputs, weights, shape inference and lowerings.

A subclass declares everything as class attributes::

    class Softmax(Op):
        '''Exponentials of the input, normalised along one axis.'''

        kind = "softmax"
        policy = Policy.ACCUMULATE
        x = tensor(FLOATS)
        dim = attribute(Int(), default=-1, help="the axis that sums to one")

        def infer(self, x: TensorType) -> TensorType: ...
        def to_tensorrt(self, net: Net, x: Any) -> Any: ...
        def to_onnx(self, net: OnnxNet, x: str) -> str: ...

Schema, editor completion, `trtdsl ops softmax`, the binder and the cache key all read these declarations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from trtdsl.ops.attributes import AttributeType
from trtdsl.ops.net import Net
from trtdsl.ops.onnx_net import OnnxNet
from trtdsl.plugins.use import PluginUse
from trtdsl.types import ANY, FLOATS, DataType, TensorType

if TYPE_CHECKING:
    from trtdsl.nodes import Node
    from trtdsl.source import Span
    from trtdsl.weights import Weight

T = TypeVar("T")

LAYER_KEYS = ("op", "name", "in", "out", "when", "repeat", "index", "precision", "impl")
"""The keys every layer may have; no op may declare a parameter of such a name."""


class OpError(Exception):
    """What an op finds wrong with its inputs or parameters; the infer stage adds the place.

    `at` names the parameter (or `in`) that is to blame, for the caret; `code` the kind of problem, where the stage does
    not know it.
    """

    def __init__(
        self, message: str, *, at: str | None = None, hint: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.at, self.hint, self.code = message, at, hint, code

    @property
    def errors(self) -> tuple[OpError, ...]:
        """What was found: this, or the several that it stands for."""
        return (self,)


class OpErrors(OpError):
    """Several such findings of one layer."""

    def __init__(self, errors: Sequence[OpError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self._errors = tuple(errors)

    @property
    def errors(self) -> tuple[OpError, ...]:
        return self._errors


class Policy(Enum):
    """How the precision of a layer bears on an op."""

    COMPUTE = auto()
    """Float inputs, weights and outputs take the layer's precision."""
    ACCUMULATE = auto()
    """As COMPUTE outside, but computed in fp32 unless the layer itself asks for less."""
    TRANSPARENT = auto()
    """Moves elements without computing: keeps the type of its first input."""
    AS_GIVEN = auto()
    """Takes its inputs as they come and says itself what its outputs are; as COMPUTE if the layer has a precision."""


class _Required(Enum):
    REQUIRED = auto()


REQUIRED = _Required.REQUIRED


@dataclass(frozen=True)
class Attribute(Generic[T]):
    """A declared parameter; on an instance it reads as the parameter's value."""

    type: AttributeType[T]
    default: T | _Required
    help: str
    name: str = field(default="", init=False)

    def __set_name__(self, owner: object, name: str) -> None:
        object.__setattr__(self, "name", name)

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED

    @overload
    def __get__(self, instance: None, owner: object) -> Attribute[T]: ...
    @overload
    def __get__(self, instance: Op, owner: object) -> T: ...
    def __get__(self, instance: Op | None, owner: object) -> Attribute[T] | T:
        if instance is None:
            return self
        value: T = instance.values[self.name]
        return value


@dataclass(frozen=True)
class WeightParameter:
    """A declared weight; on an instance it reads as whether the weight is there.

    `optional` weights may be switched off in YAML (`bias: false`), or are off by themselves unless given
    (`default=False`); `when` names a boolean attribute that decides. Only weights with `floats=False` may be integers.
    `initial` fills a weight that is made up for want of a file; None stands for random numbers. `key` is what stands
    behind the layer's name in a weights file, where that is not the weight's own name.
    """

    help: str
    optional: bool = False
    default: bool = True
    when: str | None = None
    floats: bool = True
    initial: float | None = None
    key: str = ""
    name: str = field(default="", init=False)

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    @overload
    def __get__(self, instance: None, owner: type) -> WeightParameter: ...
    @overload
    def __get__(self, instance: Op, owner: type) -> bool: ...
    def __get__(self, instance: Op | None, owner: type) -> WeightParameter | bool:
        return self if instance is None else self.name in instance.weights


@dataclass(frozen=True)
class Input:
    """A declared input tensor. The last one may be variadic; optional ones come after the required ones."""

    dtypes: frozenset[DataType]
    help: str
    optional: bool = False
    variadic: bool = False
    name: str = field(default="", init=False)

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)


def attribute(type: AttributeType[T], *, default: T | _Required = REQUIRED, help: str) -> Attribute[T]:
    """Declare a parameter; without a default it is required."""
    return Attribute(type, default, help)


def weight(
    help: str,
    *,
    optional: bool = False,
    default: bool = True,
    when: str | None = None,
    floats: bool = True,
    initial: float | None = None,
    key: str = "",
) -> WeightParameter:
    """Declare a weight, whose key defaults to `<layer>.<name>`; the arguments are those of WeightParameter."""
    return WeightParameter(help, optional, default, when, floats, initial, key)


def tensor(
    dtypes: frozenset[DataType] = FLOATS, *, help: str = "", optional: bool = False, variadic: bool = False
) -> Input:
    """Declare an input."""
    return Input(dtypes, help, optional, variadic)


class Op:
    """Base of all ops. An instance is one use: parsed parameter values and the names of its weights."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    policy: ClassVar[Policy] = Policy.COMPUTE
    example: ClassVar[str] = ""
    """One YAML layer that uses the op, for the reference pages."""
    example_inputs: ClassVar[str] = "{x: [1, 8, 32, 32]}"
    """The inputs of a network that is nothing but the example, as YAML has them."""
    no_onnx: ClassVar[str] = ""
    """Why ONNX cannot say this op, for those without `to_onnx`."""
    by_plugin: ClassVar[str] = ""
    """The plugin that comes with trtdsl and does the same, for those ops that have an `impl` to choose."""
    by_plugin_if_asked: ClassVar[bool] = False
    """Whether only `impl: plugin` takes that plugin, for TensorRT does the op in one pass with the layers around it."""
    plugin_weights: ClassVar[Mapping[str, str]] = {}
    """The fields of that plugin that weights become, by the weights' names."""
    quantized_weights: ClassVar[Mapping[str, int] | None] = None
    """The weights that are int8 or fp8 where a layer multiplies in that, each with the axis that has a scale for every
    element; None of ops that do not."""
    built_on: ClassVar[str] = ""
    """The plugin of TensorRT's that this op is built of, for those that runtimes without plugins refuse."""

    is_open: ClassVar[bool] = False
    """Whether layers may have parameters that are not declared."""
    reads_sizes: ClassVar[bool] = False
    """Whether all that counts of the input is how large it is."""
    reads_previous: ClassVar[bool] = True
    """Whether a layer without `in` reads the layer before it."""

    attributes: ClassVar[Mapping[str, Attribute[Any]]] = {}
    weight_parameters: ClassVar[Mapping[str, WeightParameter]] = {}
    inputs: ClassVar[tuple[Input, ...]] = ()
    bodies: ClassVar[tuple[str, ...]] = ()
    """The keys of the layers inside, for the ops of control flow; `infer_bodies` then stands for `infer`."""
    structure: ClassVar[Mapping[str, str]] = {}
    """For those, the keys in YAML that say what goes into the bodies and comes out of them, with a few words each."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declared = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
        cls.attributes = {v.name: v for v in declared.values() if isinstance(v, Attribute)}
        cls.weight_parameters = {v.name: v for v in declared.values() if isinstance(v, WeightParameter)}
        cls.inputs = tuple(v for v in declared.values() if isinstance(v, Input))

    def __init__(self, values: Mapping[str, Any] | None = None, weights: Sequence[str] | None = None) -> None:
        """`values` are parsed attributes (defaults fill the rest); `weights` names those present.

        Without `weights`, those that are on by default are.
        """
        given = dict(values or {})
        for name, declared in self.attributes.items():
            if name not in given:
                if declared.is_required:
                    raise TypeError(f"{self.kind} needs {name}")
                given[name] = declared.default
        self.values: Mapping[str, Any] = given
        self.weights: tuple[str, ...] = ()
        self.weights = tuple(self.default_weights() if weights is None else weights)

    def declared_weights(self) -> Mapping[str, WeightParameter]:
        """The weights that this use may have; the class's unless parameters name them."""
        return self.weight_parameters

    def default_weights(self) -> list[str]:
        """The weights that this use has when YAML says nothing of them."""
        return [
            name
            for name, declared in self.weight_parameters.items()
            if declared.default and (declared.when is None or self.values[declared.when])
        ]

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"

    @classmethod
    def places(cls, parameters: Mapping[str, Node]) -> dict[str, Span]:
        """The places of what the parameters of a layer hold inside them, by names that an OpError's `at` may have."""
        return {}

    @property
    def title(self) -> str:
        """What layers of this op are called where they are listed."""
        return self.kind

    @property
    def plugin_uses(self) -> tuple[PluginUse, ...]:
        """The plugins that this use is built of where TensorRT builds it."""
        return (PluginUse(self.built_on, namespace=""),) if self.built_on else ()

    @property
    def declares_outputs(self) -> bool:
        """Whether YAML says what the outputs are, and not the op, so that TensorRT may come to another result."""
        return False

    @property
    def output_names(self) -> tuple[str, ...]:
        """The ports, for references like `topk:values`; a single nameless one by default."""
        return ("",)

    def precision_policy(self) -> Policy:
        """The policy of this use; the class's unless parameters change it."""
        return self.policy

    def infer(self, *inputs: Any) -> TensorType | tuple[TensorType, ...]:
        """The output types for these input types (None for an optional input left out). Raises OpError.

        Float outputs of a COMPUTE op that has no float input are replaced by the layer's precision.
        """
        raise NotImplementedError(self.kind)

    def check_parameters(self) -> None:
        """Refuse what `infer` would, whatever the inputs are. Raises OpError."""

    def infer_with(self, weights: Mapping[str, Weight], *inputs: Any) -> TensorType | tuple[TensorType, ...]:
        """As `infer`, for the few ops whose outputs depend on the weights they are given."""
        return self.infer(*inputs)

    def body_inputs(self, *inputs: Any) -> Mapping[str, tuple[TensorType, ...]]:
        """The types of the tensors that each body is given. Raises OpError."""
        return dict.fromkeys(self.bodies, ())

    def body_results(
        self, found: Mapping[str, tuple[TensorType, ...]], precision: DataType, *inputs: Any
    ) -> Mapping[str, tuple[DataType, ...]]:
        """The element types that the outputs of each body have to have, which came out as `found`.

        Only float types may differ from those found; the typing pass casts them.
        """
        return {name: tuple(entry.dtype for entry in types) for name, types in found.items()}

    def infer_bodies(self, found: Mapping[str, tuple[TensorType, ...]], *inputs: Any) -> tuple[TensorType, ...]:
        """The output types, from what comes out of each body.

        Raises OpError, whose `at` may be an output of a body: `then:0`.
        """
        raise NotImplementedError(self.kind)

    def weight_shapes(self, *inputs: Any) -> dict[str, tuple[int, ...] | None]:
        """The shape of every weight that is present, for these input types; None where any shape will do."""
        return {}

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        """Add the layers to a network; gives the last ILayer, an ITensor, or a tuple of ITensors, one per output."""
        raise NotImplementedError(self.kind)

    def check_quantized(self, dtype: DataType, *inputs: Any) -> None:
        """Refuse a use that cannot multiply in int8 or fp8, of an op that can. Raises OpError."""

    def plugin_fields(self, *inputs: Any) -> Mapping[str, object]:
        """The fields that `by_plugin` takes for this use, but those that its weights become.

        Raises OpError for what the plugin cannot do.
        """
        return {}

    def to_onnx(self, net: OnnxNet, *inputs: Any) -> str | tuple[str, ...]:
        """Add nodes to an ONNX graph; gives the names of the outputs. Raises OpError for what ONNX cannot say."""
        raise OpError(self.no_onnx or f"{self.kind} has no ONNX form")


__all__ = [
    "ANY",
    "FLOATS",
    "LAYER_KEYS",
    "REQUIRED",
    "Attribute",
    "Input",
    "Net",
    "OnnxNet",
    "Op",
    "OpError",
    "OpErrors",
    "Policy",
    "WeightParameter",
    "attribute",
    "tensor",
    "weight",
]
