"""What TensorRT 8.6 has to be told besides, in the calls that are written down for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.targets.emitting import typed
from trtdsl.build_options import BuildOptions
from trtdsl.errors import BuildError
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.script import write_script

OLD, NEW = Runtime("tensorrt", (8, 6, 1)), Runtime("tensorrt", (10, 15))
STRONG = BuildOptions(strongly_typed=True)


def written(folder: Path, text: str, runtime: Runtime, options: BuildOptions | None = None) -> str:
    """The program for a network."""
    path = folder / "net.yaml"
    return write_script(typed(path, text), runtime, options or BuildOptions(), source=path, weights="net.npz").text


DATA_DECIDES = "inputs: {x: [2, 8]}\nlayers: [non_zero]\n"
NOTHING_DECIDES = "inputs: {x: [2, 8]}\nlayers: [relu]\n"


def test_sizes_that_data_decide_want_a_profile(tmp_path: Path) -> None:
    """Without one 8.6.1 makes no execution context: `vector<bool>::_M_range_check`."""
    text = written(tmp_path, DATA_DECIDES, OLD)
    assert "profile.set_shape('x', (2, 8), (2, 8), (2, 8))" in text
    assert "config.add_optimization_profile(profile)" in text
    assert "add_optimization_profile" not in written(tmp_path, NOTHING_DECIDES, OLD)


QUANTIZED = (
    "inputs: {x: [2, 8]}\nlayers: [{op: quantize, scale: 0.5, name: q}, {op: dequantize, scale: 0.5, name: y}]\n"
)


def test_int8_outputs_are_asked_for(tmp_path: Path) -> None:
    """Left to itself 8.6.1 drops the quantisation, and gives fp32."""
    text = written(tmp_path, QUANTIZED + "outputs: [q, y]\n", OLD)
    assert "network.mark_output(q)\n    q.name = 'q'\n    q.dtype = trt.DataType.INT8\n" in text
    assert "y.dtype" not in text
    assert "q.dtype" not in written(tmp_path, QUANTIZED + "outputs: [q, y]\n", NEW, STRONG)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_outputs_in_fp16_are_asked_for(dtype: str, tmp_path: Path) -> None:
    """What a plugin gives comes out in fp32 otherwise, through a pass over memory of its own."""
    layers = "layers: [{op: relu, name: r}]\n"
    outputs = f"outputs: {{y: {{tensor: r, dtype: {dtype}}}}}\n"
    text = written(tmp_path, "inputs: {x: [2, 8]}\nprecision: fp16\n" + layers + outputs, OLD)
    assert ("dtype = trt.DataType.HALF\n" in text) == (dtype == "fp16")
    strongly = written(tmp_path, "inputs: {x: [2, 8]}\nprecision: fp16\n" + layers + outputs, NEW, STRONG)
    assert ".dtype = " not in strongly


LONE = {
    "masked_fill": "{op: masked_fill, in: [x, mask], value: -.inf}",
    "an operand": "{op: equal, in: x, other: .inf}",
    "a constant": "{op: constant, value: [[.inf]]}",
}
INPUTS = "inputs: {x: [2, 8], mask: {shape: [2, 8], dtype: bool}}\n"


@pytest.mark.parametrize("case", LONE)
def test_a_lone_infinity_is_the_larger_of_two(case: str, tmp_path: Path) -> None:
    """8.6.1 writes 1e38 for one where it fuses a choice between elements."""
    text = f"{INPUTS}layers: [{LONE[case]}]\n"
    assert "add_reduce" in written(tmp_path, text, OLD)
    assert "add_reduce" not in written(tmp_path, text, NEW)
    assert "add_reduce" not in written(tmp_path, text.replace(".inf", "3.0"), OLD)


def test_several_infinities_stay_as_they_are(tmp_path: Path) -> None:
    text = f"{INPUTS}layers: [{{op: constant, value: [.inf, .inf]}}]\n"
    assert "add_reduce" not in written(tmp_path, text, OLD)


MIXED = "inputs: {{x: [2, 8]}}\nprecision: {default}\nlayers: [{{op: softmax, name: s{asked}}}, relu]\n"


@pytest.mark.parametrize(
    ("default", "asked", "is_held"),
    [("fp16", ", precision: fp32", True), ("fp16", "", False), ("fp32", ", precision: fp32", False)],
)
def test_a_layer_that_asks_for_fp32_beside_fp16_is_held_to_it(
    default: str, asked: str, is_held: bool, tmp_path: Path
) -> None:
    text = written(tmp_path, MIXED.format(default=default, asked=asked), OLD)
    assert ("None, trt.DataType.FLOAT)" in text) is is_held


GRIDS = "inputs: {{x: [1, 1, 4, 4], grid: [1, 2, 2, 2]}}\nlayers:\n{layers}\noutputs: [one, two]\n"


def two_grids(one: str, two: str) -> str:
    layers = [
        f"- {{op: grid_sample, name: {name}, in: [x, grid], {kind}}}" for name, kind in (("one", one), ("two", two))
    ]
    return GRIDS.format(layers="\n".join(layers))


DISTINCT = {
    "modes": ("mode: bilinear", "mode: bicubic", "bilinear with zeros and bicubic with zeros"),
    "paddings": (
        "mode: bicubic",
        "mode: bicubic, padding_mode: border",
        "bicubic with zeros and bicubic with border",
    ),
}


@pytest.mark.parametrize(("one", "two", "said"), DISTINCT.values(), ids=DISTINCT)
def test_grid_samples_that_are_mixed_up_are_refused(one: str, two: str, said: str, tmp_path: Path) -> None:
    """8.6.1 runs one of them with the kernel of the other."""
    text = two_grids(one, two)
    with pytest.raises(
        BuildError, match=f"TensorRT 8.6.1 mixes up grid samples of different kinds .*: {said}"
    ) as error:
        written(tmp_path, text, OLD)
    assert "the same `mode`" in str(error.value.diagnostics[0].hint)
    assert "add_grid_sample" in written(tmp_path, text, NEW)


@pytest.mark.parametrize("other", ["mode: bicubic, align_corners: true", "mode: nearest, padding_mode: border"])
def test_grid_samples_that_are_told_apart(other: str, tmp_path: Path) -> None:
    assert written(tmp_path, two_grids("mode: bicubic", other), OLD).count("add_grid_sample") == 2
