"""A plugin as people hand-write them, driven from YAML: its creator asserts how many fields it gets, and their types.

On a GPU its numbers are looked at as well: tests/gpu/test_handwritten.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plugins.handwritten.compiling import compile_step_clip
from tests.plugins.real import every_version, libraries_of, run_layers
from trtdsl.errors import BuildError
from trtdsl.library.toolchain import find_toolchain

FIELDS = "offsets: [0.5, -2, 3, 0], mirror: true, high: 100, low: -128, shift: -1"
LAYERS = {
    "in any order": f"{{op: plugin, plugin: StepClip, fields: {{{FIELDS}}}}}",
    "beyond int8": f"{{op: plugin, plugin: StepClip, fields: {{{FIELDS.replace('100', '128')}}}}}",
    "unknown": f"{{op: plugin, plugin: StepClip, fields: {{{FIELDS.replace('mirror', 'miror')}}}}}",
    "too few elements": f"{{op: plugin, plugin: StepClip, fields: {{{FIELDS.replace(', 0]', ']')}}}}}",
    # No creator says which of its fields it needs, so this one's own assertion is what stops these.
    "not all of them": "{op: plugin, plugin: StepClip, fields: {shift: -1, low: 0}}",
    "another type by force": (
        "{op: plugin, plugin: StepClip, fields: {"
        f"{FIELDS.replace('shift: -1', 'shift: {type: int32, value: -1, force: true}')}}}}}"
    ),
}


@every_version
def test_creators_that_count_their_fields(version: str, tmp_path: Path) -> None:
    libraries = libraries_of(version)
    try:
        toolchain = find_toolchain()
    except BuildError as error:
        pytest.skip(f"the plugin was NOT compiled: {error}")
    library = compile_step_clip(libraries / "include", libraries, tmp_path / "libstepclip.so", toolchain)
    found = run_layers(version, LAYERS, tmp_path, library)
    assert found.pop("in any order") == {"made": "PLUGIN_V2", "given": []}
    assert {name: found.pop(name) for name in ("not all of them", "another type by force")} == {
        "not all of them": {"ended": "SIGABRT"},
        "another type by force": {"ended": "SIGABRT"},
    }
    assert {name: _message(outcome) for name, outcome in found.items()} == {
        "beyond int8": "StepClip 1: `high`: 128 is beyond int8, which holds -128 to 127",
        "unknown": "StepClip 1: there is no field `miror`; it has shift, low, high, mirror, offsets",
        "too few elements": "StepClip 1: `offsets`: expected 4 fp32, got 3",
    }


def _message(outcome: dict[str, Any]) -> str:
    [error] = outcome["errors"]
    message: str = error["message"]
    return message.removeprefix("plugin: ")
