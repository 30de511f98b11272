"""The definitions in networks/: they take the published weights as they are, and give the published shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import trtdsl
from tests.networks import files, references
from tests.networks.references import StateDict
from trtdsl.check_weights import unused_keys
from trtdsl.errors import NetworkError
from trtdsl.graph import Graph
from trtdsl.types import DataType

NETWORKS = Path(__file__).parents[2] / "networks"


@dataclass(frozen=True)
class Case:
    """A network with some of its params set, the weights published for it, and the shape of its output.

    `output` has an entry for each axis: its size, or its sizes at the min, opt and max.
    """

    network: str
    state: StateDict
    output: tuple[int | tuple[int, int, int], ...]
    parameters: Mapping[str, object] = field(default_factory=dict)


BATCH = (1, 8, 32)
IMAGE = (64, 256, 1024)
MASK = (64, 512, 1024)
TOKENS = (1, 64, 1024)

FULL = {
    "resnet18": Case("resnet", references.resnet(18), (BATCH, 1000)),
    "resnet34": Case("resnet", references.resnet(34), (BATCH, 1000), {"depth": 34}),
    "resnet50": Case("resnet", references.resnet(50), (BATCH, 1000), {"depth": 50}),
    "resnet101": Case("resnet", references.resnet(101), (BATCH, 1000), {"depth": 101}),
    "resnet152": Case("resnet", references.resnet(152), (BATCH, 1000), {"depth": 152}),
    "mobilenet_v2": Case("mobilenet_v2", references.mobilenet_v2(), (BATCH, 1000)),
    "cyclegan_generator": Case("cyclegan_generator", references.cyclegan_generator(), ((1, 1, 4), 3, IMAGE, IMAGE)),
    "unet": Case("unet", references.unet(), ((1, 1, 8), 2, MASK, MASK)),
    "unet-bilinear": Case("unet", references.unet(bilinear=True), ((1, 1, 8), 2, MASK, MASK), {"bilinear": True}),
    "vit-tiny": Case("vit", references.vit(192, 12), (BATCH, 1000), {"size": "tiny"}),
    "vit-small": Case("vit", references.vit(384, 12), (BATCH, 1000), {"size": "small"}),
    "vit-base": Case("vit", references.vit(768, 12), (BATCH, 1000)),
    "vit-large": Case("vit", references.vit(1024, 24), (BATCH, 1000), {"size": "large"}),
    "gpt2": Case("gpt2", references.gpt2(768, 12), ((1, 1, 8), TOKENS, 50257)),
    "gpt2-medium": Case("gpt2", references.gpt2(1024, 24), ((1, 1, 8), TOKENS, 50257), {"size": "medium"}),
    "gpt2-large": Case("gpt2", references.gpt2(1280, 36), ((1, 1, 8), TOKENS, 50257), {"size": "large"}),
    "gpt2-xl": Case("gpt2", references.gpt2(1600, 48), ((1, 1, 8), TOKENS, 50257), {"size": "xl"}),
}
SMALL = {
    "resnet18": Case("resnet", references.resnet(18, 10), (BATCH, 10), {"classes": 10}),
    "resnet50": Case("resnet", references.resnet(50, 10), (BATCH, 10), {"depth": 50, "classes": 10}),
    "mobilenet_v2": Case("mobilenet_v2", references.mobilenet_v2(10), (BATCH, 10), {"classes": 10}),
    "cyclegan_generator": Case(
        "cyclegan_generator",
        references.cyclegan_generator(width=8, blocks=2),
        ((1, 1, 4), 3, IMAGE, IMAGE),
        {"width": 8, "blocks": 2},
    ),
    "unet": Case("unet", references.unet(width=8), ((1, 1, 8), 2, MASK, MASK), {"width": 8}),
    "unet-bilinear": Case(
        "unet",
        references.unet(width=8, bilinear=True),
        ((1, 1, 8), 2, MASK, MASK),
        {"width": 8, "bilinear": True},
    ),
    "vit": Case(
        "vit",
        references.vit(64, 2, classes=10),
        (BATCH, 10),
        {"width": 64, "depth": 2, "heads": 2, "classes": 10},
    ),
    "gpt2": Case(
        "gpt2",
        references.gpt2(64, 2, vocabulary=100),
        ((1, 1, 8), TOKENS, 100),
        {"width": 64, "depth": 2, "heads": 4, "vocabulary": 100},
    ),
}


WIDE = {
    "resnet": set(),
    "mobilenet_v2": set(),
    "cyclegan_generator": {"instance_norm"},
    "unet": set(),
    "vit": {"layer_norm"},
    "gpt2": {"layer_norm"},
}
"""The ops that add up many numbers, and so compute in fp32 when the network is asked for in fp16."""


def cases(table: Mapping[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in table.items()])


def load(case: Case, weights: Path, precision: str = "fp32") -> trtdsl.Network:
    source = NETWORKS / f"{case.network}.yaml"
    return trtdsl.load(source, parameters=case.parameters, weights=[str(weights)], precision=precision)


def output_sizes(graph: Graph) -> list[tuple[int, ...]]:
    (output,) = graph.outputs
    return [tuple(dim.sizes) for dim in graph.types[output.tensor].shape]


def expected_sizes(case: Case) -> list[tuple[int, ...]]:
    return [(size,) * 3 if isinstance(size, int) else size for size in case.output]


@cases(FULL)
def test_published_weights_just_fit(case: Case, tmp_path: Path) -> None:
    weights = tmp_path / "published.safetensors"
    files.write_zeros(weights, case.state)
    graph = load(case, weights).graph
    spare = {key for key in references.unused(case.state) if not key.endswith("num_batches_tracked")}
    assert set(unused_keys(graph, [weights])[weights]) == spare
    assert output_sizes(graph) == expected_sizes(case)


@cases(FULL)
def test_goes_without_weights_to_be_measured(case: Case) -> None:
    network = trtdsl.load(NETWORKS / f"{case.network}.yaml", parameters=case.parameters, random_weights=True)
    assert output_sizes(network.graph) == expected_sizes(case)
    shapes = {weight.shape for layer in network.graph.layers for weight in layer.weights.values() if weight.shape}
    published = {case.state[key] for key in case.state.keys() - references.unused(case.state)}
    # GPT-2's matrices are stored the other way round, and made up the right way.
    assert {tuple(sorted(shape)) for shape in shapes} == {tuple(sorted(shape)) for shape in published}


@cases(SMALL)
def test_fp16_keeps_fp32_where_many_numbers_add_up(case: Case, tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    files.write_random(weights, case.state)
    network = load(case, weights, "fp16")
    assert network.warnings == ()
    wide = {layer.op.kind for layer in network.typed.layers if layer.precision is DataType.FP32}
    assert wide - {"cast"} == WIDE[case.network]
    (output,) = network.typed.outputs
    assert network.typed.types[output.tensor].dtype is DataType.FP32


@cases(SMALL)
def test_expanded_file_is_the_same_network(case: Case, tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    files.write_random(weights, case.state)
    network = load(case, weights, "fp16")
    expanded = tmp_path / "expanded.yaml"
    expanded.write_text(network.expanded)
    again = trtdsl.load(expanded, weights=[str(weights)])
    assert summary(again.typed) == summary(network.typed)


def test_digits_needs_nothing_but_itself() -> None:
    network = trtdsl.load(NETWORKS / "digits.yaml", check_finite=True)
    assert output_sizes(network.graph) == [(1, 32, 512), (10, 10, 10)]
    weights = NETWORKS / "digits.safetensors"
    assert unused_keys(network.graph, [weights]) == {weights: []}


def test_cyclegan_takes_any_size_and_gives_the_next_multiple_of_four(tmp_path: Path) -> None:
    graph = resized("cyclegan_generator", tmp_path, height=[5, 254, 1023], width=[9, 10, 11])
    assert output_sizes(graph)[2:] == [(8, 256, 1024), (12, 12, 12)]
    with pytest.raises(NetworkError, match=r"reflect padding of 1 is more than axis 2 .* can give"):
        resized("cyclegan_generator", tmp_path, height=[4, 254, 1023], width=[9, 10, 11])


def test_unet_refuses_sizes_that_do_not_halve_four_times(tmp_path: Path) -> None:
    graph = resized("unet", tmp_path, height=[16, 48, 1600], width=[160, 176, 192])
    assert output_sizes(graph)[2:] == [(16, 48, 1600), (160, 176, 192)]
    with pytest.raises(NetworkError, match=r"concat of .*all axes but 1 have to agree"):
        resized("unet", tmp_path, height=[16, 40, 1600], width=[160, 176, 192])


def resized(network: str, folder: Path, *, height: list[int], width: list[int]) -> Graph:
    """A network whose input has other sizes than its file says."""
    text = (NETWORKS / f"{network}.yaml").read_text()
    changed, count = re.subn(r"H: \[.*?\], W: \[.*?\]", f"H: {height}, W: {width}", text)
    assert count == 1
    (folder / "resized.yaml").write_text(changed)
    return trtdsl.load(folder / "resized.yaml", random_weights=True).graph


def test_resnet_names_the_depths_there_are() -> None:
    with pytest.raises(NetworkError, match="there is no entry `20`, there are 18, 34, 50, 101, 152"):
        trtdsl.load(NETWORKS / "resnet.yaml", parameters={"depth": 20}, random_weights=True)


def summary(graph: Graph) -> list[object]:
    """All that a target sees of a graph."""
    layers = [
        (
            layer.name,
            repr(layer.op),
            layer.inputs,
            layer.outputs,
            layer.precision,
            {name: (weight.source.fingerprint(), weight.shape, weight.dtype) for name, weight in layer.weights.items()},
        )
        for layer in graph.layers
    ]
    types = {name: str(type) for name, type in graph.types.items()}
    return [layers, types, [(output.name, output.tensor) for output in graph.outputs]]
