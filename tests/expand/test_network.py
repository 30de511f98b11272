"""What frames the layers: params, overrides, dimensions, inputs, includes, outputs, weights files, precision."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from tests.expand.expanding import HEAD, expanded, layers, refused
from trtdsl.expand import layers as expansion
from trtdsl.nodes import plain
from trtdsl.types import DataType, Dim, Sizes

PARAMS = """\
params:
  a: 1
  b: $(a + 1)
  cfg: {deep: [1, 2], word: on}
  deep: $(cfg["deep"])
layers: [{op: conv, channels: $b, size: $deep}]
"""
OVERRIDES: dict[str, tuple[dict[str, object], object, object]] = {
    "none": ({}, 2, [1, 2]),
    "one that others use": ({"a": 5}, 6, [1, 2]),
    "an expression": ({"b": "$(a + 10)"}, 11, [1, 2]),
    "an entry of a list": ({"cfg.deep.1": 7}, 2, [1, 7]),
    "an entry of a mapping": ({"cfg.deep": [3]}, 2, [3]),
    "a mapping": ({"cfg": {"deep": 4}}, 2, 4),
    "a mapping, then an entry of it": ({"cfg": {"deep": [4, 5]}, "cfg.deep.0": 9}, 2, [9, 5]),
}


@pytest.mark.parametrize(("params", "channels", "size"), OVERRIDES.values(), ids=OVERRIDES.keys())
def test_overrides(params: dict[str, object], channels: object, size: object) -> None:
    (layer,) = expanded(PARAMS, params).layers
    assert plain(layer.parameters["channels"]) == channels
    assert plain(layer.parameters["size"]) == size


PYTHON_VALUES: dict[str, tuple[object, object]] = {
    "a number": (3, 3),
    "a flag": (True, True),
    "nothing in a list": ([None], [None]),
    "infinity": (math.inf, math.inf),
    "text that looks like a number": ("1", "1"),
    "text that YAML 1.1 takes for a flag": ("no", "no"),
    "text with a line break": ("a\n# b", "a\n# b"),
    "a tuple": ((1, (2.5,)), [1, [2.5]]),
    "a range": (range(3), [0, 1, 2]),
    "a mapping": ({"a": {"b": 1}}, {"a": {"b": 1}}),
    "whole numbers as keys": ({18: [2, 2]}, {"18": [2, 2]}),
    "numbers of numpy": ([np.int64(4), np.float32(0.5), np.float64(2)], [4, 0.5, 2.0]),
}


@pytest.mark.parametrize("case", PYTHON_VALUES)
def test_overrides_are_python_values(case: str) -> None:
    given, expected = PYTHON_VALUES[case]
    value = plain(
        expanded("params: {p: 0}\nlayers: [{op: constant, value: $p}]", {"p": given}).layers[0].parameters["value"]
    )
    assert (value, type(value)) == (expected, type(expected))


def test_not_a_number_stays_none() -> None:
    (layer,) = expanded("params: {p: 0}\nlayers: [{op: constant, value: $p}]", {"p": math.nan}).layers
    assert math.isnan(plain(layer.parameters["value"]))


endless: list[object] = []
endless.append(endless)

WRONG_OVERRIDES: dict[str, tuple[str, object, str, str]] = {
    "an unknown param": ("clases", 1, '`parameters["clases"]`: the network has no param `clases`', "`classes`"),
    "no param that is close": ("x", 1, "the network has no param `x`", "the params are classes, cfg"),
    "an unknown entry": ("cfg.dep", 1, "the param `cfg` has no entry `dep`", ""),
    "an entry of a number": ("classes.a", 1, "the param `classes` has no entry `a`", ""),
    "beyond a list": ("cfg.deep.2", 1, "the param `cfg` has no entry `deep.2`", ""),
    "a set": ("classes", {1}, '`parameters["classes"]`: a set has no place in a network', "a list or mapping"),
    "a complex number": ("classes", [1j], "a complex has no place", "a list or mapping"),
    "bytes": ("classes", b"1", "a bytes has no place", "a list or mapping"),
    "an array": ("classes", np.zeros(2), "a numpy.ndarray has no place", "a list or mapping"),
    "a key that is no text": ("cfg", {1.5: 2}, "a key must be text, not float", "a list or mapping"),
    "a list within itself": ("cfg", endless, "values nest deeper than 64 levels", "a list or mapping"),
}


@pytest.mark.parametrize("case", WRONG_OVERRIDES)
def test_wrong_overrides(case: str) -> None:
    name, value, message, hint = WRONG_OVERRIDES[case]
    (error,) = refused("params: {classes: 1, cfg: {deep: [1, 2]}}\nlayers: [relu]", {name: value})
    assert error.code == "override"
    assert message in error.message
    assert hint in (error.hint or "")


def test_a_wrong_expression_in_an_override_has_its_place() -> None:
    (error,) = refused("params: {p: 1}\nlayers: [relu]", {"p": "$(q + 1)"})
    assert error.code == "unknown-name"
    assert "q + 1" in error.render()
    assert str(error.span).startswith('parameters["p"]:1:')


def test_a_param_may_have_to_be_set() -> None:
    text = "params: {classes: }\nlayers: [{op: conv, channels: $classes}]"
    assert plain(expanded(text, {"classes": 3}).layers[0].parameters["channels"]) == 3
    (error,) = refused(text)
    assert (error.code, error.hint) == ("missing-param", "`--set classes=…`")


def test_dims_and_inputs() -> None:
    flat = expanded(
        "trtdsl: 1\nparams: {most: 32}\ndims: {N: [1, 8, $most], C: 3, F: [4, 4, 4]}\n"
        "inputs: {a: [N, C, F, 8], b: {shape: [$(N * 2), $C], dtype: int32}, c: {shape: []}}\nlayers: [relu]"
    )
    n = Dim.dynamic("N", Sizes(1, 8, 32))
    assert dict(flat.dims) == {"N": n, "C": Dim.of(3), "F": Dim.of(4)}
    assert [entry.name for entry in flat.inputs] == ["a", "b", "c"]
    assert flat.inputs[0].shape == (n, Dim.of(3), Dim.of(4), Dim.of(8))
    assert flat.inputs[1].shape == (n * 2, Dim.of(3))
    assert flat.inputs[1].dtype is DataType.INT32
    assert flat.inputs[2].shape == ()


@pytest.mark.parametrize("sizes", ["[4, 2, 8]", "[0, 1, 2]", "0", "[1, 2, $(2 ** 31)]", "$(1.5)", "'$([1, 2])'"])
def test_dims_rise(sizes: str) -> None:
    errors = refused(f"trtdsl: 1\ndims: {{N: {sizes}}}\ninputs: {{x: [N]}}\nlayers: [relu]")
    assert [error.code for error in errors] == ["value"]


DIM_OVERRIDES: dict[str, tuple[dict[str, object], tuple[int, int, int], bool]] = {
    "none": ({}, (1, 8, 32), False),
    "one size": ({"N": 4}, (4, 4, 4), True),
    "three": ({"N": (2, 3, 5)}, (2, 3, 5), False),
    "three alike": ({"N": [4, 4, 4]}, (4, 4, 4), True),
    "an expression": ({"N": "$(most // 2)"}, (16, 16, 16), True),
}


@pytest.mark.parametrize("case", DIM_OVERRIDES)
def test_dims_can_be_given_other_sizes(case: str) -> None:
    dims, sizes, fixed = DIM_OVERRIDES[case]
    head = "trtdsl: 1\nparams: {most: 32}\ndims: {N: [1, 8, $most], H: [2, 4, 6]}\n"
    flat = expanded(f"{head}inputs: {{x: [N, $(N * 2), H]}}\nlayers: [relu]", dims=dims)
    n, double, h = flat.inputs[0].shape
    assert (tuple(n.sizes), n.is_static) == (sizes, fixed)
    assert double.matches(n * 2)
    assert tuple(h.sizes) == (2, 4, 6)


WRONG_DIM_OVERRIDES: dict[str, tuple[dict[str, object], str, str, str]] = {
    "an unknown one": ({"n": 4}, "override", '`dims["n"]`: the network has no dimension `n`', "`N`"),
    "none that is close": ({"batch": 4}, "override", "no dimension `batch`", "the dimensions are N"),
    "a wrong type": ({"N": {4}}, "override", '`dims["N"]`: a set has no place', "a number"),
    "falling sizes": ({"N": (8, 4, 2)}, "value", "[min, opt, max] in rising order", ""),
    "two sizes": ({"N": (1, 4)}, "value", "[min, opt, max] in rising order", ""),
    "text": ({"N": "four"}, "value", "a dimension is one size", ""),
    "zero": ({"N": 0}, "value", "a dimension is one size", ""),
}


@pytest.mark.parametrize("case", WRONG_DIM_OVERRIDES)
def test_wrong_sizes_of_dims(case: str) -> None:
    dims, code, message, hint = WRONG_DIM_OVERRIDES[case]
    (error,) = refused("trtdsl: 1\ndims: {N: [1, 8, 32]}\ninputs: {x: [N]}\nlayers: [relu]", dims=dims)
    assert error.code == code
    assert message in error.message
    assert hint in (error.hint or "")


def test_a_network_without_dims_has_none_to_set() -> None:
    (error,) = refused("layers: [relu]", dims={"N": 1})
    assert (error.code, error.hint) == ("override", "it declares none")


OUTPUTS = {
    "the last layer's": ("", [("a", "a", None)]),
    "one": ("outputs: x", [("x", "x", None)]),
    "several": ("outputs: [s:0, a]", [("s:0", "s:0", None), ("a", "a", None)]),
    "named": (
        "outputs: {y: a, z: {tensor: s:1, dtype: fp16}}",
        [("y", "a", None), ("z", "s:1", DataType.FP16)],
    ),
    "computed": ("outputs: {y: $('a')}", [("y", "a", None)]),
}


@pytest.mark.parametrize(("section", "expected"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_outputs(section: str, expected: list[tuple[str, str, DataType | None]]) -> None:
    flat = expanded(f"layers: [{{op: split, name: s, parts: 2}}, {{op: relu, name: a, in: x}}]\n{section}")
    assert [(output.name, output.tensor, output.dtype) for output in flat.outputs] == expected


def test_outputs_that_are_not_named_stand_where_their_layer_does() -> None:
    flat = expanded("layers:\n  - relu\n  - {op: top, name: t}")
    last = flat.layers[-1].origin.span
    assert [output.span.file_and_line for output in flat.outputs] == [last.file_and_line] * 2
    assert last.line > flat.layers[0].origin.span.line


def test_all_outputs_of_the_last_layer() -> None:
    flat = expanded("layers: [{op: top, name: t}]")
    assert [output.tensor for output in flat.outputs] == ["t:values", "t:indices"]


WEIGHTS = {
    "one": ("a.npz", [("", "nets/a.npz")]),
    "a list": ("[a.npz, /b.npz]", [("", "nets/a.npz"), ("", "/b.npz")]),
    "prefixes": ("{head: h.npz, '': [a.npz, b.npz]}", [("head", "nets/h.npz"), ("", "nets/a.npz"), ("", "nets/b.npz")]),
    "computed": ("$size.npz", [("", "nets/small.npz")]),
}


@pytest.mark.parametrize(("section", "expected"), WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_files(section: str, expected: list[tuple[str, str]]) -> None:
    flat = expanded(f"params: {{size: small}}\nweights: {section}\nlayers: [relu]", folder=Path("nets"))
    assert [(entry.prefix, entry.path.as_posix()) for entry in flat.weights] == expected


def test_precision() -> None:
    assert expanded("layers: [relu]").precision.default is DataType.FP32
    assert expanded("precision: fp16\nlayers: [relu]").precision.default is DataType.FP16
    flat = expanded("precision: {default: bf16, layers: {'a*': fp32, a.b: fp16}}\nlayers: [{op: relu, name: a.b}]")
    assert flat.precision.default is DataType.BF16
    assert [(pattern, dtype) for pattern, dtype, _ in flat.precision.patterns] == [
        ("a*", DataType.FP32),
        ("a.b", DataType.FP16),
    ]


def test_name_description_and_build() -> None:
    flat = expanded("name: n\ndescription: d\nparams: {g: 4}\nbuild: {workspace: $(g)GiB, tf32: false}\nlayers: [relu]")
    assert (flat.name, flat.description) == ("n", "d")
    assert flat.build is not None
    assert plain(flat.build) == {"workspace": "4GiB", "tf32": False}


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """A folder with files to include."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "blocks.yaml").write_text(
        "trtdsl: 1\ninclude: more.yaml\nparams: {width: $(base * 2)}\n"
        "modules:\n  block:\n    params: [c]\n    layers: [{op: inner, c: $c}, "
        "{op: relu, slope: $zzz, when: $(c > 9)}]\n"
    )
    (tmp_path / "lib" / "more.yaml").write_text(
        "trtdsl: 1\nparams: {base: 2}\n"
        "modules: {inner: {params: [c], layers: [{op: conv, channels: $c, weight: {file: w.npz}}]}}\n"
    )
    return tmp_path


