"""`trtdsl schema`."""

from __future__ import annotations

from pathlib import Path

import click

from trtdsl.cli.options import Command, color_option, write_output


@click.command("schema", cls=Command, examples=["trtdsl schema -o trtdsl-1.schema.json"])
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file instead of the terminal.")
@color_option
def command(output: Path | None) -> None:
    """Print the JSON Schema that editors check networks with.

    Editors with a YAML language server then complete ops and their parameters and mark what does not fit. The first
    line of a network names it, by path or URL: `# yaml-language-server: $schema=trtdsl-1.schema.json`.
    """
    from trtdsl.ops import CATALOGUE
    from trtdsl.schema import schema_text

    write_output(schema_text(CATALOGUE), output)
