"""Calls the command line in this process."""

from __future__ import annotations

import click.testing
from click.testing import CliRunner

from trtdsl.cli.main import main


def run(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout
