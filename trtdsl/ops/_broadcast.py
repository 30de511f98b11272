"""Broadcasting, by numpy's rules."""

from __future__ import annotations

from trtdsl.ops.base import OpError
from trtdsl.types import Dim, Shape, format_shape


def broadcast_shapes(kind: str, *shapes: Shape) -> Shape:
    """The shape that all shapes broadcast to: aligned at the end, axes of size 1 stretch.

    Only a static 1 stretches; dynamic axes have to agree at min, opt and max. Raises OpError where they do not.
    """
    rank = max(map(len, shapes))
    padded = [(Dim.of(1),) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast_axis(kind, axis, shapes) for axis in zip(*padded, strict=True))


def _broadcast_axis(kind: str, sizes: tuple[Dim, ...], shapes: tuple[Shape, ...]) -> Dim:
    result = sizes[0]
    for size in sizes[1:]:
        if result.is_one:
            result = size
        elif not size.is_one and not size.matches(result):
            listed = " and ".join(format_shape(shape) for shape in shapes)
            raise OpError(
                f"{kind} of {listed}: sizes {result} and {size} do not broadcast",
                hint="axes are aligned from the last; `unsqueeze` or `reshape` puts them in place",
            )
    return result
