"""Scripts make the very networks that emission makes: run against TensorRT-RTX, and compared layer by layer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.networks.test_networks import NETWORKS, SMALL
from tests.ops.harness import Case, cases
from tests.targets.emitting import emitted, typed
from trtdsl.build_options import BuildOptions
from trtdsl.engine.config import configure, fit_to_network
from trtdsl.engine.log import BuildLog
from trtdsl.errors import BuildError, Diagnostics
from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.script import Script, write_script

Described = list[Any]


def executed(script: Script, folder: Path, name: str = "net") -> dict[str, Any]:
    """The names that a script defines, after its `import`s and `def`s."""
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.weights.npz").open("wb") as file:
        script.write_arrays(file)
    namespace: dict[str, Any] = {"__name__": "script", "__file__": str(folder / f"{name}.py")}
    exec(compile(script.text, f"{name}.py", "exec"), namespace)
    return namespace


def described(network: Any, trt: Any) -> Described:
    """All that can be read of a network: inputs, layers with their tensors and attributes, outputs."""
    ins = [_tensor(network.get_input(index)) for index in range(network.num_inputs)]
    layers = [_layer(network.get_layer(index), trt) for index in range(network.num_layers)]
    outs = [_tensor(network.get_output(index)) for index in range(network.num_outputs)]
    return [network.name, ins, layers, outs]


def _tensor(tensor: Any) -> Any:
    return None if tensor is None else (tensor.name, tuple(tensor.shape), str(tensor.dtype))


def _layer(layer: Any, trt: Any) -> Any:
    inputs = [_tensor(layer.get_input(index)) for index in range(layer.num_inputs)]
    outputs = [_tensor(layer.get_output(index)) for index in range(layer.num_outputs)]
    kind = str(layer.type)
    layer.__class__ = _class_of(layer, trt)
    attributes = {}
    for name in dir(layer):
        if not name.startswith("_") and not callable(value := _read(layer, name)):
            attributes[name] = value
    return kind, inputs, outputs, attributes


def _read(layer: Any, name: str) -> Any:
    try:
        value = getattr(layer, name)
    except Exception as error:  # what a layer does not have in its state
        return type(error).__name__
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if type(value).__name__ == "Weights":
        return str(value.dtype), value.size
    if " object at 0x" in str(value) and not callable(value):
        inner = (name for name in dir(value) if not name.startswith("_"))
        return {name: text for name in inner if " object at 0x" not in (text := str(getattr(value, name)))}
    return value if callable(value) else str(value)


def _class_of(layer: Any, trt: Any) -> Any:
    wanted = f"I{layer.type.name.replace('_', '')}LAYER".lower()
    return next((value for name, value in vars(trt).items() if name.lower() == wanted), type(layer))


def script_of(graph: Graph, runtime: Runtime, options: BuildOptions | None = None) -> Script:
    return write_script(graph, runtime, options or BuildOptions(), source=Path("net.yaml"), weights="net.weights.npz")


def check_same_network(graph: Graph, runtime: Runtime, folder: Path) -> int:
    """Hold a script's network against the emitted one; gives the number of layers."""
    script = script_of(graph, runtime)
    made = executed(script, folder)
    assert max(map(len, script.text.splitlines())) <= 120
    _, network = made["load_network"]()
    wanted = emitted(graph, runtime)
    assert described(network, runtime.module) == described(wanted.network, runtime.module)
    count: int = network.num_layers
    return count


def ruff(text: str) -> str:
    """What ruff finds in a script, by rules that say nothing of docstrings and names."""
    rules = [
        "--isolated",
        "--select",
        "E,F,W,I,UP,B,RUF,SIM,C4,PT",
        "--line-length",
        "120",
        "--target-version",
        "py310",
    ]
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", *rules, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True).stdout


NETWORK_CASES = [*SMALL, "digits"]


def network_graph(name: str, precision: str) -> Graph:
    if name == "digits":
        return trtdsl.load(NETWORKS / "digits.yaml", precision=precision).typed
    case = SMALL[name]
    return trtdsl.load(
        NETWORKS / f"{case.network}.yaml", parameters=case.parameters, random_weights=True, precision=precision
    ).typed


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", NETWORK_CASES)
def test_a_network_is_the_emitted_one(name: str, precision: str, rtx: Runtime, tmp_path: Path) -> None:
    graph = network_graph(name, precision)
    if precision == "bf16" and any(layer.op.kind == "deconv" for layer in graph.layers):
        with pytest.raises(BuildError, match="does not deconvolve in bf16"):
            script_of(graph, rtx)
    else:
        assert check_same_network(graph, rtx, tmp_path) > 10


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.id)
def test_an_op_is_the_emitted_one(case: Case, rtx: Runtime, tmp_path: Path) -> None:
    graph = case.graph()
    try:
        emitted(graph, rtx)
    except BuildError as error:
        # What this runtime lacks is known without it.
        with pytest.raises(BuildError, match=re.escape(str(error))):
            script_of(graph, Runtime(rtx.flavor, rtx.version))
    else:
        check_same_network(graph, rtx, tmp_path)


