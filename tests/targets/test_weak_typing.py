"""Layer precisions on weakly typed runtimes, with stand-ins for the layers of TensorRT 8.6.1."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from types import SimpleNamespace

import pytest

import trtdsl
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.weak_typing import WeakTyping, held_types


class DataType(Enum):
    """The members of 8.6.1's trt.DataType."""

    FLOAT = auto()
    HALF = auto()
    INT8 = auto()
    INT32 = auto()
    BOOL = auto()
    UINT8 = auto()
    FP8 = auto()


class LayerType(Enum):
    """Some of the members of 8.6.1's trt.LayerType."""

    CONVOLUTION = auto()
    DECONVOLUTION = auto()
    POOLING = auto()
    SCALE = auto()
    MATRIX_MULTIPLY = auto()
    NORMALIZATION = auto()
    ACTIVATION = auto()
    CAST = auto()
    CONSTANT = auto()
    ELEMENTWISE = auto()
    GATHER = auto()
    SELECT = auto()
    SHAPE = auto()
    SHUFFLE = auto()
    SLICE = auto()
    SOFTMAX = auto()
    REDUCE = auto()
    UNARY = auto()
    TOPK = auto()
    QUANTIZE = auto()
    DEQUANTIZE = auto()
    PLUGIN_V2 = auto()


FLOAT, HALF, INT32, BOOL = DataType.FLOAT, DataType.HALF, DataType.INT32, DataType.BOOL
TRT = SimpleNamespace(DataType=DataType, LayerType=LayerType)
MIXED = [FLOAT, HALF]


@dataclass
class Tensor:
    """`dtype` is what TensorRT reports before a build: fp32 for every float."""

    name: str
    dtype: DataType = FLOAT


@dataclass
class Layer:
    """An ILayer that remembers what it was told."""

    type: LayerType
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    to_type: DataType | None = None
    precision: DataType | None = None
    output_types: dict[int, DataType] = field(default_factory=dict)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> Tensor | None:
        return self.inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self.outputs[index]

    def set_output_type(self, index: int, dtype: DataType) -> None:
        self.output_types[index] = dtype


X, X16, N, MASK = Tensor("x"), Tensor("x/fp16"), Tensor("n", INT32), Tensor("mask", BOOL)
TO_FP16 = (LayerType.CAST, [X], [X16], HALF)


def constrained(
    kind: LayerType, inputs: list[Tensor | None], outputs: list[Tensor], to_type: DataType | None = None
) -> Layer:
    """A layer of a network whose `x` is fp32 and `x/fp16` its cast."""
    typing = WeakTyping(TRT, MIXED)
    typing.constrain(Layer(LayerType.CAST, [X], [X16], HALF))
    layer = Layer(kind, inputs, outputs, to_type)
    typing.constrain(layer)
    return layer


Y, Y_INT, Y_BOOL = Tensor("y"), Tensor("y", INT32), Tensor("y", BOOL)
CASES: dict[
    str, tuple[LayerType, list[Tensor | None], list[Tensor], DataType | None, DataType | None, dict[int, DataType]]
] = {
    "fp32": (LayerType.ACTIVATION, [X], [Y], None, None, {0: FLOAT}),
    "fp16, as its input was cast": (LayerType.CONVOLUTION, [X16], [Y], None, HALF, {0: HALF}),
    "pooling": (LayerType.POOLING, [X16], [Y], None, HALF, {0: HALF}),
    "product of matrices, which has types alone": (LayerType.MATRIX_MULTIPLY, [X16, X16], [Y], None, None, {0: HALF}),
    "normalisation, likewise": (LayerType.NORMALIZATION, [X, X, X], [Y], None, None, {0: FLOAT}),
    "cast back": (LayerType.CAST, [X16], [Y], FLOAT, None, {0: FLOAT}),
    "cast of integers": (LayerType.CAST, [N], [Y], HALF, None, {0: HALF}),
    "cast to integers": (LayerType.CAST, [X16], [Y_INT], INT32, None, {}),
    "constant of floats": (LayerType.CONSTANT, [], [Tensor("c", HALF)], None, None, {0: HALF}),
    "constant of integers": (LayerType.CONSTANT, [], [Y_INT], None, None, {}),
    "shape of a float tensor": (LayerType.SHAPE, [X16], [Y_INT], None, None, {}),
    "arithmetic on shapes": (LayerType.ELEMENTWISE, [N, N], [Y_INT], None, None, {}),
    "comparison": (LayerType.ELEMENTWISE, [X16, X16], [Y_BOOL], None, None, {}),
    "select takes the type of its branches": (LayerType.SELECT, [MASK, X16, X16], [Y], None, None, {0: HALF}),
    "an optional input left out": (LayerType.SLICE, [None, X16], [Y], None, None, {0: HALF}),
    "values and indices": (LayerType.TOPK, [X16], [Y, Y_INT], None, None, {0: HALF}),
    "gather": (LayerType.GATHER, [X16, N], [Y], None, None, {0: HALF}),
    "shuffle of integers": (LayerType.SHUFFLE, [N], [Y_INT], None, None, {}),
}


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "to_type", "precision", "output_types"), CASES.values(), ids=CASES
)
def test_precision_and_output_types(
    kind: LayerType,
    inputs: list[Tensor | None],
    outputs: list[Tensor],
    to_type: DataType | None,
    precision: DataType | None,
    output_types: dict[int, DataType],
) -> None:
    layer = constrained(kind, inputs, outputs, to_type)
    assert layer.precision is precision
    assert layer.output_types == output_types


