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
from plugin_blocks import BLOCKS, CHAIN, SIZES, chain_of, make_input, write_blocks

import trtdsl
from tests.ops.harness import POINTS, Case, cases
from trtdsl.build_options import BuildOptions
from trtdsl.engine.builder import build
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.implementation import chosen_plugins, implement
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import OpError
from trtdsl.plugins.bundled import bundled_plugins
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
        return bool(chosen_plugins(_with_plugins(case.untyped("plugin"))))
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
    """The outputs of a run, which a CUDA graph's launches and contexts at once have to give too, to the bit."""
    outputs = device.run(gpu.trt, engine, inputs, gpu.log)
    for again in device.run_captured(gpu.trt, engine, inputs) + device.run_at_once(gpu.trt, engine, inputs):
        for name, output in outputs.items():
            assert output.tobytes() == again[name].tobytes(), f"{name} differs from run to run"
    return outputs


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.id)
def test_equals_pytorch(case: Case, gpu: Any, runtime: Runtime, library: LibraryUse, expected: Any) -> None:
    graph = _with_plugins(case.untyped("plugin"), library)
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


@pytest.mark.parametrize("dims", SIZES, ids=["dynamic", "static"])
@pytest.mark.parametrize("precision", TOLERANCE, ids=str)
@pytest.mark.parametrize("channels", [3, 8, 20, 64])
def test_between_convolutions(
    channels: int, precision: DataType, dims: str, gpu: Any, runtime: Runtime, library: LibraryUse, tmp_path: Path
) -> None:
    """The convolutions copy their input; in fp16 they want channels last, so the plugins between them may get that."""
    path = write_blocks(channels, dims, tmp_path)
    network = trtdsl.load(path, precision=precision.value)
    graph = _with_plugins(network.graph, library)
    assert _names(graph) == sorted(bundled_plugins())
    engine = _engine(graph, gpu, runtime)
    worst = dict.fromkeys(BLOCKS, 0.0)
    for seed, size in enumerate(SIZES[dims]):
        x = make_input(seed, channels, size)
        outputs = _run(engine, {"x": x}, gpu)
        for name, wanted in run_in_fp32(network.graph, {"x": x.astype(np.float32)}).items():
            worst[name] = max(worst[name], device.relative_error(outputs[name], wanted))
    case = f"{channels:3} channels {precision} {'static' if network.graph.is_static else 'dynamic'}"
    for name, error in worst.items():
        gpu.note(f"{name:20} {case:30} {error:.1e}")
    gpu.note(f"{'layouts':20} {case:30} {_layouts(engine, gpu)}")
    limits = dict.fromkeys(BLOCKS, TOLERANCE[precision])
    if precision is DataType.FP16:
        native = _native_error(channels, dims, gpu, runtime, tmp_path)
        gpu.note(f"{CHAIN:20} {case:30} {native:.1e} native")
        limits[CHAIN] = max(limits[CHAIN], 1.5 * native)
    assert {name: error for name, error in worst.items() if error > limits[name]} == {}


def _native_error(channels: int, dims: str, gpu: Any, runtime: Runtime, folder: Path) -> float:
    """How far the chain is off in fp16 without any plugin.

    Its convolutions may add up in fp16, which costs more than what the plugins round; TensorRT decides for each engine.
    """
    folder = folder / "native"
    folder.mkdir()
    network = trtdsl.load(write_blocks(channels, dims, folder, [CHAIN]), precision="fp16", impl="native")
    engine = _engine(network.typed, gpu, runtime)
    worst = 0.0
    for seed, size in enumerate(SIZES[dims]):
        x = make_input(seed, channels, size)
        wanted = run_in_fp32(network.graph, {"x": x.astype(np.float32)})[CHAIN]
        worst = max(worst, device.relative_error(device.run(gpu.trt, engine, {"x": x}, gpu.log)[CHAIN], wanted))
    return worst


@pytest.mark.parametrize("dims", SIZES, ids=["dynamic", "static"])
@pytest.mark.parametrize("precision", TOLERANCE, ids=str)
@pytest.mark.parametrize("channels", [3, 8, 20, 64])
def test_around_convolutions(
    channels: int, precision: DataType, dims: str, gpu: Any, runtime: Runtime, library: LibraryUse, tmp_path: Path
) -> None:
    """Of what the convolutions inside really gave, the plugins make what they have to."""
    inner = [f"{CHAIN}.{name}" for name in ("d", "e")]
    network = trtdsl.load(write_blocks(channels, dims, tmp_path, [CHAIN], inner), precision=precision.value)
    graph = _with_plugins(network.graph, library)
    assert _names(graph) == ["InstanceNormPad"]
    engine = _engine(graph, gpu, runtime)
    worst = 0.0
    for seed, size in enumerate(SIZES[dims]):
        x = make_input(seed, channels, size)
        outputs = _run(engine, {"x": x}, gpu)
        wanted = chain_of(x, *(outputs[name] for name in inner))
        worst = max(worst, device.relative_error(outputs[CHAIN], wanted))
    case = f"{channels:3} channels {precision} {'static' if network.graph.is_static else 'dynamic'}"
    gpu.note(f"{CHAIN:20} {case:30} {worst:.1e} of its convolutions' outputs")
    assert worst <= TOLERANCE[precision]


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
