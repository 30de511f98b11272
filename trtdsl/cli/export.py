"""`trtdsl export`."""

from __future__ import annotations

import click

from trtdsl.cli.options import Group, color_option

SUBCOMMANDS = {
    "onnx": "Write a network as an ONNX model.",
    "script": "Write a network as a Python program of plain TensorRT calls.",
}


@click.command(
    "export",
    cls=Group,
    subcommands=SUBCOMMANDS,
    examples=["trtdsl export onnx networks/digits.yaml", "trtdsl export script networks/digits.yaml -o digits.py"],
)
@color_option
def command() -> None:
    """Write a network for other programs: ONNX, or a script of TensorRT calls."""
