"""`trtdsl plugins` without TensorRT: what comes with trtdsl."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from trtdsl.cli.main import main
from trtdsl.plugins.bundled import bundled_plugins


def said(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plugins", *arguments])


def test_the_list() -> None:
    done = said("--runtime", "none")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(bundled_plugins())
    assert lines[-1] == f"{len(bundled_plugins())} plugins that come with trtdsl; no TensorRT is asked here"
    assert said("list", "--runtime", "none").output == done.output


def test_one_plugin() -> None:
    done = said("ReflectPad", "--runtime", "none")
    assert done.exit_code == 0
    assert "ReflectPad (comes with trtdsl)" in done.output
    assert "4 int32, at least 0; required" in done.output
    assert "one of reflect, edge; default reflect" in done.output
    assert "fp16 hwc8" in done.output


def test_a_plugin_without_fields() -> None:
    assert "it has no fields" in said("Mish", "--runtime", "none").output


def test_json() -> None:
    found = json.loads(said("ReflectPad", "--runtime", "none", "--json").output)
    assert found["registered"] is None
    [plugin] = found["declared"]
    assert plugin["fields"][0] == {"name": "paddings", "type": "int32", "length": 4, "required": True}


def test_an_unknown_plugin() -> None:
    done = said("Reflectpad", "--runtime", "none")
    assert done.exit_code == 1
    assert "error[plugin-missing]: there is no plugin `Reflectpad`" in done.output
    assert "did you mean `ReflectPad`?" in done.output


def test_a_misspelt_command_is_found() -> None:
    assert "did you mean `build`?" in said("biuld", "--runtime", "none").output