ODD_NAMES = """\
dims: {N: [1, 2, 4]}
inputs: {l: [N, 3], spare: [N], in: [N, 3], trt: [N, 3]}
layers:
  - {op: add, name: layer0, in: [l, in]}
  - {op: add, name: network, in: [layer0, trt]}
  - {op: add, name: "1.a-b", in: [network, l]}
  - {op: add, name: "1.a_b", in: [network, 1.a-b]}
  - {op: clip, name: y, in: 1.a_b, min: 0}
  - {op: identity, name: float}
outputs: {y: float, l_out: l, again: y, weights: 1.a-b}
"""


def test_names_that_mean_something_in_python(rtx: Runtime, tmp_path: Path) -> None:
    graph = typed(tmp_path / "net.yaml", ODD_NAMES)
    check_same_network(graph, rtx, tmp_path)
    text = script_of(graph, rtx).text
    assert ruff(text) == "All checks passed!\n"
    # Nobody reads it, but it has to be there for the dimension.
    assert "\n    network.add_input('spare', trt.DataType.FLOAT, (-1,))\n" in text


RUNTIMES = {
    "rtx": Runtime("rtx", (1, 7)),
    "TensorRT 8.6": Runtime("tensorrt", (8, 6)),
    "TensorRT 10.15": Runtime("tensorrt", (10, 15)),
    "TensorRT 11": Runtime("tensorrt", (11, 1)),
}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
@pytest.mark.parametrize("name", ["digits", "gpt2", "cyclegan_generator"])
def test_scripts_are_clean(name: str, runtime: Runtime) -> None:
    text = script_of(network_graph(name, "fp16"), runtime).text
    compile(text, "net.py", "exec")
    assert ruff(text) == "All checks passed!\n"


SMALL_NET = """\
dims: {N: [1, 2, 4]}
inputs: {x: [N, 8]}
precision: fp16
layers:
  - {op: linear, name: fc, out_features: 4}
  - relu
"""
RELU = """\
    # relu (net.yaml:7): relu, fp16
    layer5 = network.add_activation(fc, trt.ActivationType.RELU)
    relu = layer5.get_output(0)
    layer5.name = 'relu'
    layer5.metadata = 'net.yaml:7'
    relu.name = 'relu'
"""


def test_a_layer_reads_like_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph = typed(Path("net.yaml"), SMALL_NET)
    assert RELU + "\n" in script_of(graph, RUNTIMES["rtx"]).text
    weak = script_of(graph, RUNTIMES["TensorRT 8.6"]).text
    assert RELU + "    typing.constrain(layer5)\n\n" in weak
    assert "typing = WeakTyping(trt, [trt.DataType.FLOAT, trt.DataType.HALF])" in weak
    assert "1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)" in weak
    assert "config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)" in weak
    assert "config.set_flag(trt.BuilderFlag.FP16)" in weak
    assert "import tensorrt as trt" in weak
    of_ten = script_of(graph, RUNTIMES["TensorRT 10.15"], BuildOptions(strongly_typed=True)).text
    assert "STRONGLY_TYPED" in of_ten
    assert "typing" not in of_ten


def test_layers_are_constrained_in_the_order_of_emission(tmp_path: Path) -> None:
    """Every layer once, behind its name and before any layer after it."""
    text = script_of(typed(tmp_path / "net.yaml", SMALL_NET), RUNTIMES["TensorRT 8.6"]).text
    made = re.findall(r"(layer\d+) = network\.add", text)
    assert re.findall(r"typing\.constrain\((layer\d+)\)", text) == made
    assert len(made) > 4


def test_types_that_the_runtime_lacks(tmp_path: Path) -> None:
    graph = typed(tmp_path / "net.yaml", SMALL_NET.replace("fp16", "bf16"))
    with pytest.raises(BuildError, match=r"which TensorRT 8\.6 does not know"):
        script_of(graph, RUNTIMES["TensorRT 8.6"])


OPTIONS = {
    "defaults": BuildOptions(),
    "switches": BuildOptions(tf32=False, sparsity=True, refit=True),
    "strip": BuildOptions(strip=True),
    "numbers": BuildOptions(workspace=1 << 20, optimization_level=2, max_aux_streams=1),
    "words": BuildOptions(profiling_verbosity="none", tactic_sources=()),
    "targets": BuildOptions(target=("8.9", "12.0")),
    "profiles": BuildOptions(profiles=({"N": [1, 1, 1]}, {"N": [1, 2, 4]})),
}
READ = (
    *("flags", "profiling_verbosity", "builder_optimization_level", "max_aux_streams", "num_compute_capabilities"),
    *("num_optimization_profiles", "hardware_compatibility_level"),
)


