"""Layers of all bundled plugins, taken from YAML to the creators of real registries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.real import libraries_of, run_layers
from trtdsl.plugins.bundled import bundled_plugins

FIELDS = {
    "HardSwish": "",
    "Mish": "",
    "LeakyReLU": "negSlope: 1",
    "InstanceNorm": "scale: [1, 2, 3], bias: [0, 1, 0], activation: leaky_relu, slope: 0.2, epsilon: 0",
    # No network is there to infer that an output is larger than its input.
    "InstanceNormPad": "paddings: [0, 0, 0, 0], mode: edge, residualPaddings: [0, 0, 0, 0], scale: [1, 2, 3]",
    "ReflectPad": "paddings: [0, 0, 0, 0], mode: 1",
    "Upsample": "scaleFactor: 1, alignCorners: true, mode: bilinear",
}


def test_every_plugin_has_fields() -> None:
    assert FIELDS.keys() == bundled_plugins().keys()


@pytest.mark.parametrize("version", ["8.6", "10.15"])
def test_layers_become_plugins(version: str, compiled: Callable[[tuple[int, int]], Path], tmp_path: Path) -> None:
    libraries_of(version)
    library = compiled({"8.6": (8, 6), "10.15": (10, 15)}[version])
    kinds = {"highest": "", "V2": 'version: "1", '} | ({"V3": 'version: "2", '} if version == "10.15" else {})
    layers = {
        f"{name} {kind}": f"{{op: plugin, plugin: {name}, {given}fields: {{{fields}}}}}"
        for name, fields in FIELDS.items()
        for kind, given in kinds.items()
    }
    found = run_layers(version, layers, tmp_path, library)
    highest = "V3" if version == "10.15" else "V2"
    expected = {name: {"made": f"PLUGIN_{name.split()[1].replace('highest', highest)}", "given": []} for name in layers}
    assert found == expected
