"""On a weakly typed TensorRT the builder chooses types: the engine inspector has to show those that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import BuildError

NETWORKS = Path(__file__).parents[2] / "networks"
MIXED = """\
trtdsl: 1
inputs: {x: [1, 32, 32, 32]}
precision: {default: fp16, layers: {exact: fp32}}
layers:
  - {op: conv, name: first, out_channels: 32, kernel_size: 3}
  - relu
  - {op: conv, name: exact, out_channels: 32, kernel_size: 3}
  - {op: relu, name: sharp, precision: fp32}
  - {op: conv, name: last, out_channels: 32, kernel_size: 3}
"""


def precision_of(gpu: Any, network: trtdsl.Network, directory: Path) -> dict[str, Any]:
    """The manifest's report on an engine that is built here and now."""
    built = network.build(directory / "net.engine", runtime="tensorrt", options=gpu.options, cache=False)
    return dict(built.manifest["precision"])


# Each: params and sizes, and how many layers are found at least; the rest lies in Myelin nodes.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "digits": ({}, {"N": 1}, 12),
    "resnet": ({"depth": 18}, {"N": 1}, 60),
    "mobilenet_v2": ({}, {"N": 1}, 140),
    "cyclegan_generator": ({}, {"N": 1, "H": 256, "W": 256}, 20),
    "unet": ({}, {"N": 1, "H": 128, "W": 128}, 50),
    "vit": ({"size": "tiny"}, {"N": 1}, 1),
    "gpt2": ({"depth": 1}, {"N": 1, "T": 16}, 0),
}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "given"), CASES.items(), ids=CASES)
def test_networks_have_the_types_asked_for(
    name: str, given: tuple[dict[str, Any], dict[str, Any], int], precision: str, gpu: Any, tmp_path: Path
) -> None:
    parameters, dims, least = given
    network = trtdsl.load(
        NETWORKS / f"{name}.yaml",
        parameters=parameters,
        dims=dims,
        random_weights=name != "digits",
        precision=precision,
    )
    report = precision_of(gpu, network, tmp_path)
    hidden = sum(map(len, report["unverified"].values()))
    gpu.note(f"{name:20} {precision}  asked {report['layers']}  found {report['found']}  hidden {hidden}")
    assert report["why"] is None
    assert report["differs"] == {}
    assert sum(report["found"].values()) >= least
    assert hidden + sum(report["found"].values()) == sum(report["layers"].values())


def test_a_layer_kept_in_fp32_stays_so(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    report = precision_of(gpu, trtdsl.load(path, random_weights=True), tmp_path)
    assert report["verified"]
    assert report["found"] == {"fp16": 3, "fp32": 2}
    assert report["others"] == {"exact": "fp32", "sharp": "fp32"}


def test_what_tensorrt_computes_in_another_type_fails_the_build(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing holds it to the types of tensors, the builder takes a cast for a suggestion."""

    class Free:
        def constrain(self, *_: Any) -> None: ...

    monkeypatch.setattr("trtdsl.targets.tensorrt.weak_typing", lambda *_: Free())
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    with pytest.raises(BuildError) as error:
        precision_of(gpu, trtdsl.load(path, random_weights=True), tmp_path)
    found = {diagnostic.message.split(" ")[0]: diagnostic for diagnostic in error.value.diagnostics}
    gpu.note("without constraints: " + "; ".join(diagnostic.message[:90] for diagnostic in found.values()))
    assert {diagnostic.code for diagnostic in found.values()} == {"precision-differs"}
    assert {"first", "exact", "last"} & set(found)
    lines = {"first": 5, "relu": 6, "exact": 7, "sharp": 8, "last": 9}
    assert all(diagnostic.span and diagnostic.span.line == lines[name] for name, diagnostic in found.items())
    assert not (tmp_path / "net.engine").exists()
    path.write_text(MIXED.replace("layers: {exact: fp32}", "layers: {exact: fp32}, allow: ['*']"))
    report = precision_of(gpu, trtdsl.load(path, random_weights=True), tmp_path)
    # Another build may choose otherwise, but not all as asked.
    assert report["differs"]
    assert not report["verified"]


def test_without_the_inspectors_details_nothing_is_verified(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    for verbosity in ("none", "layer_names_only"):
        built = trtdsl.load(path, random_weights=True).build(
            tmp_path / "net.engine",
            runtime="tensorrt",
            options={**gpu.options, "profiling_verbosity": verbosity},
            cache=False,
        )
        assert built.manifest["precision"]["why"].startswith(f"`profiling_verbosity: {verbosity}`")


BEFORE = {
    "a kernel of its own": "{op: relu, in: x}",
    "among what Myelin fuses": "{op: softmax, in: x, dim: 1, name: shares}\n  - {op: add, in: [x, shares]}",
}
POOLS = ["op: global_avg_pool", "op: adaptive_avg_pool, output_size: 1", "op: avg_pool, kernel_size: 56"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("before", BEFORE)
def test_means_in_fp16_are_of_sums_in_fp32(before: str, pool: str, gpu: Any, tmp_path: Path) -> None:
    """Sums that are more than fp16 holds, whose means it holds."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "trtdsl: 1\ninputs: {x: [2, 64, 56, 56]}\nprecision: fp16\nlayers:\n"
        f"  - {BEFORE[before]}\n  - {{{pool}, name: y}}\n"
    )
    x = np.random.default_rng(0).normal(100, 20, (2, 64, 56, 56)).astype(np.float32)
    outputs = gpu.run(trtdsl.load(path), {"x": x}, tmp_path)
    rounded = x.astype(np.float16).astype(np.float64)
    powers = np.exp(rounded - rounded.max(1, keepdims=True))
    shares = powers / powers.sum(1, keepdims=True)
    pooled = rounded + shares if "shares" in BEFORE[before] else np.maximum(rounded, 0)
    np.testing.assert_allclose(outputs["y"], pooled.mean((2, 3), keepdims=True), rtol=1e-3)