def test_types_are_followed_through_the_network() -> None:
    typing = WeakTyping(TRT, MIXED)
    chain = [X, X16, Tensor("a"), Tensor("b"), Tensor("b/fp32"), Tensor("c")]
    kinds = [LayerType.CAST, LayerType.CONVOLUTION, LayerType.ACTIVATION, LayerType.CAST, LayerType.ACTIVATION]
    casts = {0: HALF, 3: FLOAT}
    layers = [Layer(kind, [chain[i]], [chain[i + 1]], casts.get(i)) for i, kind in enumerate(kinds)]
    for layer in layers:
        typing.constrain(layer)
    assert [layer.output_types[0] for layer in layers] == [HALF, HALF, HALF, FLOAT, FLOAT]
    assert [layer.precision for layer in layers] == [None, HALF, None, None, None]


ASKED: dict[str, tuple[LayerType, list[Tensor | None], list[Tensor], DataType | None]] = {
    "arithmetic in fp32": (LayerType.SOFTMAX, [X], [Y], FLOAT),
    "what was cast to fp16": (LayerType.SOFTMAX, [X16], [Y], None),
    "what only moves elements": (LayerType.SHUFFLE, [X], [Y], None),
    "a comparison": (LayerType.ELEMENTWISE, [X, X], [Y_BOOL], None),
    "a product": (LayerType.MATRIX_MULTIPLY, [X, X], [Y], None),
}


@pytest.mark.parametrize(("kind", "inputs", "outputs", "expected"), ASKED.values(), ids=ASKED)
def test_arithmetic_is_held_to_the_fp32_that_a_layer_asks_for(
    kind: LayerType, inputs: list[Tensor | None], outputs: list[Tensor], expected: DataType | None
) -> None:
    typing = WeakTyping(TRT, MIXED)
    typing.constrain(Layer(LayerType.CAST, [X], [X16], HALF))
    layer = Layer(kind, inputs, outputs)
    typing.constrain(layer, None, FLOAT)
    assert layer.precision is expected


def test_a_plugin_that_reads_integers_is_held_by_its_outputs() -> None:
    typing = WeakTyping(TRT, MIXED)
    plugin = Layer(LayerType.PLUGIN_V2, [X, N], [Tensor("made")])
    typing.constrain(plugin, [FLOAT], FLOAT)
    assert (plugin.precision, plugin.output_types) == (None, {0: FLOAT})


def test_quantisation_is_left_alone_and_followed() -> None:
    typing = WeakTyping(TRT, MIXED)
    quantized, moved, wide, y, scale = map(Tensor, ("quantized", "moved", "wide", "y", "scale"))
    layers = [
        Layer(LayerType.QUANTIZE, [X, scale], [quantized]),
        Layer(LayerType.SHUFFLE, [quantized], [moved]),
        Layer(LayerType.DEQUANTIZE, [moved, scale], [wide]),
        Layer(LayerType.ACTIVATION, [wide], [y]),
    ]
    for layer in layers:
        typing.constrain(layer)
    assert [layer.output_types for layer in layers] == [{}, {}, {}, {0: FLOAT}]


