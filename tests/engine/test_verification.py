"""Types found in engines beside those that a network asks for: what fits, what differs, and what nobody can know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.engine.inspected import engine, layer
from trtdsl.engine.inspection import parse
from trtdsl.engine.verification import PrecisionReport, asked_only, verify_precision
from trtdsl.errors import BuildError

HEAD = """\
trtdsl: 1
inputs: {x: [1, 8, 4, 4]}
precision: PRECISION
layers:
"""
CONV = "{op: conv, out_channels: 8, kernel_size: 3, padding: 1, bias: false, name: "
CHAIN = f"""\
  - {CONV}conv}}
  - {{op: batch_norm, name: bn}}
  - {{op: relu, name: act}}
"""
CAST = layer("x/to_fp16", "MyelinReformat", {"x": "fp32"}, {"x/fp16": "fp16"})
BACK = layer("act/to_fp32", "MyelinReformat", {"act": "fp16"}, {"y": "fp32"})


def report(
    folder: Path,
    layers: str,
    precision: str,
    *found: dict[str, Any],
    allowed: Sequence[str] = (),
    outputs: str = "y: act",
) -> PrecisionReport:
    path = folder / "net.yaml"
    path.write_text(HEAD.replace("PRECISION", precision) + layers + f"outputs: {{{outputs}}}\n")
    network = trtdsl.load(path, random_weights=True)
    return verify_precision(network.typed, parse(engine(*found)), allowed)


def fused(name: str = "conv + bn + act", *, weights: str = "fp16", out: str = "fp16", given: str = "fp16") -> Any:
    return layer(name, "CaskConvolution", {"x/fp16": given}, {"act": out}, weights=weights, tactic="kernel")


def test_all_as_asked(tmp_path: Path) -> None:
    described = report(tmp_path, CHAIN, "fp16", CAST, fused(), BACK).as_dict()
    assert described == {
        "layers": {"fp16": 3},
        "others": {},
        "verified": True,
        "why": None,
        "found": {"fp16": 3},
        "differs": {},
        "unverified": {},
        "unquantized": {},
    }


def behind(given: str = "fp16") -> Any:
    """The kernel of a convolution that reads the activation."""
    return layer("next", "CaskConvolution", {"act": given}, {"next": "fp16"}, weights="fp16", tactic="kernel")


OF_WEIGHTS = {"conv": ("fp32", "the weights of `conv + bn + act` (kernel) are fp32")}
BETWEEN = {
    "act": ("fp32", "act at `conv + bn + act` (kernel) is fp32"),
    "next": ("fp32", "act at `next` (kernel) is fp32"),
}

# Each: what the engine has instead, and what is to be said of which layers.
DIFFERENT: dict[str, tuple[list[Any], dict[str, tuple[str, str]]]] = {
    "the weights are wider": ([fused(weights="fp32"), behind()], OF_WEIGHTS),
    "what lies between two layers is wider": ([fused(out="fp32"), behind("fp32")], BETWEEN),
    "all is wider": (
        [fused(weights="fp32", out="fp32", given="fp32"), behind("fp32")],
        {**OF_WEIGHTS, **BETWEEN},
    ),
}


@pytest.mark.parametrize(("kernels", "expected"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_refused_with_layer_and_line(
    kernels: list[Any], expected: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    found = report(tmp_path, CHAIN + f"  - {CONV}next}}\n", "fp16", CAST, *kernels, outputs="y: next")
    differs = found.as_dict()["differs"]
    assert {name: (entry["found"], entry["why"]) for name, entry in differs.items()} == expected
    assert not found.as_dict()["verified"]
    with pytest.raises(BuildError) as error:
        found.check()
    lines = {"conv": 5, "bn": 6, "act": 7, "next": 8}
    for diagnostic, (name, (dtype, why)) in zip(error.value.diagnostics, expected.items(), strict=True):
        assert diagnostic.code == "precision-differs"
        assert diagnostic.message == f"{name} is to compute in fp16, and TensorRT computes it in {dtype}: {why}"
        assert diagnostic.span is not None
        assert diagnostic.span.line == lines[name]


def test_what_is_allowed_by_name_is_told_and_not_refused(tmp_path: Path) -> None:
    found = report(tmp_path, CHAIN, "fp16", CAST, fused(weights="fp32"), BACK, allowed=["co*"])
    found.check()
    assert list(found.as_dict()["differs"]) == ["conv"]
    with pytest.raises(BuildError):
        report(tmp_path, CHAIN, "fp16", CAST, fused(weights="fp32"), BACK, allowed=["act"]).check()


# Each: the layers of an engine in which types are hidden, and the reasons.
HIDDEN: dict[str, tuple[list[Any], dict[str, list[str]]]] = {
    "a Myelin node": (
        [layer("{ForeignNode[conv...act]}", "Myelin", {"x/fp16": "fp16"}, {"act": "fp16"})],
        {
            "inside of {ForeignNode[conv...act]}": ["conv", "bn", "act"],
        },
    ),
    "open sizes": (
        [layer("conv + bn + act", "CaskConvolution", {"x/fp16": ""}, {"act": ""})],
        {"the inspector tells no types of conv + bn + act": ["conv", "bn", "act"]},
    ),
    "layers that are gone": (
        [layer("conv", "CaskConvolution", {"x/fp16": "fp16"}, {"unknown": "fp16"}, weights="fp16")],
        {"no layer of the engine is known to have it": ["bn", "act"]},
    ),
}


@pytest.mark.parametrize(("kernels", "expected"), HIDDEN.values(), ids=HIDDEN)
def test_what_fusion_hides_is_unverified(kernels: list[Any], expected: dict[str, list[str]], tmp_path: Path) -> None:
    found = report(tmp_path, CHAIN, "fp16", CAST, *kernels, BACK)
    found.check()
    assert found.as_dict()["unverified"] == expected
    assert not found.as_dict()["verified"]


def test_a_layer_whose_name_is_dropped_lies_between_what_is_read_and_written(tmp_path: Path) -> None:
    copy = layer(
        "Reformatting CopyNode for Output Tensor 0 to conv",
        "Reformat",
        {"Reformatted Output Tensor 0 to conv": "fp16"},
        {"act": "fp16"},
    )
    kernel = fused("conv")
    kernel["Outputs"][0]["Name"] = "Reformatted Output Tensor 0 to conv"
    assert report(tmp_path, CHAIN, "fp16", CAST, kernel, copy, BACK).as_dict()["verified"]
    # What another kernel gives is not its own.
    first = layer("conv", "CaskConvolution", {"x/fp16": "fp16"}, {"conv": "fp16"}, weights="fp16")
    second = layer("other", "PointWiseV2", {"conv": "fp16"}, {"act": "fp16"})
    assert report(tmp_path, CHAIN, "fp16", CAST, first, second, BACK).as_dict()["found"] == {"fp16": 3}


def test_a_myelin_node_that_gives_another_type_differs(tmp_path: Path) -> None:
    node = layer("{ForeignNode[conv...act]}", "Myelin", {"x/fp16": "fp16"}, {"act": "fp32"})
    found = report(tmp_path, CHAIN + f"  - {CONV}next}}\n", "fp16", CAST, node, behind(), outputs="y: next")
    assert list(found.as_dict()["differs"]) == ["act"]


# Casts that 8.6.1 leaves out: what they would have rounded stays in fp32, which loses nothing.
UNCAST: dict[str, tuple[list[Any], list[str]]] = {
    "behind the input": ([fused(given="fp32")], []),
    "before the output": ([fused(out="fp32")], []),
    "around a Myelin node": (
        [layer("{ForeignNode[conv...act]}", "Myelin", {"x/fp16": "fp32"}, {"act": "fp32"})],
        ["conv", "act"],
    ),
}


@pytest.mark.parametrize(("kernels", "unknown"), UNCAST.values(), ids=UNCAST)
def test_a_cast_that_is_left_out_is_no_difference(kernels: list[Any], unknown: list[str], tmp_path: Path) -> None:
    found = report(tmp_path, CHAIN, "fp16", CAST, *kernels, BACK)
    found.check()
    why = "TensorRT left out a cast beside it, and may compute it in fp32"
    assert found.as_dict()["unverified"].get(why, []) == unknown


QUANTIZED = """\
trtdsl: 1
inputs: {x: [1, 8, 8, 8]}
precision: {default: int8, fallback: fp16}
quantization: {tensors: {x: 0.1, act: 0.1}}
layers:
  - {op: conv, name: first, out_channels: 8, kernel_size: 3}
  - {op: avg_pool, name: pool, kernel_size: 2}
  - {op: relu, name: act}
  - {op: conv, name: last, out_channels: 8, kernel_size: 3}
