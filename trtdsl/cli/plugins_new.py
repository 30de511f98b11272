"""`trtdsl plugins new`."""

from __future__ import annotations

from pathlib import Path

import click

from trtdsl.cli.console import written_files
from trtdsl.cli.options import Command, color_option


@click.command("new", cls=Command, examples=["trtdsl plugins new Swish", "trtdsl plugins new Swish --into plugins"])
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="The folder to write it into.")
@color_option
def command(name: str, into: Path) -> None:
    """Write a folder in which a new plugin begins.

    In it are plugin.yaml, a kernel, a network that uses the plugin, and a test, which passes as it is. `trtdsl plugins
    build FOLDER` compiles it. docs/plugins.md says what comes next.
    """
    from trtdsl.library import new_plugin

    click.echo(written_files(new_plugin(name, into)))
