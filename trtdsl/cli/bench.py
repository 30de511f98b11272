"""`trtdsl bench`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import plural, table
from trtdsl.cli.inputs import InputOptions, input_options
from trtdsl.cli.options import Command, FiniteRange, build_options, color_option, json_option, network_options
from trtdsl.cli.runnable import open_runnable, runtime_options

if TYPE_CHECKING:
    from trtdsl.running import Array
    from trtdsl.running.bench import LayerTime, Measured, Times
    from trtdsl.runtime import Engine


@click.command(
    "bench",
    cls=Command,
    examples=[
        "trtdsl bench networks/resnet.yaml --random-weights --dim N=8 --precision fp16",
        "trtdsl bench net.engine --graph --streams 2 --duration 10",
        "trtdsl bench net.engine --layers",
        "trtdsl bench net.engine --transfers --json",
    ],
)
@network_options
@input_options
@click.option("--warm-up", type=FiniteRange(0), default=0.5, show_default=True, help="Seconds that do not count.")
@click.option("--duration", type=FiniteRange(0), default=3.0, show_default=True, help="Seconds to measure for.")
@click.option("--streams", type=click.IntRange(1), default=1, show_default=True, help="Runs that may share the GPU.")
@click.option("--graph", is_flag=True, help="Launch runs as CUDA graphs, which spares the host most of its part.")
@click.option("--transfers", is_flag=True, help="Make the copies between host and GPU part of every run.")
@click.option("--layers", is_flag=True, help="Measure each layer as well, and name the lines it comes from.")
@runtime_options
@build_options
@json_option
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    warm_up: float,
    duration: float,
    streams: int,
    graph: bool,
    transfers: bool,
    layers: bool,
    as_json: bool,
    **described: Any,
) -> None:
    """Measure how long an engine takes on the GPU.

    NETWORK may be an engine file as well; of a network the engine is built, or taken from the store of earlier builds.
    Inputs are as for `run`; they lie on the GPU, and so do the outputs, unless --transfers says otherwise. Half of the
    time goes to runs one by one (latency, by the host's clock), half to runs that wait behind each other (GPU time, by
    CUDA's events, and throughput).
    """
    from trtdsl.cli.progress import progress
    from trtdsl.running.bench import measure, measure_layers

    runnable = open_runnable(network, inputs, **described)
    arrays = runnable.inputs()
    with progress(click.get_current_context().color) as reporter:
        engine = runnable.load(reporter)
    with engine:
        measured = measure(
            engine,
            arrays,
            warm_up=warm_up,
            duration=duration,
            streams=streams,
            graph=graph,
            transfers=transfers,
        )
        times = measure_layers(engine, arrays) if layers else ()
        about = _about(engine, arrays)
    settings = {"streams": streams, "graph": graph, "transfers": transfers}
    if as_json:
        found = {"engine": about, **settings, "warm_up_s": warm_up, "duration_s": duration, **measured.as_dict()}
        if layers:
            found["layers"] = [time.as_dict() for time in times]
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    click.echo("\n".join(_readable(about, measured, settings)))
    if layers:
        click.echo("\n".join(_layers(times)))


def _about(engine: Engine, inputs: Mapping[str, Array]) -> dict[str, Any]:
    """What was measured, as plain data."""
    built_from: Mapping[str, Any] = (engine.manifest or {}).get("built_from", {})
    return {
        "name": (engine.manifest or {}).get("name"),
        "runtime": built_from.get("runtime"),
        "gpu": built_from.get("gpu"),
        "inputs": {name: f"{engine.inputs[name].dtype}{[*array.shape]}" for name, array in inputs.items()},
    }


def _readable(about: Mapping[str, Any], measured: Measured, settings: Mapping[str, Any]) -> Iterator[str]:
    on = ", ".join(f"{name} {text}" for name, text in about["inputs"].items())
    yield click.style(f"{about['name']}: {about['runtime']}, on {on or 'nothing'}", bold=True)
    percentiles = [f"{percent} %" for percent in measured.gpu.percentiles]
    rows = [["milliseconds", "runs", "mean", "min", *percentiles, "max"]]
    rows.append(["latency", *_cells(measured.latency)])
    rows.append(["GPU", *_cells(measured.gpu)])
    yield table(rows, right=range(1, len(rows[0])))
    streams = plural(settings["streams"], "stream")
    yield f"throughput: {measured.throughput:,.1f} runs per second, {streams}"
    how = "as a CUDA graph" if settings["graph"] else "layer by layer"
    copies = "copies from and to page-locked memory included" if settings["transfers"] else "without copies to the GPU"
    yield f"each run is launched {how}, {copies}"
    yield "latency: the host's clock, from before a run is put on its stream until it is done, nothing else under way"
    yield "GPU: CUDA's events around each run, others waiting behind it"


def _cells(times: Times) -> list[str]:
    values = (times.mean, times.least, *times.percentiles.values(), times.most)
    return [str(times.count), *(f"{value:.4f}" for value in values)]


def _layers(times: Sequence[LayerTime]) -> Iterator[str]:
    total = sum(time.milliseconds for time in times)
    yield ""
    yield click.style(f"layers one by one, by TensorRT's profiler: {total:.4f} ms together", bold=True)
    rows = [["milliseconds", "share", "layer", "lines"]]
    for time in times:
        share = f"{100 * time.milliseconds / total:.1f} %" if total else "-"
        rows.append([f"{time.milliseconds:.4f}", share, time.name, _places(time.lines)])
    yield table(rows, right=(0, 1))


def _places(lines: Sequence[str]) -> str:
    """Places of layers with each file named once: `net.yaml:7, 9`."""
    files: dict[str, list[str]] = {}
    for place in lines:
        file, _, line = place.rpartition(":")
        files.setdefault(file, []).append(line)
    return ", ".join(f"{file}:{', '.join(numbers)}" for file, numbers in files.items())