def test_include_brings_modules_and_params(blocks: Path) -> None:
    text = "include: [lib/blocks.yaml, lib/more.yaml]\nparams: {twice: $(width * 2)}\nlayers: [{op: block, c: $twice}]"
    flat = expanded(text, folder=blocks)
    assert layers(flat) == ["block.inner.conv = conv(x)"]
    assert plain(flat.layers[0].parameters["channels"]) == 8
    (flat_layer,) = expanded(text, {"base": 1}, folder=blocks).layers
    assert plain(flat_layer.parameters["channels"]) == 4
    # What an included file names is relative to that file.
    assert flat_layer.parameters["weight"].span.file.directory == blocks / "lib"


def test_an_error_in_an_included_file_names_both_files(blocks: Path) -> None:
    (error,) = refused("include: lib/blocks.yaml\nlayers: [{op: block, c: 10}]", folder=blocks)
    assert Path(str(error.span).partition(":")[0]) == blocks / "lib" / "blocks.yaml"
    assert [str(note.span) for note in error.notes] == [f"{blocks / 'net.yaml'}:4:10"]


def test_layers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MAX_LAYERS", 100)
    (error,) = refused("layers: [{op: relu, repeat: 200}]")
    assert (error.code, error.message) == ("limit", "the network has more than 100 layers")
    (error,) = refused(
        "layers: [{foreach: a, rows: $(range(50)), layers: [{foreach: b, rows: $(range(50)), layers: []}]}]"
    )
    assert error.code == "limit"


