"""`trtdsl tune`."""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import plural, show
from trtdsl.cli.inputs import InputOptions, data_options, picture_options
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
    from trtdsl.tuning import Assignment, Trial, Tuned

# Those of `trtdsl.types.PRECISIONS` and `QUANTIZED_PRECISIONS` but fp32, from which tuning starts.
_TYPES = ("fp16", "bf16", "int8", "fp8")


@click.command(
    "tune",
    cls=Command,
    examples=[
        "trtdsl tune net.yaml --data samples --tolerance 1e-2",
        "trtdsl tune net.yaml --data images --types fp16,int8 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        "trtdsl tune net.yaml --data samples --device cpu --dry-run",
    ],
)
@network_options
@data_options
@click.option(
    "--tolerance",
    type=FiniteRange(0, min_open=True),
    default=1e-2,
    show_default=True,
    metavar="ERROR",
    help="How far outputs may be from fp32: the largest difference over the largest magnitude.",
)
@click.option("--types", default="fp16", show_default=True, help=f"What to bring layers into: of {', '.join(_TYPES)}.")
@click.option("--trials", type=click.IntRange(1), default=40, show_default=True, help="Measure no more assignments.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Where trials are kept; default: NETWORK.tune.json, beside it."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and leave the file as it is.")
@picture_options
@click.option(
    "--device",
    type=click.Choice(["gpu", "cpu"]),
    default="gpu",
    show_default=True,
    help="What measures: engines on the GPU, or on a CPU ONNX Runtime, which knows errors and no times.",
)
@click.option("--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT of a GPU.")
@build_options
@json_option
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    data: Path,
    limit: int | None,
    tolerance: float,
    types: str,
    trials: int,
    state: Path | None,
    dry_run: bool,
    device: str,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    as_json: bool,
    **described: Any,
) -> None:
    """Find types as cheap as a tolerance lets them be, and write them into the network's file.

    Layers whose precision neither they themselves nor a group around them say are brought from fp32 into narrower
    types; those that spoil the outputs are found by halving. What is found is written under `precision`; all other
    lines and all comments stay. Trials are kept, so that a run that was stopped goes on where it was.
    """
    from trtdsl.cli.progress import progress

    chosen = [word.strip() for word in types.split(",")]
    if wrong := [word for word in chosen if word not in _TYPES]:
        raise click.BadParameter(f"`{wrong[0]}` is none of {', '.join(_TYPES)}", param_hint="--types")
    loaded = load_network(network, **described)
    show(loaded.warnings)
    with progress(click.get_current_context().color) as builds:
        tuned = loaded.tune(
            data,
            tolerance=tolerance,
            types=chosen,
            limit=limit,
            pictures=inputs.pictures(),
            device=device,
            trials=trials,
            state=state,
            write=not dry_run,
            runtime=runtime,
            target=target,
            options=parse_build_options(option_assignments),
            progress=builds,
            reporter=_Shown(),
        )
    if as_json:
        click.echo(json.dumps(_described(tuned), indent=2))
    else:
        click.echo("\n".join(_readable(tuned, network, dry_run)))


class _Shown:
    """Says on stderr what each trial came to."""

    def trial(self, number: int, assignment: Assignment, trial: Trial) -> None:
        counts = ", ".join(f"{dtype} in {count}" for dtype, count in Counter(map(str, assignment.values())).items())
        time = "" if trial.time is None else f", {trial.time:.3f} ms"
        error = f"{trial.error:.2e}" if math.isfinite(trial.error) else "not finite, or not built"
        click.echo(f"{number:3}: {counts}: error {error}{time}", err=True)


def _readable(tuned: Tuned, network: Path, dry_run: bool) -> Iterator[str]:
    counts = ", ".join(f"{dtype} in {count}" for dtype, count in tuned.counts.items())
    yield f"{counts} of {plural(len(tuned.assignment), 'layer')}: relative error {tuned.error:.2e} beside fp32"
    if tuned.time is not None and tuned.base_time is not None:
        yield f"{tuned.time:.3f} ms a run instead of {tuned.base_time:.3f} ms in fp32"
    known = f", {plural(tuned.known, 'earlier one')} known" if tuned.known else ""
    yield f"{plural(tuned.measured, 'trial')} made{known}, measured by {tuned.judge}"
    if tuned.exhausted:
        yield "more --trials might find more"
    if tuned.text == tuned.before:
        yield f"{network} says that already"
    elif dry_run:
        yield from _changes(tuned, network)
    else:
        yield f"wrote {network}"
        yield from _changes(tuned, network)


def _changes(tuned: Tuned, network: Path) -> Iterator[str]:
    lines = tuned.before.splitlines(), tuned.text.splitlines()
    yield from difflib.unified_diff(*lines, str(network), str(network), n=1, lineterm="")


def _described(tuned: Tuned) -> dict[str, Any]:
    return {
        "measured_by": tuned.judge,
        "layers": {name: str(dtype) for name, dtype in tuned.assignment.items()},
        "error": tuned.error,
        "ms": tuned.time,
        "fp32_ms": tuned.base_time,
        "trials": tuned.measured,
        "trials_known": tuned.known,
        "exhausted": tuned.exhausted,
    }
