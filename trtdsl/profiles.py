"""The optimisation profiles of a network: for which sizes of its inputs an engine is tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trtdsl.build_options import BuildOptions
from trtdsl.errors import Diagnostics, suggest
from trtdsl.graph import Graph
from trtdsl.types import Dim, Symbol, evaluate

Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]
"""The smallest, usual and largest shape of every input, by name."""


def check_profiles(options: BuildOptions, dims: Mapping[str, Dim], diagnostics: Diagnostics) -> None:
    """Report sizes that the options ask for and that the dimensions of a network do not have."""
    for profile in options.profiles:
        for name, sizes in profile.items():
            reason = _wrong(name, sizes, dims)
            if reason is not None:
                hint = suggest(name, dims) if name not in dims else None
                diagnostics.error("build-option", f"profiles: {reason}", options.spans.get("profiles"), hint=hint)


def _wrong(name: str, sizes: Sequence[int], dims: Mapping[str, Dim]) -> str | None:
    if name not in dims:
        return f"the network has no dimension `{name}`"
    low, _, high = dims[name].sizes
    if low == high and sizes != [low] * 3:
        return f"`{name}` is always {low}"
    if not low <= sizes[0] <= sizes[2] <= high:
        return f"`{name}` is {low} to {high}, and {[*sizes]} goes beyond"
    return None


def profiles_of(graph: Graph, options: BuildOptions) -> tuple[Profile, ...]:
    """The profiles to build with: those that are asked for, else one of all sizes; none for a network without any.

    A dimension that a profile does not name has all its sizes in it.
    """
    # Sizes that data decide want a profile as well, though it says nothing new: 8.6 makes no context without.
    if graph.is_static:
        return ()
    return tuple(dict(_shapes(graph, asked)) for asked in options.profiles or ({},))


def _shapes(graph: Graph, asked: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, tuple[Shape, Shape, Shape]]]:
    sizes = {Symbol(name): asked.get(name, dim.sizes) for name, dim in graph.dims.items()}
    points = [{symbol: entry[point] for symbol, entry in sizes.items()} for point in range(3)]
    for entry in graph.inputs:
        low, usual, high = (tuple(evaluate(dim.expression, at) for dim in entry.type.shape) for at in points)
        yield entry.name, (low, usual, high)
