"""Parameters, inputs, weights and precision of flat layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.flat_yaml import flatten, lines
from trtdsl.bind import bind
from trtdsl.errors import Diagnostic, Diagnostics, NetworkError
from trtdsl.graph import Graph
from trtdsl.infer import infer
from trtdsl.ops import CATALOGUE
from trtdsl.types import DataType
from trtdsl.weights.library import FileUse
from trtdsl.weights.sources import Initialiser, Inline, Stored

ONE_CONV = "inputs: {x: 'fp32[N, 3, 8, 8]'}\nlayers:\n- {op: conv, name: c, out_channels: 4, kernel_size: 3, %s}\n"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with files of weights for layers called `c` and others."""
    conv = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    bias = np.arange(4, dtype=np.float32)
    save_file(
        {
            "c.weight": conv,
            "c.bias": bias,
            "other.weight": conv,
            "hwio": np.ascontiguousarray(conv.transpose(2, 3, 1, 0)),
            "integers": np.ones((4, 3, 3, 3), np.int64),
            "bits": np.ones((4, 3, 3, 3), np.uint16),
            "half": conv.astype(np.float16),
            "double": conv.astype(np.float64),
        },
        tmp_path / "a.safetensors",
    )
    np.savez(tmp_path / "b.npz", **{"c.weight": conv + 1, "weight": conv + 2, "bias": bias})
    (tmp_path / "broken.safetensors").write_bytes(b"not one")
    return tmp_path


def bound(text: str, folder: Path = Path(), *, weights: Sequence[FileUse] = (), random_weights: bool = False) -> Graph:
    flat = flatten(text, folder)
    flat = replace(flat, weights=(*flat.weights, *weights))
    return bind(flat, CATALOGUE, Diagnostics(), random_weights=random_weights)


def refused(
    text: str, folder: Path = Path(), *, weights: Sequence[FileUse] = (), random_weights: bool = False
) -> tuple[Diagnostic, ...]:
    with pytest.raises(NetworkError) as caught:
        bound(text, folder, weights=weights, random_weights=random_weights)
    return caught.value.diagnostics


def test_a_layer_is_bound(weights: Path) -> None:
    text = ONE_CONV % "stride: 2, padding: [0, 1]" + "weights: {'': a.safetensors}"
    graph = bound(text, weights)
    (layer,) = graph.layers
    assert (layer.name, layer.op.kind, layer.inputs, layer.outputs) == ("c", "conv", ("x",), ("c",))
    assert layer.op.values["stride"] == (2,)
    assert layer.op.values["padding"] == ((0, 0), (1, 1))
    assert layer.op.values["groups"] == 1
    assert {name: weight.source.describe() for name, weight in layer.weights.items()} == {
        "weight": '"c.weight" in a.safetensors',
        "bias": '"c.bias" in a.safetensors',
    }
    assert layer.span("stride").column > layer.span().column
    assert [entry.name for entry in graph.inputs] == ["x"]
    assert [output.tensor for output in graph.outputs] == ["c"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {"weight", "bias"}),
        ("bias: true", {"weight", "bias"}),
        ("bias: false", {"weight"}),
        ("bias: 0.5", {"weight", "bias"}),
    ],
)
def test_optional_weights(parameters: str, expected: set[str]) -> None:
    (layer,) = bound(ONE_CONV % parameters, random_weights=True).layers
    assert set(layer.weights) == expected == set(layer.op.weights)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("strid: 2", "c: conv has no `strid`; it has"),
        ("stride: two", 'c: stride: expected integer, at least 1, got "two"'),
        ("stride: [1, 0]", "c: stride: expected integer, at least 1, got 0"),
        ("weight: false", "c: conv cannot do without its weight"),
        ("impl: plugin", "c: conv has no plugin behind it"),
        ("in: [x, x]", "c: conv takes 1 input, got 2"),
        ("in: [null]", "c: conv takes 1 input, got 0"),
    ],
)
def test_wrong_parameters(parameters: str, message: str) -> None:
    (diagnostic,) = refused(ONE_CONV % parameters, random_weights=True)
    assert diagnostic.message.startswith(message)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            "{op: conv, name: c, kernel_size: 3}",
            "3 missing-parameter: c: conv needs `out_channels`, integer, at least 1",
        ),
        ("{op: linaer, name: c}", "3 unknown-op: there is no op `linaer`"),
        ("{op: concat, name: c, in: [], dim: 1}", "3 inputs: c: concat takes at least 1 input, got 0"),
        ("{op: matmul, name: c, in: [x]}", "3 inputs: c: matmul takes 2 inputs, got 1"),
        ("{op: add, name: c, in: [x, x, x]}", "3 inputs: c: add takes 1 to 2 inputs, got 3"),
        (
            "{op: layer_norm, name: c, normalized_shape: 8, elementwise_affine: false, weight: w}",
            "3 parameter-value: c: `weight` is given, but `elementwise_affine` is false",
        ),
    ],
)
def test_wrong_layers(layer: str, expected: str) -> None:
    text = f"inputs: {{x: 'fp32[N, 3, 8, 8]'}}\nlayers:\n- {layer}\n"
    assert lines(refused(text, random_weights=True)) == [expected]


