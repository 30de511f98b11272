"""`trtdsl expand`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trtdsl.cli.options import Command, color_option, expansion_options, flatten_network, write_output


@click.command(
    "expand",
    cls=Command,
    examples=[
        "trtdsl expand networks/resnet.yaml",
        "trtdsl expand networks/resnet.yaml --set depth=34 -o resnet34-flat.yaml",
    ],
)
@expansion_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file instead of the terminal.")
@color_option
def command(network: Path, output: Path | None, **described: Any) -> None:
    """Print a network with params, modules and loops written out.

    What comes out is a network in the same language that builds to the same engine: one list of layers, each with its
    scoped name, its inputs and the values its expressions gave. Weights need not be there.
    """
    from trtdsl.expand import dump
    from trtdsl.ops import CATALOGUE
    from trtdsl.outputs import check_outputs

    flat = flatten_network(network, **described)
    if output is not None:
        check_outputs([output], flat)
    # Paths in what is written are relative to where it will lie.
    folder = output.parent if output is not None else Path()
    write_output(dump(flat, CATALOGUE, folder), output)
