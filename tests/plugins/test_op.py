"""`op: plugin` without TensorRT: what `validate`, `expand`, `explain` and scripts make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trtdsl
from trtdsl.errors import BuildError, ExportError, NetworkError
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime

OLD, NEW = Runtime("tensorrt", (8, 6, 1)), Runtime("tensorrt", (10, 15, 1))


def network(folder: Path, layer: str, head: str = "") -> Path:
    path = folder / "net.yaml"
    path.write_text(
        "trtdsl: 1\ndims: {N: [1, 2, 4], W: [2, 8, 16]}\n"
        "inputs: {x: [N, 3, 8, W], i: {shape: [3], dtype: int32}}\n"
        f"{head}layers:\n  - {layer}\n"
    )
    return path


def statements(path: Path, runtime: Runtime, **how: Any) -> list[str]:
    return [text for calls in record(trtdsl.load(path, **how).typed, runtime) for text in calls.statements]


PADDINGS = "fields: {paddings: [1, 2, 3, 4]}"


def test_shapes_of_bundled_plugins_follow_from_their_formulas(tmp_path: Path) -> None:
    layer = "{op: plugin, name: pad, plugin: ReflectPad, in: x, fields: {paddings: [1, 2, 3, 4], mode: edge}}"
    loaded = trtdsl.load(network(tmp_path, layer))
    shape = loaded.graph.types["pad"].shape
    assert [tuple(size.sizes) for size in shape] == [(1, 2, 4), (3, 3, 3), (15, 15, 15), (5, 11, 19)]
    assert str(shape[3]) == "W + 3"


@pytest.mark.parametrize(
    ("runtime", "version", "add"), [(OLD, "1", "add_plugin_v2([x]"), (NEW, "2", "add_plugin_v3([x], []")]
)
def test_bundled_plugins_have_the_version_that_networks_take(
    tmp_path: Path, runtime: Runtime, version: str, add: str
) -> None:
    path = network(tmp_path, "{op: plugin, plugin: LeakyReLU, in: x, fields: {negSlope: 1}}")
    made = f"plugin('LeakyReLU', '{version}', 'trtdsl', [('negSlope', 'fp32', [1.0])], 'plugin')"
    assert f"network.{add}, {made})" in statements(path, runtime)[2]


def test_bundled_plugins_compute_in_the_precision_of_the_layer(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, plugin: LeakyReLU, in: x}", "precision: fp16\n")
    typed = trtdsl.load(path).typed
    assert str(typed.types["plugin"].dtype) == "fp16"
    assert any("add_cast" in text for text in statements(path, NEW))
    with pytest.raises(BuildError, match=r"LeakyReLU has no kernel for x bf16, y bf16"):
        statements(path, NEW, precision="bf16")


def test_other_plugins_take_their_inputs_as_they_are(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, plugin: Theirs, in: [x, i]}", "precision: fp16\n")
    assert statements(path, OLD)[2] == "layer0 = network.add_plugin_v2([x, i], plugin('Theirs', '1', '', [], 'plugin'))"


def test_outputs_of_other_plugins_are_declared(tmp_path: Path) -> None:
    outputs = "{boxes: {shape: [N, 4]}, count: {shape: [N], dtype: int32}}"
    layer = f"{{op: plugin, name: p, plugin: Theirs, in: x, outputs: {outputs}}}"
    loaded = trtdsl.load(network(tmp_path, layer))
    assert str(loaded.graph.types["p:boxes"]) == "fp32[N, 4]"
    assert str(loaded.graph.types["p:count"]) == "int32[N]"


def test_shape_inputs_stand_apart(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, plugin: LeakyReLU, in: x}")
    assert "add_plugin_v3([x], [], " in statements(path, NEW)[2]


WRONG: list[tuple[str, str, str, str]] = [
    (f"plugin: ReflectPad, in: i, {PADDINGS}", "shape", "ReflectPad takes x of 4 axes, it is [3]", "i,"),
    (f"plugin: ReflectPad, in: [x, x], {PADDINGS}", "inputs", "ReflectPad takes 1 input, got 2", "x, x]"),
    (f"plugin: ReflectPad, in: [], {PADDINGS}", "inputs", "ReflectPad takes 1 input, got 0", "{op: plugin"),
    ("plugin: LeakyReLU, in: i", "shape", "LeakyReLU takes x of the types fp32, fp16, it is int32[3]", "i}"),
    ("plugin: ReflectPad, in: x", "plugin-field", "ReflectPad needs the field `paddings`, 4 int32, at least 0", "{op"),
    (
        "plugin: ReflectPad, in: x, fields: {paddings: [1, 1, 1]}",
        "plugin-field",
        "`paddings`: expected 4 int32, at least 0, got 3",
        "[1, 1, 1]}",
    ),
    (
        "plugin: ReflectPad, in: x, fields: {paddings: [1, -1, 1, 1]}",
        "plugin-field",
        "`paddings`: expected 4 int32, at least 0, got -1",
        "-1, 1, 1]}",
    ),
    (
        "plugin: ReflectPad, in: x, fields: {paddings: [1, 1, 1, 1], mode: wrap}",
        "plugin-field",
        "`mode`: expected one of reflect (0), edge (1)",
        "wrap}",
    ),
    (
        "plugin: ReflectPad, in: x, fields: {paddings: [5, 1, 1, 1]}",
        "plugin-field",
        "reflection takes fewer columns on each side than the input has (inputs [1, 3, 8, 2]; `mode != 0",
        "[5, 1, 1, 1]",
    ),
    (
        "plugin: LeakyReLU, in: x, fields: {negSlop: 0.1}",
        "plugin-field",
        "there is no field `negSlop`; it has negSlope",
        "negSlop: 0.1",
    ),
    ("plugin: LeakyReLU, in: x, fields: {negSlope: 1e60}", "plugin-field", "beyond the range of fp32", "1e60}"),
    (
        "plugin: LeakyReLU, in: x, outputs: {shape: [1]}",
        "parameter-value",
        "says itself what its outputs are",
        "{shape",
    ),
    ("plugin: LeakyReLU, in: x, shape_inputs: 1", "parameter-value", "there is no input 1: `in` names 1", "1}"),
    ("plugin: Theirs, in: [x, null, i]", "inputs", "cannot leave out an input that another one follows", "x, null"),
    ("plugin: Theirs, in: x, version: 1.5", "parameter-value", "expected a version, such as 1", "1.5}"),
]


@pytest.mark.parametrize(("layer", "code", "message", "place"), WRONG, ids=[message[:40] for _, _, message, _ in WRONG])
def test_what_validate_refuses(tmp_path: Path, layer: str, code: str, message: str, place: str) -> None:
    with pytest.raises(NetworkError) as caught:
        trtdsl.load(network(tmp_path, f"{{op: plugin, {layer}}}"))
    [error] = caught.value.diagnostics
    assert error.span is not None
    text = error.span.file.lines[error.span.line - 1][error.span.column - 1 :]
    assert (error.code, text[: len(place)]) == (code, place)
    assert message in error.message


def test_all_fields_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    layer = (
        "{op: plugin, plugin: ReflectPad, in: x, fields: {padding: 1, mode: wrap, paddings: [1, 2.5, 1, 2147483648]}}"
    )
    with pytest.raises(NetworkError) as caught:
        trtdsl.load(network(tmp_path, layer))
    assert len(caught.value.diagnostics) == 3


def test_fields_are_told_of_layers_behind_a_wrong_one_too(tmp_path: Path) -> None:
    layers = (
        "{op: plugin, name: a, plugin: ReflectPad, in: i, fields: {paddings: [1, 2, 3, 4]}}\n"
        "  - {op: plugin, name: b, plugin: LeakyReLU, fields: {negSlope: many}}\n"
        "  - {op: plugin, name: c, plugin: ReflectPad, fields: {paddings: [9, 9, 9, 9]}}\n"
        "  - {op: plugin, name: d, plugin: Theirs, fields: {any: many}}\n"
        "  - {op: plugin, name: e, plugin: Mish, fields: {slope: 1}}"
    )
    with pytest.raises(NetworkError) as caught:
        trtdsl.load(network(tmp_path, layers))
    assert [error.message[:2] for error in caught.value.diagnostics] == ["a:", "b:", "e:"]


def test_expanding_keeps_plugins(tmp_path: Path) -> None:
    fields = "fields: [{name: a, type: int8, value: 3}, {type: fp32, value: [1.5]}]"
    head = "plugins: {libraries: [lib/libmine.so, /opt/libother.so]}\n"
    path = network(tmp_path, f"{{op: plugin, plugin: Theirs, in: x, {fields}}}", head)
    loaded = trtdsl.load(path)
    assert [use.path for use in loaded.flat.libraries] == [tmp_path / "lib/libmine.so", Path("/opt/libother.so")]
    (tmp_path / "again.yaml").write_text(loaded.expanded)
    again = trtdsl.load(tmp_path / "again.yaml")
    assert [use.path for use in again.graph.libraries] == [use.path for use in loaded.graph.libraries]
    assert again.graph.layers[0].op.values == loaded.graph.layers[0].op.values


def test_libraries_from_outside_come_behind_the_networks_own(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, plugin: Theirs, in: x}", "plugins: {libraries: libmine.so}\n")
    loaded = trtdsl.load(path, plugins=["libmore.so"])
    assert [use.path for use in loaded.graph.libraries] == [tmp_path / "libmine.so", Path("libmore.so")]


def test_runtimes_without_plugins_say_so(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, name: p, plugin: Mish, in: x}")
    with pytest.raises(BuildError, match=r"p: TensorRT-RTX 1\.7 has no plugins, and p is the plugin Mish"):
        statements(path, Runtime("rtx", (1, 7)))


def test_scripts_hold_typed_fields_and_load_libraries(tmp_path: Path) -> None:
    layer = "{op: plugin, plugin: ReflectPad, in: x, fields: {paddings: [1, 1, 1, 1], mode: edge}}"
    path = network(tmp_path, layer, "plugins: {libraries: libmine.so}\n")
    script, *_ = trtdsl.load(path).export_script(runtime="tensorrt-8.6")
    text = script.read_text()
    compile(text, str(script), "exec")
    assert f'LIBRARIES = ["{tmp_path}/libmine.so"]'.replace('"', "'") in text
    assert "    load_plugins()\n    builder = trt.Builder" in text
    assert "[('paddings', 'int32', [1, 1, 1, 1]), ('mode', 'int32', [1])]" in " ".join(text.split())


def test_scripts_need_to_know_the_fields_of_others(tmp_path: Path) -> None:
    path = network(tmp_path, "{op: plugin, name: p, plugin: Theirs, in: x}")
    with pytest.raises(BuildError, match=r"p is the plugin Theirs, whose fields only TensorRT 8\.6 itself knows"):
        trtdsl.load(path).export_script(runtime="tensorrt-8.6")


def test_onnx_has_no_plugins(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ExportError, match="which only TensorRT has"):
        trtdsl.load(network(tmp_path, "{op: plugin, plugin: Mish, in: x}")).export_onnx()
