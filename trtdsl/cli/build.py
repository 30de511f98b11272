"""`trtdsl build`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trtdsl.cli.console import byte_size, plural, show
from trtdsl.cli.options import (
    Command,
    build_options,
    color_option,
    load_network,
    network_options,
    parse_build_options,
)
from trtdsl.targets.runtime import CHOICES


@click.command(
    "build",
    cls=Command,
    examples=[
        "trtdsl build networks/digits.yaml",
        "trtdsl build net.yaml --set classes=10 --weights trained.safetensors",
        "trtdsl build net.yaml --dim N=1 --dim H=256,512,1024",
        "trtdsl build net.yaml --weights encoder=vit.safetensors --weights head=head.npz",
        "trtdsl build net.yaml --random-weights -o /tmp/trial.engine",
        "trtdsl build net.yaml --runtime rtx --target 8.9 --option optimization_level=5",
        "trtdsl build net.yaml --locked",
    ],
)
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The engine file; default: NETWORK with .engine.")
@click.option(
    "--runtime",
    type=click.Choice(CHOICES),
    default="auto",
    show_default=True,
    help="The TensorRT to build with; auto takes what is installed: RTX first where there is no GPU.",
)
@build_options
@click.option(
    "--no-cache",
    is_flag=True,
    help="Build, and measure all tactics, even when an engine of the very same ingredients is at hand.",
)
@click.option(
    "--locked",
    is_flag=True,
    help="Fail unless the build comes to what the manifest of the engine says: same ingredients, same tactics.",
)
@color_option
def command(
    network: Path,
    output: Path | None,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    no_cache: bool,
    locked: bool,
    **described: Any,
) -> None:
    """Build the engine of a network.

    Writes NETWORK.engine and, beside it, NETWORK.engine.json: a manifest of all that the engine was made from, which
    `trtdsl info` prints, and NETWORK.engine.tactics, TensorRT's timing cache, where kernels are measured. All appear
    whole or not at all; Ctrl-C stops a build at its next step. Nothing is built when an engine of the same network,
    weights, options and versions is at hand.

    With --locked the manifest and the timing cache that are there decide: a build from other ingredients, or one in
    which a layer would get another kernel, is an error, and the files stay as they are.
    """
    from trtdsl.cli.progress import progress

    loaded = load_network(network, **described)
    show(loaded.warnings)
    started = time.monotonic()
    with progress(click.get_current_context().color) as reporter:
        engine = loaded.build(
            output,
            runtime=runtime,
            target=target,
            options=parse_build_options(option_assignments),
            cache=not no_cache,
            locked=locked,
            progress=reporter,
        )
    show(engine.warnings)
    size = byte_size(engine.path.stat().st_size)
    if engine.reused:
        click.echo(f"{engine.path} ({size}) is up to date")
    else:
        seconds = time.monotonic() - started
        click.echo(f"built {engine.path} ({size}) in {seconds:.1f} s with {engine.manifest['built_from']['runtime']}")
        click.echo(_precision(engine.manifest["precision"]))


def _precision(precision: Mapping[str, Any]) -> str:
    """What became of the precisions that were asked for."""
    asked = sum(precision["layers"].values())
    if precision["why"] is not None:
        return f"precision unverified: {precision['why']}"
    hidden = sum(map(len, precision["unverified"].values()))
    parts = [f"{asked - hidden - len(precision['differs'])} of {plural(asked, 'layer')} as asked"]
    parts += [f"{len(precision['differs'])} in other types, as allowed"] if precision["differs"] else []
    parts += [f"{hidden} that the inspector does not show (trtdsl info lists them)"] if hidden else []
    return "precision: " + ", ".join(parts)
