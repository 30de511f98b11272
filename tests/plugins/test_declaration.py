"""plugin.yaml: what one states, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtdsl.errors import NetworkError
from trtdsl.plugins.bundled import bundled_plugins, declarations_in, find_bundled, plugins_folder
from trtdsl.plugins.declaration import PluginDeclaration, TensorFormat
from trtdsl.plugins.fields import FieldType
from trtdsl.plugins.reading import read_declaration
from trtdsl.plugins.use import PluginUse
from trtdsl.types import DataType, Dim, Sizes

PAD = """\
plugin: Pad
help: Pads rows and columns.
fields:
  paddings: {type: int32, length: 2, minimum: 0, help: "[left, right]"}
  mode: {type: int32, choices: {reflect: 0, edge: 1}, default: reflect}
  slope: {type: fp32, default: 0.1, above: 0}
  scale: {type: fp32, length: any, default: [], memory: device}
  flag: {type: bool, default: true}
inputs:
  x: {rank: [3, 4]}
  bias: {rank: 1, optional: true}
outputs:
  y: {shape: "[x[0], x[1], max(x[2], 2) + paddings[0] + (paddings[1] if flag else 0)]"}
  same: {shape: x, dtype: int32}
formats:
  - [fp32, linear]
  - {x: [fp16, hwc8], bias: [fp16, linear], y: [fp16, hwc8], same: [int32, linear]}
requires:
  - {that: "mode != 0 or paddings[0] < x[2]", otherwise: too few columns}
