"""Of two convolutions that are summed, which is added first; that TensorRT fuses so is shown on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

import trtdsl
from trtdsl.targets.order import in_order_of_adding
from trtdsl.targets.runtime import describe_runtime

HEAD = "trtdsl: 1\ninputs: {x: [1, 8, 16, 16], y: [1, 8, 16, 16]}\nprecision: fp16\nlayers:\n"
LARGE = "  - {op: conv, name: large, in: x, out_channels: 8, kernel_size: 3, padding: 1}\n"
SMALL = "  - {op: conv, name: small, in: x, out_channels: 8, kernel_size: 1}\n"
SUM = "  - {op: add, name: sum, in: [%s]}\n"

CASES: dict[str, tuple[str, list[str]]] = {
    "the smaller goes first": (LARGE + SMALL + SUM % "large, small", ["small", "large", "sum"]),
    "whichever is named first": (LARGE + SMALL + SUM % "small, large", ["small", "large", "sum"]),
    "where it is first already": (SMALL + LARGE + SUM % "large, small", ["small", "large", "sum"]),
    "with its normalisation": (
        LARGE + SMALL + "  - {op: batch_norm, name: norm}\n" + SUM % "large, norm",
        ["small", "norm", "large", "sum"],
    ),
    "behind what it reads": (
        LARGE.replace("large", "first")
        + "  - {op: relu, name: r}\n"
        + LARGE.replace("in: x, ", "")
        + SMALL.replace("in: x", "in: r")
        + SUM % "large, small",
        ["first", "r", "small", "large", "sum"],
    ),
    "not before what it reads": (
        LARGE + "  - {op: tanh, name: t, in: y}\n" + SMALL.replace("in: x", "in: t") + SUM % "large, small",
        ["large", "t", "small", "sum"],
    ),
    "alike, as written": (LARGE + LARGE.replace("large", "other") + SUM % "large, other", ["large", "other", "sum"]),
    "read elsewhere too": (
        LARGE + SMALL + SUM % "large, small" + "  - {op: mul, name: again, in: [sum, small]}\n",
        ["large", "small", "sum", "again"],
    ),
    "an activation between": (
        LARGE + SMALL + "  - {op: relu, name: r}\n" + SUM % "large, r",
        ["large", "small", "r", "sum"],
    ),
    "groups have less to do": (
        LARGE + LARGE.replace("large", "thin").replace("padding: 1", "padding: 1, groups: 8") + SUM % "large, thin",
        ["thin", "large", "sum"],
    ),
    "one convolution": (LARGE + SUM % "large, y", ["large", "sum"]),
    "no other tensor": (LARGE + "  - {op: add, name: sum, other: 1.0}\n", ["large", "sum"]),
}


@pytest.mark.parametrize(("layers", "expected"), CASES.values(), ids=CASES)
def test_layers(layers: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + layers, encoding="utf-8")
    network = trtdsl.load(path, random_weights=True)
    ordered = in_order_of_adding(network.typed)
    assert [layer.name for layer in ordered.layers if "/" not in layer.name] == expected
    assert sorted(ordered.layers, key=lambda layer: layer.name) == sorted(
        network.typed.layers, key=lambda layer: layer.name
    )
    made = {entry.name for entry in ordered.inputs}
    for layer in ordered.layers:
        assert made.issuperset(name for name in layer.inputs if name is not None), layer.name
        made.update(layer.outputs)


def test_networks_are_built_and_written_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + LARGE + SMALL + SUM % "large, small", encoding="utf-8")
    network = trtdsl.load(path, random_weights=True)
    described = describe_runtime("tensorrt-8.6")
    names = [layer.name for layer in network.for_runtime(described).layers]
    assert names.index("small") < names.index("large")
    script, *_ = network.export_script(tmp_path / "net.py", runtime="tensorrt-8.6")
    text = script.read_text(encoding="utf-8")
    assert text.index(".name = 'small'") < text.index(".name = 'large'")