def test_optional_inputs_are_filled_up() -> None:
    text = "inputs: {x: 'fp32[2, 3]'}\nlayers:\n- {op: add, other: 1.0}\n"
    assert bound(text).layers[0].inputs == ("x", None)


def test_all_layers_report_at_once() -> None:
    text = (
        "inputs: {x: 'fp32[N, 3, 8, 8]'}\nlayers:\n"
        "- {op: conv, name: a, kernel_size: 0}\n"
        "- {op: relu, name: b, slope: 1}\n"
        "- {op: nothing, name: c}\n"
    )
    assert [line.split(":")[0] for line in lines(refused(text))] == [
        "3 missing-parameter",
        "3 parameter-value",
        "4 unknown-parameter",
        "5 unknown-op",
    ]


@pytest.mark.parametrize(
    ("override", "key", "dtype"),
    [
        ("weight: true", "c.weight", DataType.FP32),
        ("weight: other.weight", "other.weight", DataType.FP32),
        ("weight: {key: half}", "half", DataType.FP16),
        ("weight: {key: double}", "double", DataType.FP32),
        ("weight: {key: half, dtype: fp32}", "half", DataType.FP32),
        ("weight: {key: integers, dtype: fp32}", "integers", DataType.FP32),
        ("weight: {key: bits, dtype: bf16}", "bits", DataType.BF16),
    ],
)
def test_stored_overrides(weights: Path, override: str, key: str, dtype: DataType) -> None:
    text = ONE_CONV % f"bias: false, {override}" + "weights: {'': a.safetensors}"
    weight = bound(text, weights).layers[0].weights["weight"]
    assert isinstance(weight.source, Stored)
    assert (weight.source.entry.key, weight.dtype, weight.shape) == (key, dtype, (4, 3, 3, 3))


