"""How far arrays and networks are apart: by numbers worked out by hand, and by what rounding must do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import ExportError, RunError
from trtdsl.running import Comparison, Difference, compare, gpu, run_in_fp32
from trtdsl.running.reference import in_fp32
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

INF, NAN = math.inf, math.nan
# The array, its reference, absolute and relative error, cosine, and how many are finite in one only.
MEASURED: dict[str, tuple[Any, Any, float, float, float | None, int]] = {
    "equal": ([1, -2], [1, -2], 0, 0, 1, 0),
    "relative to the largest": ([1, 4.5], [1.5, -5], 9.5, 1.9, -0.873, 0),
    "opposite": ([-3, 0], [3, 0], 6, 2, -1, 0),
    "at a right angle": ([0, 1], [1, 0], 1, 1, 0, 0),
    "nothing beside zeros": ([0, 0], [0, 0], 0, 0, 1, 0),
    "something beside zeros": ([0, 0.5], [0, 0], 0.5, INF, None, 0),
    "zeros beside something": ([0, 0], [2, 0], 2, 1, None, 0),
    "both NaN": ([NAN, 1], [NAN, 1], 0, 0, 1, 0),
    "both infinite": ([INF, -INF, 1], [INF, -INF, 2], 1, 0.5, 1, 0),
    "NaN in one": ([NAN, 1], [1, 1], INF, INF, 1, 1),
    "NaN in the reference": ([1, 1, 2], [NAN, 1, INF], INF, INF, 1, 2),
    "other infinities": ([INF, 1], [-INF, 1], INF, INF, 1, 1),
    "a number": (2.5, 2, 0.5, 0.25, 1, 0),
    "integers": ([7, 9], [7, 10], 1, 0.1, 0.999, 0),
    "no elements": ([], [], 0, 0, 1, 0),
}


@pytest.mark.parametrize("case", MEASURED)
def test_measures(case: str) -> None:
    actual, reference, *expected, astray = MEASURED[case]
    found = compare.difference("y", "net.yaml:3", np.asarray(actual), np.asarray(reference))
    assert (found.absolute, found.relative) == pytest.approx(tuple(expected[:2]))
    assert found.cosine == (None if expected[2] is None else pytest.approx(expected[2], abs=5e-3))
    assert found.astray == astray


def test_other_shapes_are_infinitely_far() -> None:
    found = compare.difference("y", "net.yaml:3", np.zeros(3), np.zeros(4))
    assert (found.shape, found.reference_shape) == ((3,), (4,))
    assert (found.absolute, found.relative, found.cosine) == (INF, INF, None)


def test_an_infinite_error_is_beyond_any_limit() -> None:
    good = Difference("a", "net.yaml:1", (), (), 0, 0.1, 1, 0)
    bad = Difference("b", "net.yaml:2", (), (), INF, INF, None, 1)
    nan = Difference("c", "net.yaml:3", (), (), NAN, NAN, None, 1)
    assert compare.Compared("x", (good, bad)).first_beyond(1e30) is bad
    assert compare.Compared("x", (good, nan)).first_beyond(1e30) is nan
    assert compare.Compared("x", (good, bad)).first_beyond(0.05) is good


NET = """\
trtdsl: 1
dims: {N: [1, 2, 4]}
inputs: {x: {shape: [N, 8], dtype: fp16}}
precision: PRECISION
layers:
  - {op: linear, name: one, out_features: 8}
  - {op: exp, name: big}
  - {op: mul, name: huge, in: [big, big]}
  - {op: linear, name: two, out_features: 3}
