"""What one TensorRT cannot build in int8 stays in floats there, and is listed, or refused where it was asked itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
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
    if expected:
        graph = network.for_runtime(describe_runtime("tensorrt-8.6"))
        assert [layer.name for layer in graph.layers if layer.quantized is not None] == expected
    else:
        with pytest.raises(BuildError, match=r"nothing is left to quantise: b \(TensorRT 8.*, a \(TensorRT 8"):
            network.for_runtime(describe_runtime("tensorrt-8.6"))
    everywhere = network.for_runtime(describe_runtime("rtx"))
    assert [layer.name for layer in everywhere.layers if layer.quantized is not None] == ["a", "b"]


BEHIND = """
inputs: {x: [1, 8, 16, 16]}
precision: {default: int8, fallback: %s}
quantization: {tensors: {x: 0.1%s}}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
%s
"""
FUNCTION = "  - {%s, name: f}\n"
NEXT = "  - {op: conv, name: b, out_channels: 8, kernel_size: 1}"
BOTH, SECOND, FIRST, NONE = ["a", "b"], ["b"], ["a"], list[str]()
# What 8.6.1 built on an H200, and what it found no kernels for: the type beside int8, the layers, what is quantised.
FUNCTIONS: dict[str, tuple[str, str, list[str]]] = {
    **{
        f"{name} that gives floats": ("fp16", FUNCTION % f"op: {name}", NONE)
        for name in ("tanh", "sigmoid", "leaky_relu", "gelu", "hard_swish", "mish", "elu", "hard_tanh", "neg", "sqrt")
    },
    **{f"{name} that gives floats": ("fp16", FUNCTION % f"op: {name}", FIRST) for name in ("relu", "relu6", "silu")},
    **{
        f"{name} by a number that gives floats": ("fp16", FUNCTION % f"op: {name}, other: 3.0", expected)
        for name, expected in {"div": NONE, "mul": FIRST, "add": FIRST}.items()
    },
    **{
        f"{name} that gives int8": ("fp16", FUNCTION % f"op: {name}" + NEXT, expected)
        for name, expected in {"tanh": BOTH, "gelu": BOTH, "neg": SECOND, "sqrt": SECOND, "exp": SECOND}.items()
    },
    "fp32 comes out": ("fp32", FUNCTION % "op: tanh", FIRST),
    "behind a normalisation": ("fp16", "  - batch_norm\n" + FUNCTION % "op: gelu", NONE),
    "behind a sum": ("fp16", "  - {op: add, in: [a, x]}\n" + FUNCTION % "op: tanh", FIRST),
    "what is read elsewhere too": ("fp16", FUNCTION % "op: tanh" + "  - {op: softmax, in: a, dim: 1}", FIRST),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_in_kernels_of_8_6(case: str, tmp_path: Path) -> None:
    fallback, layers, expected = FUNCTIONS[case]
    scale = ", f: 0.1" if expected is not FIRST and NEXT in layers else ""
    network = load(tmp_path, BEHIND % (fallback, scale, layers))
    diagnostics = Diagnostics()
    if expected is NONE:
        with pytest.raises(BuildError, match=r"nothing is left to quantise: a \(TensorRT 8") as error:
            network.for_runtime(describe_runtime("tensorrt-8.6"), diagnostics)
        assert error.value.diagnostics[0].span is not None
        return
    graph = network.for_runtime(describe_runtime("tensorrt-8.6"), diagnostics)
    assert [layer.name for layer in graph.layers if layer.quantized is not None] == expected
    assert bool(diagnostics.warnings) == (expected is SECOND)
    for warning in diagnostics.warnings:
        assert warning.span is not None
        assert "a (TensorRT 8" in warning.message


LARGE = """
inputs: {x: [1, 8, 16, 16]}
precision: {default: int8, fallback: fp16, layers: {large: %s}}
quantization: {tensors: {x: 0.1}}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 1}
  - relu
  - {op: conv, name: large, out_channels: 8, kernel_size: %s, padding: same}
  - {%s, name: f}
"""
WIDE: dict[str, tuple[tuple[str, object, str], tuple[str, str]]] = {
    "seven": (("fp16", 7, "op: tanh"), ("fp32", "fp32")),
    "seven along an axis": (("fp16", [1, 7], "op: sigmoid"), ("fp32", "fp32")),
    "five": (("fp16", 5, "op: tanh"), ("fp16", "fp16")),
    "in fp32 as it is": (("fp32", 7, "op: tanh"), ("fp32", "fp16")),
    "what has kernels": (("fp16", 7, "op: relu"), ("fp16", "fp16")),
    "the function's own word": (("fp16", 7, "op: tanh, precision: fp16"), ("fp32", "fp16")),
}


def precisions(network: trtdsl.Network, runtime: str, diagnostics: Diagnostics | None = None) -> tuple[str, ...]:
    layers = network.for_runtime(describe_runtime(runtime), diagnostics).layers
    return tuple(str(layer.precision) for layer in layers if layer.name in ("large", "f"))


@pytest.mark.parametrize("case", WIDE)
def test_functions_behind_large_convolutions_in_8_6(case: str, tmp_path: Path) -> None:
    given, expected = WIDE[case]
    network = load(tmp_path, LARGE % given)
    diagnostics = Diagnostics()
    assert precisions(network, "tensorrt-8.6", diagnostics) == expected
    told = [warning.message for warning in diagnostics.warnings if warning.message.startswith("large and f compute in")]
    assert len(told) == int(given[0] == "fp16" and expected[0] == "fp32")
    assert precisions(network, "rtx") == (given[0], "fp16")


def test_a_large_convolution_that_was_asked_itself(tmp_path: Path) -> None:
    text = (LARGE % ("fp16", 7, "op: tanh")).replace("padding: same", "padding: same, precision: fp16")
    with pytest.raises(BuildError, match="large: beside int8 TensorRT 8") as error:
        load(tmp_path, text).for_runtime(describe_runtime("tensorrt-8.6"))
    [found] = error.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.line, found.hint) == ("quantization", 9, "`precision: fp32` on this layer")


def test_without_int8_nothing_is_wide(tmp_path: Path) -> None:
    text = (LARGE % ("fp16", 7, "op: tanh")).replace("default: int8, fallback: fp16", "default: fp16")
    network = load(tmp_path, text.replace("quantization: {tensors: {x: 0.1}}\n", ""))
    assert precisions(network, "tensorrt-8.6") == ("fp16", "fp16")