def test_values_that_expressions_make_are_bounded() -> None:
    started = time.process_time()
    row = f"[{', '.join(['$a'] * 1000)}]"
    errors = refused(f"params: {{a: $(range(100000)), b: {row}, c: {row}}}\nlayers: [relu]")
    assert {error.code for error in errors} == {"limit"}
    # Python makes five million nodes in this time; without the bound there would be 200.
    assert time.process_time() - started < 20


def test_params_that_nest_ever_deeper_are_bounded() -> None:
    deeper = "".join(f"  p{n}: [$p{n - 1}]\n" for n in range(1, 2000))
    errors = refused(f"params:\n  p0: 1\n{deeper}layers: [relu]")
    assert (errors[0].code, errors[0].message) == ("limit", "values nest deeper than 64 levels")


def test_dimensions_that_double_in_every_module_are_bounded() -> None:
    text = (
        "trtdsl: 1\ndims: {N: [1, 2, 3]}\ninputs: {x: [N]}\n"
        "modules: {m: {params: [n, k], layers: [{op: m, n: $(n + n * k), k: $(k - 1), when: $(k > 0)}]}}\n"
        "layers: [{op: m, n: $N, k: 40}]"
    )
    (error,) = refused(text)
    assert (error.code, error.message) == ("limit", "a dimension is computed in at most 200 steps")


def test_ten_thousand_layers_expand_quickly() -> None:
    text = HEAD + (
        "modules: {m: {params: {c: , s: 1}, layers: [{op: conv, channels: $(c * 2), size: $s}, relu, relu, "
        "{op: add, in: [x, x]}]}}\n"
        "layers: [{op: m, name: block, repeat: 2500, c: $(i + 1)}]\n"
    )
    expanded("layers: [relu]")
    started = time.process_time()
    flat = expanded(text)
    # It takes a tenth of this; what the test is to catch is work that grows with the square.
    assert time.process_time() - started < 3
    assert len(flat.layers) == 10_000
