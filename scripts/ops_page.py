#!/usr/bin/env python3
"""Writes docs/ops.md, the reference page of all ops, from their classes.

python scripts/ops_page.py > docs/ops.md
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from trtdsl.cli.ops import as_yaml, by_plugin
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import Attribute, Input, Op, WeightParameter
from trtdsl.types import DataType

INTRODUCTION = """\
# Ops

Every op by family, as its class declares it: this page is made by `scripts/ops_page.py`, and `trtdsl ops NAME` says the
same in a terminal. Each example is a network; tests build all of them. Keys that every layer may have (`in`, `out`,
`name`, `when`, `repeat`, `precision`, `impl`) are explained in [the language](language.md#layers).
"""


def page() -> Iterator[str]:
    """The blocks of the page."""
    yield INTRODUCTION
    families: dict[str, list[type[Op]]] = {}
    for kind, op in CATALOGUE.items():
        if kind == op.kind:
            families.setdefault(op.__module__, []).append(op)
    yield (
        "\n".join(
            f"- {_title(module)}: " + ", ".join(f"[`{op.kind}`](#{op.kind})" for op in ops)
            for module, ops in families.items()
        )
        + "\n"
    )
    for module, ops in families.items():
        yield f"## {_title(module)}\n"
        for op in ops:
            yield from _op(op)


def _title(module: str) -> str:
    """The first words of a family's docstring, up to where it goes into detail."""
    line = inspect.cleandoc(sys.modules[module].__doc__ or "").partition("\n")[0]
    return re.split(r"[:;.]", line)[0]


def _op(op: type[Op]) -> Iterator[str]:
    yield f"### {op.kind}\n"
    yield f"{inspect.cleandoc(op.__doc__ or '')}\n"
    if op.aliases:
        yield f"Also called {_code(op.aliases)}.\n"
    rows = [
        *map(_input, op.inputs),
        *map(_attribute, op.attributes.values()),
        *map(_weight, op.weight_parameters.values()),
    ]
    if op.structure:
        rows = [f"| `{key}` | {_cell(help)} | |" for key, help in op.structure.items()]
    if rows:
        yield "| | | |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    if op.by_plugin:
        yield f"{by_plugin(op)}\n"
    if op.no_onnx:
        yield f"Not exported to ONNX: {op.no_onnx}.\n"
    yield f"```yaml\n{network(op)}```\n"


def network(op: type[Op]) -> str:
    """The example of an op as a network: its inputs and its layer."""
    used = re.findall(r"\b[A-Z]\b", op.example_inputs)
    dims = ", ".join(f"{name}: {SIZES[name]}" for name in used)
    head = f"dims: {{{dims}}}\n" if dims else ""
    return f"{head}inputs: {op.example_inputs}\nlayers:\n  - {op.example}\n"


SIZES = {"N": [1, 8, 32], "H": [32, 64, 512], "W": [32, 64, 512]}


def _input(entry: Input) -> str:
    kind = "inputs" if entry.variadic else "optional input" if entry.optional else "input"
    types = " ".join(dtype.value for dtype in DataType if dtype in entry.dtypes)
    return f"| `{entry.name}` | {_cell(entry.help)} | {kind}: {types} |"


def _attribute(entry: Attribute[Any]) -> str:
    default = "required" if entry.is_required else f"default {as_yaml(entry.default)}"
    return f"| `{entry.name}` | {_cell(entry.help)} | {_cell(entry.type.describe())}; {default} |"


def _weight(entry: WeightParameter) -> str:
    when = "weight"
    if entry.when is not None:
        when = f"weight, with `{entry.when}: true`"
    elif entry.optional:
        when = f"weight; `{entry.name}: false` leaves it out" if entry.default else "weight, when given"
    elif not entry.default:
        when = "weight, when given"
    return f"| `{entry.name}` | {_cell(entry.help)} | {when} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    """Print the page."""
    sys.stdout.write("\n".join(page()))


if __name__ == "__main__":
    main()