def test_another_file_and_order_of_axes(weights: Path) -> None:
    text = ONE_CONV % "bias: {file: b.npz}, weight: {key: hwio, transpose: [3, 2, 0, 1]}"
    text = text.replace("bias: {", "bias: {key: bias, ") + "weights: {'': a.safetensors}"
    graph = infer(bound(text, weights), Diagnostics())
    layer = graph.layers[0]
    assert layer.weights["bias"].source.describe() == '"bias" in b.npz'
    plain = bound(ONE_CONV % "" + "weights: {'': a.safetensors}", weights)
    expected = infer(plain, Diagnostics()).layers[0].weights["weight"].array()
    np.testing.assert_array_equal(layer.weights["weight"].array(), expected)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("{normal: 0.02}", Initialiser("c.weight", "normal", 0.02)),
        ("{normal: 0.02, mean: 1}", Initialiser("c.weight", "normal", 0.02, 1.0)),
        ("{uniform: 1}", Initialiser("c.weight", "uniform", 1.0)),
        ("{fill: -1e-5}", Initialiser("c.weight", "fill", -1e-5)),
    ],
)
def test_initialisers(override: str, expected: Initialiser) -> None:
    weight = bound(ONE_CONV % f"bias: false, weight: {override}").layers[0].weights["weight"]
    assert (weight.source, weight.shape, weight.dtype) == (expected, None, DataType.FP32)


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [("2", None, DataType.FP32), ("0.5", None, DataType.FP32), ("[1, 2, 3, 4]", (4,), DataType.FP32)],
)
def test_inline_values(value: str, shape: tuple[int, ...] | None, dtype: DataType) -> None:
    text = ONE_CONV % f"weight: 1, bias: {value}"
    weight = bound(text).layers[0].weights["bias"]
    assert isinstance(weight.source, Inline)
    assert (weight.shape, weight.dtype) == (shape, dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [("[1, 2]", DataType.INT64), ("[1, 2.5]", DataType.FP32), ("true", None), ("[true]", DataType.BOOL)],
)
def test_inline_types_of_constants(value: str, dtype: DataType | None) -> None:
    text = f"inputs: {{}}\nlayers:\n- {{op: constant, name: k, value: {value}}}\n"
    if dtype is None:
        # `true` says that the weight is there, which it is anyway; so it is looked for in a file.
        assert lines(refused(text)) == ["3 no-weights: no weights file is named for k.value"]
    else:
        assert bound(text).layers[0].weights["value"].dtype is dtype


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("{ky: a}", "c.weight: `ky` is none of key, file, transpose, dtype"),
        ("{fil: 1}", "c.weight: `fil` is none of key, file, transpose, dtype"),
        ("{key: 3}", "c.weight: expected text"),
        ("{transpose: 1}", "c.weight: transpose is true, or the order of the axes: `[1, 0]`"),
        ("{transpose: ['0', '1', '2', '3']}", "c.weight: transpose is true, or the order of the axes: `[1, 0]`"),
        ("{transpose: [0, 2]}", "c.weight: transpose is true, or the order of the axes: `[1, 0]`"),
        ("{transpose: true}", 'c.weight: transpose orders 2 axes, "c.weight" in a.safetensors is [4, 3, 3, 3]'),
        ("{dtype: float}", "c.weight: dtype is one of fp32"),
        ("{normal: a}", "c.weight: expected a number"),
        ("{normal: -1}", "c.weight: `normal` is at least 0, got -1"),
        ("{fill: 1, mean: 2}", "c.weight: `mean` does not go with `fill`"),
        ("[1, [2]]", "c.weight: the lists have different lengths"),
        ("[a, b]", "c.weight: expected numbers"),
        ("[]", "c.weight: expected numbers"),
    ],
)
def test_wrong_overrides(weights: Path, override: str, message: str) -> None:
    text = ONE_CONV % f"bias: false, weight: {override}" + "weights: {'': a.safetensors}"
    (diagnostic,) = refused(text, weights)
    assert diagnostic.code == "weight-value"
    assert diagnostic.message.startswith(message)


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        (
            "integers",
            'c.weight takes floats, "integers" in a.safetensors is int64',
            "to convert: `weight: {dtype: fp32}`",
        ),
        (
            "bits",
            'c.weight: "bits" in a.safetensors is uint16, which no layer takes',
            "if these are the bits of bf16, say so: `{dtype: bf16}`",
        ),
        ("{key: half, dtype: int32}", 'c.weight: "half" in a.safetensors is fp16, cannot be taken as int32', None),
        ("{key: integers, dtype: int32}", 'c.weight takes floats, "integers" in a.safetensors is int64', None),
        ("[true, false]", "c.weight takes floats, the list given here is bool", None),
    ],
)
def test_wrong_types(weights: Path, override: str, message: str, hint: str | None) -> None:
    text = ONE_CONV % f"bias: false, weight: {override}" + "weights: {'': a.safetensors}"
    (diagnostic,) = refused(text, weights)
    assert (diagnostic.code, diagnostic.message) == ("weight-dtype", message)
    assert hint is None or diagnostic.hint == hint


TWO_CONVS = """
inputs: {x: 'fp32[N, 3, 8, 8]'}
layers:
- {op: conv, name: c, out_channels: 4, kernel_size: 3}
- {op: conv, name: d.e, out_channels: 4, kernel_size: 3, weight: othr.weight, bias: false}
"""


def test_missing_weights_are_reported_together(weights: Path) -> None:
    text = TWO_CONVS.replace("name: c", "name: C") + "weights: {'': a.safetensors}"
    found = refused(text, weights)
    assert lines(found) == [
        '4 weight-missing: C needs "C.weight", not found in a.safetensors',
        '4 weight-missing: C needs "C.bias", not found in a.safetensors',
        '5 weight-missing: d.e needs "othr.weight", not found in a.safetensors',
    ]
    hints = [diagnostic.hint for diagnostic in found]
    assert hints == ["did you mean `c.weight`?", "did you mean `c.bias`?", "did you mean `other.weight`?"]


def test_a_key_under_one_more_name_is_found(tmp_path: Path) -> None:
    save_file({"model.c.weight": np.ones(1), "d.weight": np.ones(1)}, tmp_path / "a.safetensors")
    text = ONE_CONV % "bias: false" + "weights: {'': a.safetensors}"
    assert refused(text, tmp_path)[0].hint == "did you mean `model.c.weight`?"


def test_no_weights_file_is_one_error() -> None:
    (diagnostic,) = refused(TWO_CONVS)
    assert lines((diagnostic,)) == ["4 no-weights: no weights file is named for c.weight and 2 more"]
    assert "--random-weights" in (diagnostic.hint or "")


def test_a_broken_file_is_one_error(weights: Path) -> None:
    text = TWO_CONVS + "weights: {'': broken.safetensors}"
    (diagnostic,) = refused(text, weights)
    assert (diagnostic.code, diagnostic.span and diagnostic.span.line) == ("weight-file", 6)


def test_files_are_searched_in_order_and_may_not_agree(weights: Path) -> None:
    uses = [FileUse("", weights / "a.safetensors"), FileUse("", weights / "b.npz")]
    (diagnostic,) = refused(ONE_CONV % "", weights, weights=uses)
    assert diagnostic.code == "weight-ambiguous"
    assert "a.safetensors" in diagnostic.message
    assert "b.npz" in diagnostic.message
    # A key that is in one of them only, and `file`, are both clear.
    clear = ONE_CONV % "weight: {file: b.npz}"
    sources = [w.source.describe() for w in bound(clear, weights, weights=uses).layers[0].weights.values()]
    assert sources == ['"c.weight" in b.npz', '"c.bias" in a.safetensors']


def test_a_file_named_twice_agrees_with_itself(weights: Path) -> None:
    uses = [FileUse("", weights / "a.safetensors")] * 2
    assert len(bound(ONE_CONV % "", weights=uses).layers[0].weights) == 2


@pytest.mark.parametrize(
    ("name", "prefix", "expected"),
    [
        ("c", "", '"c.weight" in b.npz'),
        ("c", "c", '"weight" in b.npz'),
        ("enc.c", "enc", '"c.weight" in b.npz'),
        ("encoder.c", "enc", None),
        ("c", "c.d", None),
    ],
)
def test_prefixes(weights: Path, name: str, prefix: str, expected: str | None) -> None:
    text = (ONE_CONV % "bias: false").replace("name: c", f"name: {name}")
    uses = [FileUse(prefix, weights / "b.npz")]
    if expected is None:
        assert refused(text, weights=uses)[0].code == "no-weights"
    else:
        assert bound(text, weights=uses).layers[0].weights["weight"].source.describe() == expected


