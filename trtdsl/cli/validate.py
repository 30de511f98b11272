"""`trtdsl validate`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import plural, show
from trtdsl.cli.options import Command, color_option, load_network, network_options

if TYPE_CHECKING:
    from trtdsl.graph import Graph
    from trtdsl.types import Dim, TensorType


@click.command(
    "validate",
    cls=Command,
    examples=[
        "trtdsl validate networks/digits.yaml",
        "trtdsl validate net.yaml --set depths='[3, 4, 6, 3]' --random-weights",
        "trtdsl validate net.yaml --weights trained.safetensors --unused-weights --check-finite",
    ],
)
@network_options
@click.option("--unused-weights", is_flag=True, help="List what the weights files hold and no layer takes.")
@color_option
def command(network: Path, unused_weights: bool, **described: Any) -> None:
    """Check a network; needs no TensorRT.

    Reads the file, expands it, works out every shape and type at the min, opt and max of each dimension, and holds the
    weights against them. All problems of a stage are reported at once, each with its line.
    """
    loaded = load_network(network, **described)
    show(loaded.warnings)
    click.echo(summary(network, loaded.graph))
    if unused_weights:
        from trtdsl.check_weights import unused_keys

        for path, keys in unused_keys(loaded.graph, [file.path for file in loaded.flat.weights]).items():
            click.echo(f"{plural(len(keys), 'unused weight')} in {path}")
            for key in keys:
                click.echo(f"  {key}")


def summary(path: Path, graph: Graph) -> str:
    """One line on a network: its size, what goes in and out, its dimensions."""
    values = sum(math.prod(weight.shape or ()) for layer in graph.all_layers() for weight in layer.weights.values())
    inputs = _tensors((entry.name, entry.type) for entry in graph.inputs)
    outputs = _tensors((output.name, graph.types[output.tensor]) for output in graph.outputs)
    size = f"{plural(sum(1 for _ in graph.all_layers()), 'layer')}, {plural(values, 'weight value')}"
    line = f"{path}: {size}; {inputs} -> {outputs}"
    dims = ", ".join(f"{name} = {_sizes(dim)}" for name, dim in graph.dims.items())
    return f"{line}; {dims}" if dims else line


def _tensors(tensors: Iterable[tuple[str, TensorType]]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors)


def _sizes(dim: Dim) -> str:
    if dim.is_static:
        return str(dim.value)
    return f"{dim.sizes.min}..{dim.sizes.max} (opt {dim.sizes.opt})"