outputs: {y: {tensor: two, dtype: fp16}, inner: one}
"""


def load(folder: Path, precision: str, text: str = NET) -> trtdsl.Network:
    (folder / f"{precision}.yaml").write_text(text.replace("PRECISION", precision))
    return trtdsl.load(folder / f"{precision}.yaml", random_weights=True)


X = np.linspace(-1, 1, 16, dtype=np.float16).reshape(2, 8)


def numbers(network: trtdsl.Network, name: str) -> np.ndarray[Any, Any]:
    layer, weight = name.split(".")
    found = next(entry for entry in network.graph.layers if entry.name == layer).weights[weight]
    return found.with_dtype(DataType.FP32).array().astype(np.float64)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_reference_is_fp32_whatever_the_precision(precision: str, tmp_path: Path) -> None:
    network = load(tmp_path, precision)
    one = X.astype(np.float64) @ numbers(network, "one.weight").T + numbers(network, "one.bias")
    two = np.exp(one) ** 2 @ numbers(network, "two.weight").T + numbers(network, "two.bias")
    outputs = network.run({"x": X}, reference=True)
    assert {name: array.dtype for name, array in outputs.items()} == {"y": np.float32, "inner": np.float32}
    np.testing.assert_allclose(outputs["inner"], one, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["y"], two, rtol=1e-4, atol=1e-5)


def test_nothing_in_the_reference_is_narrow(tmp_path: Path) -> None:
    wide = in_fp32(load(tmp_path, "fp16").graph)
    assert {entry.dtype for entry in wide.types.values()} == {DataType.FP32}
    assert {weight.dtype for layer in wide.layers for weight in layer.weights.values()} == {DataType.FP32}


def test_a_loop_is_wide_inside_as_well(tmp_path: Path) -> None:
    text = """\
trtdsl: 1
inputs: {x: [4]}
precision: PRECISION
layers:
  - op: loop
    name: rounds
    count: 3
    state: {h: x}
    layers:
      - {op: mul, name: twice, in: [h, h], precision: fp16}
"""
    wide = in_fp32(load(tmp_path, "fp16", text).graph)
    assert {layer.precision for layer in wide.all_layers()} == {DataType.FP32}


def test_fp16_rounds(tmp_path: Path) -> None:
    comparison = load(tmp_path, "fp16").compare({"x": X})
    form, engine = comparison.ways
    assert form.what == "ONNX form in fp16, by ONNX Runtime"
    assert [entry.name for entry in form.differences] == ["y", "inner"]
    assert [entry.line.rpartition(":")[2] for entry in form.differences] == ["10", "10"]
    # Half a unit in the last of ten bits, for each of a few steps.
    assert all(2**-13 < entry.relative < 2**-7 for entry in form.differences)
    assert all(entry.cosine is not None and entry.cosine > 0.9999 for entry in form.differences)
    assert engine.not_run is not None
    assert comparison.expected == 2e-2
    assert comparison.has_run
    assert comparison.is_within(2**-7)
    assert not comparison.is_within(2**-13)


def test_what_is_the_same_or_has_no_kernels_is_not_run(tmp_path: Path) -> None:
    wide, _ = load(tmp_path, "fp32", NET.replace("dtype: fp16", "dtype: fp32")).compare().ways
    assert wide.not_run == "the network is fp32 throughout: its ONNX form is the reference itself"
    narrow, _ = load(tmp_path, "bf16").compare().ways
    assert narrow.not_run == "ONNX Runtime has no kernels of bf16 on a CPU"
    for name in ("fp32", "bf16"):
        comparison = trtdsl.load(tmp_path / f"{name}.yaml", random_weights=True).compare()
        assert not comparison.has_run
        assert not comparison.is_within(INF)


def test_without_a_gpu_the_engine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    network = load(tmp_path, "fp16")
    _, engine = network.compare().ways
    assert (engine.differences, engine.not_run) == ((), "an engine needs a GPU to run, and there is none here")
    with pytest.raises(RunError, match="an engine needs a GPU to run"):
        network.run()


def too_large(network: trtdsl.Network) -> np.ndarray[Any, Any]:
    """An input for which `one` is about 15 somewhere: exp(15) is more than fp16 holds."""
    row = numbers(network, "one.weight")[0]
    return (np.sign(row) * 15 / np.abs(row).sum()).astype(np.float16)[np.newaxis]


def test_every_layer_in_order_and_the_first_that_departs(tmp_path: Path) -> None:
    network = load(tmp_path, "fp16")
    form, _ = network.compare({"x": too_large(network)}, layers=True).ways
    assert [entry.name for entry in form.differences] == ["one", "big", "huge", "two"]
    assert [int(entry.line.rpartition(":")[2]) for entry in form.differences] == [6, 7, 8, 9]
    first = form.first_beyond(0.05)
    assert first is not None
    assert first.name == "big"
    assert (first.absolute, first.relative) == (INF, INF)
    assert first.astray > 0
    assert form.differences[0].relative < 1e-2


def test_json_has_null_for_infinite_errors(tmp_path: Path) -> None:
    network = load(tmp_path, "fp16")
    comparison = network.compare({"x": too_large(network)}, layers=True)
    text = json.dumps(comparison.as_dict(), allow_nan=False)
    tensors = json.loads(text)["ways"][0]["tensors"]
    assert [entry["name"] for entry in tensors] == ["one", "big", "huge", "two"]
    assert tensors[2]["relative"] is None
    assert tensors[2]["astray"] > 0


def test_a_network_without_onnx_form_has_no_reference(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [2, 3]}\nlayers: [{op: trt.softmax, name: raw}]\n")
    with pytest.raises(ExportError, match="raw: it is a call of TensorRT's"):
        trtdsl.load(tmp_path / "net.yaml").compare()


def test_numbers_that_a_layer_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "trtdsl: 1\ninputs: {x: {shape: [2], dtype: int32}}\n"
        "layers: [{op: embedding, num_embeddings: 4, embedding_dim: 2}]\n"
    )
    network = trtdsl.load(tmp_path / "net.yaml", random_weights=True)
    with pytest.raises(RunError, match=r"ONNX Runtime does not run the network: .*out of"):
        network.run({"x": np.array([0, 9])}, reference=True)


def test_large_weights_take_the_way_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(tmp_path, "fp32")
    direct = network.run({"x": X}, reference=True)
    monkeypatch.setattr("trtdsl.running.reference.BESIDE_FROM", 1)
    over_files = network.run({"x": X}, reference=True)
    assert all(np.array_equal(direct[name], over_files[name]) for name in direct)


class Machine:
    """In place of a GPU: an engine that computes the reference, and is off where it is told to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, off: str = "") -> None:
        self.off = off
        self.built: list[Any] = []
        monkeypatch.setattr(gpu, "has_gpu", lambda: True)
        monkeypatch.setattr(gpu, "find_runtime", lambda choice: Runtime("tensorrt", (8, 6, 1)))
        monkeypatch.setattr(gpu.Runner, "run", self.run)
        monkeypatch.setattr(gpu, "bindings", lambda: None)

    def run(self, graph: Any, options: Any, inputs: Any, progress: Any = None) -> dict[str, Any]:
        self.built.append((graph, options))
        assert self.network is not None
        outputs = run_in_fp32(self.network, inputs)
        types = {output.name: graph.types[output.tensor].dtype.storage for output in graph.outputs}
        return {name: (array + (name == self.off)).astype(types[name]) for name, array in outputs.items()}

    network: Any = None


