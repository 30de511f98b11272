"""`trtdsl inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trtdsl.cli.console import plural, table
from trtdsl.cli.options import Command, color_option, json_option
from trtdsl.targets.runtime import CHOICES

if TYPE_CHECKING:
    from trtdsl.engine.inspection import EngineLayer, EngineTensor, Inspection


@click.command(
    "inspect",
    cls=Command,
    examples=[
        "trtdsl inspect net.engine",
        "trtdsl inspect net.engine --json | jq '.layers[] | {name, tactic, lines}'",
    ],
)
@click.argument("engine", type=click.Path(path_type=Path))
@click.option("--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT to use.")
@click.option(
    "--plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="LIBRARY",
    help="A library of plugins that the engine needs, where it is not found by its manifest; may be repeated.",
)
@json_option
@color_option
def command(engine: Path, runtime: str, plugins: tuple[Path, ...], as_json: bool) -> None:
    """List an engine's layers: kernels, formats, types, weights, and the YAML lines they come from.

    Asks TensorRT's inspector, which needs a GPU that the engine can run on, and an engine that was built with
    `profiling_verbosity: detailed`, the default. Formats of layers whose sizes are open are those at opt. The network's
    file is not needed: TensorRT keeps the lines in the engine.
    """
    from trtdsl.running.inspect import inspect_engine

    found = inspect_engine(engine, runtime, plugins)
    if as_json:
        described = {"detailed": found.detailed, "layers": [layer.as_dict() for layer in found.layers]}
        click.echo(json.dumps(described, indent=2))
    else:
        click.echo("\n".join(_readable(found)))


def _readable(found: Inspection) -> Iterator[str]:
    if not found.detailed:
        yield "the engine was not built with `profiling_verbosity: detailed`: it tells no more than names"
    for number, layer in enumerate(found.layers):
        kind = f"  {click.style(layer.kind, fg='cyan')}" if layer.kind else ""
        yield f"{number:4} {click.style(layer.name, bold=True)}{kind}"
        tables = [*_tensors("in", layer.inputs), *_tensors("out", layer.outputs)], list(_rest(layer))
        yield from (table(rows, indent="     ") for rows in tables if rows)
    yield plural(len(found.layers), "layer")


def _tensors(label: str, tensors: Iterable[EngineTensor]) -> Iterator[tuple[str, str, str, str]]:
    for tensor in tensors:
        shape = "x".join("?" if size < 0 else str(size) for size in tensor.shape) or "scalar"
        dtype = "-" if tensor.dtype is None else str(tensor.dtype)
        yield label, f"{dtype} {shape}", tensor.name, tensor.format


def _rest(layer: EngineLayer) -> Iterator[tuple[str, str]]:
    for name, (dtype, count) in (layer.weights or {}).items():
        yield name.lower(), f"{dtype or '-'} {count}"
    if layer.tactic is not None or layer.tactic_value is not None:
        yield "tactic", " ".join(filter(None, [layer.tactic_value, layer.tactic]))
    if layer.lines:
        yield "lines", ", ".join(layer.lines)