"""


READ_AS_FLOATS = "  - {op: softmax, in: act, dim: 1, precision: fp16}\n"


@pytest.mark.parametrize(("more", "differs"), [("", []), (READ_AS_FLOATS, ["act"])], ids=["only", "read as floats too"])
def test_what_is_only_quantised_may_be_wider_before(more: str, differs: list[str], tmp_path: Path) -> None:
    """As an H200 showed it of the CycleGAN generator in int8: a Myelin node gives fp32 to what is rounded anyway."""
    path = tmp_path / "net.yaml"
    path.write_text(QUANTIZED + more)
    node = "{ForeignNode[pool...act]}"
    inspection = parse(
        engine(
            layer("x/int8", "Reformat", {"x": "fp32"}, {"x/int8": "int8"}),
            layer("first", "CaskConvolution", {"x/int8": "int8"}, {"first": "fp16"}, weights="int8"),
            layer(node, "Myelin", {"first": "fp16"}, {"act": "fp32"}),
            layer("act/int8", "Reformat", {"act": "fp32"}, {"act/int8": "int8"}),
            layer("last", "CaskConvolution", {"act/int8": "int8"}, {"last": "fp16"}, weights="int8"),
        )
    )
    found = verify_precision(trtdsl.load(path, random_weights=True).typed, inspection)
    assert list(found.as_dict()["differs"]) == differs


NORM_IN_FP32 = f"""\
  - {CONV}conv}}
  - {{op: instance_norm, name: norm}}
  - {{op: relu, name: act}}
  - {CONV}next}}
  - {{op: relu, name: end}}