"""


def declaration(folder: Path, text: str) -> PluginDeclaration:
    place = folder / "pad"
    place.mkdir()
    (place / "plugin.yaml").write_text(text)
    return read_declaration(place / "plugin.yaml")


def test_what_a_plugin_states(tmp_path: Path) -> None:
    found = declaration(tmp_path, PAD)
    assert (found.name, found.folder, found.help) == ("Pad", "pad", "Pads rows and columns.")
    paddings, mode, slope, scale, flag = found.fields
    assert (paddings.type, paddings.length, paddings.is_list, paddings.is_required) == (FieldType.INT32, 2, True, True)
    assert (mode.choices, mode.default, mode.is_required) == ({"reflect": 0, "edge": 1}, (0,), False)
    assert (slope.default, slope.above, slope.is_list) == ((0.1,), 0, False)
    assert (scale.length, scale.default, scale.on_device) == (None, (), True)
    assert (flag.type, flag.default) == (FieldType.BOOL, (1,))
    assert [(entry.name, entry.ranks, entry.optional) for entry in found.inputs] == [
        ("x", (3, 4), False),
        ("bias", (1,), True),
    ]
    y, same = found.outputs
    assert (len(y.sizes), y.same_shape_as, y.dtype) == (3, None, "x")
    assert (same.sizes, same.same_shape_as, same.dtype) == ((), "x", DataType.INT32)
    assert found.formats[0]["bias"] == TensorFormat(DataType.FP32, "linear")
    assert found.formats[1]["y"] == TensorFormat(DataType.FP16, "hwc8")
    assert found.dtypes_of("same") == (DataType.FP32, DataType.INT32)
    assert found.requires[0].that.names >= {"mode", "paddings", "x"}


def test_formulas_give_shapes(tmp_path: Path) -> None:
    found = declaration(tmp_path, PAD)
    n = Dim.dynamic("N", Sizes(1, 4, 9))
    shapes = {"x": (Dim.of(2), Dim.of(3), n), "bias": None}
    given = found.variables({"paddings": (5, 6)}, shapes)
    assert given["bias"] is None
    assert (given["mode"], given["flag"], given["scale"]) == (0, True, [])
    # Formulas see what the plugin gets, which fp32 has rounded.
    assert given["slope"] == 0.10000000149011612
    y = found.output_shapes(given)["y"]
    assert [tuple(size.sizes) for size in y] == [(2, 2, 2), (3, 3, 3), (13, 15, 20)]
    plain = found.variables({"paddings": (5, 6), "flag": (0,)}, {**shapes, "x": (Dim.of(2), Dim.of(3), Dim.of(7))})
    assert [size.value for size in found.output_shapes(plain)["y"]] == [2, 3, 12]
    assert found.requires[0].that.value(plain) is True
    assert found.requires[0].that.value({**plain, "paddings": [7, 0]}) is False
    assert found.requires[0].that.value({**plain, "paddings": [7, 0], "mode": 1}) is True


WRONG = [
    ("plugin: Pad", "plugin: 3d", "the name of the plugin is made of letters"),
    ("plugin: Pad\n", "", "a plugin.yaml needs `plugin`"),
    ("help: Pads rows and columns.", "helps: x", "a plugin.yaml has no `helps`"),
    ("type: int32, length: 2", "type: int31, length: 2", "`type` is one of fp16"),
    ("length: 2", "length: 0", "`length` is a number of elements, or any"),
    ("length: 2", "lenght: 2", "the field `paddings` has no `lenght`"),
    ("minimum: 0", "minimum: none", "`minimum` is a number"),
    ("{reflect: 0, edge: 1}", "{reflect: 0, edge: 0}", "`choices` has each number once"),
    ("default: reflect", "default: wrap", "the default of `mode`: expected one of reflect"),
    ("default: 0.1, above: 0", "default: 0, above: 0", "the default of `slope`: expected fp32, above 0, got 0"),
    ("slope: {type: fp32, default: 0.1, above: 0}", "slope: {type: bool, minimum: 0}", "of type bool has no `minimum`"),
    ("length: any, default: [], memory: device", "memory: device", "only lists of numbers lie in device memory"),
    ("  flag:", "  default:", "no field can be called `default`, which is a word of C++"),
    ("  flag:", "  x y:", "no field can be called `x y`, which holds more than"),
    ("  x: {rank: [3, 4]}", "  mode: {}", "the input `mode` has the name of another field"),
    ("rank: [3, 4]", "rank: 9", "`rank` is a number of axes up to 8"),
    ("{rank: 1, optional: true}", "{rank: 1, optional: 1}", "`optional` is true or false"),
    ("x: {rank: [3, 4]}", "x: {optional: true}\n  z: {}", "`x` is optional, so what follows it is too"),
    ("same: {shape: x,", "same: {shape: y,", "there is no field or input `y`"),
    ("same: {shape: x,", 'same: {shape: "x[0]",', "`shape` is a list of sizes, or the name of the input"),
    ("max(x[2], 2)", "mux(x[2], 2)", "there is no function `mux`"),
    ("max(x[2], 2)", "x[2] ** 2", "formulas of plugins add, subtract"),
    ("max(x[2], 2)", "x[2] 3", "not an expression"),
    ("paddings[0] < x[2]", "padding[0] < x[2]", "there is no field or input `padding`"),
    ("dtype: int32", "dtype: int31", "`dtype` is one of"),
    ("[fp32, linear]", "[fp32, hwc4]", "the layout one of linear, hwc8"),
    ("[fp32, linear]", "[fp32, hwc8]", "the layout hwc8 is for fp16"),
    (", same: [int32, linear]", "", "a format needs `same`"),
    (", otherwise: too few columns", "", "a requirement needs `otherwise`"),
]


@pytest.mark.parametrize(("written", "instead", "message"), WRONG, ids=[message[:30] for *_, message in WRONG])
def test_what_is_wrong_is_told(tmp_path: Path, written: str, instead: str, message: str) -> None:
    assert PAD.count(written) == 1
    with pytest.raises(NetworkError) as caught:
        declaration(tmp_path, PAD.replace(written, instead))
    messages = [error.message for error in caught.value.diagnostics]
    assert message in messages[0]
    assert {error.code for error in caught.value.diagnostics} == {"plugin-declaration"}
    assert all(error.span for error in caught.value.diagnostics)


def test_all_of_it_is_told_at_once(tmp_path: Path) -> None:
    text = (
        PAD.replace("length: 2", "length: 0").replace("default: reflect", "default: wrap").replace("rank: 1", "rank: x")
    )
    with pytest.raises(NetworkError) as caught:
        declaration(tmp_path, text)
    assert [error.span.line for error in caught.value.diagnostics if error.span] == [4, 5, 11]


def test_places_inside_formulas(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        declaration(tmp_path, PAD.replace("max(x[2], 2)", "max(x[2], wide)"))
    [error] = caught.value.diagnostics
    assert error.span is not None
    assert error.span.file.lines[error.span.line - 1][error.span.column - 1 :].startswith("wide")


def test_the_bundled_plugins() -> None:
    found = bundled_plugins()
    assert found
    for name, plugin in declarations_in(plugins_folder()).items():
        assert found[name].name == name
        assert plugin.help
        assert (plugins_folder() / plugin.folder / "kernel.cu").is_file()
    name = next(iter(found))
    assert find_bundled(PluginUse(name)) is found[name]
    assert find_bundled(PluginUse(name, "1", "trtdsl")) is found[name]
    assert find_bundled(PluginUse(name, "1", "")) is None
