"""Quantised layers in every target: numbers worked out by hand, the calls of TensorRT, and what builds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.quantization.nets import load
from trtdsl.engine.builder import build
from trtdsl.errors import BuildError, Diagnostics
from trtdsl.running.reference import run_on_cpu
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime, describe_runtime

Array = np.ndarray


def rounded(x: Array, scale: Array | float) -> Array:
    """Numbers in steps of a scale, as int8 holds them, times the scale."""
    return np.clip(np.rint(x / scale), -128, 127) * scale


def channel_scales(weight: Array, axis: int) -> Array:
    others = tuple(number for number in range(weight.ndim) if number != axis)
    return np.abs(weight).max(axis=others, keepdims=True) / 127


def conv(x: Array, w: Array) -> Array:
    """A convolution of kernel 1 x 1."""
    return np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0])


def deconv(x: Array, w: Array) -> Array:
    """A transposed convolution of kernel 2 x 2 and stride 2, whose places do not overlap."""
    n, _, h, width = x.shape
    return np.einsum("nchw,cokl->nohkwl", x, w).reshape(n, w.shape[1], 2 * h, 2 * width)


def linear(x: Array, w: Array) -> Array:
    return x @ w.T


HEAD = "precision: {default: int8, fallback: %s}\nquantization: {tensors: {x: 0.02}}\n"
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], int, Callable[[Array, Array], Array]]] = {
    "conv": (
        "{op: conv, out_channels: 4, kernel_size: 1, bias: false, weight: %s}",
        (2, 3, 4, 4),
        (4, 3, 1, 1),
        0,
        conv,
    ),
    "deconv": (
        "{op: deconv, out_channels: 4, kernel_size: 2, stride: 2, bias: false, weight: %s}",
        (2, 3, 4, 4),
        (3, 4, 2, 2),
        1,
        deconv,
    ),
    "linear on matrices": ("{op: linear, out_features: 4, bias: false, weight: %s}", (2, 3), (4, 3), 0, linear),
    "linear on more": ("{op: linear, out_features: 4, bias: false, weight: %s}", (2, 5, 3), (4, 3), 0, linear),
}


@pytest.mark.parametrize("fallback", ["fp32", "fp16"])
@pytest.mark.parametrize("case", CASES)
def test_numbers(case: str, fallback: str, tmp_path: Path) -> None:
    layer, x_shape, w_shape, axis, compute = CASES[case]
    generator = np.random.default_rng(3)
    # Some of x lies beyond 127 steps of its scale.
    x = (generator.standard_normal(x_shape) * 1.5).astype(np.float32)
    w = generator.standard_normal(w_shape).astype(np.float32)
    text = f"{HEAD % fallback}inputs: {{x: {list(x_shape)}}}\nlayers:\n  - {layer % w.tolist()}\n"
    actual = run_on_cpu(load(tmp_path, text).typed, {"x": x}, stepwise=True)
    expected = compute(rounded(x, 0.02), rounded(w, channel_scales(w, axis)))
    [found] = actual.values()
    # Sums of a few products, which in fp16 are rounded, as are the operands.
    assert np.abs(found - expected).max() <= {"fp32": 1e-5, "fp16": 1e-2}[fallback] * np.abs(expected).max()
    assert np.abs(x).max() > 127 * 0.02
    assert np.abs(found - compute(x, w)).max() > 0.02


def test_a_product_of_two_tensors(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    a, b = generator.standard_normal((2, 3, 4), np.float32), generator.standard_normal((2, 4, 5), np.float32)
    text = """
