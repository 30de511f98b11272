"""`trtdsl weights`."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import click

from trtdsl.cli.console import byte_size, plural, table
from trtdsl.cli.options import Command, color_option, json_option


@click.command(
    "weights",
    cls=Command,
    examples=[
        "trtdsl weights networks/digits.safetensors",
        "trtdsl weights resnet18.safetensors --key 'layer1.0.*'",
        "trtdsl weights arrays/ --json",
    ],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", "pattern", metavar="PATTERN", help="Only keys that match: --key 'layer1.*'.")
@json_option
@color_option
def command(file: Path, pattern: str | None, as_json: bool) -> None:
    """List the arrays of a weights file.

    Reads .safetensors, .npz, tensorrtx's .wts, and folders of .npy files: key, element type, shape and size of each
    array. Keys are what a layer's `weight: <key>` means; a layer named `conv1` looks for `conv1.weight` by itself.
    """
    from trtdsl.types import format_shape
    from trtdsl.weights import open_weights

    entries = [entry for key, entry in open_weights(file).items() if pattern is None or fnmatchcase(key, pattern)]
    if as_json:
        listed = {
            entry.key: {
                "dtype": entry.stored_as,
                "shape": None if entry.shape is None else list(entry.shape),
                "count": entry.count,
                "bytes": entry.size,
            }
            for entry in entries
        }
        click.echo(json.dumps(listed, indent=2))
        return
    rows = []
    for entry in entries:
        shape = plural(entry.count, "element") if entry.shape is None else format_shape(entry.shape)
        rows.append((entry.key, entry.stored_as, shape, byte_size(entry.size)))
    if rows:
        click.echo(table(rows, right=[3]))
    elements = plural(sum(entry.count for entry in entries), "element")
    click.echo(f"{plural(len(entries), 'array')}, {elements}, {byte_size(sum(entry.size for entry in entries))}")
