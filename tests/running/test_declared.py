"""The inputs of an engine as its manifest declares them, beside those of the network it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import RunError
from trtdsl.running import engine_inputs, make_inputs
from trtdsl.running.declared import declared_graph
from trtdsl.targets.runtime import Runtime

NET = """\
trtdsl: 1
dims: {N: [1, 4, 8], H: [2, 3, 16], F: 5}
inputs:
  x: {shape: [N, 3, $(2 * H + 1), $((H + 3) // 2)], dtype: fp16}
  ids: {shape: [N, F], dtype: int32}
  scalar: []
layers: [{op: relu, in: x}]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, rtx: Runtime) -> Any:
    path = tmp_path_factory.mktemp("declared") / "net.yaml"
    path.write_text(NET)
    return trtdsl.load(path).build(runtime="rtx", cache=False)


@pytest.fixture(scope="module")
def network(built: Any) -> trtdsl.Network:
    return trtdsl.load(built.path.with_suffix(".yaml"))


def test_inputs_are_those_of_the_network(built: Any, network: trtdsl.Network) -> None:
    graph = declared_graph(built.path, built.manifest)
    assert [(entry.name, entry.type) for entry in graph.inputs] == [
        (entry.name, entry.type) for entry in network.graph.inputs
    ]
    assert graph.dims == network.graph.dims


@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_numbers_are_made_up(seed: int, built: Any, network: trtdsl.Network) -> None:
    x = np.ones((2, 3, 7, 3), np.float32)
    for given in ({}, {"x": x}):
        made = engine_inputs(built.path, built.manifest, given, seed=seed)
        expected = make_inputs(network.graph, given, seed=seed)
        assert made.keys() == expected.keys()
        for name, array in made.items():
            np.testing.assert_array_equal(array, expected[name])
            assert array.dtype == expected[name].dtype


def test_dimensions_may_be_given(built: Any) -> None:
    made = engine_inputs(built.path, built.manifest, {}, dims={"N": 2, "H": [4, 4, 4]})
    assert (made["x"].shape, made["ids"].shape) == ((2, 3, 9, 3), (2, 5))


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a dimension": ({}, {"M": 2}, "the engine has no dimension `M`"),
    "a size": ({}, {"N": 9}, "`N` is 1 to 8 in this engine, not 9"),
    "a name": ({"y": np.zeros(1)}, {}, "the network has no input `y`"),
    "a shape": ({"ids": np.zeros((9, 5), np.int32)}, {}, "ids takes"),
    "two that disagree": (
        {"ids": np.zeros((2, 5), np.int32), "x": np.zeros((3, 3, 7, 3), np.float16)},
        {},
        "x takes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs(case: str, built: Any) -> None:
    given, dims, message = WRONG[case]
    with pytest.raises(RunError) as error:
        engine_inputs(built.path, built.manifest, given, dims=dims)
    [found] = error.value.diagnostics
    assert found.message.startswith(message)
    assert found.span is None


def test_a_size_that_nobody_understands(built: Any) -> None:
    manifest = {**built.manifest, "inputs": {"x": {"dtype": "fp32", "shape": ["N +"]}}}
    with pytest.raises(RunError, match=r"has a size that nobody understands: N \+"):
        engine_inputs(Path("net.engine"), manifest, {})
