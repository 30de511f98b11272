"""The definitions in networks/ become engines through TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
from tests.networks import files
from tests.networks.test_networks import NETWORKS, SMALL

pytest.importorskip("tensorrt_rtx", reason="builds engines: needs `pip install -e '.[rtx]'`")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("resnet18", "fp32"),
        ("resnet18", "fp16"),
        ("mobilenet_v2", "fp16"),
        ("cyclegan_generator", "fp32"),
        ("cyclegan_generator", "fp16"),
        ("unet", "fp16"),
        ("unet-bilinear", "fp32"),
        ("vit", "fp16"),
        ("gpt2", "fp32"),
        ("gpt2", "fp16"),
        ("gpt2", "bf16"),
    ],
)
def test_builds(name: str, precision: str, tmp_path: Path) -> None:
    case = SMALL[name]
    weights = tmp_path / "weights.safetensors"
    files.write_random(weights, case.state)
    network = trtdsl.load(
        NETWORKS / f"{case.network}.yaml",
        parameters=case.parameters,
        weights=[str(weights)],
        precision=precision,
    )
    engine = build(network, tmp_path)
    assert engine.warnings == ()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_digits_builds_with_the_weights_in_the_repository(precision: str, tmp_path: Path) -> None:
    build(trtdsl.load(NETWORKS / "digits.yaml", precision=precision), tmp_path)


def build(network: trtdsl.Network, folder: Path) -> trtdsl.engine.EngineFile:
    engine = network.build(folder / "network.engine", runtime="rtx", cache=False)
    assert engine.path.stat().st_size > 10_000
    return engine