@pytest.mark.parametrize("case", OPTIONS)
def test_the_builder_is_told_the_same(case: str, rtx: Runtime, tmp_path: Path) -> None:
    graph, trt = typed(tmp_path / "net.yaml", SMALL_NET), rtx.module
    made = executed(script_of(graph, rtx, OPTIONS[case]), tmp_path)
    actual = made["load_config"](*made["load_network"]())
    log = BuildLog(rtx)
    builder = trt.Builder(log.logger)
    expected = configure(builder, rtx, OPTIONS[case], log, Diagnostics())
    fit_to_network(expected, builder, graph, rtx, True, OPTIONS[case])
    assert {name: getattr(actual, name) for name in READ} == {name: getattr(expected, name) for name in READ}
    assert actual.get_tactic_sources() == expected.get_tactic_sources()
    pool = trt.MemoryPoolType.WORKSPACE
    assert actual.get_memory_pool_limit(pool) == expected.get_memory_pool_limit(pool)
    for index in range(len(OPTIONS[case].target)):
        assert actual.get_compute_capability(index) == expected.get_compute_capability(index)


REFUSED = {
    "target": (BuildOptions(target=("8.9",)), "TensorRT 8.6", "target: TensorRT 8.6 does not have it"),
    "strip": (BuildOptions(strip=True), "TensorRT 8.6", "strip: TensorRT 8.6 does not have it"),
    "strong types": (BuildOptions(strongly_typed=True), "TensorRT 8.6", "strongly_typed: TensorRT 8.6"),
    "compatibility": (BuildOptions(version_compatible=True), "rtx", "version_compatible: TensorRT-RTX 1.7"),
    "hardware": (BuildOptions(hardware_compatibility="ampere_plus"), "rtx", "hardware_compatibility: TensorRT-RTX"),
    "DLA": (BuildOptions(dla_core=0), "rtx", "dla_core: TensorRT-RTX"),
    "no name": (BuildOptions(tactic_sources=("a b",)), "rtx", "tactic_sources: `a b` is no name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_options(case: str, tmp_path: Path) -> None:
    options, runtime, message = REFUSED[case]
    with pytest.raises(BuildError, match=re.escape(message)):
        script_of(typed(tmp_path / "net.yaml", SMALL_NET), RUNTIMES[runtime], options)


def test_options_of_tensorrt(tmp_path: Path) -> None:
    options = BuildOptions(
        tactic_sources=("cublas", "cudnn"),
        hardware_compatibility="ampere_plus",
        version_compatible=True,
        timing_cache="tactics.bin",
        dla_core=1,
        gpu_fallback=True,
    )
    text = script_of(typed(tmp_path / "net.yaml", SMALL_NET), RUNTIMES["TensorRT 10.15"], options).text
    assert "set_tactic_sources(1 << int(trt.TacticSource.CUBLAS) | 1 << int(trt.TacticSource.CUDNN))" in text
    assert "config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS" in text
    assert "config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)" in text
    assert "timing_cache = Path('tactics.bin')" in text
    assert "config.default_device_type = trt.DeviceType.DLA\n    config.DLA_core = 1\n" in text
    assert "config.set_flag(trt.BuilderFlag.GPU_FALLBACK)" in text
    assert ruff(text) == "All checks passed!\n"


def test_the_program_builds_the_engine(rtx: Runtime, tmp_path: Path) -> None:
    network = trtdsl.load(NETWORKS / "digits.yaml")
    script, weights = network.export_script(tmp_path / "digits.py", runtime="rtx")
    # It stands alone, wherever it is called from.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    hidden = "import sys; sys.modules['trtdsl'] = None; sys.argv = sys.argv[1:]; import runpy; "
    command = [sys.executable, "-c", hidden + "runpy.run_path(sys.argv[0], run_name='__main__')", str(script)]
    subprocess.run([*command, str(tmp_path / "by_script.engine")], check=True, cwd=tmp_path.parent, env=environment)
    built = network.build(tmp_path / "by_trtdsl.engine", runtime="rtx", cache=False)
    assert (tmp_path / "by_script.engine").read_bytes() == built.path.read_bytes()
    with np.load(weights, allow_pickle=False) as stored:
        assert sum(stored[name].size for name in stored.files) > 25_000
    usage = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (usage.returncode, usage.stderr) == (1, f"usage: python {script} ENGINE\n")


def test_bits_of_bf16_are_stored(tmp_path: Path) -> None:
    script = script_of(typed(tmp_path / "net.yaml", SMALL_NET.replace("fp16", "bf16")), RUNTIMES["rtx"])
    assert "weights(stored['fc.weight'], trt.DataType.BF16)" in script.text
    with (tmp_path / "w.npz").open("wb") as file:
        script.write_arrays(file)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as stored:
        assert stored["fc.weight"].dtype == np.uint16
