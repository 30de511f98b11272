"""`trtdsl ops`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import table
from trtdsl.cli.options import Command, color_option, json_option
from trtdsl.errors import TrtdslError, suggest

if TYPE_CHECKING:
    from trtdsl.ops.base import Attribute, Input, Op, WeightParameter


@click.command(
    "ops",
    cls=Command,
    examples=[
        "trtdsl ops",
        "trtdsl ops conv",
        "trtdsl ops conv --json",
    ],
)
@click.argument("name", required=False)
@json_option
@color_option
def command(name: str | None, as_json: bool) -> None:
    """List the ops, or explain one.

    Without NAME: every op by family, a line each. With NAME: what it computes, its inputs, its parameters with type
    and default, its weights with their shapes, and a layer to copy.
    """
    from trtdsl.ops import CATALOGUE
    from trtdsl.ops.raw import elsewhere

    if name is not None and name not in CATALOGUE:
        hint = elsewhere(name) or suggest(name, CATALOGUE)
        raise TrtdslError.of("unknown-op", f"there is no op `{name}`", hint=hint)
    chosen = _own_names(CATALOGUE) if name is None else {name: CATALOGUE[name]}
    if as_json:
        click.echo(json.dumps({kind: described(op) for kind, op in chosen.items()}, indent=2))
    elif name is None:
        click.echo("\n\n".join(overview(chosen)))
    else:
        click.echo("\n\n".join(reference(CATALOGUE[name])))


def _own_names(catalogue: Mapping[str, type[Op]]) -> dict[str, type[Op]]:
    """The catalogue without the second names of ops."""
    return {kind: op for kind, op in catalogue.items() if kind == op.kind}


def overview(ops: Mapping[str, type[Op]]) -> Iterator[str]:
    """One block for each family of ops, which is a module of the catalogue."""
    width = max(map(len, ops))
    families: dict[str, list[type[Op]]] = {}
    for op in ops.values():
        families.setdefault(op.__module__, []).append(op)
    for module, members in families.items():
        title = _first_line(sys.modules[module].__doc__).rstrip(".")
        rows = [(op.kind.ljust(width), summary(op)) for op in members]
        yield click.style(title, bold=True) + "\n" + table(rows, indent="  ")


def reference(op: type[Op]) -> Iterator[str]:
    """All that the class of an op declares, block by block."""
    yield click.style(op.kind, bold=True) + (f" (also {', '.join(op.aliases)})" if op.aliases else "")
    yield inspect.cleandoc(op.__doc__ or "")
    if op.structure:
        yield _block("Keys", list(op.structure.items()))
    elif op.inputs:
        yield _block("Inputs", [(entry.name, _input(entry)) for entry in op.inputs])
    if op.attributes and not op.structure:
        yield _block("Parameters", [row for entry in op.attributes.values() for row in _attribute(entry)])
    if op.weight_parameters:
        yield _block("Weights", [(entry.name, _weight(entry)) for entry in op.weight_parameters.values()])
    if op.by_plugin:
        yield by_plugin(op)
    if op.is_open:
        yield from _declared(op)
    if op.example:
        yield _block("Example", [(f"- {op.example}",)])


def _declared(op: type[Op]) -> Iterator[str]:
    """What the TensorRT that is installed says of a raw layer. Raises TrtdslError where it has no such method."""
    from trtdsl.errors import RuntimeUnavailableError
    from trtdsl.targets.raw import reference_of
    from trtdsl.targets.runtime import find_runtime

    try:
        runtime = find_runtime()
    except RuntimeUnavailableError:
        yield "No TensorRT is installed here that could say what the method takes."
        return
    for title, rows in reference_of(op.kind, runtime):
        yield _block(title, rows)


def by_plugin(op: type[Op]) -> str:
    """A sentence on the plugin that an op may become."""
    return f"With `impl: plugin`{'' if op.by_plugin_if_asked else ', or auto,'} it is the plugin {op.by_plugin}."


def _block(title: str, rows: list[Any]) -> str:
    return click.style(title, bold=True) + "\n" + table(rows, indent="  ")


def _input(entry: Input) -> str:
    words = [entry.help] if entry.help else []
    words.append(" ".join(sorted(dtype.value for dtype in entry.dtypes)))
    if entry.optional:
        words.append("optional")
    if entry.variadic:
        words.append("any number")
    return "; ".join(words)


def _attribute(entry: Attribute[Any]) -> Iterator[tuple[str, str]]:
    default = "required" if entry.is_required else f"default {as_yaml(entry.default)}"
    yield entry.name, entry.help
    yield "", f"{entry.type.describe()}; {default}"


def _weight(entry: WeightParameter) -> str:
    words = [entry.help]
    if entry.when is not None:
        words.append(f"with `{entry.when}: true`")
    elif entry.optional:
        words.append(f"`{entry.name}: false` leaves it out" if entry.default else "only when given")
    return "; ".join(words)


def as_yaml(value: object) -> str:
    """A default as a user would write it; lists that stand for one value are written as that value."""
    from trtdsl.ops.attributes import show
    from trtdsl.types import DataType, Dim

    if value is None:
        return "none"
    if isinstance(value, (DataType, Dim)):
        return str(value)
    if isinstance(value, tuple) and value and all(item == value[0] for item in value):
        return as_yaml(value[0])
    if isinstance(value, str):
        return value
    return show(value)


def described(op: type[Op]) -> dict[str, Any]:
    """The declarations of an op as plain data."""
    return {
        "summary": summary(op),
        "aliases": list(op.aliases),
        "inputs": [
            {
                "name": entry.name,
                "help": entry.help,
                "dtypes": sorted(dtype.value for dtype in entry.dtypes),
                "optional": entry.optional,
                "variadic": entry.variadic,
            }
            for entry in op.inputs
            if not op.structure
        ],
        "keys": dict(op.structure),
        "parameters": {
            entry.name: {
                "help": entry.help,
                "type": entry.type.describe(),
                "schema": entry.type.schema(),
                "required": entry.is_required,
                **({} if entry.is_required else {"default": _as_data(entry.default)}),
            }
            for entry in op.attributes.values()
            if not op.structure
        },
        "weights": {
            entry.name: {"help": entry.help, "optional": entry.optional, "default": entry.default, "when": entry.when}
            for entry in op.weight_parameters.values()
        },
        "plugin": op.by_plugin or None,
        "example": op.example,
    }


def _as_data(value: object) -> object:
    from trtdsl.types import DataType, Dim

    if isinstance(value, tuple):
        return [_as_data(item) for item in value]
    return str(value) if isinstance(value, (DataType, Dim)) else value


def summary(op: type[Op]) -> str:
    """The first line of what an op says of itself."""
    return _first_line(op.__doc__)


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n")[0]
