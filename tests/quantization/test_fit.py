"""What one TensorRT cannot build in int8 stays in floats there, and is listed, or refused where it was asked itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantization.nets import load
from trtdsl.errors import BuildError, Diagnostics
from trtdsl.targets.runtime import describe_runtime

NET = """
inputs: {x: [1, 8, 8, 8]}
precision: %s
quantization: {tensors: {x: 0.1, a: 0.1, up: 0.1}}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - {op: deconv, name: up, out_channels: 8, kernel_size: 2, stride: 2%s}
  - {op: conv, name: b, out_channels: 8, kernel_size: 1}
"""


def quantized(folder: Path, runtime: str, diagnostics: Diagnostics) -> list[str]:
    graph = load(folder, NET % ("int8", "")).for_runtime(describe_runtime(runtime), diagnostics)
    return [layer.name for layer in graph.layers if layer.quantized is not None]


def test_deconvolutions_in_8_6(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    assert quantized(tmp_path, "tensorrt-8.6", diagnostics) == ["a", "b"]
    [warning] = diagnostics.warnings
    assert warning.code == "quantization"
    assert warning.message.startswith("1 layer stays in floats: up (TensorRT 8.6")
    assert warning.message.endswith(" builds no quantised deconvolution)")


@pytest.mark.parametrize("runtime", ["rtx", "tensorrt-10.15", "tensorrt-11.1"])
def test_deconvolutions_elsewhere(runtime: str, tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    assert quantized(tmp_path, runtime, diagnostics) == ["a", "up", "b"]
    assert diagnostics.warnings == ()


def test_one_that_was_asked_itself(tmp_path: Path) -> None:
    network = load(tmp_path, NET % ("fp16", ", precision: int8"))
    with pytest.raises(BuildError, match="up: TensorRT 8") as error:
        network.for_runtime(describe_runtime("tensorrt-8.6"))
    [found] = error.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.line) == ("quantization", 8)


def test_it_reads_and_hands_on_floats(tmp_path: Path) -> None:
    graph = load(tmp_path, NET % ("int8", "")).for_runtime(describe_runtime("tensorrt-8.6"))
    inputs = {layer.name: layer.inputs for layer in graph.layers if layer.name in ("a", "up", "b")}
    assert inputs == {"a": ("x/int8/fp16",), "up": ("a",), "b": ("up/int8/fp16",)}
    assert graph.unquantized["up"].endswith("builds no quantised deconvolution")


FEW = """
inputs: {x: [1, 3, 8, 8]}
precision: int8
quantization: {tensors: {x: 0.1, act: 0.1}}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
%s
"""
CHANNELS = {
    "int8 comes out": (
        "  - {op: relu, name: act}\n  - {op: conv, name: b, out_channels: 8, kernel_size: 1}",
        ["a", "b"],
    ),
    "and behind a pool": (
        "  - {op: relu, name: act}\n  - {op: max_pool, name: pool, kernel_size: 2}\n"
        "  - {op: conv, name: b, out_channels: 8, kernel_size: 1}",
        ["a", "b"],
    ),
    "floats come out": (
        "  - {op: softmax, name: act, dim: 1}\n  - {op: conv, name: b, out_channels: 8, kernel_size: 1}",
        ["b"],
    ),
    "floats as well": (
        "  - {op: relu, name: act}\n  - {op: conv, name: b, out_channels: 8, kernel_size: 1}\noutputs: [act, b]",
        ["b"],
    ),
    "few at the end": (
        "  - {op: relu, name: act}\n  - {op: conv, name: b, out_channels: 2, kernel_size: 1}",
        [],
    ),
}


@pytest.mark.parametrize("case", CHANNELS)
def test_few_channels_in_8_6(case: str, tmp_path: Path) -> None:
    text, expected = CHANNELS[case]
    network = load(tmp_path, FEW % text)
    graph = network.for_runtime(describe_runtime("tensorrt-8.6"))
    assert [layer.name for layer in graph.layers if layer.quantized is not None] == expected
    everywhere = network.for_runtime(describe_runtime("rtx"))
    assert [layer.name for layer in everywhere.layers if layer.quantized is not None] == ["a", "b"]
