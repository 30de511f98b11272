"""Norms and what follows them as one layer: where that is done, and that it changes no number."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph
from trtdsl.implementation import chosen_plugins, implement
from trtdsl.infer import infer
from trtdsl.precision import assign_types
from trtdsl.running import make_inputs, run_in_fp32

HEAD = """
trtdsl: 1
impl: auto
dims: {N: [1, 2, 3], H: [5, 9, 33], W: [6, 7, 12]}
inputs: {x: [N, 8, H, W], y: [N, 8, H, W]}
layers:
"""

CASES = {
    "norm alone is its plugin": ("- {op: instance_norm, name: n, in: x}", {"n": "InstanceNorm"}),
    "norm and relu": ("- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r}", {"n + r": "InstanceNorm"}),
    "norm and leaky_relu": (
        "- {op: instance_norm, name: n, affine: true, in: x}\n- {op: leaky_relu, name: r, negative_slope: 0.2}",
        {"n + r": "InstanceNorm"},
    ),
    "norm and pad": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: [1, 2, 3, 0], mode: reflect}",
        {"n + p": "InstanceNormPad"},
    ),
    "all of it": (
        "- {op: instance_norm, name: n, affine: true, in: x}\n- {op: relu, name: r}\n- {op: add, name: s, in: [r, y]}\n"
        "- {op: pad, name: p, padding: 2, mode: edge}",
        {"n + r + s + p": "InstanceNormPad"},
    ),
    "the residual comes first in the sum": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, in: [y, n]}",
        {"n + s": "InstanceNormPad"},
    ),
    "the residual comes after the norm": (
        "- {op: instance_norm, name: n, in: x}\n- {op: sigmoid, name: g, in: y}\n- {op: add, name: s, in: [n, g]}",
        {"n + s": "InstanceNormPad"},
    ),
    "the sum of two norms is one of theirs": (
        "- {op: instance_norm, name: n, in: x}\n- {op: instance_norm, name: m, in: y}\n- {op: relu, name: r}\n"
        "- {op: add, name: s, in: [r, n]}",
        {"n + s": "InstanceNormPad", "m + r": "InstanceNorm"},
    ),
    "a norm added to itself": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, in: [n, n]}",
        {"n": "InstanceNorm"},
    ),
    "a padded sum is the next one's residual": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, in: [n, y]}\n"
        "- {op: pad, name: p, padding: [1, 1, 2, 0], mode: reflect}\n"
        "- {op: conv, name: c, out_channels: 8, kernel_size: 3}\n"
        "- {op: instance_norm, name: m}\n- {op: add, name: t, in: [m, s]}",
        {"n + s + p": "InstanceNormPad", "m + t": "InstanceNormPad"},
    ),
    "a padded sum that several later ones add": (
        "- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r}\n"
        "- {op: pad, name: p, padding: 1, mode: reflect}\n- {op: conv, name: c, out_channels: 8, kernel_size: 3}\n"
        "- {op: instance_norm, name: m}\n- {op: add, name: t, in: [m, r]}\n"
        "- {op: instance_norm, name: o, in: y}\n- {op: add, name: u, in: [r, o]}\n- {op: sub, in: [t, u]}",
        {"n + r + p": "InstanceNormPad", "m + t": "InstanceNormPad", "o + u": "InstanceNormPad"},
    ),
    "a padded sum that a product reads stays beside its padding": (
        "- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r}\n- {op: mul, name: m, in: [r, y]}\n"
        "- {op: pad, name: p, padding: 1, mode: reflect, in: r}\n"
        "- {op: conv, name: c, out_channels: 8, kernel_size: 3}\n- {op: add, in: [m, c]}",
        {"n + r": "InstanceNorm", "p": "ReflectPad"},
    ),
    "what is padded twice is not fused": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: 1, mode: reflect, in: n}\n"
        "- {op: pad, name: q, padding: 1, mode: edge, in: n}\n- {op: sub, in: [p, q]}",
        {"n": "InstanceNorm", "p": "ReflectPad", "q": "ReflectPad"},
    ),
    "an activation after the sum stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, in: [n, y]}\n- {op: relu, name: r}",
        {"n + s": "InstanceNormPad"},
    ),
    "an activation that the plugin has not stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: tanh, name: r}",
        {"n": "InstanceNorm"},
    ),
    "somebody else reads the norm": (
        "- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r}\n- {op: sub, name: d, in: [r, n]}",
        {"n": "InstanceNorm"},
    ),
    "somebody else reads what is padded": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: 1, mode: reflect}\n"
        "- {op: sub, name: d, in: [x, n]}\n- {op: pad, name: q, padding: 1}\n- {op: add, in: [p, q]}",
        {"n": "InstanceNorm", "p": "ReflectPad"},
    ),
    "a padding with zeros stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: 1}",
        {"n": "InstanceNorm"},
    ),
    "a padding of other axes stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: [0, 0, 0, 0, 1, 1], mode: replicate}",
        {"n": "InstanceNorm"},
    ),
    "a sum that broadcasts stays": (
        "- {op: global_avg_pool, name: g, in: y}\n- {op: instance_norm, name: n, in: x}\n"
        "- {op: add, name: s, in: [n, g]}",
        {"n": "InstanceNorm"},
    ),
    "a sum with a number stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, other: 2}",
        {"n": "InstanceNorm"},
    ),
    "a native padding stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: 1, mode: reflect, impl: native}",
        {"n": "InstanceNorm"},
    ),
    "a native relu stays, though it has no plugin of its own": (
        "- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r, impl: native}",
        {"n": "InstanceNorm"},
    ),
    "a native sum stays": (
        "- {op: instance_norm, name: n, in: x}\n- {op: add, name: s, in: [n, y], impl: native}",
        {"n": "InstanceNorm"},
    ),
    "a native norm begins nothing": (
        "- {op: instance_norm, name: n, in: x, impl: native}\n- {op: leaky_relu, name: r}",
        {},
    ),
    "activations are fused by TensorRT itself": ("- {op: leaky_relu, in: x}\n- mish\n- hard_swish", {}),
    "unless they are asked for": (
        "- {op: leaky_relu, name: l, in: x, impl: plugin}\n- {op: mish, name: m, impl: plugin}\n"
        "- {op: hard_swish, name: h, impl: plugin}",
        {"l": "LeakyReLU", "m": "Mish", "h": "HardSwish"},
    ),
    "other precisions stay": (
        "- {op: instance_norm, name: n, in: x}\n- {op: relu, name: r, precision: fp16}",
        {"n": "InstanceNorm"},
    ),
    "no kernel of bf16": ("- {op: instance_norm, name: n, in: x, precision: bf16}", {}),
    "integers are padded natively": (
        "- {op: cast, in: x, dtype: int32}\n- {op: pad, name: p, padding: 1, mode: replicate}",
        {},
    ),
    "inside of a branch": (
        "- {op: reduce_mean, name: m, in: x, dim: [0, 1, 2, 3]}\n- {op: greater, name: b, other: 0}\n"
        "- {op: if, name: i, in: b, then: [{op: instance_norm, name: n, in: x}, {op: relu, name: r}],"
        " else: [{op: relu, in: x}]}",
        {"i.then.n + i.then.r": "InstanceNorm"},
    ),
    "the end of a branch is no reader of the same branch": (
        "- {op: reduce_mean, name: m, in: x, dim: [0, 1, 2, 3]}\n- {op: greater, name: b, other: 0}\n"
        "- {op: instance_norm, name: n, in: x}\n"
        "- {op: if, name: i, in: b, then: [{op: relu, name: r, in: n}], else: [{op: tanh, in: y}]}",
        {"n": "InstanceNorm"},
    ),
    "inside of a loop": (
        "- {op: loop, name: l, state: {h: x}, count: 2, layers: [{op: instance_norm, name: n, in: h},"
        " {op: relu, name: r}, {op: add, name: s, in: [r, y]}]}",
        {"l.n + l.r + l.s": "InstanceNormPad"},
    ),
}
OUTPUTS = {
    "the norm": ("[n, p]", {"n": "InstanceNorm", "p": "ReflectPad"}),
    "the activation": ("[r, p]", {"n + r": "InstanceNorm", "p": "ReflectPad"}),
    "the sum": ("[s, p]", {"n + r + s": "InstanceNormPad", "p": "ReflectPad"}),
    "the end": ("[p]", {"n + r + s + p": "InstanceNormPad"}),
}


def _load(tmp_path: Path, layers: str, **given: Any) -> trtdsl.Network:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + "".join(f"  {line}\n" for line in layers.splitlines() if not line.startswith("outputs")))
    with path.open("a") as file:
        file.writelines(line for line in layers.splitlines() if line.startswith("outputs"))
    return trtdsl.load(path, random_weights=True, **given)


def _implemented(network: trtdsl.Network, lacking: str = "") -> Graph:
    return implement(network.graph, network.typed, lambda name: name != lacking)


def _plugins(graph: Graph) -> dict[str, object]:
    chosen = {name: entry for name, entry in chosen_plugins(graph).items() if entry["plugin"]}
    assert all(name == " + ".join(entry.get("layers", [name])) for name, entry in chosen.items())  # type: ignore[call-overload]
    return {name: entry["plugin"] for name, entry in chosen.items()}


def _check_equal(network: trtdsl.Network, fused: Graph, tolerance: float = 1e-5) -> None:
    """The types of outputs, as infer finds them and as typed, and the numbers are those without plugins."""
    again = infer(fused, Diagnostics())
    assert again.types.items() <= network.graph.types.items()
    typed = assign_types(fused)
    for output, before in zip(typed.outputs, network.typed.outputs, strict=True):
        assert typed.types[output.tensor] == network.typed.types[before.tensor]
    inputs = make_inputs(network.graph, {}, seed=3)
    expected, actual = run_in_fp32(network.graph, inputs), run_in_fp32(fused, inputs)
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("layers", "expected"), CASES.values(), ids=CASES)
def test_what_becomes_one(layers: str, expected: dict[str, str], tmp_path: Path) -> None:
    assert _plugins(_implemented(_load(tmp_path, layers))) == expected


@pytest.mark.parametrize("layers", [layers for layers, _ in CASES.values()], ids=CASES)
def test_the_types_and_numbers_are_the_same(layers: str, tmp_path: Path) -> None:
    network = _load(tmp_path, layers)
    _check_equal(network, _implemented(network))


@pytest.mark.parametrize(("outputs", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_of_the_network_are_still_there(outputs: str, expected: dict[str, str], tmp_path: Path) -> None:
    network = _load(tmp_path, f"{CASES['all of it'][0]}\noutputs: {outputs}")
    fused = _implemented(network)
    assert _plugins(fused) == expected
    _check_equal(network, fused)


def _random_chain(seed: int) -> str:
    """Blocks in a row: norms and whatever follows them, sums with what was made before."""
    choose = random.Random(seed).choice
    layers, last, residuals = [], "x", ["y"]

    def add(op: str, more: str = "", inputs: str = "") -> str:
        layers.append(f"- {{op: {op}, name: t{len(layers)}, in: {inputs or last}{more}}}")
        return f"t{len(layers) - 1}"

    for _ in range(4):
        last = add("instance_norm", choose(["", ", affine: true"]))
        if activation := choose(["", "relu", "leaky_relu"]):
            last = add(activation, choose(["", ", impl: native"]) if choose([False, True]) else "")
        if choose([True, True, False]):
            last = add("add", inputs=choose([f"[{last}, {choose(residuals)}]", f"[{choose(residuals)}, {last}]"]))
            residuals.append(last)
        if choose([True, True, False]):
            last = add("pad", f", padding: {choose(['1', '[2, 0, 0, 2]'])}, mode: {choose(['reflect', 'replicate'])}")
            last = add("conv", ", out_channels: 8, kernel_size: 3")
    return "\n".join(layers)


@pytest.mark.parametrize("seed", range(20))
def test_random_chains(seed: int, tmp_path: Path) -> None:
    network = _load(tmp_path, _random_chain(seed), dims={"N": 1 + seed % 3, "H": 5 + seed, "W": 8 - seed % 3})
    fused = _implemented(network)
    assert _plugins(fused)
    _check_equal(network, fused)


@pytest.mark.parametrize("lacking", ["InstanceNormPad", "InstanceNorm", "ReflectPad"])
def test_a_plugin_that_is_not_there_leaves_its_layers_native(lacking: str, tmp_path: Path) -> None:
    layers = "- {op: instance_norm, name: n, in: x}\n- {op: pad, name: p, padding: 1, mode: reflect}"
    assert lacking not in _plugins(_implemented(_load(tmp_path, layers), lacking)).values()


def test_cyclegan_in_one_pass_each() -> None:
    network = trtdsl.load("networks/cyclegan_generator.yaml", random_weights=True, impl="auto", dims={"H": 20, "W": 24})
    fused = _implemented(network)
    kinds = [layer.op.title for layer in fused.layers]
    assert not [kind for kind in kinds if kind in ("instance_norm", "relu", "add", "pad")]
    assert Counter(_plugins(fused).values()) == {"InstanceNormPad": 20, "InstanceNorm": 3, "ReflectPad": 1}
    _check_equal(network, fused, tolerance=1e-4)
