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
    below it stand the calls on INetworkDefinition, as Python. Casts that `precision` brings in are layers of their own;
    layers that `impl` makes plugins say so, and those that became one have one name of all theirs.
    Needs no TensorRT, and no weights where the network names no file of them. Raw layers (`trt.einsum`) are written as
    the TensorRT that is installed takes them; where there is none, as the network has them.
    """
    from fnmatch import fnmatchcase

    from trtdsl.errors import Diagnostics
    from trtdsl.targets.recorder import record

    loaded, diagnostics = load_network(network, needs_weights=False, **described), Diagnostics()
    runtime = _runtime(loaded.graph)
    graph = loaded.for_runtime(runtime, diagnostics)
    show((*loaded.warnings, *diagnostics.warnings))
    for calls in record(graph, runtime):
        # What several layers became bears all their names.
        names = (calls.name, *calls.name.split(" + "))
        if pattern is not None and not any(fnmatchcase(name, pattern) for name in names):
            continue
        click.echo(click.style(f"# {calls.name}: {calls.what}, {calls.span.file_and_line}", fg="green"))
        for statement in calls.statements:
            click.echo(statement)
        click.echo()


def _runtime(graph: Graph) -> Runtime:
    """What the calls are written for: any, but raw layers have to know the methods that there are."""
    from trtdsl.errors import RuntimeUnavailableError
    from trtdsl.implementation import chooses_plugins
    from trtdsl.targets.plugins import has_plugins
    from trtdsl.targets.raw import has_raw_layers
    from trtdsl.targets.runtime import LATEST, describe_runtime, find_runtime

    if has_plugins(graph) or chooses_plugins(graph):
        return describe_runtime("tensorrt")
    if not has_raw_layers(graph):
        return LATEST
    try:
        return find_runtime()
    except RuntimeUnavailableError:
        return LATEST