"""
NORM = "{ForeignNode[conv/to_fp32...act]}"
NORM_AND_ACT = [layer(NORM, "Myelin", {"conv": "fp16"}, {"act": "fp32"})]
ACT_ALONE = [
    layer("{ForeignNode[conv/to_fp32...norm]}", "Myelin", {"conv": "fp16"}, {"norm": "fp16"}),
    layer("act", "PointWiseV2", {"norm": "fp16"}, {"act": "fp32"}),
]
PRODUCT = [layer("{ForeignNode[conv/to_fp32...next]}", "Myelin", {"conv": "fp16"}, {"next": "fp32"})]

# Each: what follows the convolution, the layers that may be in fp32, and those that are though fp16 was asked for.
AFTER_FP32: dict[str, tuple[list[Any], list[str], list[str]]] = {
    "in the node of the cast": ([*NORM_AND_ACT, behind("fp32")], ["act"], []),
    "in a kernel of its own": ([*ACT_ALONE, behind()], [], ["act"]),
    "a product": (PRODUCT, [], ["next"]),
}


@pytest.mark.parametrize(("kernels", "unknown", "differs"), AFTER_FP32.values(), ids=AFTER_FP32)
def test_fp32_goes_on_behind_a_cast_that_is_left_out(
    kernels: list[Any], unknown: list[str], differs: list[str], tmp_path: Path
) -> None:
    """As an H200 showed it of the CycleGAN generator in fp16: of some builds, the ReLU behind a norm gives fp32."""
    conv = layer("conv", "CaskConvolution", {"x/fp16": "fp16"}, {"conv": "fp16"}, weights="fp16")
    described = report(tmp_path, NORM_IN_FP32, "fp16", CAST, conv, *kernels, outputs="y: end").as_dict()
    assert list(described["differs"]) == differs
    why = "TensorRT left out a cast beside it, and may compute it in fp32"
    assert described["unverified"].get(why, []) == unknown


def test_a_cast_to_fp32_that_is_left_out_is_one(tmp_path: Path) -> None:
    layers = CHAIN.replace("name: act", "name: act, precision: fp32")
    conv = layer("conv + bn", "CaskConvolution", {"x/fp16": "fp16"}, {"bn": "fp16"}, weights="fp16")
    act = layer("act", "PointWiseV2", {"bn/fp32": "fp16"}, {"y": "fp32"})
    assert list(report(tmp_path, layers, "fp16", CAST, conv, act).as_dict()["differs"]) == ["act"]


def test_a_choice_that_861_makes_in_fp32(tmp_path: Path) -> None:
    """As an H200 showed it: the casts do nothing, and the node between them reads and gives fp32."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "trtdsl: 1\ninputs: {c: {shape: [4], dtype: bool}, x: [4], y: [4]}\nprecision: fp16\n"
        "layers: [{op: where, name: where, in: [c, x, y]}]\noutputs: {out: where}\n"
    )
    inspection = parse(
        engine(
            layer("x/to_fp16", "NoOp", {"x": "fp32"}, {"x/fp16": "fp32"}),
            layer("y/to_fp16", "NoOp", {"y": "fp32"}, {"y/fp16": "fp32"}),
            layer("{ForeignNode[where]}", "Myelin", {"x/fp16": "fp32", "y/fp16": "fp32"}, {"where": "fp32"}),
            layer("where/to_fp32", "NoOp", {"where": "fp32"}, {"out": "fp32"}),
        )
    )
    found = verify_precision(trtdsl.load(path).typed, inspection)
    found.check()
    assert list(found.as_dict()["unverified"].values()) == [["where"]]