precision: {default: int8, fallback: fp32}
quantization: {tensors: {a: 0.03, b: 0.04}}
inputs: {a: [2, 3, 4], b: [2, 4, 5]}
layers: [{op: matmul, name: y, in: [a, b]}]
"""
    actual = run_on_cpu(load(tmp_path, text).typed, {"a": a, "b": b})["y"]
    np.testing.assert_allclose(actual, rounded(a, 0.03) @ rounded(b, 0.04), rtol=1e-5, atol=1e-5)


NET = """
precision: %s
quantization: {tensors: {x: 0.02, act: 0.03, pooled: 0.04}}
inputs: {x: [1, 8, 8, 8]}
layers:
  - {op: conv, name: a, out_channels: 8, kernel_size: 3, padding: 1, bias: false}
  - {op: batch_norm, name: bn}
  - {op: add, name: sum, in: [bn, x]}
  - {op: relu, name: act}
  - {op: deconv, name: up, out_channels: 8, kernel_size: 2, stride: 2}
  - {op: global_avg_pool, name: pooled, keepdim: false}
  - {op: linear, name: fc, out_features: 4}
"""


def kinds(folder: Path, runtime: str, name: str) -> list[str]:
    """The methods that add what one layer becomes, and what is set on it."""
    entries = record(load(folder, NET % "int8").typed, describe_runtime(runtime))
    found = next(entry.statements for entry in entries if entry.name == name)
    return [
        match[1]
        for line in found
        if (match := re.search(r"\.(add_\w+|set_input\(\d|axis = \d)", line)) and "stride" not in line
    ]


WEIGHTED = ["add_constant", "add_constant", "add_quantize", "axis = {}", "add_dequantize", "axis = {}"]
CALLS: dict[str, tuple[str, list[str]]] = {
    "x/int8": ("tensorrt-8.6", ["add_constant", "add_quantize"]),
    # No cast to fp16 stands between what is quantised and what multiplies it, or TensorRT 8.6 does not fuse them.
    "x/int8/fp16": ("tensorrt-8.6", ["add_constant", "add_dequantize"]),
    "a": ("tensorrt-8.6", [*(call.format(0) for call in WEIGHTED), "add_convolution_nd", "set_input(1"]),
    "up": ("tensorrt-8.6", [*(call.format(1) for call in WEIGHTED), "add_deconvolution_nd", "set_input(1"]),
    "fc": (
        "tensorrt-8.6",
        [*(call.format(0) for call in WEIGHTED), "add_matrix_multiply", "add_constant", "add_elementwise"],
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, tmp_path: Path) -> None:
    runtime, expected = CALLS[name]
    assert kinds(tmp_path, runtime, name) == expected


@pytest.mark.parametrize("runtime", ["rtx", "tensorrt"])
@pytest.mark.parametrize("precision", ["int8", "fp8", "{default: int8, fallback: fp32}"])
def test_typed_runtimes_quantise_to_either(precision: str, runtime: str, tmp_path: Path) -> None:
    listed = [str(entry) for entry in record(load(tmp_path, NET % precision).typed, describe_runtime(runtime))]
    small = "FP8" if precision == "fp8" else "INT8"
    assert sum(f"trt.DataType.{small})" in text and "add_quantize" in text for text in listed) >= 6


def test_8_6_has_no_fp8(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"TensorRT 8\.6.* does not quantise to fp8"):
        list(record(load(tmp_path, NET % "fp8").typed, describe_runtime("tensorrt-8.6")))


@pytest.mark.parametrize("precision", ["int8", "fp8", "{default: int8, fallback: fp32}"])
def test_rtx_builds(precision: str, tmp_path: Path, rtx: Runtime) -> None:
    network = load(tmp_path, NET % precision)
    plan = build(network.typed, rtx, network.options({}, "8.9"), Diagnostics())
    assert len(memoryview(plan)) > 1000


def test_fp8_in_onnx(tmp_path: Path) -> None:
    x = np.linspace(-3, 3, 512, dtype=np.float32).reshape(1, 8, 8, 8)
    wide = run_on_cpu(load(tmp_path, NET % "fp32").typed, {"x": x})["fc"]
    small = run_on_cpu(load(tmp_path, NET % "fp8").typed, {"x": x}, stepwise=True)["fc"]
    assert 0 < np.abs(small - wide).max() < 0.1 * np.abs(wide).max()
