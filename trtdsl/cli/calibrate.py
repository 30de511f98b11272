"""`trtdsl calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trtdsl.cli.console import plural, show
from trtdsl.cli.inputs import InputOptions, data_options, picture_options
from trtdsl.cli.options import (
    Command,
    FiniteRange,
    build_options,
    color_option,
    load_network,
    network_options,
    parse_build_options,
)
from trtdsl.targets.runtime import CHOICES

# Those of `trtdsl.calibration`, which imports numpy.
_METHODS = ("entropy", "min-max", "percentile")
_DEVICES = ("cpu", "gpu")


@click.command(
    "calibrate",
    cls=Command,
    examples=[
        "trtdsl calibrate net.yaml --data images --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        "trtdsl calibrate net.yaml --data samples --method percentile --percentile 99.9 -o net.scales",
        "trtdsl build net.yaml --precision int8 --scales net.scales",
    ],
)
@network_options
@data_options
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    default="entropy",
    show_default=True,
    help="How much of a tensor's range is kept: as loses least (Migacz 2017), all of it, or what most elements need.",
)
@click.option(
    "--percentile",
    type=FiniteRange(0, 100, min_open=True),
    default=99.99,
    show_default=True,
    help="How many of a hundred elements that method keeps.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file of scales; default: NETWORK.scales.")
@picture_options
@click.option("--device", type=click.Choice(_DEVICES), default="cpu", show_default=True, help="Where the network runs.")
@click.option("--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT of a GPU.")
@build_options
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    data: Path,
    limit: int | None,
    method: str,
    percentile: float,
    output: Path | None,
    device: str,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    **described: Any,
) -> None:
    """Write the scales that layers in int8 and fp8 need.

    The network is run in fp32 on the data, by ONNX Runtime on a CPU or as an engine. What each tensor holds that may be
    quantised decides its scale: what a step of int8 is worth. The scales are a text file, to be reviewed and kept
    beside the network, which names it: `quantization: net.scales`. The same data give the same file.
    """
    from trtdsl.cli.progress import progress

    told = click.get_current_context().get_parameter_source("percentile")
    if method != "percentile" and told is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError(f"--percentile is of --method percentile, not of {method}")
    loaded = load_network(network, quantized=False, **described)
    show(loaded.warnings)
    with progress(click.get_current_context().color) as reporter:
        path, count = loaded.calibrate(
            data,
            output,
            method=method,
            percentile=percentile,
            limit=limit,
            pictures=inputs.pictures(),
            device=device,
            runtime=runtime,
            target=target,
            options=parse_build_options(option_assignments),
            progress=reporter,
        )
    click.echo(f"{path}: {plural(count, 'scale')}")
