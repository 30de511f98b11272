"""`trtdsl run`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trtdsl.cli.console import plural, show, table, written_files
from trtdsl.cli.inputs import InputOptions, input_options
from trtdsl.cli.options import (
    Command,
    build_options,
    color_option,
    json_option,
    load_network,
    network_options,
)
from trtdsl.cli.runnable import is_engine, numbers_of, open_runnable, runtime_options
from trtdsl.errors import TrtdslError, reason_of

if TYPE_CHECKING:
    from trtdsl.network import Network
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
        "trtdsl run resnet.engine --input image=cat.png --resize crop --top-k 5 --labels imagenet.txt",
    ],
)
@network_options
@input_options
@click.option("--reference", is_flag=True, help="Compute in fp32 on a CPU, by ONNX Runtime, whatever the precision.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the outputs to this .npz file.")
@click.option("--top-k", type=click.IntRange(1), metavar="K", help="List the K largest along each output's last axis.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="What to call the indices of --top-k: a line of this file for each.",
)
@runtime_options
@build_options
@json_option
@color_option
def command(
    network: Path,
    inputs: InputOptions,
    reference: bool,
    output: Path | None,
    top_k: int | None,
    labels: Path | None,
    as_json: bool,
    **described: Any,
) -> None:
    """Run a network or an engine once and print what comes out.

    NETWORK may be an engine file as well; of a network the engine is built, or taken from the store of earlier builds.
    With --reference no GPU is needed. Inputs that are not given are random; dimensions that no input tells are at opt
    unless --dim says more.
    """
    if labels is not None and top_k is None:
        raise click.UsageError("--labels is about what --top-k lists")
    names = _read_labels(labels) if labels is not None else None
    run = _reference if reference else _outputs
    outputs = run(network, inputs, output, described)
    click.echo(_as_json(outputs, top_k, names) if as_json else "\n".join(_readable(outputs, top_k, names)))
    if output is not None:
        from trtdsl.running import save_npz

        save_npz(output, outputs)
        click.echo(written_files([output]), err=True)


def _outputs(
    network: Path, inputs: InputOptions, output: Path | None, described: Mapping[str, Any]
) -> dict[str, Array]:
    """What the engine gives."""
    from trtdsl.cli.progress import progress

    runnable = open_runnable(network, inputs, **described)
    if runnable.network is not None:
        _check_output(output, runnable.network)
    arrays = runnable.inputs()
    with progress(click.get_current_context().color) as reporter:
        engine = runnable.load(reporter)
    with engine:
        return numbers_of(engine, engine.run(arrays))


def _reference(
    network: Path, inputs: InputOptions, output: Path | None, described: Mapping[str, Any]
) -> dict[str, Array]:
    """What the network gives in fp32, whatever TensorRT is there."""
    if is_engine(network):
        raise click.UsageError(f"--reference: {network} is an engine; give its network instead")
    source = click.get_current_context().get_parameter_source
    if said := [_ABOUT_ENGINES[name] for name in _ABOUT_ENGINES if source(name) is not ParameterSource.DEFAULT]:
        raise click.UsageError(f"{', '.join(said)}: about engines, and --reference makes none")
    about_network = {name: value for name, value in described.items() if name not in _ABOUT_ENGINES}
    loaded = load_network(network, **about_network)
    show(loaded.warnings)
    _check_output(output, loaded)
    return loaded.run(inputs.values(), reference=True, seed=inputs.seed, pictures=inputs.pictures())


def _check_output(output: Path | None, network: Network) -> None:
    from trtdsl.outputs import check_outputs

    if output is not None:
        check_outputs([output], network.flat, network.graph)


_ABOUT_ENGINES = {"gpu": "--gpu", "runtime": "--runtime", "target": "--target", "option_assignments": "--option"}


def _read_labels(path: Path) -> list[str]:
    """The lines of a file. Raises TrtdslError."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TrtdslError.of("file", f"{path} cannot be read: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise TrtdslError.of("encoding", f"{path} is not UTF-8") from None


def _readable(outputs: Mapping[str, Array], top_k: int | None, names: list[str] | None) -> Iterator[str]:
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
                yield f"  {number}: " + ", ".join(f"{_label(index, names)} ({value:.6g})" for index, value in row)
            if len(best) > _ROWS:
                yield f"  and {plural(len(best) - _ROWS, 'more row')}; --json has them all"


def _label(index: int, names: list[str] | None) -> str:
    return names[index] if names is not None and index < len(names) else str(index)


def _as_json(outputs: Mapping[str, Array], top_k: int | None, names: list[str] | None) -> str:
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
            if names is not None:
                described[name]["labels"] = [
                    [_label(index, names) for index, _ in row] for row in _largest(array, top_k)
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
