"""`trtdsl explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import show
from trtdsl.cli.options import Command, color_option, load_network, network_options

if TYPE_CHECKING:
    from trtdsl.graph import Graph
    from trtdsl.targets.runtime import Runtime


@click.command(
    "explain",
    cls=Command,
    examples=[
        "trtdsl explain networks/digits.yaml",
        "trtdsl explain networks/resnet.yaml --layer 'layer1.0.*'",
    ],
)
@network_options
@click.option("--layer", "pattern", metavar="PATTERN", help="Only layers whose name matches: --layer 'layer1.*'.")
@color_option
def command(network: Path, pattern: str | None, **described: Any) -> None:
    """Print the TensorRT calls that a network becomes.

    Each input, layer and output is headed by its name, its op, the type it computes in and the line that it comes from;
    below it stand the calls on INetworkDefinition, as Python. Casts that `precision` brings in are layers of their own.
    Needs no TensorRT, and no weights where the network names no file of them. Raw layers (`trt.einsum`) are written as
    the TensorRT that is installed takes them; where there is none, as the network has them.
    """
    from fnmatch import fnmatchcase

    from trtdsl.targets.recorder import record

    loaded = load_network(network, needs_weights=False, **described)
    show(loaded.warnings)
    for calls in record(loaded.typed, _runtime(loaded.typed)):
        if pattern is not None and not fnmatchcase(calls.name, pattern):
            continue
        click.echo(click.style(f"# {calls.name}: {calls.what}, {calls.span.file_and_line}", fg="green"))
        for statement in calls.statements:
            click.echo(statement)
        click.echo()


def _runtime(graph: Graph) -> Runtime:
    """What the calls are written for: any, but raw layers have to know the methods that there are."""
    from trtdsl.errors import RuntimeUnavailableError
    from trtdsl.targets.raw import has_raw_layers
    from trtdsl.targets.runtime import LATEST, find_runtime

    if not has_raw_layers(graph):
        return LATEST
    try:
        return find_runtime()
    except RuntimeUnavailableError:
        return LATEST