def test_the_longest_prefix_wins(weights: Path) -> None:
    text = (ONE_CONV % "bias: false").replace("name: c", "name: a.b.c")
    uses = [FileUse(prefix, weights / "b.npz") for prefix in ("", "a", "a.b")]
    weight = bound(text, weights=uses).layers[0].weights["weight"]
    assert weight.source.describe() == '"c.weight" in b.npz'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net.npz", FileUse("", Path("net.npz"))),
        ("head=net.npz", FileUse("head", Path("net.npz"))),
        ("a.b=c/d=e.npz", FileUse("a.b", Path("c/d=e.npz"))),
    ],
)
def test_files_of_the_command_line(text: str, expected: FileUse) -> None:
    assert FileUse.parse(text) == expected


def test_a_file_whose_name_has_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "a=b.npz").touch()
    assert FileUse.parse(str(tmp_path / "a=b.npz")) == FileUse("", tmp_path / "a=b.npz")


def test_random_weights_leave_inline_ones() -> None:
    text = TWO_CONVS.replace("bias: false", "bias: 0.5")
    first, second = bound(text, random_weights=True).layers
    assert first.weights["weight"].source == Initialiser("c.weight", "matrix", 1.0)
    assert first.weights["bias"].source == Initialiser("c.bias", "fill", 0.0)
    assert second.weights["weight"].source == Initialiser("d.e.weight", "matrix", 1.0)
    assert isinstance(second.weights["bias"].source, Inline)


def test_random_normalisation_keeps_what_it_normalised() -> None:
    text = "inputs: {x: 'fp32[N, 3, 8, 8]'}\nlayers:\n- {op: batch_norm, name: b}\n"
    graph = infer(bound(text, random_weights=True), Diagnostics())
    values = {name: weight.array().tolist() for name, weight in graph.layers[0].weights.items()}
    ones, zeros = [1.0] * 3, [0.0] * 3
    assert values == {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}


def test_random_weights_keep_deep_networks_alive() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(64, 256)).astype(np.float32)

    def layer(name: str, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return x @ Initialiser(name, "matrix", 1.0).load((256, 256), DataType.FP32).T

    plain = residual = start
    for depth in range(40):
        plain = np.maximum(layer(f"p{depth}", plain), 0)
        inner = np.maximum(layer(f"a{depth}", residual), 0)
        residual = np.maximum(residual + layer(f"b{depth}", inner), 0)
    for result in (plain, residual):
        with np.errstate(over="ignore"):
            narrow = result.astype(np.float16)
        assert np.isfinite(narrow).all()
        assert np.count_nonzero(narrow) > narrow.size / 10


@pytest.mark.parametrize(
    ("own", "patterns", "expected"),
    [
        (None, "", (DataType.FP32, False)),
        (None, "default: bf16", (DataType.BF16, False)),
        (None, "default: fp32, 'he*.fc': fp16", (DataType.FP16, False)),
        (None, "default: fp32, '*': fp16, head.fc: fp32", (DataType.FP32, False)),
        (None, "default: fp16, head: fp32", (DataType.FP16, False)),
        ("bf16", "default: fp32, '*': fp16", (DataType.BF16, True)),
    ],
)
def test_precision(own: str | None, patterns: str, expected: tuple[DataType, bool]) -> None:
    precision = f", precision: {own}" if own else ""
    text = f"inputs: {{x: 'fp32[N, 3]'}}\nlayers:\n- {{op: linear, name: head.fc, out_features: 2{precision}}}\n" + (
        f"precision: {{{patterns}}}" if patterns else ""
    )
    (layer,) = bound(text, random_weights=True).layers
    assert (layer.precision, layer.explicit) == expected