PLUGINS: list[tuple[list[DataType] | None, DataType | None, DataType | None, dict[int, DataType], DataType]] = [
    # What it computes in is known: it has no other choice, and its outputs are of that type, or of those declared.
    (None, HALF, HALF, {0: HALF, 1: HALF}, HALF),
    ([HALF, INT32], HALF, HALF, {0: HALF}, HALF),
    # It takes what it is given: only those that follow are told.
    ([FLOAT, INT32], None, None, {}, FLOAT),
    ([HALF, INT32], None, None, {}, HALF),
]


@pytest.mark.parametrize(("outputs", "precision", "own", "types", "after"), PLUGINS)
def test_plugins(
    outputs: list[DataType] | None,
    precision: DataType | None,
    own: DataType | None,
    types: dict[int, DataType],
    after: DataType,
) -> None:
    typing = WeakTyping(TRT, MIXED)
    typing.constrain(Layer(LayerType.CAST, [X], [X16], HALF))
    plugin = Layer(LayerType.PLUGIN_V2, [X16], [Tensor("made"), Tensor("other")])
    typing.constrain(plugin, outputs, precision)
    assert (plugin.precision, plugin.output_types) == (own, types)
    reader = Layer(LayerType.ACTIVATION, [plugin.outputs[0]], [Tensor("read")])
    typing.constrain(reader)
    assert reader.output_types == {0: after}


class Attention:
    """As IAttention, which is not an ILayer: it has neither a type nor anything to set."""

    num_inputs = num_outputs = 1

    def get_input(self, index: int) -> Tensor:
        return X16

    def get_output(self, index: int) -> Tensor:
        return Y


def test_types_are_followed_through_an_attention() -> None:
    typing = WeakTyping(TRT, MIXED)
    typing.constrain(Layer(LayerType.CAST, [X], [X16], HALF))
    typing.constrain(Attention())
    after = Layer(LayerType.ACTIVATION, [Y], [Tensor("z")])
    typing.constrain(after)
    assert after.output_types == {0: HALF}


def test_int8_is_told_by_what_is_read_and_not_by_a_precision() -> None:
    typing = WeakTyping(TRT, MIXED)
    x, small, back = Tensor("x"), Tensor("x/int8", DataType.INT8), Tensor("x/int8/fp16")
    conv, added = Tensor("conv"), Tensor("sum")
    quantize, restore = Layer(LayerType.QUANTIZE, [x], [small]), Layer(LayerType.DEQUANTIZE, [small], [back])
    multiply, summing = (
        Layer(LayerType.CONVOLUTION, [back], [conv]),
        Layer(LayerType.ELEMENTWISE, [back, conv], [added]),
    )
    typing.constrain(quantize)
    typing.constrain(restore, [HALF], None)
    typing.constrain(multiply, [HALF], None)
    typing.constrain(summing)
    assert [layer.precision for layer in (quantize, restore, multiply, summing)] == [None] * 4
    # TensorRT reports fp32 for what comes out of quantisation; what reads it computes in fp16 all the same.
    assert [layer.output_types for layer in (quantize, restore, multiply, summing)] == [{}, {}, {0: HALF}, {0: HALF}]


@pytest.mark.parametrize(
    ("precision", "held"),
    [
        ("fp32", []),
        ("fp16", ["fp32", "fp16"]),
        ("{default: fp32, layers: {b: fp16}}", ["fp32", "fp16"]),
    ],
    ids=["all in fp32", "fp16", "both"],
)
def test_nothing_is_held_where_there_is_no_choice(precision: str, held: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    layers = "[{op: relu, name: a}, {op: tanh, name: b}]"
    path.write_text(f"trtdsl: 1\ninputs: {{x: [4]}}\nprecision: {precision}\nlayers: {layers}\n")
    found = held_types(trtdsl.load(path).typed, Runtime("tensorrt", (8, 6, 1)))
    assert [str(dtype) for dtype in found] == held