def test_the_engine_is_built_with_the_options_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    network = load(tmp_path, "fp16")
    machine.network = network.graph
    comparison = network.compare({"x": X}, options={"tf32": False})
    _, engine = comparison.ways
    assert engine.what == "engine of TensorRT 8.6.1"
    assert engine.not_run is None
    # The output y is delivered in fp16.
    assert 0 < engine.differences[0].relative < 2**-10
    assert engine.differences[1].relative == 0
    [(graph, options)] = machine.built
    assert graph is not network.typed
    assert graph.outputs == network.typed.outputs
    assert not options.tf32


def test_the_layer_where_an_engine_departs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, off="huge")
    network = load(tmp_path, "fp16")
    machine.network = compare.with_every_layer(network.graph)
    _, engine = network.compare({"x": X}, layers=True).ways
    first = engine.first_beyond(1e-3)
    assert first is not None
    assert (first.name, first.line.rpartition(":")[2], first.absolute) == ("huge", "8", pytest.approx(1))


def test_every_layer_is_an_output_of_what_is_built(tmp_path: Path, rtx: Runtime) -> None:
    from tests.targets.emitting import emitted
    from trtdsl.precision import assign_types

    graph = assign_types(compare.with_every_layer(load(tmp_path, "fp16").graph))
    assert emitted(graph, rtx).outputs == ["one", "big", "huge", "two"]


def test_the_result_is_typed() -> None:
    assert isinstance(Comparison((), 1.0).as_dict()["ways"], list)
