"""What `run` and `bench` take: a network, or an engine file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trtdsl.cli.console import show
from trtdsl.cli.inputs import InputOptions
from trtdsl.cli.options import load_network, parse_build_options, parse_dims
from trtdsl.targets.runtime import CHOICES

if TYPE_CHECKING:
    from trtdsl.engine import ProgressReporter
    from trtdsl.network import Network
    from trtdsl.running import Array
    from trtdsl.runtime import Engine

F = TypeVar("F", bound=Callable[..., Any])
SUFFIX = ".engine"
_OF_NETWORKS = {
    "assignments": "--set",
    "weights": "--weights",
    "precision": "--precision",
    "scales": "--scales",
    "impl": "--impl",
    "random_weights": "--random-weights",
    "check_finite": "--check-finite",
    "target": "--target",
    "option_assignments": "--option",
}
"""Options that say what an engine is built from, which one that is there has behind it."""


@dataclass(frozen=True)
class Runnable:
    """What the command line names, with how it is loaded as an engine and what it is run on."""

    load: Callable[[ProgressReporter | None], Engine]
    inputs: Callable[[], dict[str, Array]]
    network: Network | None = None


def runtime_options(command: F) -> F:
    """Which TensorRT runs the engine, and where."""
    gpu = click.option(
        "--gpu", type=click.IntRange(0), default=0, show_default=True, help="Index of the GPU to run on."
    )
    runtime = click.option(
        "--runtime", type=click.Choice(CHOICES), default="auto", show_default=True, help="The TensorRT to use."
    )
    decorated: F = runtime(gpu(command))
    return decorated


def is_engine(path: Path) -> bool:
    """Whether a path of the command line is an engine's: all else is read as a network."""
    return path.suffix == SUFFIX


def check_engine_options(path: Path, given: Mapping[str, Any]) -> None:
    """Refuse options that cannot change an engine that is built already. Raises UsageError."""
    if said := [option for name, option in _OF_NETWORKS.items() if given.get(name)]:
        raise click.UsageError(f"{', '.join(said)}: {path} is built already; give its network instead")


def open_engine(path: Path, inputs: InputOptions, *, gpu: int, runtime: str, **described: Any) -> Runnable:
    """An engine file on the command line. Raises UsageError for what only networks take."""
    check_engine_options(path, described)
    dims = {name: _sizes(node) for name, node in parse_dims(described.get("dims", ())).items()}
    plugins: Sequence[Path] = described.get("plugins", ())

    def load(progress: ProgressReporter | None) -> Engine:
        from trtdsl.runtime import Engine

        return Engine(path, gpu=gpu, runtime=runtime, plugins=plugins)

    def arrays() -> dict[str, Array]:
        from trtdsl.engine import manifest
        from trtdsl.running import engine_inputs

        told = manifest.read(path)
        return engine_inputs(path, told, inputs.values(), seed=inputs.seed, pictures=inputs.pictures(), dims=dims)

    return Runnable(load, arrays)


def _sizes(node: Any) -> Any:
    from trtdsl.nodes import plain

    return plain(node)


def open_network(
    path: Path,
    inputs: InputOptions,
    *,
    gpu: int,
    runtime: str,
    target: str | None,
    option_assignments: tuple[str, ...],
    **described: Any,
) -> Runnable:
    """A network on the command line. Raises NetworkError."""
    network = load_network(path, **described)
    show(network.warnings)
    options = parse_build_options(option_assignments)

    def load(progress: ProgressReporter | None) -> Engine:
        return network.engine(gpu=gpu, runtime=runtime, target=target, options=options, progress=progress)

    def arrays() -> dict[str, Array]:
        from trtdsl.running import make_inputs

        return make_inputs(network.graph, inputs.values(), seed=inputs.seed, pictures=inputs.pictures())

    return Runnable(load, arrays, network)


def numbers_of(engine: Engine, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of an engine as numbers, where numpy has none of their type."""
    from trtdsl.running import as_numbers

    return {name: as_numbers(array, engine.outputs[name].dtype) for name, array in outputs.items()}


def open_runnable(path: Path, inputs: InputOptions, **described: Any) -> Runnable:
    """A network or an engine on the command line. Raises NetworkError, UsageError."""
    return (open_engine if is_engine(path) else open_network)(path, inputs, **described)