def test_open_sizes_leave_the_weights_to_go_by(tmp_path: Path) -> None:
    kernel = layer("conv + bn + act", "CaskConvolution", {"x/fp16": ""}, {"act": ""}, weights="fp16")
    assert report(tmp_path, CHAIN, "fp16", CAST, kernel, BACK).as_dict()["verified"]
    kernel = layer("conv + bn + act", "CaskConvolution", {"x/fp16": ""}, {"act": ""}, weights="fp32")
    assert list(report(tmp_path, CHAIN, "fp16", CAST, kernel, BACK).as_dict()["differs"]) == ["conv"]


def test_one_kernel_of_layers_that_ask_for_different_types(tmp_path: Path) -> None:
    found = report(tmp_path, CHAIN, "{default: fp16, layers: {bn: fp32}}", CAST, fused(), BACK)
    assert found.as_dict()["unverified"] == {"fused into conv + bn + act, which has fp16": ["bn"]}
    assert found.as_dict()["others"] == {"bn": "fp32"}


def test_copies_casts_and_shapes_are_no_layers(tmp_path: Path) -> None:
    copy = layer(
        "Reformatting CopyNode for Input Tensor 0 to conv + bn + act",
        "Reformat",
        {"x/fp16": "fp16"},
        {"Reformatted Input Tensor 0 to conv + bn + act": "fp32"},
    )
    layers = CHAIN + "  - {op: shape, name: sizes}\n"
    found = report(tmp_path, layers, "fp16", CAST, copy, fused(), BACK, outputs="y: act, s: sizes")
    assert [verdict.layer.name for verdict in found.verdicts] == ["conv", "bn", "act"]
    assert found.as_dict()["verified"]


def test_outputs_bear_their_outside_names(tmp_path: Path) -> None:
    kernel = layer("conv", "CaskConvolution", {"x/fp16": "fp16"}, {"conv/inner": "fp16"}, weights="fp16")
    cast = layer("conv/to_fp32", "MyelinReformat", {"conv/inner": "fp16"}, {"conv": "fp32"})
    rest = layer("PWN(bn, act)", "PointWiseV2", {"conv/inner": "fp16"}, {"act": "fp16"})
    found = report(tmp_path, CHAIN, "fp16", CAST, kernel, cast, rest, outputs="y: act, conv: conv")
    assert found.as_dict()["verified"]
    rest = layer("PWN(bn, act)", "PointWiseV2", {"conv/inner": "fp16"}, {"unknown": "fp16"})
    found = report(tmp_path, CHAIN, "fp16", CAST, kernel, cast, rest, outputs="y: act, conv: conv")
    assert found.as_dict()["found"] == {"fp16": 3}


