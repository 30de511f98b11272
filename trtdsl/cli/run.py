"""`trtdsl run`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import plural, show, table, written_files
from trtdsl.cli.inputs import InputOptions, input_options
from trtdsl.cli.options import (
    Command,
    build_options,
    color_option,
    json_option,
    load_network,
    network_options,
    parse_build_options,
)
from trtdsl.targets.runtime import CHOICES

if TYPE_CHECKING:
    from trtdsl.running import Array

_ROWS = 32
"""Rows of which the largest elements are printed for people."""


@click.command(
    "run",
    cls=Command,
    examples=[
        "trtdsl run networks/digits.yaml --reference --dim N=1",
        "trtdsl run net.yaml --reference --input image=cat.png --mean 0.5 --std 0.25 --top-k 5",
        "trtdsl run net.yaml --inputs inputs.npz --output outputs.npz",
    ],
)
@network_options
@input_options
@click.option("--reference", is_flag=True, help="Compute in fp32 on a CPU, by ONNX Runtime, whatever the precision.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the outputs to this .npz file.")
@click.option("--top-k", type=click.IntRange(1), metavar="K", help="List the K largest along each output's last axis.")
@click.option("--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT to use.")
@build_options
@json_option
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    reference: bool,
    output: Path | None,
    top_k: int | None,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    as_json: bool,
    **described: Any,
) -> None:
    """Run a network once and print what comes out.

    Builds the engine and runs it on the first GPU; with --reference no GPU is needed. Inputs that are not given are
    random; dimensions that no input tells are at opt unless --dim says more.
    """
    from trtdsl.cli.progress import progress

    loaded = load_network(network, **described)
    show(loaded.warnings)
    with progress(click.get_current_context().color) as reporter:
        outputs = loaded.run(
            inputs.values(),
            reference=reference,
            seed=inputs.seed,
            pictures=inputs.pictures(),
            runtime=runtime,
            target=target,
            options=parse_build_options(option_assignments),
            progress=reporter,
        )
    click.echo(_as_json(outputs, top_k) if as_json else "\n".join(_readable(outputs, top_k)))
    if output is not None:
        from trtdsl.running import save_npz

        save_npz(output, outputs)
        click.echo(written_files([output]), err=True)


def _readable(outputs: Mapping[str, Array], top_k: int | None) -> Iterator[str]:
    rows = [["output", "shape", "type", "min", "max", "mean"]]
    for name, array in outputs.items():
        shape = "x".join(map(str, array.shape)) or "scalar"
        rows.append([name, shape, array.dtype.name, *(f"{value:.6g}" for value in _statistics(array).values())])
    yield table(rows, right=(3, 4, 5))
    for name, array in outputs.items() if top_k else ():
        if array.ndim:
            yield f"largest of {name}"
            best = _largest(array, top_k or 0)
            for number, row in enumerate(best[:_ROWS]):
                yield f"  {number}: " + ", ".join(f"{index} ({value:.6g})" for index, value in row)
            if len(best) > _ROWS:
                yield f"  and {plural(len(best) - _ROWS, 'more row')}; --json has them all"


def _as_json(outputs: Mapping[str, Array], top_k: int | None) -> str:
    """JSON, where null stands for NaN and infinity."""
    import numpy as np

    described: dict[str, Any] = {}
    for name, array in outputs.items():
        statistics = {key: value if np.isfinite(value) else None for key, value in _statistics(array).items()}
        described[name] = {"shape": list(array.shape), "type": array.dtype.name, **statistics}
        described[name]["not_finite"] = int((~np.isfinite(array)).sum())
        if top_k and array.ndim:
            described[name]["largest"] = [
                [[index, value if np.isfinite(value) else None] for index, value in row]
                for row in _largest(array, top_k)
            ]
    return json.dumps(described, indent=2, allow_nan=False)


def _statistics(array: Array) -> dict[str, float]:
    import numpy as np

    if not array.size:
        return dict.fromkeys(("min", "max", "mean"), float("nan"))
    wide = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {"min": float(wide.min()), "max": float(wide.max()), "mean": float(wide.mean())}


def _largest(array: Array, count: int) -> list[list[tuple[int, float]]]:
    """Index and value of the largest elements along the last axis, for each of the rows before it."""
    import numpy as np

    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    return [[(int(index), float(row[index])) for index in best] for row, best in zip(rows, order, strict=True)]
