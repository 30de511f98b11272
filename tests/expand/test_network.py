"""What frames the layers: params, overrides, dimensions, inputs, includes, outputs, weights files, precision."""

from __future__ import annotations

import time
from pathlib import Path

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
OVERRIDES: dict[str, tuple[list[str], object, object]] = {
    "none": ([], 2, [1, 2]),
    "one that others use": (["a=5"], 6, [1, 2]),
    "the later one counts": (["a=5", "a=6"], 7, [1, 2]),
    "an expression": (["b=$(a + 10)"], 11, [1, 2]),
    "an entry of a list": (["cfg.deep.1=7"], 2, [1, 7]),
    "an entry of a mapping": (["cfg.deep=[3]"], 2, [3]),
    "a mapping": (["cfg={deep: 4}"], 2, 4),
}


@pytest.mark.parametrize(("overrides", "channels", "size"), OVERRIDES.values(), ids=OVERRIDES.keys())
def test_overrides(overrides: list[str], channels: object, size: object) -> None:
    (layer,) = expanded(PARAMS, overrides).layers
    assert plain(layer.parameters["channels"]) == channels
    assert plain(layer.parameters["size"]) == size


def test_overrides_are_yaml() -> None:
    text = "params: {p: 0}\nlayers: [{op: constant, value: $p}]"
    for value, expected in (
        ("1e-5", 1e-5),
        ("no", "no"),
        ("'1'", "1"),
        ("", None),
        ("[1, a]", [1, "a"]),
        ("a=b", "a=b"),
    ):
        assert plain(expanded(text, [f"p={value}"]).layers[0].parameters["value"]) == expected


WRONG_OVERRIDES = {
    "an unknown param": ("clases=1", "has no param `clases`", "`classes`"),
    "an unknown entry": ("cfg.dep=1", "the param `cfg` has no entry `dep`", None),
    "an entry of a number": ("classes.a=1", "the param `classes` has no entry `a`", None),
    "beyond a list": ("cfg.deep.2=1", "the param `cfg` has no entry `deep.2`", None),
    "no value": ("classes", "says nothing", "--set name=value"),
    "no YAML": ("classes=[1", "has no YAML value", None),
    "no name": ("=1", "says nothing", None),
}


@pytest.mark.parametrize(("override", "message", "hint"), WRONG_OVERRIDES.values(), ids=WRONG_OVERRIDES.keys())
def test_wrong_overrides(override: str, message: str, hint: str | None) -> None:
    (error,) = refused("params: {classes: 1, cfg: {deep: [1, 2]}}\nlayers: [relu]", [override])
    assert error.code == "override"
    assert message in error.message
    assert hint is None or hint in (error.hint or "")


def test_a_param_may_have_to_be_set() -> None:
    text = "params: {classes: }\nlayers: [{op: conv, channels: $classes}]"
    assert plain(expanded(text, ["classes=3"]).layers[0].parameters["channels"]) == 3
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
    (flat_layer,) = expanded(text, ["base=1"], folder=blocks).layers
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