def test_names_with_parts_numbers_and_what_tensorrt_adds(tmp_path: Path) -> None:
    layers = "  - {op: flatten, name: flat}\n  - {op: linear, name: block.0.fc, out_features: 4}\n"
    fc = layer(
        "block.0.fc/matrixmultiply#2",
        "CaskGemmConvolution",
        {"Reformatted Input Tensor 0 to block.0.fc/matrixmultiply": "fp16"},
        {"block.0.fc/matrixmultiply_out_tensor": "fp16"},
        weights="fp16",
    )
    after = layer("reshape_after_block.0.fc/matrixmultiply#2", "NoOp", {}, {"block.0.fc": "fp16"})
    flat = layer("flat", "NoOp", {"x": "fp32"}, {"flat": "fp32"})
    cast = layer("flat/to_fp16", "MyelinReformat", {"flat": "fp32"}, {"flat/fp16": "fp16"})
    found = report(tmp_path, layers, "fp16", flat, cast, fc, after, outputs="y: block.0.fc").as_dict()
    assert found["verified"]
    assert found["layers"] == {"fp32": 1, "fp16": 1}


def test_numbers_of_layers_that_nobody_named_are_no_names(tmp_path: Path) -> None:
    layers = f"  - {CONV}'0'}}\n  - {CONV}'1', precision: fp32}}\n"
    first = layer("0", "CaskConvolution", {"x/fp16": "fp16"}, {"0": "fp16"}, weights="fp16")
    name = "1 + unsqueeze_node_after_1/constant_(Unnamed Layer* 0) [Constant]_output"
    second = layer(name, "CaskConvolution", {"0/fp32": "fp32"}, {"y": "fp32"}, weights="fp32")
    assert report(tmp_path, layers, "fp16", CAST, first, second, outputs="y: '1'").as_dict()["verified"]


def test_what_only_moves_elements_is_asked_for_their_type(tmp_path: Path) -> None:
    layers = CHAIN.replace("name: act", "name: act, precision: fp32")
    layers += "  - {op: flatten, name: flat}\n"
    kernels = [
        layer("conv + bn", "CaskConvolution", {"x/fp16": "fp16"}, {"bn": "fp16"}, weights="fp16"),
        layer("act", "PointWiseV2", {"bn/fp32": "fp32"}, {"act": "fp32"}),
        layer("flat", "NoOp", {"act": "fp32"}, {"flat": "fp32"}),
    ]
    found = report(tmp_path, layers, "fp16", CAST, *kernels, outputs="y: flat, z: conv")
    assert found.as_dict()["verified"]
    assert found.as_dict()["others"] == {"act": "fp32", "flat": "fp32"}


def test_quantisation_that_moved_is_no_difference(tmp_path: Path) -> None:
    layers = CHAIN + "  - {op: max_pool, name: pool, kernel_size: 2}\n"
    pool = layer("pool", "CaskPooling", {"act": "int8"}, {"pool": "int8"})
    found = report(tmp_path, layers, "fp16", CAST, fused(out="int8"), pool, outputs="y: pool")
    found.check()
    assert found.as_dict()["unverified"] == {"TensorRT moved quantisation across it": ["pool"]}


def test_an_engine_that_tells_names_only_is_unverified(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD.replace("PRECISION", "fp16") + CHAIN)
    graph = trtdsl.load(path, random_weights=True).typed
    found = verify_precision(graph, parse('{"Layers": ["conv + bn + act"]}')).as_dict()
    assert found["why"] == "the engine was not built with `profiling_verbosity: detailed`"
    assert (found["verified"], found["found"], found["unverified"]) == (False, {}, {})
    assert asked_only(graph, "no GPU").as_dict()["why"] == "no GPU"


