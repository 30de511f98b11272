"""`trtdsl plugins list`, which `trtdsl plugins` stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtdsl.cli.console import plural, table
from trtdsl.cli.options import Command, color_option, json_option
from trtdsl.errors import RuntimeUnavailableError, TrtdslError, suggest

if TYPE_CHECKING:
    from trtdsl.plugins.declaration import PluginDeclaration
    from trtdsl.plugins.fields import FieldDeclaration
    from trtdsl.plugins.registry import Creator

_NOT_COMPILED = "trtdsl's own plugins are not compiled for this TensorRT: `trtdsl plugins build` does that"


@click.command(
    "list",
    cls=Command,
    examples=[
        "trtdsl plugins list",
        "trtdsl plugins list InstanceNorm",
        "trtdsl plugins list --library libmine.so --json",
    ],
)
@click.argument("name", required=False)
@click.option(
    "--runtime",
    type=click.Choice(("auto", "tensorrt", "none")),
    default="auto",
    show_default=True,
    help="The TensorRT to ask; none: what comes with trtdsl, as it is declared.",
)
@click.option(
    "--library",
    "libraries",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="LIBRARY",
    help="Load this library of plugins first; may be repeated.",
)
@json_option
@color_option
def command(name: str | None, runtime: str, libraries: tuple[Path, ...], as_json: bool) -> None:
    """List plugins, or show the fields of one; what is done when no command is named.

    Asks the TensorRT that is installed which creators are registered: its own, those of the libraries given, and those
    that come with trtdsl. Without TensorRT, lists what comes with trtdsl. A creator may declare less than it takes: of
    a list, its length; of a field, its type.
    """
    from trtdsl.plugins.bundled import bundled_plugins

    creators = _creators(runtime, libraries)
    declared = bundled_plugins()
    if name is not None:
        creators = None if creators is None else [creator for creator in creators if creator.name == name]
        declared = {key: entry for key, entry in declared.items() if key == name}
        if not creators and not declared:
            raise _unknown(name, _creators(runtime, libraries) or [])
    if as_json:
        click.echo(json.dumps(_as_data(creators, declared.values()), indent=2))
    elif name is None:
        click.echo("\n".join(_listing(creators, list(declared.values()))))
    else:
        click.echo("\n\n".join(_details(creators, list(declared.values()))))


def _creators(runtime: str, libraries: Sequence[Path]) -> list[Creator] | None:
    """What is registered; None where no TensorRT says so. Raises TrtdslError for libraries that do not load."""
    from trtdsl.bundled_library import bundled_library
    from trtdsl.plugins.libraries import LibraryUse
    from trtdsl.targets.plugins import registry_of
    from trtdsl.targets.runtime import find_runtime

    if runtime == "none":
        return None
    try:
        found = find_runtime("tensorrt")
    except RuntimeUnavailableError:
        if runtime == "tensorrt" or libraries:
            raise
        return None
    own = bundled_library(found)
    uses = [*([own] if own else []), *map(LibraryUse, libraries)]
    return list(registry_of(uses, found).creators())


def _unknown(name: str, creators: Sequence[Creator]) -> TrtdslError:
    from trtdsl.plugins.bundled import bundled_plugins

    known = {*bundled_plugins(), *(creator.name for creator in creators), "build", "new"}
    hint = suggest(name, known) or "`trtdsl plugins` lists what there is"
    return TrtdslError.of("plugin-missing", f"there is no plugin `{name}`", hint=hint)


def _listing(creators: Sequence[Creator] | None, declared: Sequence[PluginDeclaration]) -> Iterator[str]:
    from trtdsl.plugins.declaration import NAMESPACE

    rows = [["plugin", "version", "kind", "namespace", "from", "fields"]]
    if creators is None:
        rows = [["plugin", "fields"]]
        rows += [[one.name, ", ".join(field.name for field in one.fields)] for one in declared]
        yield table(rows)
        yield f"{plural(len(declared), 'plugin')} that come with trtdsl; no TensorRT is asked here"
        return
    for creator in creators:
        fields = ", ".join(field.name for field in creator.fields())
        namespace, library = creator.namespace or '""', creator.library or "TensorRT"
        rows.append([creator.name, creator.version, creator.kind, namespace, library, _short(fields)])
    yield table(rows)
    yield plural(len(creators), "creator")
    if all(creator.namespace != NAMESPACE for creator in creators):
        yield _NOT_COMPILED


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _details(creators: Sequence[Creator] | None, declared: Sequence[PluginDeclaration]) -> Iterator[str]:
    for plugin in declared:
        rows = [row for field in plugin.fields for row in _declared_field(field)]
        inputs = ", ".join(entry.name + (" (optional)" if entry.optional else "") for entry in plugin.inputs)
        outputs = ", ".join(f"{entry.name}: {entry.shape.text}" for entry in plugin.outputs)
        formats = dict.fromkeys(f"{entry.dtype} {entry.layout}" for one in plugin.formats for entry in one.values())
        block = [click.style(plugin.name, bold=True) + " (comes with trtdsl)", plugin.help, f"inputs   {inputs}"]
        block += [f"outputs  {outputs}", f"formats  {', '.join(formats)}"]
        yield "\n".join([*block, *([table(rows, indent="  ")] if rows else ["it has no fields"])])
    if declared and creators == []:
        yield _NOT_COMPILED
    for creator in creators or ():
        head = click.style(str(creator), bold=True) + f" ({creator.kind}, {creator.library or 'TensorRT'})"
        rows = [(field.name, _told(field)) for field in creator.fields()]
        yield "\n".join([head, table(rows, indent="  ") if rows else "it declares no fields"])


def _told(field: FieldDeclaration) -> str:
    """What a creator tells of a field: its type, and how long a list it takes where that is more than one."""
    kind = str(field.type) if field.type else "no type: write {type: …, value: …}"
    return kind if field.length is None else f"{kind}[{field.length}]"


def _declared_field(field: FieldDeclaration) -> Iterator[tuple[str, str]]:
    yield field.name, field.help or field.describe()
    yield "", f"{field.describe()}; {'required' if field.is_required else f'default {_default(field)}'}"


def _default(field: FieldDeclaration) -> str:
    elements = field.default
    if isinstance(elements, str):
        return f'"{elements}"'
    values = list(elements or ())
    if field.choices:
        words = {number: word for word, number in field.choices.items()}
        return ", ".join(words[int(value)] for value in values if isinstance(value, (int, float)))
    return str(values[0]) if not field.is_list and values else str(values)


def _as_data(creators: Sequence[Creator] | None, declared: Any) -> dict[str, Any]:
    return {
        "declared": [
            {"name": one.name, "help": one.help, "fields": [_field(field) for field in one.fields]} for one in declared
        ],
        "registered": None
        if creators is None
        else [
            {
                "name": one.name,
                "version": one.version,
                "namespace": one.namespace,
                "kind": one.kind,
                "library": one.library,
                "fields": [_field(field) for field in one.fields()],
            }
            for one in creators
        ],
    }


def _field(field: FieldDeclaration) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": str(field.type) if field.type else None,
        "length": field.length if field.is_list else 1,
        "required": field.is_required,
    }
