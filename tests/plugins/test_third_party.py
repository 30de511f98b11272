"""Creators that others have written, driven from YAML with the real registries: those of the echo library."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.real import ECHO, compiled_for, every_version, run_layers


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What comes of all layers, by the version of TensorRT."""
    folder = tmp_path_factory.mktemp("layers")

    @cache
    def of(version: str) -> dict[str, Any]:
        library = compiled_for(version, ECHO / "echo.cpp", folder / f"libecho-{version}.so")
        return run_layers(version, {name: layer for name, (layer, _) in LAYERS.items()}, folder, library)

    return of


MADE: dict[str, tuple[str, list[str]]] = {
    # Read by position, and counted: they come in the order in which the creator declares them, as INT8.
    "handwritten": (
        "{op: plugin, plugin: Handwritten, fields: {scale: 2, mode: -1, align_corners: true}}",
        ["mode 3 1 ff", "align_corners 3 1 01", "scale 3 1 02"],
    ),
    "nothing declared, a list": (
        "{op: plugin, plugin: Silent, fields: [{name: b, type: int32, value: [1, 2]}, {type: fp32, value: 3}, "
        "{name: a, type: char, value: hi}]}",
        ["b 5 2 0100000002000000", " 1 1 00004040", "a 6 2 686900"],
    ),
    "nothing declared, a mapping": (
        "{op: plugin, plugin: Silent, fields: {b: {type: int16, value: -2}, a: {type: fp16, value: [1, 2]}}}",
        ["b 4 1 feff", "a 0 2 003c0040"],
    ),
    "force": (
        "{op: plugin, plugin: Echo, version: 1, fields: {whole: {type: int8, value: 1, force: true}}}",
        ["whole 3 1 01"],
    ),
    "an expression": (
        "{op: plugin, plugin: Echo, version: 1, fields: {whole: $(2 ** 4), four: $(range(4))}}",
        ["whole 5 1 10000000", "four 5 4 00000000010000000200000003000000"],
    ),
}

REFUSED = {
    "beyond int8": (
        "{op: plugin, plugin: Handwritten, fields: {scale: 200, mode: -1, align_corners: true}}",
        ("plugin-field", "Handwritten 1: `scale`: 200 is beyond int8, which holds -128 to 127", "200, mode"),
    ),
    "a float": (
        "{op: plugin, plugin: Handwritten, fields: {scale: 2, mode: -1, align_corners: 1.0}}",
        ("plugin-field", "`align_corners`: expected a whole number (int8), got 1.0", "1.0}}"),
    ),
    "an element": (
        "{op: plugin, plugin: Echo, version: 1, fields: {four: [1, 2, 3, 4.5]}}",
        ("plugin-field", "`four`: expected a whole number (int32), got 4.5", "4.5]}}"),
    ),
    "a length": (
        "{op: plugin, plugin: Echo, version: 1, fields: {four: [1, 2, 3]}}",
        ("plugin-field", "`four`: expected 4 int32, got 3", "[1, 2, 3]}}"),
    ),
    "an unknown field": (
        "{op: plugin, plugin: Handwritten, fields: {scael: 2}}",
        ("plugin-field", "there is no field `scael`; it has mode, align_corners, scale", "scael: 2}}"),
    ),
    "a type": (
        "{op: plugin, plugin: Echo, version: 1, fields: {whole: {type: int8, value: 1}}}",
        ("plugin-field", "`whole` is declared as int32, not int8", "int8, value: 1}}}"),
    ),
    "no type": (
        "{op: plugin, plugin: Silent, fields: {b: 1}}",
        ("plugin-field", "`b` has no type, which a creator that declares no fields has to be told", "1}}"),
    ),
    "what only the creator knows": (
        "{op: plugin, plugin: Handwritten, fields: {scale: 3, mode: -1, align_corners: true}}",
        (
            "tensorrt-refused",
            "the creator of Handwritten 1 gave no plugin for the fields mode: int8[1], align_corners: int8[1], "
            "scale: int8[1]",
            "{op: plugin",
        ),
    ),
    "an unknown plugin": (
        "{op: plugin, plugin: Handwriten}",
        ("plugin-missing", "no plugin `Handwriten` is among the ", "Handwriten}"),
    ),
    "an unknown version": (
        "{op: plugin, plugin: Echo, version: 7}",
        ("plugin-missing", "has no Echo of version 7", "7}"),
    ),
    "an unknown namespace": (
        "{op: plugin, plugin: Echo, namespace: mine}",
        ("plugin-missing", 'has no Echo in the namespace "mine"', "mine}"),
    ),
    "a bundled plugin without the library": (
        "{op: plugin, plugin: Mish}",
        ("plugin-missing", "Mish is in trtdsl's own library of plugins, which is not loaded", "Mish}"),
    ),
    "other outputs": (
        "{op: plugin, plugin: Silent, outputs: {shape: [2, 4, 8, 8]}}",
        ("tensorrt-type", "TensorRT gives fp32[2, 3, 8, 8], the layer declares fp32[2, 4, 8, 8]", "{shape: [2, 4"),
    ),
    "shape inputs of a V2 plugin": (
        "{op: plugin, plugin: Silent, shape_inputs: 0}",
        ("tensorrt-type", "Silent 1 is a V2 plugin, which has no shape inputs", "0}"),
    ),
}