# What 8.6.1 built on an H200 out of networks of this repository: its own words, and what they are worth.
RECORDED = Path(__file__).parent / "recorded"
NETWORKS = Path(__file__).parents[2] / "networks"
BUILT: dict[str, tuple[Path, dict[str, Any], dict[str, int], dict[str, list[str]]]] = {
    "mixed": (
        RECORDED / "mixed.yaml",
        {},
        {"fp16": 6, "fp32": 3},
        {"inside of {ForeignNode[norm/constant...norm]}": ["norm"]},
    ),
    "quantised": (RECORDED / "quantised.yaml", {}, {"fp32": 3}, {"TensorRT moved quantisation across it": ["pool"]}),
    "digits": (
        NETWORKS / "digits.yaml",
        {"precision": "fp16"},
        {"fp16": 10},
        {
            "the inspector tells no types of max_pool": ["max_pool"],
            "the inspector tells no types of max_pool_1": ["max_pool_1"],
            "the inspector tells no types of flatten + reshape_before_fc/matrixmultiply": ["flatten"],
        },
    ),
}


@pytest.mark.parametrize("name", BUILT)
def test_what_861_built_on_an_h200(name: str) -> None:
    path, given, found, unverified = BUILT[name]
    network = trtdsl.load(path, random_weights=True, **given)
    inspection = parse((RECORDED / f"{name}-8.6.1.json").read_text())
    described = verify_precision(network.typed, inspection).as_dict()
    assert described["found"] == found
    assert described["unverified"] == unverified
    assert described["differs"] == {}


def test_what_861_built_on_an_h200_in_int8(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="calibrates on a CPU: pip install 'trtdsl[onnx]'")
    (tmp_path / "data").mkdir()
    images = np.random.default_rng(0).uniform(0, 1, (32, 1, 8, 8)).astype(np.float32)
    np.save(tmp_path / "data" / "0.npy", images)
    given: dict[str, Any] = {"dims": {"N": 32}}
    wide = trtdsl.load(NETWORKS / "digits.yaml", **given)
    scales, _ = wide.calibrate(tmp_path / "data", tmp_path / "net.scales", method="min-max")
    network = trtdsl.load(NETWORKS / "digits.yaml", **given, precision="int8", scales=scales)
    inspection = parse((RECORDED / "digits-int8-8.6.1.json").read_text())
    described = verify_precision(network.typed, inspection).as_dict()
    assert described["layers"] == {"int8": 4, "fp16": 9}
    assert described["found"] == {"int8": 4}
    assert described["differs"] == {}
    assert described["unverified"] == {
        "in the kernel of a product of quantised numbers": ["bn1", "relu", "bn2", "relu_1", "bn3", "relu_2"],
        "TensorRT moved quantisation across it": ["max_pool", "max_pool_1", "flatten"],
    }
    # An engine in which they were not quantised would not do: it would be silently wider.
    text = (RECORDED / "digits-int8-8.6.1.json").read_text()
    unquantized = parse(text.replace('"Weights": {"Type": "Int8"', '"Weights": {"Type": "Half"'))
    refused = verify_precision(network.typed, unquantized)
    assert set(refused.as_dict()["differs"]) == {"conv1", "conv2", "conv3", "fc"}


@pytest.mark.parametrize(
    ("asked", "differs"),
    [
        ("{default: fp16, layers: {softmax: fp16}}", {"exact"}),
        ("fp32", {"first", "g", "last", "sum", "softmax", "flat", "fc"}),
    ],
    ids=["one narrower", "all wider"],
)
def test_that_engine_would_not_do_for_other_types(asked: str, differs: set[str], tmp_path: Path) -> None:
    text = (RECORDED / "mixed.yaml").read_text()
    path = tmp_path / "mixed.yaml"
    path.write_text(text.replace("{default: fp16, layers: {exact: fp32, softmax: fp16}}", asked))
    network = trtdsl.load(path, random_weights=True)
    inspection = parse((RECORDED / "mixed-8.6.1.json").read_text())
    assert set(verify_precision(network.typed, inspection).as_dict()["differs"]) == differs
