"""`trtdsl compare`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import show, table
from trtdsl.cli.inputs import InputOptions, input_options
from trtdsl.cli.options import (
    Command,
    FiniteRange,
    build_options,
    color_option,
    json_option,
    load_network,
    network_options,
    parse_build_options,
)
from trtdsl.targets.runtime import CHOICES

if TYPE_CHECKING:
    from trtdsl.running import Compared, Comparison, Difference


@click.command(
    "compare",
    cls=Command,
    examples=[
        "trtdsl compare networks/digits.yaml --precision fp16",
        "trtdsl compare net.yaml --inputs inputs.npz --tolerance 0.01",
        "trtdsl compare net.yaml --layers --precision fp16 --json",
    ],
)
@network_options
@input_options
@click.option("--layers", is_flag=True, help="Compare the tensors of all layers, by an engine that delivers them all.")
@click.option(
    "--tolerance",
    type=FiniteRange(0),
    metavar="ERROR",
    help="Exit with status 1 when a relative error is larger, or nothing could be compared.",
)
@click.option("--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT to use.")
@build_options
@json_option
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    layers: bool,
    tolerance: float | None,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    as_json: bool,
    **described: Any,
) -> None:
    """Compare a network with the same one in fp32.

    The reference is the network as if every precision were fp32, by ONNX Runtime on a CPU. Beside it are put the
    network in its own types, as ONNX, and the engine, where there is a GPU for it. An absolute error is the largest
    difference of two elements; a relative one is that over the largest magnitude in the reference. Inputs that are not
    given are random.
    """
    from trtdsl.cli.progress import progress

    loaded = load_network(network, **described)
    show(loaded.warnings)
    with progress(click.get_current_context().color) as reporter:
        comparison = loaded.compare(
            inputs.values(),
            layers=layers,
            seed=inputs.seed,
            pictures=inputs.pictures(),
            runtime=runtime,
            target=target,
            options=parse_build_options(option_assignments),
            progress=reporter,
        )
    if as_json:
        click.echo(json.dumps(comparison.as_dict(), indent=2, allow_nan=False))
    else:
        click.echo("\n".join(_readable(comparison, comparison.expected if tolerance is None else tolerance)))
    if tolerance is not None and not comparison.is_within(tolerance):
        reason = f"an error is beyond {tolerance:g}" if comparison.has_run else "nothing could be compared"
        click.echo(reason, err=True)
        click.get_current_context().exit(1)


def _readable(comparison: Comparison, limit: float) -> Iterator[str]:
    for way in comparison.ways:
        if way.not_run is not None:
            yield click.style(f"{way.what}: NOT RUN: {way.not_run}", fg="yellow", bold=True)
            continue
        yield click.style(f"{way.what}, beside fp32 by ONNX Runtime", bold=True)
        yield table([_HEADINGS, *map(_row, way.differences)], right=(2, 3, 4), indent="  ")
        yield f"  {_verdict(way, limit)}"


_HEADINGS = ("tensor", "shape", "absolute", "relative", "cosine", "line")


def _row(entry: Difference) -> tuple[str, ...]:
    shape = "x".join(map(str, entry.shape)) or "scalar"
    if entry.shape != entry.reference_shape:
        shape += " instead of " + ("x".join(map(str, entry.reference_shape)) or "scalar")
    if entry.astray:
        shape += f" ({entry.astray} not finite in one only)"
    cosine = "-" if entry.cosine is None else f"{entry.cosine:.6f}"
    return entry.name, shape, f"{entry.absolute:.2e}", f"{entry.relative:.2e}", cosine, entry.line


def _verdict(way: Compared, limit: float) -> str:
    first = way.first_beyond(limit)
    if first is None:
        return f"all within a relative error of {limit:g}"
    return click.style(f"{first.name} ({first.line}) is the first beyond a relative error of {limit:g}", fg="red")
