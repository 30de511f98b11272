"""Raw layers in the language: outputs, weights, precision, schema, and what is made of a network besides an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from safetensors.numpy import save_file

import trtdsl
from tests.targets.emitting import emitted, typed
from tests.targets.test_raw import NETWORKS, text_of
from trtdsl.cli.main import main
from trtdsl.errors import BuildError, ExportError
from trtdsl.graph import Graph
from trtdsl.ops import CATALOGUE
from trtdsl.ops.raw import RawLayer
from trtdsl.schema import document_schema
from trtdsl.targets.recorder import Labels, record, record_all
from trtdsl.targets.runtime import Runtime

HEAD = "dims: {N: [1, 4, 8]}\ninputs: {x: [N, 8], y: [N, 8]}\nlayers:\n  - "

CONV = """\
inputs: {x: [1, 3, 8, 8]}
precision: fp16
layers:
  - {op: relu, name: before}
  - op: trt.convolution_nd
    name: conv
    num_output_maps: 4
    kernel_shape: [1, 1]
    weights: {kernel: {normal: 0.1, shape: [4, 3, 1, 1]}, bias: {values: [1, 2, 3, 4]}}
    outputs: {shape: [1, 4, 8, 8]}
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", "fp16"), ("    precision: fp32\n", "fp32"), ("    precision: bf16\n", "bf16"), ("    in: x\n", "fp32")],
)
def test_weights_have_the_type_of_what_the_layer_reads(more: str, expected: str, tmp_path: Path, rtx: Runtime) -> None:
    graph = typed(tmp_path / "net.yaml", CONV + more)
    layer = next(layer for layer in graph.layers if layer.name == "conv")
    assert {weight.dtype.value for weight in layer.weights.values()} == {expected}
    assert graph.types["conv"].dtype.value == expected
    assert emitted(graph, rtx).layers


def test_weights_come_from_files(tmp_path: Path, rtx: Runtime) -> None:
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1)
    save_file({"conv.kernel": kernel, "conv.bias": np.ones(4, np.float32)}, tmp_path / "net.safetensors")
    text = CONV.replace(
        "kernel: {normal: 0.1, shape: [4, 3, 1, 1]}, bias: {values: [1, 2, 3, 4]}", "kernel: , bias: false"
    )
    path = tmp_path / "net.yaml"
    path.write_text(f"trtdsl: 1\nweights: net.safetensors\n{text}")
    network = trtdsl.load(path)
    network_of_rtx = emitted(network.typed, rtx)
    conv = next(layer for layer in network_of_rtx.layers if layer.name == "conv")
    conv.__class__ = rtx.module.IConvolutionLayer
    assert np.array_equal(np.asarray(conv.kernel), kernel.astype(np.float16).reshape(-1))
    assert np.asarray(conv.bias).size == 0


def test_outputs_are_referred_to_by_their_names(tmp_path: Path) -> None:
    several = (
        "{op: trt.topk, name: a, in: x, args: {op: MAX}, k: 2, axes: [1], outputs: [{shape: [N, 2]}, {dtype: int32}]}"
    )
    text = f"{HEAD}{several}\n  - {{op: neg, in: 'a:0'}}\n"
    graph = typed(tmp_path / "net.yaml", text)
    assert str(graph.types["a:1"]) == "int32[N, 8]"
    assert str(graph.types["neg"]) == "fp32[N, 2]"


def test_sizes_may_hang_on_the_data(tmp_path: Path) -> None:
    layer = "{op: trt.non_zero, name: a, outputs: {shape: [2, {at_most: $(N * 8)}], dtype: int32}}"
    dim = typed(tmp_path / "net.yaml", f"{HEAD}{layer}\n").types["a"].shape[1]
    assert (str(dim), tuple(dim.sizes)) == ("a?1", (0, 32, 64))


def test_a_layer_that_gives_nothing_is_not_read(tmp_path: Path) -> None:
    layers = "{op: trt.cast, name: flag, to_type: bool, outputs: {dtype: bool}}"
    layers += "\n  - {op: trt.assertion, message: none, outputs: []}"
    graph = typed(tmp_path / "net.yaml", f"{HEAD}{layers}\n  - {{op: not, name: last}}\n")
    assert graph.layers[-1].inputs == ("flag",)


@pytest.mark.parametrize("name", NETWORKS)
def test_expanding_gives_the_same_network(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"trtdsl: 1\n{text_of(NETWORKS[name])}")
    network = trtdsl.load(path)
    again = tmp_path / "again.yaml"
    again.write_text(network.expanded)
    assert essence(trtdsl.load(again).typed) == essence(network.typed)


