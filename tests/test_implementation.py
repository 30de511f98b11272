"""`impl`: which layers become plugins, for which TensorRT, and where that is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import trtdsl
from tests.plugins.test_engine import runtime_with
from tests.plugins.test_registry import CreatorV3
from trtdsl.build_options import BuildOptions
from trtdsl.cli.info import readable
from trtdsl.cli.main import main
from trtdsl.engine.manifest import Outcome, Request, describe, ingredients_but_weights
from trtdsl.engine.verification import asked_only
from trtdsl.errors import BuildError, Diagnostics, NetworkError
from trtdsl.graph import Graph
from trtdsl.implementation import chosen_plugins, implement
from trtdsl.precision import assign_types
from trtdsl.running import make_inputs, run_in_fp32
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

TENSORRT_8, TENSORRT_11, RTX = Runtime("tensorrt", (8, 6, 1)), Runtime("tensorrt", (11, 1)), Runtime("rtx", (1, 7))
"""Descriptions, of none of which anything is installed."""
BLOCK = "layers:\n  - {op: instance_norm, name: n}\n  - {op: relu, name: r}\n"


def _write(folder: Path, text: str) -> Path:
    path = folder / "net.yaml"
    head = "" if "inputs:" in text else "dims: {N: [1, 2, 4]}\ninputs: {x: [N, 8, 9, 7]}\n"
    path.write_text(f"trtdsl: 1\n{head}{text}")
    return path


def _load(folder: Path, text: str, **given: Any) -> trtdsl.Network:
    return trtdsl.load(_write(folder, text), random_weights=True, **given)


def _chosen(graph: Graph) -> dict[str, object]:
    return {name: entry["plugin"] for name, entry in chosen_plugins(graph).items()}


def _with_all(network: trtdsl.Network) -> Graph:
    return assign_types(implement(network.graph, network.typed, lambda name: True))


@pytest.mark.parametrize(
    ("text", "impl", "expected"),
    [
        ("layers: [{op: instance_norm, name: n}]", None, {}),
        ("layers: [{op: instance_norm, name: n}]", "auto", {"n": "InstanceNorm"}),
        ("layers: [{op: instance_norm, name: n, impl: auto}]", None, {"n": "InstanceNorm"}),
        ("layers: [{op: instance_norm, name: n, impl: plugin}]", "native", {"n": "InstanceNorm"}),
        ("layers: [{op: instance_norm, name: n, impl: native}]", "auto", {}),
        ("impl: auto\nlayers: [{op: instance_norm, name: n}]", None, {"n": "InstanceNorm"}),
        ("impl: auto\nlayers: [{op: instance_norm, name: n}]", "native", {}),
        ("impl: auto\nlayers: [{op: instance_norm, name: n, impl: native}]", None, {}),
        ("impl: native\nlayers: [{op: instance_norm, name: n, impl: auto}]", None, {"n": "InstanceNorm"}),
        ("params: {how: auto}\nimpl: $how\nlayers: [{op: instance_norm, name: n}]", None, {"n": "InstanceNorm"}),
        ("impl: auto\nlayers: [{op: instance_norm, name: n, precision: bf16}]", None, {"n": None}),
        ("impl: auto\nlayers: [{op: pad, name: p, padding: 1}]", None, {"p": None}),
        ("impl: auto\nlayers: [{op: mish, name: m}]", None, {}),
        ("impl: auto\nlayers: [{op: mish, name: m, impl: plugin}]", None, {"m": "Mish"}),
    ],
)
def test_who_decides(text: str, impl: str | None, expected: dict[str, object], tmp_path: Path) -> None:
    assert _chosen(_with_all(_load(tmp_path, text, impl=impl))) == expected


@pytest.mark.parametrize(
    ("layer", "fields"),
    [
        ("{op: instance_norm, eps: 0.5}", {"epsilon": 0.5}),
        ("{op: pad, padding: 2, mode: reflect}", {"paddings": [2, 2, 2, 2], "mode": "reflect"}),
        ("{op: pad, padding: [1, 2], mode: replicate}", {"paddings": [1, 2, 0, 0], "mode": "edge"}),
        ("{op: pad, padding: [1, 2, 3, 4], mode: edge}", {"paddings": [1, 2, 3, 4], "mode": "edge"}),
        ("{op: leaky_relu, negative_slope: 0.2}", {"negSlope": 0.2}),
        ("{op: upsample, scale_factor: 2}", {"scaleFactor": 2, "alignCorners": False, "mode": "nearest"}),
        (
            "{op: resize, scale_factor: [1.5, 1.5], mode: bilinear, align_corners: true}",
            {"scaleFactor": 1.5, "alignCorners": True, "mode": "bilinear"},
        ),
        ("mish", {}),
        ("hard_swish", {}),
    ],
)
def test_the_fields_of_plugins(layer: str, fields: dict[str, object], tmp_path: Path) -> None:
    asked = layer.replace("}", ", impl: plugin}") if "{" in layer else f"{{op: {layer}, impl: plugin}}"
    graph = _with_all(_load(tmp_path, f"layers: [{asked}]"))
    assert graph.layers[0].op.fields == fields
    (call,) = [text for one in record(graph, TENSORRT_8) for text in one.statements if "add_plugin" in text]
    assert "add_plugin_v2([x], plugin(" in call


@pytest.mark.parametrize(
    ("layer", "at", "message"),
    [
        ("padding: 1, mode: circular", "mode: circular", "it pads in the modes reflect, replicate, edge"),
        ("padding: [0, 0, 0, 0, 1, 1], mode: edge", "padding", "it pads the last two axes only"),
        ("padding: 1, mode: edge, precision: bf16, in: half", "precision", "kernels for fp32, fp16, not for bf16"),
        ("padding: [1, 1], mode: edge, in: row", None, "ReflectPad takes x of 4 axes"),
        ("padding: 1, mode: edge, in: whole", None, "kernels for fp32, fp16, not for int32"),
    ],
)
def test_what_pad_cannot_do_is_refused_where_it_is_asked_for(
    layer: str, at: str | None, message: str, tmp_path: Path
) -> None:
    inputs = "{x: [1, 2, 9, 7], half: {shape: [1, 2, 9, 7], dtype: bf16}, row: [2, 9, 7], "
    inputs += "whole: {shape: [1, 2, 9, 7], dtype: int32}}"
    text = f"inputs: {inputs}\nlayers:\n  - {{op: pad, name: p, {layer}, impl: plugin}}\n"
    with pytest.raises(NetworkError) as caught:
        _load(tmp_path, text)
    (problem,) = caught.value.diagnostics
    assert problem.code == "impl"
    assert problem.message.startswith("p cannot be the plugin ReflectPad: ")
    assert message in problem.message
    assert problem.span is not None
    assert problem.span.line == 4
    if at is not None and ":" in at:
        column = (tmp_path / "net.yaml").read_text().splitlines()[3].index(at.partition(": ")[2])
        assert problem.span.column == column + 1


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{op: resize, size: 20, impl: plugin}", "it takes one scale_factor for both axes"),
        ("{op: resize, scale_factor: [2, 3], impl: plugin}", "it takes one scale_factor for both axes"),
        ("{op: resize, scale_factor: 2, mode: bicubic, impl: plugin}", "it interpolates nearest and bilinear"),
        (
            "{op: resize, scale_factor: 2, coordinate_mode: asymmetric, impl: plugin}",
            "it places pixels as PyTorch does",
        ),
        ("{op: resize, scale_factor: 1.7, impl: plugin}", "scaleFactor is a multiple of 1/64"),
        ("{op: instance_norm, precision: bf16, impl: plugin}", "it has kernels for fp32, fp16, not for bf16"),
    ],
)
def test_what_other_plugins_cannot_do(layer: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        _load(tmp_path, f"layers: [{layer}]")
    assert message in caught.value.diagnostics[0].message
    assert _load(tmp_path, f"layers: [{layer.replace('plugin', 'auto')}]")


def test_all_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    layers = (
        "layers:\n  - {op: pad, padding: 1, mode: circular, impl: plugin}\n  - {op: resize, size: 5, impl: plugin}\n"
    )
    with pytest.raises(NetworkError) as caught:
        _load(tmp_path, layers)
    assert [problem.code for problem in caught.value.diagnostics] == ["impl", "impl"]


def test_a_plugin_cannot_be_asked_for_everywhere(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="native or auto"):
        _load(tmp_path, f"impl: plugin\n{BLOCK}")


def test_plugins_compute_in_the_layers_precision(tmp_path: Path) -> None:
    """Natively a norm computes in fp32 in a network of fp16; the plugin takes fp16, and sums in fp32 by itself."""
    graph = _with_all(_load(tmp_path, f"impl: auto\nprecision: fp16\n{BLOCK}"))
    assert [layer.op.title for layer in graph.layers] == [
        "cast",
        "instance_norm + relu by the plugin InstanceNorm",
        "cast",
    ]
    assert graph.types["r"].dtype is DataType.FP16
    graph = _with_all(_load(tmp_path, "impl: auto\nprecision: fp16\n" + BLOCK.replace("n}", "n, affine: true}")))
    assert {weight.dtype for layer in graph.layers for weight in layer.weights.values()} == {DataType.FP16}


def test_what_only_moves_elements_keeps_their_type(tmp_path: Path) -> None:
    layers = "layers:\n  - {op: tanh, precision: fp32}\n  - {op: pad, name: p, padding: 1, mode: reflect}\n"
    graph = _with_all(_load(tmp_path, f"impl: auto\nprecision: fp16\n{layers}"))
    assert _chosen(graph) == {"p": "ReflectPad"}
    native = _load(tmp_path, f"precision: fp16\n{layers}").typed
    assert graph.types["p"] == native.types["p"]
    wide = layers.replace("fp32", "bf16")
    assert _chosen(_with_all(_load(tmp_path, f"impl: auto\nprecision: fp16\n{wide}"))) == {"p": None}


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [(TENSORRT_8, {"n + r": "InstanceNorm"}), (TENSORRT_11, {"n + r": "InstanceNorm"}), (RTX, {"n": None})],
    ids=str,
)
def test_runtimes_that_are_only_described(runtime: Runtime, expected: dict[str, object], tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    graph = _load(tmp_path, f"impl: auto\n{BLOCK}").for_runtime(runtime, diagnostics)
    assert _chosen(graph) == expected
    assert diagnostics.warnings == ()


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """The library that is compiled, none at first."""
    found: list[Path | None] = [None]
    monkeypatch.setitem(sys.modules, "trtdsl.library", SimpleNamespace(cached_library=lambda version: found[0]))
    return found


def test_without_the_library_layers_stay_native_and_that_is_said(tmp_path: Path, compiled: list[Path | None]) -> None:
    network, diagnostics = _load(tmp_path, f"impl: auto\n{BLOCK}"), Diagnostics()
    graph = network.for_runtime(runtime_with(), diagnostics)
    assert _chosen(graph) == {"n": None}
    assert graph.libraries == ()
    (warning,) = diagnostics.warnings
    assert warning.message == "1 layer stays native, for TensorRT 10.15.1 has no InstanceNorm of trtdsl's"
    assert "trtdsl plugins build" in (warning.hint or "")


def test_plugins_of_a_library_that_lacks_some(tmp_path: Path, compiled: list[Path | None]) -> None:
    """A library of another version of trtdsl, say: what it has is taken."""
    runtime = runtime_with(CreatorV3("InstanceNorm", "2", "trtdsl"), CreatorV3("ReflectPad", "1", "trtdsl"))
    network, diagnostics = (
        _load(tmp_path, f"impl: auto\n{BLOCK}  - {{op: pad, padding: 1, mode: edge}}\n"),
        Diagnostics(),
    )
    assert _chosen(network.for_runtime(runtime, diagnostics)) == {"n + r": "InstanceNorm", "pad": None}
    assert "no ReflectPad of trtdsl's" in diagnostics.warnings[0].message


def test_a_plugin_that_is_asked_for_has_to_be_there(tmp_path: Path, compiled: list[Path | None]) -> None:
    network = _load(tmp_path, BLOCK.replace("n}", "n, impl: plugin}"))
    assert _chosen(network.for_runtime(runtime_with())) == {"n": "InstanceNorm"}
    with pytest.raises(BuildError) as caught:
        list(record(network.for_runtime(RTX), RTX))
    (problem,) = caught.value.diagnostics
    assert problem.message.endswith("TensorRT-RTX 1.7 has no plugins, and n is the plugin InstanceNorm")
    assert problem.span is not None
    assert problem.span.line == 5


def test_rtx_builds_networks_that_leave_it_open(rtx: Runtime, tmp_path: Path) -> None:
    network = _load(tmp_path, f"impl: auto\n{BLOCK}")
    engine = network.build(tmp_path / "net.engine", runtime="rtx", cache=False)
    assert engine.warnings == ()
    assert engine.manifest["implementations"] == {"n": {"plugin": None}}
    with pytest.raises(BuildError, match="has no plugins, and n is the plugin InstanceNorm"):
        _load(tmp_path, BLOCK.replace("n}", "n, impl: plugin}")).build(runtime="rtx", cache=False)


def test_the_reference_and_onnx_are_native(tmp_path: Path) -> None:
    text = f"{BLOCK.replace('n}', 'n, impl: plugin}')}  - {{op: pad, padding: 1, mode: reflect, impl: plugin}}\n"
    network, native = _load(tmp_path, text), _load(tmp_path, text.replace("plugin", "native"))
    assert [layer.op.title for layer in network.typed.layers] == ["instance_norm", "relu", "pad"]
    inputs = make_inputs(network.graph, {})
    (actual,), (expected,) = (run_in_fp32(one.graph, inputs).values() for one in (network, native))
    assert actual.tobytes() == expected.tobytes()


def test_manifests_say_what_was_taken(tmp_path: Path, compiled: list[Path | None]) -> None:
    creators = [CreatorV3(name, "2", "trtdsl") for name in ("InstanceNorm", "InstanceNormPad")]
    runtime = runtime_with(*creators)
    layers = f"impl: auto\n{BLOCK}  - conv\n  - {{op: pad, name: p, padding: 1}}\n"
    network = _load(tmp_path, layers.replace("- conv", "- {op: conv, out_channels: 4, kernel_size: 1}"))
    graph = network.for_runtime(runtime)
    made_of = ingredients_but_weights(graph, "", runtime, BuildOptions())
    request = Request(graph, "", network.path, {})
    outcome = Outcome("digest", 1, asked_only(graph, "no GPU").as_dict(), {})
    manifest = describe(request, "recipe", made_of, tmp_path / "net.engine", outcome)
    assert manifest["implementations"] == {
        "n + r": {"plugin": "InstanceNorm", "layers": ["n", "r"]},
        "p": {"plugin": None},
    }
    assert manifest["built_from"]["plugins"][0]["plugins"] == [
        {"name": "InstanceNorm", "version": "2", "namespace": "trtdsl"}
    ]
    shown = readable(manifest)
    assert "InstanceNorm does 1 layer of those with an `impl`" in shown
    assert "native all the same: p" in shown


def test_other_plugins_are_another_engine(tmp_path: Path, compiled: list[Path | None]) -> None:
    network = _load(tmp_path, f"impl: auto\n{BLOCK}")
    keys = set()
    for creators in ((), (CreatorV3("InstanceNorm", "2", "trtdsl"),)):
        runtime = runtime_with(*creators)
        keys.add(ingredients_but_weights(network.for_runtime(runtime), "", runtime, BuildOptions()).key)
    assert len(keys) == 2


@pytest.mark.parametrize("pattern", [None, "n", "r", "n + r"])
def test_explain_shows_them(pattern: str | None, tmp_path: Path) -> None:
    path = _write(tmp_path, BLOCK)
    arguments = ["explain", str(path), "--impl", "auto", *(["--layer", pattern] if pattern else [])]
    printed = CliRunner().invoke(main, arguments, catch_exceptions=False).stdout
    assert f"# n + r: instance_norm + relu by the plugin InstanceNorm, fp32, {path}:6" in printed
    assert "plugin('InstanceNorm', '2', 'trtdsl', [" in printed
    assert "add_activation" not in printed


def test_explain_shows_native_layers(tmp_path: Path) -> None:
    path = _write(tmp_path, BLOCK)
    printed = CliRunner().invoke(main, ["explain", str(path)], catch_exceptions=False).stdout
    assert "add_plugin" not in printed
    assert f"# n: instance_norm, fp32, {path}:5" in printed


def test_scripts_have_them(tmp_path: Path) -> None:
    text = f"{BLOCK}  - {{op: pad, padding: 1, mode: reflect}}\n"
    made = _load(tmp_path, text, impl="auto").export_script(tmp_path / "net.py", runtime="tensorrt-8.6")
    script = made.read_text() if isinstance(made, Path) else (tmp_path / "net.py").read_text()
    assert "'InstanceNormPad', '1', 'trtdsl'" in script
    compile(script, "net.py", "exec")


def test_expanding_keeps_it(tmp_path: Path) -> None:
    path = _write(tmp_path, f"params: {{how: auto}}\nimpl: $how\n{BLOCK}")
    printed = CliRunner().invoke(main, ["expand", str(path)], catch_exceptions=False).stdout
    assert "\nimpl: auto\n" in printed
    printed = CliRunner().invoke(main, ["expand", str(path), "--impl", "native"], catch_exceptions=False).stdout
    assert "impl:" not in printed
