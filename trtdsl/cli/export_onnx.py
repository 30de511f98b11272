"""`trtdsl export onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trtdsl.cli.console import show, written_files
from trtdsl.cli.options import Command, color_option, load_network, network_options


@click.command(
    "onnx",
    cls=Command,
    examples=[
        "trtdsl export onnx networks/digits.yaml",
        "trtdsl export onnx net.yaml --precision fp32 --external -o /tmp/net.onnx",
    ],
)
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The model's file; default: NETWORK with .onnx.")
@click.option(
    "--external/--no-external",
    default=None,
    help="Put the weights into OUTPUT.data beside the model, or keep them inside; default: beside it from 64 MiB on.",
)
@color_option
def command(network: Path, output: Path | None, external: bool | None, **described: Any) -> None:
    """Write a network as an ONNX model.

    Inputs and outputs are called as in the YAML file, and each node says the line that it comes from. The precision is
    in it as casts. Exit status 1 when ONNX cannot say some layers; all of them are listed. Needs the package onnx.
    """
    loaded = load_network(network, **described)
    show(loaded.warnings)
    click.echo(written_files(loaded.export_onnx(output, external=external)))