LAYERS: dict[str, tuple[str, Any]] = {**MADE, **REFUSED}


@every_version
@pytest.mark.parametrize("name", MADE)
def test_plugins_are_made(version: str, name: str, outcomes: Any) -> None:
    assert outcomes(version)[name] == {"made": "PLUGIN_V2", "given": MADE[name][1]}


@every_version
@pytest.mark.parametrize("name", REFUSED)
def test_plugins_are_refused(version: str, name: str, outcomes: Any) -> None:
    code, message, place = REFUSED[name][1]
    [error] = outcomes(version)[name]["errors"]
    assert error["code"] == code
    assert message in error["message"]
    assert error["at"].startswith(place)


@every_version
def test_hints_name_what_there_is(version: str, outcomes: Any) -> None:
    found = outcomes(version)
    hints = {name: found[name]["errors"][0]["hint"] for name in REFUSED}
    assert hints["an unknown field"] == "did you mean `scale`?"
    assert hints["an unknown plugin"] == "did you mean `Handwritten`?"
    assert hints["an unknown version"] == f"versions of Echo are 1{', 2' if version == '10.15' else ''}"
    assert hints["an unknown namespace"] == 'its namespaces are ""'
    assert hints["other outputs"] == "write `outputs: {shape: [2, 3, 8, 8], dtype: fp32}`"
    assert f"libraries loaded: libecho-{version}.so" in found["an unknown plugin"]["errors"][0]["message"]


@every_version
def test_the_highest_version_is_taken_that_networks_take(version: str, tmp_path: Path) -> None:
    library = compiled_for(version, ECHO / "echo.cpp", tmp_path / "libecho.so")
    found = run_layers(version, {"echo": "{op: plugin, plugin: Echo}"}, tmp_path, library)
    assert found["echo"]["made"] == ("PLUGIN_V3" if version == "10.15" else "PLUGIN_V2")


@every_version
def test_a_library_for_the_other_tensorrt_is_refused(version: str, tmp_path: Path) -> None:
    other = "8.6" if version == "10.15" else "10.15"
    library = compiled_for(other, ECHO / "echo.cpp", tmp_path / "libecho.so")
    [error] = run_layers(version, {"echo": "{op: plugin, plugin: Echo}"}, tmp_path, library)["echo"]["errors"]
    assert error["code"] == "plugin-library"
    assert f"libecho.so is built for TensorRT {other.split('.')[0]} (it needs libnvinfer.so." in error["message"]
    assert error["at"].startswith(str(library))
