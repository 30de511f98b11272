"""`trtdsl export script`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trtdsl.cli.console import show, written_files
from trtdsl.cli.options import (
    Command,
    build_options,
    color_option,
    load_network,
    network_options,
    parse_build_options,
)


def _check_runtime(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from trtdsl.targets.runtime import describe_runtime

    try:
        describe_runtime(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return value


@click.command(
    "script",
    cls=Command,
    examples=[
        "trtdsl export script networks/digits.yaml",
        "trtdsl export script net.yaml --runtime tensorrt-8.6 -o net_on_8.py",
    ],
)
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The program's file; default: NETWORK with .py.")
@click.option(
    "--runtime",
    default="auto",
    show_default=True,
    metavar="RUNTIME",
    callback=_check_runtime,
    help="The TensorRT to write for: auto, rtx or tensorrt, as for build, or one with its version: tensorrt-8.6.",
)
@build_options
@color_option
def command(
    network: Path,
    output: Path | None,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    **described: Any,
) -> None:
    """Write a network as a Python program of plain TensorRT calls.

    `python NETWORK.py ENGINE` builds the engine that `trtdsl build` does; the program needs numpy and TensorRT, but no
    trtdsl. Its weights lie beside it, in NETWORK.weights.npz. Polygraphy takes it as the script of a network. Needs no
    TensorRT itself.
    """
    loaded = load_network(network, **described)
    show(loaded.warnings)
    options = parse_build_options(option_assignments)
    click.echo(written_files(loaded.export_script(output, runtime=runtime, target=target, options=options)))
