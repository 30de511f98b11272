"""Networks with control flow as scripts: the program makes the network that emission makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.control.networks import CASES, Control
from tests.control.test_networks import loaded
from tests.targets.emitting import emitted
from tests.targets.test_script import described, executed, script_of
from trtdsl.targets.runtime import Runtime


def settle(network: Any) -> None:
    """Read all shapes, the last first: TensorRT-RTX cannot always tell that of a state before what it becomes."""
    for index in reversed(range(network.num_layers)):
        layer = network.get_layer(index)
        for position in range(layer.num_outputs):
            tuple(layer.get_output(position).shape)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_network_is_the_emitted_one(case: Control, precision: str, rtx: Runtime, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path, precision).typed
    _, network = executed(script_of(graph, rtx), tmp_path)["load_network"]()
    settle(network)
    wanted = emitted(graph, rtx)
    assert network.num_layers > 2
    assert described(network, rtx.module) == described(wanted.network, rtx.module)
