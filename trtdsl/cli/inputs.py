"""The options of commands that run networks: what goes into them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from trtdsl.running import Given, Pictures

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--input",
        "given",
        multiple=True,
        metavar="NAME=FILE",
        help="An input from a .npy file or an image; several images of one name are a batch.",
    ),
    click.option("--inputs", "archive", type=click.Path(path_type=Path), help="Inputs from an .npz file, by name."),
    click.option("--seed", default=0, show_default=True, help="Decides the random numbers of inputs not given."),
)
_PICTURES = (
    click.option("--scale", type=float, help="What pixels, 0 to 255, are multiplied by; default: 1/255."),
    click.option("--mean", metavar="NUMBERS", help="Subtracted from scaled pixels: one number or one per channel."),
    click.option("--std", metavar="NUMBERS", help="What they are divided by then: --std 0.229,0.224,0.225."),
    click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Axes of images; default: as the shape tells."),
    click.option(
        "--resize",
        type=click.Choice(["stretch", "crop", "pad"]),
        default="stretch",
        show_default=True,
        help="How images get the input's size: as they are, by their middle, or whole between bars of black.",
    ),
    click.option(
        "--order", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True, help="Order of the channels."
    ),
)


@dataclass(frozen=True)
class InputOptions:
    """What the options say, as they are written."""

    given: tuple[str, ...] = ()
    archive: Path | None = None
    seed: int = 0
    scale: float | None = None
    mean: str | None = None
    std: str | None = None
    layout: str | None = None
    resize: str = "stretch"
    order: str = "rgb"

    def values(self) -> dict[str, Given]:
        """The arrays and files of inputs, by name. Raises RunError for a file that cannot be read."""
        from trtdsl.running import read_npz

        files: dict[str, list[Path]] = defaultdict(list)
        for text in self.given:
            name, equals, path = text.partition("=")
            if not (name and equals and path):
                raise click.BadParameter(f"`{text}` is not NAME=FILE", param_hint="--input")
            files[name].append(Path(path))
        arrays: dict[str, Given] = dict(read_npz(self.archive)) if self.archive is not None else {}
        if twice := sorted(files.keys() & arrays.keys()):
            raise click.BadParameter(f"{self.archive} has `{twice[0]}` as well", param_hint="--input")
        return {**arrays, **files}

    def pictures(self) -> Pictures:
        """How images become tensors."""
        from trtdsl.running import Pictures

        pictures = Pictures(layout=self.layout, resize=self.resize, order=self.order)
        if self.scale is not None:
            pictures = replace(pictures, scale=self.scale)
        if self.mean is not None:
            pictures = replace(pictures, mean=_numbers(self.mean, "--mean"))
        if self.std is not None:
            pictures = replace(pictures, std=_numbers(self.std, "--std"))
        return pictures


def input_options(command: F) -> F:
    """Options on what a network is run on, handed to the command as `inputs`."""
    return _gathering(command, (*_OPTIONS, *_PICTURES))


def picture_options(command: F) -> F:
    """Options on how images become tensors, handed to the command as `inputs` of which none is given."""
    return _gathering(command, _PICTURES)


def data_options(command: F) -> F:
    """Options on a folder of samples, handed to the command as `data` and `limit`."""
    data = click.option(
        "--data",
        type=click.Path(path_type=Path),
        required=True,
        metavar="FOLDER",
        help="Samples: npz files with an array for each input, or npy files or images of the only one.",
    )
    limit = click.option(
        "--limit", type=click.IntRange(1), metavar="FILES", help="Take no more files than this, the first ones."
    )
    return data(limit(command))


def _gathering(command: F, decorators: Sequence[Callable[[F], F]]) -> F:
    names = list(InputOptions.__dataclass_fields__)

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        inputs = InputOptions(**{name: given.pop(name) for name in names if name in given})
        _check_pictures(inputs, given.get("data"))
        return command(inputs=inputs, **given)

    wrapped: Any = gathered
    for decorator in reversed(decorators):
        wrapped = decorator(wrapped)
    result: F = wrapped
    return result


def _check_pictures(inputs: InputOptions, data: Path | None) -> None:
    """Refuse options on images where there are none. Raises UsageError, RunError for a folder without data."""
    source = click.get_current_context().get_parameter_source
    names = ("scale", "mean", "std", "layout", "resize", "order")
    said = [f"--{name}" for name in names if source(name) is not ParameterSource.DEFAULT]
    if not said:
        return
    if data is None:
        where, has_images = "no --input is one", any(not text.endswith(".npy") for text in inputs.given)
    else:
        from trtdsl.running.dataset import holds_images

        where, has_images = f"{data} holds none", holds_images(data)
    if not has_images:
        raise click.UsageError(f"{', '.join(said)}: about images, and {where}")


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise click.BadParameter(f"`{text}` is not one number, or several with commas", param_hint=option) from None
