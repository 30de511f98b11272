"""`trtdsl expand`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trtdsl.cli.console import show
from trtdsl.cli.options import Command, color_option, load_network, network_options, write_output


@click.command(
    "expand",
    cls=Command,
    examples=[
        "trtdsl expand networks/resnet.yaml --random-weights",
        "trtdsl expand networks/resnet.yaml --set 'depths=[3, 4, 6, 3]' -o resnet34-flat.yaml",
    ],
)
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file instead of the terminal.")
@color_option
def command(network: Path, output: Path | None, **described: Any) -> None:
    """Print a network with params, modules and loops written out.

    What comes out is a network in the same language that builds to the same engine: one list of layers, each with its
    scoped name, its inputs and the values its expressions gave.
    """
    from trtdsl.expand import dump
    from trtdsl.ops import CATALOGUE

    loaded = load_network(network, **described)
    show(loaded.warnings)
    # Paths in what is written are relative to where it will lie.
    folder = output.parent if output is not None else Path()
    write_output(dump(loaded.flat, CATALOGUE, folder), output)
