"""The inputs of an engine file as its manifest declares them, for whoever has the engine and not the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtdsl.errors import RunError, suggest
from trtdsl.expressions import Budget, ExpressionError, evaluate, parse
from trtdsl.graph import Graph, GraphInput
from trtdsl.running.images import Array, Pictures
from trtdsl.running.inputs import Given, make_inputs
from trtdsl.source import SourceFile, Span
from trtdsl.types import DataType, Dim, Sizes, TensorType

Size = int | Sequence[int]


def declared_graph(engine: Path, manifest: Mapping[str, Any], dims: Mapping[str, Size] | None = None) -> Graph:
    """The inputs and dimensions of an engine as those of a network without layers.

    `dims` gives dimensions other sizes, within those that the engine takes: one, or min, opt and max. Raises RunError
    for a dimension or a size that the engine does not have.
    """
    declared = {name: Sizes(*sizes) for name, sizes in manifest["built_from"]["dims"].items()}
    chosen = {name: _narrowed(name, sizes, declared) for name, sizes in (dims or {}).items()}
    known = {name: Dim.dynamic(name, chosen.get(name, sizes)) for name, sizes in declared.items()}
    span = Span(SourceFile(str(engine), ""), 0, 0, 0, 0)
    inputs = tuple(
        GraphInput(name, TensorType(DataType(tensor["dtype"]), _shape(engine, tensor["shape"], known)), span)
        for name, tensor in manifest["inputs"].items()
    )
    return Graph(manifest["name"], inputs, (), (), known)


def engine_inputs(
    engine: Path,
    manifest: Mapping[str, Any],
    given: Mapping[str, Given],
    *,
    seed: int = 0,
    pictures: Pictures | None = None,
    dims: Mapping[str, Size] | None = None,
) -> dict[str, Array]:
    """An array for each input of an engine file, as `make_inputs` has them for a network. Raises RunError.

    Random integers are 0 and 1: which table they pick from, the manifest does not tell.
    """
    graph = declared_graph(engine, manifest, dims)
    try:
        return make_inputs(graph, given, seed=seed, pictures=pictures)
    except RunError as error:
        # There is no line of YAML to point at.
        raise RunError([replace(entry, span=None) for entry in error.diagnostics]) from None


def _narrowed(name: str, sizes: Size, declared: Mapping[str, Sizes]) -> Sizes:
    if name not in declared:
        message = f"the engine has no dimension `{name}`"
        raise RunError.of("input-value", message, hint=suggest(name, declared))
    low, _, high = declared[name]
    asked = Sizes(*([sizes] * 3 if isinstance(sizes, int) else sizes))
    if not low <= asked.min <= asked.opt <= asked.max <= high:
        raise RunError.of("input-value", f"`{name}` is {low} to {high} in this engine, not {sizes}")
    return asked


def _shape(engine: Path, shape: Sequence[str], dims: Mapping[str, Dim]) -> tuple[Dim, ...]:
    variables = {name: dim.value if dim.is_static else dim for name, dim in dims.items()}
    sizes = []
    for text in shape:
        try:
            size = evaluate(parse(f"$({text})"), variables, Budget())
        except ExpressionError as error:
            message = f"the manifest of {engine} has a size that nobody understands: {text}: {error}"
            raise RunError.of("manifest-damaged", message) from None
        sizes.append(size if isinstance(size, Dim) else Dim.of(size))
    return tuple(sizes)
