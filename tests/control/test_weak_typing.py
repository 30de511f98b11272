"""On weakly typed runtimes what leads into a body has its types before the layers in it ask for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.control.networks import CASES, Control
from tests.control.test_networks import loaded
from trtdsl.targets.recorder import Labels, record_all
from trtdsl.targets.runtime import Runtime

OLD = Runtime("tensorrt", (8, 6, 1))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_inputs_of_layers_are_constrained_first(case: Control, tmp_path: Path) -> None:
    graph = loaded(case, tmp_path, "fp16").typed
    recorded = record_all(graph, OLD, Labels(), strongly_typed=False)
    # Outputs have their types from what they are made of.
    statements = [line for calls in recorded if not calls.what.startswith("output") for line in calls.statements]
    made_by = {}
    for line in statements:
        if match := re.match(r"(\w+) = (layer\d+)\.get_output", line):
            made_by[match[1]] = match[2]
    constrained: set[str] = set()
    read: dict[str, set[str]] = {}
    for line in statements:
        if match := re.match(r"(layer\d+) = [\w.]+\.(?:add|set)_\w+\((.*)\)$", line):
            inputs = re.sub(r"weights\[.*?\]\]|'[^']*'", "", match[2])
            names = set(re.findall(r"(?<![\w.])[a-zA-Z_]\w*", inputs))
            read[match[1]] = {made_by.get(name, name) for name in names} & {*made_by.values(), *read}
        elif match := re.match(r"typing\.constrain\((layer\d+)", line):
            assert read[match[1]] <= constrained, line
            constrained.add(match[1])
    constructs = {line.split(" = ")[0] for line in statements if re.search(r"add_(loop|if_conditional)\(\)", line)}
    assert constrained == set(read) - constructs
