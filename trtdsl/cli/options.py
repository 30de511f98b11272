"""What several commands share: examples in their help, options, and the loading of networks."""

from __future__ import annotations

import gc
import importlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trtdsl.errors import TrtdslError, reason_of
from trtdsl.types import PRECISIONS, QUANTIZED_PRECISIONS

if TYPE_CHECKING:
    from trtdsl.flat import FlatNetwork
    from trtdsl.network import Network
    from trtdsl.nodes import Node

F = TypeVar("F", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """Numbers in a range, of which NaN and infinity are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


_READ = ("network", "engine", "archive", "labels")
_WRITTEN = ("output", "state")
"""Parameters of commands that are files which they read, and files which they write."""


class Command(click.Command):
    """A command whose --help ends with examples, and that writes over none of the files it was given to read."""

    def __init__(self, *arguments: Any, examples: Sequence[str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        weights = [weights.partition("=")[2] or weights for weights in ctx.params.get("weights") or ()]
        read = [path for name in _READ if (path := ctx.params.get(name))]
        places = {Path(path).resolve(): path for path in (*read, *weights)}
        for path in filter(None, map(ctx.params.get, _WRITTEN)):
            if path.resolve() in places:
                raise click.UsageError(f"{path} would be read and then written over; write another file", ctx)
        return rest

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)


class Group(click.Group):
    """A command of several subcommands, whose --help ends with examples; imports a subcommand when it is called."""

    def __init__(
        self, *arguments: Any, examples: Sequence[str], subcommands: Mapping[str, str], **settings: Any
    ) -> None:
        """`subcommands` has what --help says of each; `export onnx` lies in `export_onnx.py`."""
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.subcommands:
            return None
        command: click.Command = importlib.import_module(f"trtdsl.cli.{self.name}_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.subcommands.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Add a section of command lines to a help page, unwrapped so that they can be copied."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"  {example}\n")


def _set_color(ctx: click.Context, param: click.Parameter, value: bool | None) -> None:
    if value is None and ctx.parent is None and os.environ.get("NO_COLOR"):
        value = False
    if value is not None:
        # The outermost context is the one in which errors are shown.
        ctx.color = ctx.find_root().color = value


color_option = click.option(
    "--color/--no-color",
    default=None,
    expose_value=False,
    is_eager=True,
    callback=_set_color,
    help="Colours in messages; by default on terminals, unless NO_COLOR is set.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


_EXPANSION = (
    click.argument("network", type=click.Path(path_type=Path)),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Give a param another value, as YAML: --set classes=10 --set 'depths=[3, 4, 6, 3]'.",
    ),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=SIZES",
        help="Give a dimension other sizes: one, --dim N=4, or its min, opt and max, --dim N=1,8,32.",
    ),
    click.option(
        "--weights",
        multiple=True,
        metavar="[PREFIX=]FILE",
        help="Take weights from this file instead of those the network names; may be repeated.",
    ),
    click.option(
        "--precision",
        type=click.Choice([dtype.value for dtype in (*PRECISIONS, *QUANTIZED_PRECISIONS)]),
        help="What layers compute in that do not say it themselves; instead of the network's default.",
    ),
    click.option(
        "--scales",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Take the scales of int8 and fp8 from this file instead of those that the network names.",
    ),
    click.option(
        "--impl",
        type=click.Choice(["native", "auto"]),
        help="auto: layers that do not say it themselves take trtdsl's plugins where there are any.",
    ),
    click.option(
        "--plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="LIBRARY",
        help="Load this library of plugins besides those that the network names; may be repeated.",
    ),
)
_WEIGHTS = (
    click.option("--random-weights", is_flag=True, help="Make all weights up, to measure before training."),
    click.option("--check-finite", is_flag=True, help="Refuse weights that hold NaN or infinity."),
)


_BUILD = (
    click.option(
        "--target", metavar="CAPABILITY", help="Compute capability of the GPU to build for, such as 8.9 (RTX only)."
    ),
    click.option(
        "--option",
        "option_assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Override an entry of the network's `build:` section: --option optimization_level=5.",
    ),
)


def _with(decorators: Sequence[Callable[[F], F]], command: F) -> F:
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def expansion_options(command: F) -> F:
    """The NETWORK argument and what changes the network it names."""
    return _with(_EXPANSION, command)


def network_options(command: F) -> F:
    """The options of expansion, and how weights are looked at."""
    return _with((*_EXPANSION, *_WEIGHTS), command)


def build_options(command: F) -> F:
    """What overrides the `build:` section."""
    return _with(_BUILD, command)


def parse_build_options(assignments: Sequence[str]) -> dict[str, object]:
    """The values of `--option NAME=VALUE`. Raises NetworkError for what is no YAML."""
    from trtdsl.nodes import plain

    return {name: plain(value) for name, value in parse_assignments(assignments, "--option").items()}


def flatten_network(
    network: Path,
    *,
    assignments: Sequence[str],
    dims: Sequence[str],
    weights: Sequence[str],
    precision: str | None,
    scales: Path | None = None,
    impl: str | None = None,
    plugins: Sequence[Path] = (),
) -> FlatNetwork:
    """The flat network that `expansion_options` describe. Raises NetworkError."""
    from trtdsl.api import flatten

    with _uncollected():
        return flatten(
            network,
            parameters=parse_assignments(assignments, "--set"),
            dims=parse_dims(dims),
            weights=weights or None,
            precision=precision,
            scales=scales,
            impl=impl,
            plugins=plugins,
        )


def load_network(
    network: Path,
    *,
    random_weights: bool,
    check_finite: bool,
    needs_weights: bool = True,
    quantized: bool = True,
    **described: Any,
) -> Network:
    """The network that `network_options` describe; made-up weights do for one that names none and needs none.

    Without `quantized` nothing is int8 or fp8, and no scales are read. Raises NetworkError.
    """
    from trtdsl.network import Network
    from trtdsl.overrides import Overrides

    flat = flatten_network(network, **described)
    made_up = random_weights or not (needs_weights or flat.weights)
    with _uncollected():
        loaded = Network.of(flat, random_weights=made_up, check_finite=check_finite, quantized=quantized)
    described["parameters"] = parse_assignments(described.pop("assignments"), "--set")
    described["dims"] = parse_dims(described.pop("dims"))
    return replace(loaded, overrides=Overrides.of(**described, random_weights=made_up))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spare what is made here Python's search for unused cycles, now and later.

    Networks have none, live as long as the process, and take a fifth longer with it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def parse_assignments(assignments: Sequence[str], option: str) -> dict[str, Node]:
    """The values of a repeated `NAME=VALUE` option, read as YAML. Raises NetworkError for what is no YAML."""
    from trtdsl.errors import Diagnostics
    from trtdsl.reader import read_value
    from trtdsl.source import SourceFile

    values: dict[str, Node] = {}
    diagnostics = Diagnostics()
    for name, text in _split(assignments, option, "NAME=VALUE"):
        values.pop(name, None)
        values[name] = read_value(SourceFile(f"{option} {name}", text), diagnostics)
    diagnostics.end_stage()
    return values


def parse_dims(assignments: Sequence[str]) -> dict[str, Node]:
    """The sizes that `--dim NAME=SIZE` and `--dim NAME=MIN,OPT,MAX` give."""
    from trtdsl.nodes import Scalar
    from trtdsl.nodes import Sequence as List
    from trtdsl.source import SourceFile, Span

    values: dict[str, Node] = {}
    for name, text in _split(assignments, "--dim", "NAME=SIZES"):
        if not _SIZES.fullmatch(text):
            message = f"`{name}={text}`: write one size, {name}=4, or three, {name}=1,8,32"
            raise click.BadParameter(message, param_hint="--dim")
        span = Span(SourceFile(f"--dim {name}", text), 1, 1, 1, len(text) + 1)
        sizes = [Scalar(int(size), span) for size in text.split(",")]
        values[name] = sizes[0] if len(sizes) == 1 else List(tuple(sizes), span)
    return values


_SIZES = re.compile(r"[0-9]{1,18}(,[0-9]{1,18},[0-9]{1,18})?")


def _split(assignments: Sequence[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"`{assignment}` is not {form}", param_hint=option)
        yield name, text


def write_output(text: str, output: Path | None) -> None:
    """Print a command's result, or write it to the file of its `-o`. Raises TrtdslError."""
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    from trtdsl.engine.files import write_atomically

    try:
        if output.exists() and not output.is_file():
            output.write_text(text, encoding="utf-8")  # such as /dev/stdout
        else:
            write_atomically(output, text.encode())
    except OSError as error:
        raise TrtdslError.of("file", f"cannot write {output}: {reason_of(error)}") from None
