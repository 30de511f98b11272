"""Plugins of TensorRT's registry: what is given to a creator, and that the real ones take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.targets.test_bindings import NAMED
from trtdsl.ops.base import OpError
from trtdsl.targets.plugins import make_plugin

ROOT = Path(__file__).parents[2]
MAKE = """
import tensorrt_bindings as trt
from trtdsl.ops.base import OpError
from trtdsl.targets.plugins import make_plugin
fields = {"mode": 1, "output_height": 7, "output_width": 5, "sampling_ratio": 2, "spatial_scale": 0.25}
plugin = make_plugin(trt, "ROIAlign_TRT", "1", {**fields, "coordinate_transformation_mode": 0}, "layer")
print(plugin.plugin_type, plugin.plugin_version, plugin.num_outputs)
try:
    make_plugin(trt, "Unheard_TRT", "1", {}, "layer")
except OpError as error:
    print(error.message)
"""


class Registry:
    """A registry of one creator, which keeps what it is given."""

    def __init__(self, makes: object) -> None:
        self.makes = makes
        self.given: list[tuple[str, np.ndarray[Any, Any], str]] = []
        self.is_filled = False

    def get_plugin_creator(self, name: str, version: str, namespace: str) -> Registry | None:
        return self if self.is_filled and (name, version, namespace) == ("Known_TRT", "1", "") else None

    def create_plugin(self, name: str, fields: list[tuple[str, np.ndarray[Any, Any], str]]) -> object:
        self.given = fields
        return self.makes


class Module:
    """What make_plugin asks of TensorRT's module."""

    class PluginFieldType:
        INT32 = "INT32"
        FLOAT32 = "FLOAT32"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def init_libnvinfer_plugins(self, logger: None, namespace: str) -> bool:
        self._registry.is_filled = True
        return True

    def get_plugin_registry(self) -> Registry:
        return self._registry

    def PluginField(self, name: str, data: np.ndarray[Any, Any], type: str) -> tuple[Any, ...]:  # noqa: N802
        return name, data, type

    def PluginFieldCollection(self, fields: list[Any]) -> list[Any]:  # noqa: N802
        return fields


def test_numbers_become_fields_of_32_bits() -> None:
    registry = Registry(makes="a plugin")
    assert make_plugin(Module(registry), "Known_TRT", "1", {"count": 3, "scale": 0.5}, "layer") == "a plugin"
    described = [(name, data.dtype.name, data.tolist(), type) for name, data, type in registry.given]
    assert described == [("count", "int32", [3], "INT32"), ("scale", "float32", [0.5], "FLOAT32")]


def test_an_unknown_plugin_is_named() -> None:
    with pytest.raises(OpError, match="registry has no plugin Known_TRT of version 2"):
        make_plugin(Module(Registry(makes="a plugin")), "Known_TRT", "2", {}, "layer")


def test_fields_that_a_creator_refuses_are_shown() -> None:
    with pytest.raises(OpError, match=r"the creator of Known_TRT refused the fields \{'count': 3\}"):
        make_plugin(Module(Registry(makes=None)), "Known_TRT", "1", {"count": 3}, "layer")


@pytest.mark.parametrize("version", ["8.6", "10.15"])
def test_real_registries_make_the_plugin(version: str) -> None:
    if version not in NAMED:
        pytest.skip(f"TensorRT {version}'s plugins were NOT made: TRTDSL_BINDINGS does not say where its bindings are")
    folder, libraries = NAMED[version]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "LD_LIBRARY_PATH": libraries}
    done = subprocess.run([sys.executable, "-c", MAKE], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ROIAlign_TRT 1 1",
        "TensorRT's registry has no plugin Unheard_TRT of version 1",
    ]