def essence(graph: Graph) -> list[Any]:
    """What there is of a graph besides places."""
    layers = [
        (layer.name, layer.op.kind, layer.op.values, layer.inputs, {n: w.shape for n, w in layer.weights.items()})
        for layer in graph.layers
    ]
    return [layers, graph.types]


def test_weight_files_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    save_file({"w": np.ones(8, np.float32)}, tmp_path / "sub" / "w.safetensors")
    path = tmp_path / "sub" / "net.yaml"
    layer = "{op: trt.scale, mode: UNIFORM, weights: {scale: {key: w, file: w.safetensors}}}"
    path.write_text(f"trtdsl: 1\n{HEAD}{layer}\n")
    moved = tmp_path / "moved.yaml"
    assert CliRunner().invoke(main, ["expand", str(path), "-o", str(moved)]).exit_code == 0
    [layer_again] = [layer for layer in trtdsl.load(moved).typed.layers if layer.weights]
    assert layer_again.weights["scale"].shape == (8,)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_published_schema_takes_it(name: str) -> None:
    document = {"trtdsl": 1, **yaml.safe_load(text_of(NETWORKS[name]))}
    jsonschema.Draft202012Validator(document_schema(CATALOGUE)).validate(document)


def test_the_catalogue_answers_for_raw_layers_and_lists_the_others() -> None:
    assert "trt.einsum" in CATALOGUE
    assert CATALOGUE["trt.einsum"] is CATALOGUE.get("trt.einsum")
    assert issubclass(CATALOGUE["trt.einsum"], RawLayer)
    assert not [name for name in CATALOGUE if name.startswith("trt.")]
    assert "trt.loop" not in CATALOGUE
    assert "trt." not in CATALOGUE


def test_ops_says_what_the_method_takes(rtx: Runtime) -> None:
    printed = CliRunner().invoke(main, ["ops", "trt.resize"]).output
    assert f"{rtx}" in printed
    assert "add_resize(input: ITensor) -> IResizeLayer" in printed
    assert "scales: list of float" in printed
    assert "InterpolationMode: NEAREST LINEAR CUBIC" in printed
    misspelt = CliRunner().invoke(main, ["ops", "trt.resise"])
    assert misspelt.exit_code == 1
    assert "did you mean `trt.resize`?" in misspelt.stderr


def test_onnx_has_no_form_for_it(tmp_path: Path) -> None:
    from trtdsl.targets.onnx import to_onnx

    with pytest.raises(ExportError, match="it is a call of TensorRT's"):
        to_onnx(typed(tmp_path / "net.yaml", f"{HEAD}trt.softmax\n"))


def test_a_script_needs_the_signatures(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"trtdsl: 1\n{text_of(NETWORKS['einsum'])}")
    graph = trtdsl.load(path).typed
    with pytest.raises(BuildError, match="whose signature only TensorRT") as caught:
        list(record_all(graph, Runtime("tensorrt", (8, 6, 1)), Labels(), strongly_typed=False))
    assert [one.code for one in caught.value.diagnostics] == ["runtime-missing"]


@pytest.mark.parametrize("name", ["topk", "convolution_nd", "attention", "shuffle"])
def test_a_script_makes_the_same_calls(name: str, tmp_path: Path, rtx: Runtime) -> None:
    graph = typed(tmp_path / "net.yaml", text_of(NETWORKS[name]))
    of_script = [line for calls in record_all(graph, rtx, Labels(), strongly_typed=True) for line in calls.statements]
    assert [line for calls in record(graph, rtx) for line in calls.statements if "network.add_" in line] == [
        line for line in of_script if "network.add_" in line
    ]


def test_raw_layers_stand_in_branches(tmp_path: Path, rtx: Runtime) -> None:
    text = """\
inputs: {x: [2, 4], c: {shape: [], dtype: bool}}
layers:
  - op: if
    name: choice
    in: c
    then: [{op: trt.softmax, in: x, set: {axes: [1]}}]
    else: [{op: trt.unary, in: x, args: {op: NEGATE}}]
"""
    with pytest.raises(BuildError, match="expected one of EXP"):
        emitted(typed(tmp_path / "net.yaml", text), rtx)
    made = emitted(typed(tmp_path / "net.yaml", text.replace("NEGATE", "NEG")), rtx)
    assert {"choice.then.trt.softmax", "choice.else.trt.unary"} <= {layer.name for layer in made.layers}
