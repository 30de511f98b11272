"""`trtdsl info`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from trtdsl.cli.compared import compare
from trtdsl.cli.console import byte_size, plural, table
from trtdsl.cli.options import Command, color_option, json_option

_NAMED = 4
"""Layers that are named before the rest is counted."""


@click.command(
    "info",
    cls=Command,
    examples=[
        "trtdsl info digits.engine",
        "trtdsl info digits.engine networks/digits.yaml --check",
        "trtdsl info digits.engine --json | jq .built_from.weights",
    ],
)
@click.argument("engine", type=click.Path(path_type=Path))
@click.argument("network", required=False, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Exit with status 1 when a build would now make another engine.")
@json_option
@color_option
def command(engine: Path, network: Path | None, check: bool, as_json: bool) -> None:
    """Show what an engine was built from and with, and what would be different now.

    Reads the manifest that lies beside the engine and checks that the engine is the one it speaks of. Then the engine's
    ingredients are compared with those there are now: NETWORK, or the file that the manifest names, with the params,
    sizes, weights and options that were given; the TensorRT and the GPU that are here. Exit status 1 when the engine is
    not the manifest's.
    """
    from trtdsl.engine import manifest as manifests

    manifest = manifests.read(engine)
    manifests.verify(engine, manifest)
    compared = compare(engine, manifest, network)
    if as_json:
        click.echo(json.dumps({**manifest, "now": compared.as_dict()}, indent=2))
    else:
        click.echo(readable(manifest))
        click.echo("\n" + "\n".join(compared.lines()))
    if check and not compared.is_current:
        click.get_current_context().exit(1)


def readable(manifest: Mapping[str, Any]) -> str:
    """A manifest as people read it: two columns, what and how."""
    built_from = manifest["built_from"]
    rows: list[tuple[str, str]] = [
        ("network", manifest["name"]),
        ("engine", f"{manifest['engine']['file']}, {byte_size(manifest['engine']['bytes'])}"),
        ("source", _source(manifest["source"])),
        ("runtime", built_from["runtime"]),
        ("GPU", built_from["gpu"] or "none was needed"),
        ("trtdsl", built_from["trtdsl"]["version"]),
    ]
    rows += [("input", f"{name} {_tensor(tensor)}") for name, tensor in manifest["inputs"].items()]
    rows += [("output", f"{name} {_tensor(tensor)}") for name, tensor in manifest["outputs"].items()]
    rows += [("dimension", f"{name} = {_sizes(sizes)}") for name, sizes in built_from["dims"].items()]
    rows += [("weights", f"{file['file']}, {file['weights']} used") for file in built_from["weights"]]
    rows += [("plugins", _plugins(library)) for library in built_from["plugins"]]
    rows += [("plugins", line) for line in _implementations(manifest["implementations"])]
    rows += [("precision", line) for line in _precision(manifest["precision"])]
    if manifest["tactics"]:
        rows.append(("tactics", _tactics(manifest)))
    rows += [("option", f"{name}: {json.dumps(value)}") for name, value in _chosen(built_from["options"])]
    rows += [("hash", f"engine {manifest['engine']['sha256']}"), ("hash", f"ingredients {manifest['key']}")]
    return table(_without_repeats(rows))


def _without_repeats(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows with a label only on the first of a kind."""
    before = ["", *(label for label, _ in rows)]
    return [("" if label == previous else label, text) for (label, text), previous in zip(rows, before, strict=False)]


def _source(source: Mapping[str, Any]) -> str:
    git = source["git"]
    if git is None:
        return str(source["file"])
    return f"{source['file']}, at commit {git['commit']}" + (", changed since" if git["modified"] else "")


def _chosen(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The build options that are not as by default."""
    from trtdsl.build_options import BuildOptions

    defaults = json.loads(json.dumps(BuildOptions().as_dict()))
    for name, value in options.items():
        if name not in defaults or defaults[name] != value:
            yield name, value


def _tensor(tensor: Mapping[str, Any]) -> str:
    return f"{tensor['dtype']}[{', '.join(tensor['shape'])}]"


def _tactics(manifest: Mapping[str, Any]) -> str:
    kept = manifest["timing_cache"]
    return f"of {plural(len(manifest['tactics']), 'layer')}" + (f", by {kept['file']}" if kept else "")


def _sizes(sizes: list[int]) -> str:
    low, best, high = sizes
    return str(low) if low == high else f"{low}..{high} (opt {best})"


def _plugins(library: Mapping[str, Any]) -> str:
    used = ", ".join(f"{plugin['name']} {plugin['version']}" for plugin in library["plugins"]) or "none used"
    return f"{library['library'] or 'TensorRT'}: {used}"


def _implementations(chosen: Mapping[str, Any]) -> Iterator[str]:
    """How many layers became which plugin, and which of those that might have are not."""
    for name, count in Counter(entry["plugin"] for entry in chosen.values() if entry["plugin"]).items():
        yield f"{name} does {count} layer{'s' if count > 1 else ''} of those with an `impl`"
    if native := [name for name, entry in chosen.items() if entry["plugin"] is None]:
        yield f"native all the same: {', '.join(native)}"


def _precision(precision: Mapping[str, Any]) -> Iterator[str]:
    """What was asked for, and what the inspector found."""
    yield _counts(precision["layers"]) + " layers, as asked for"
    for name, dtype in precision["others"].items():
        yield f"{name}: {dtype}"
    for name, why in precision["unquantized"].items():
        yield f"{name}: not quantised, {why}"
    if precision["why"] is not None:
        yield f"unverified: {precision['why']}"
        return
    yield (_counts(precision["found"]) if precision["found"] else "none of the") + " layers, as the inspector found"
    for name, entry in precision["differs"].items():
        yield f"{name}: {entry['found']} instead of {entry['asked']}, as allowed: {entry['why']}"
    for why, names in precision["unverified"].items():
        yield f"unverified: {_first(names)} ({why})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{dtype} in {count}" for dtype, count in counts.items())


def _first(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
