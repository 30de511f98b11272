"""The plugins that come with trtdsl in engines built from YAML, beside PyTorch and the networks without them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.ops.harness import POINTS, Case, cases
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.implementation import PLUGIN, chosen_plugins, implement
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import OpError
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.precision import assign_types
from trtdsl.running import run_in_fp32
from trtdsl.targets.runtime import Runtime, find_runtime
from trtdsl.types import DataType

device = pytest.importorskip("device", reason="runs engines: needs cuda-bindings and a GPU")

NETWORKS = Path(__file__).parents[2] / "networks"
OPTIONS = BuildOptions(tactic_sources=(), tf32=False, optimization_level=1)
# Relative to the largest output.
TOLERANCE = {DataType.FP32: 1e-5, DataType.FP16: 2e-3}
AS_FP16 = "~fp16"


def _with_plugins(graph: Graph, library: LibraryUse | None = None) -> Graph:
    """The typed graph with all plugins that it may have."""
    typed = assign_types(implement(graph, assign_types(graph), lambda name: True))
    return typed if library is None else replace(typed, libraries=(library,))


def _cases() -> list[Case]:
    """The op cases that a plugin does, in fp32 and fp16."""
    kinds = {op.kind for op in CATALOGUE.values() if op.by_plugin}
    known = [case for case in cases() if CATALOGUE[case.layer["op"]].kind in kinds and case.precision in TOLERANCE]
    halves = [
        replace(case, id=case.id + AS_FP16, precision=DataType.FP16)
        for case in known
        if case.precision is DataType.FP32
    ]
    return [case for case in (*known, *halves) if _fits(case)]


def _fits(case: Case) -> bool:
    try:
        return bool(chosen_plugins(_with_plugins(case.untyped(PLUGIN))))
    except OpError:
        return False


@pytest.fixture(scope="session")
def library() -> LibraryUse:
    path = os.environ.get("TRTDSL_PLUGINS")
    if path is None:
        pytest.skip("TRTDSL_PLUGINS names no compiled library (trtdsl plugins build)")
    return LibraryUse(Path(path))


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return find_runtime("tensorrt")


@pytest.fixture(scope="session")
def expected(reference: Path) -> Any:
    return np.load(reference / "ops.npz")


def _engine(graph: Graph, gpu: Any, runtime: Runtime) -> Any:
    plan = build(graph, runtime, OPTIONS, Diagnostics())
    engine = gpu.runtime.deserialize_cuda_engine(bytes(plan))
    assert engine is not None, gpu.log.take_errors()
    return engine


def _run(engine: Any, inputs: Mapping[str, Any], gpu: Any) -> dict[str, Any]:
    """The outputs of a run, which have to be those of every launch of a CUDA graph, to the bit."""
    outputs = device.run(gpu.trt, engine, inputs, gpu.log)
    for again in device.run_captured(gpu.trt, engine, inputs):
        for name, output in outputs.items():
            assert output.tobytes() == again[name].tobytes(), f"{name} differs from run to run"
    return outputs


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.id)
def test_equals_pytorch(case: Case, gpu: Any, runtime: Runtime, library: LibraryUse, expected: Any) -> None:
    graph = _with_plugins(case.untyped(PLUGIN), library)
    engine = _engine(graph, gpu, runtime)
    worst = 0.0
    for point in POINTS if case.is_dynamic else ("opt",):
        outputs = _run(engine, case.input_arrays(point), gpu)
        for index, output in enumerate(graph.outputs):
            wanted = expected[f"{case.id.removesuffix(AS_FP16)}/{point}/{index}"]
            assert outputs[output.name].shape == wanted.shape
            worst = max(worst, device.relative_error(outputs[output.name], wanted))
    gpu.note(f"{case.id:60} {', '.join(_names(graph)):16} {worst:.1e}")
    assert worst <= TOLERANCE[case.precision]


BLOCKS = {
    "norm": "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}",
    "norm-relu": "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}\n- relu",
    "norm-leaky": "- instance_norm\n- {op: leaky_relu, negative_slope: 0.2}",
    "norm-relu-pad": (
        "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}\n- relu\n"
        "- {op: pad, padding: [1, 2, 3, 0], mode: reflect}"
    ),
    "norm-add": "- {op: instance_norm, name: n}\n- {op: add, in: [n, c]}",
    "norm-add-pad": "- {op: instance_norm, name: n}\n- {op: add, in: [c, n]}\n- {op: pad, padding: 2, mode: edge}",
    "padded-residual": (
        "- instance_norm\n- {op: relu, name: r}\n- {op: pad, padding: 1, mode: reflect}\n"
        "- {op: conv, name: d, out_channels: $channels, kernel_size: 3, bias: false, weight: {normal: 0.1}}\n"
        "- {op: instance_norm, name: m}\n"
        "- {op: add, name: s, in: [m, r]}\n- {op: pad, padding: [2, 0, 0, 2], mode: edge}\n"
        "- {op: conv, name: e, out_channels: $channels, kernel_size: 3, bias: false, weight: {normal: 0.1}}\n"
        "- {op: instance_norm, name: o}\n"
        "- {op: add, in: [o, s]}"
    ),
    "pad": "- {op: pad, padding: [4, 0, 1, 3], mode: reflect, impl: plugin}",
    "edge": "- {op: pad, padding: 7, mode: replicate, impl: plugin}",
    "nearest": "- {op: resize, scale_factor: 2, mode: nearest, impl: plugin}",
    "bilinear": "- {op: resize, scale_factor: 2, mode: bilinear, impl: plugin}",
    "bilinear-corners": "- {op: resize, scale_factor: 1.5, mode: bilinear, align_corners: true, impl: plugin}",
    "mish": "- {op: mish, impl: plugin}",
    "hard_swish": "- {op: hard_swish, impl: plugin}",
    "leaky": "- {op: leaky_relu, negative_slope: 0.1, impl: plugin}",
}
SIZES = {
    "{N: [1, 2, 5], H: [5, 17, 33], W: [6, 23, 40]}": (
        (1, 5, 6),
        (2, 17, 23),
        (3, 32, 39),
        (4, 7, 40),
        (5, 33, 9),
        (5, 33, 40),
    ),
    "{N: 3, H: 61, W: 47}": ((3, 61, 47),),
}
"""Batch, height and width: the least, usual and largest of a profile, and some between; and sizes that are fixed."""


@pytest.mark.parametrize("dims", SIZES, ids=["dynamic", "static"])
@pytest.mark.parametrize("precision", TOLERANCE, ids=str)
@pytest.mark.parametrize("channels", [3, 8, 20, 64])
def test_between_convolutions(
    channels: int, precision: DataType, dims: str, gpu: Any, runtime: Runtime, library: LibraryUse, tmp_path: Path
) -> None:
    """The convolutions copy their input; in fp16 they want channels last, so the plugins between them may get that."""
    np.savez(tmp_path / "eye.npz", eye=np.eye(channels, dtype=np.float32)[:, :, None, None])
    copy = f"out_channels: {channels}, kernel_size: 1, bias: false, weight: {{key: eye, file: eye.npz}}"
    lines = [f"trtdsl: 1\nimpl: auto\nparams: {{channels: {channels}}}"]
    lines += [f"dims: {dims}\ninputs: {{x: [N, $channels, H, W]}}\nlayers:"]
    for name, layers in BLOCKS.items():
        lines += [
            f"  - op: sequence\n    name: {name}\n    in: x\n    layers:",
            f"      - {{op: conv, name: c, {copy}}}",
        ]
        lines += [f"      {layer}" for layer in layers.splitlines()]
        lines += [f"      - {{op: conv, name: last, {copy}}}"]
    lines += [f"outputs: [{', '.join(BLOCKS)}]"]
    path = tmp_path / "net.yaml"
    path.write_text("\n".join(lines))
    network = trtdsl.load(path, precision=precision.value)
    graph = _with_plugins(network.graph, library)
    engine = _engine(graph, gpu, runtime)
    worst = dict.fromkeys(BLOCKS, 0.0)
    for seed, size in enumerate(SIZES[dims]):
        x = np.random.default_rng(seed).normal(0.3, 2, (size[0], channels, *size[1:])).astype(np.float16)
        outputs = _run(engine, {"x": x}, gpu)
        for name, wanted in run_in_fp32(network.graph, {"x": x.astype(np.float32)}).items():
            worst[name] = max(worst[name], device.relative_error(outputs[name], wanted))
    case = f"{channels:3} channels {precision} {'static' if network.graph.is_static else 'dynamic'}"
    for name, error in worst.items():
        gpu.note(f"{name:20} {case:30} {error:.1e}")
    gpu.note(f"{'layouts':20} {case:30} {_layouts(engine, gpu)}")
    assert {name: error for name, error in worst.items() if error > TOLERANCE[precision]} == {}


def _names(graph: Graph) -> list[str]:
    return sorted({str(entry["plugin"]) for entry in chosen_plugins(graph).values()})


def _layouts(engine: Any, gpu: Any) -> str:
    """How many plugins of an engine read which layout, as TensorRT tells where sizes are fixed."""
    inspector = engine.create_engine_inspector()
    described = json.loads(inspector.get_engine_information(gpu.trt.LayerInformationFormat.JSON))
    plugins = [layer for layer in described["Layers"] if "Plugin" in layer["LayerType"]]
    counts = Counter(layer["Inputs"][0]["Format/Datatype"] for layer in plugins)
    return ", ".join(f"{count} x {layout}" for layout, count in counts.items())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_cyclegan(precision: str, gpu: Any, runtime: Runtime, library: LibraryUse, reference: Path) -> None:
    arrays = np.load(reference / "cyclegan_generator.npz")
    described = json.loads((reference / "networks.json").read_text())["cyclegan_generator"]
    network = trtdsl.load(
        NETWORKS / "cyclegan_generator.yaml",
        parameters=described["parameters"],
        weights=[str(reference / "cyclegan_generator.safetensors")],
        precision=precision,
        impl="auto",
        plugins=[library.path],
    )
    graph = network.for_runtime(runtime)
    assert len(chosen_plugins(graph)) == 24
    inputs = {key.removeprefix("in/"): arrays[key] for key in arrays.files if key.startswith("in/")}
    (output,) = device.run(gpu.trt, _engine(graph, gpu, runtime), inputs, gpu.log).values()
    error = device.relative_error(output, arrays["out"])
    gpu.note(f"cyclegan_generator with plugins {precision}  relative error {error:.1e}")
    assert error < {"fp32": 1e-4, "fp16": 3e-2}[precision]
