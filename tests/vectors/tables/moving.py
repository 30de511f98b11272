"""Operators that move elements: shapes, parts, indices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from tests.vectors.document import run_type
from tests.vectors.node import Mapper, Node

_LARGEST = 2**31 - 1


def reshape(node: Node) -> str:
    wanted = node.ints(1) if node.has(1) else list(node.attribute("shape"))
    if not node.attribute("allowzero", 0):
        wanted = [node.sizes()[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return node.layer("reshape", node.x(), shape=wanted)


def flatten(node: Node) -> str:
    axis, rank = node.attribute("axis", 1), node.rank()
    axis = axis + rank if axis < 0 else axis
    x = node.x()
    # An axis at either end leaves one of the two sides empty, whose size is 1.
    if axis == 0:
        return node.layer("unsqueeze", node.layer("flatten", x, start_dim=0), dim=0)
    if axis == rank:
        return node.layer("unsqueeze", node.layer("flatten", x, start_dim=0), dim=1)
    x = node.layer("flatten", x, start_dim=axis) if axis < rank - 1 else x
    return node.layer("flatten", x, start_dim=0, end_dim=axis - 1)


def transpose(node: Node) -> str:
    return node.layer("permute", node.x(), dims=node.attribute("perm", list(range(node.rank()))[::-1]))


def squeeze(node: Node) -> str:
    return node.layer("squeeze", node.x(), dim=node.axes())


def unsqueeze(node: Node) -> str:
    return node.layer("unsqueeze", node.x(), dim=node.axes())


def expand(node: Node) -> str:
    # ONNX broadcasts both ways: a size of 1 that is asked for keeps the input's.
    wanted = node.ints(1)
    x = node.x()
    if len(wanted) < node.rank():
        wanted = [1] * (node.rank() - len(wanted)) + wanted
    added = len(wanted) - node.rank()
    return node.layer("expand", x, shape=[-1 if size == 1 and i >= added else size for i, size in enumerate(wanted)])


def constant(node: Node) -> str:
    return node.importer.constant(onnx.numpy_helper.to_array(node.attribute("value")))


def concat(node: Node) -> str:
    inputs = [node.x(index) for index, value in enumerate(node.values) if value.array.size]
    return node.layer("concat", *inputs, dim=node.attribute("axis", 1))


def split(node: Node) -> tuple[str | None, ...]:
    count = len(node.proto.output)
    axis = node.attribute("axis", 0)
    if node.has(1) or node.attribute("split"):
        sizes = node.ints(1) if node.has(1) else list(node.attribute("split"))
    else:
        # All of one size, but for the last.
        size = -(-node.sizes()[axis] // count)
        sizes = [size] * (count - 1) + [node.sizes()[axis] - size * (count - 1)]
    if count == 1:
        return (node.layer("identity", node.x()),)
    name = node.layer("split", node.x(), split_size=[size for size in sizes if size], dim=axis)
    ports = iter(range(count))
    return tuple(f"{name}:{next(ports)}" if size else None for size in sizes)


def slice_(node: Node) -> str:
    if node.version < 10:
        starts, ends, axes, steps = node.attribute("starts"), node.attribute("ends"), node.axes(9), None
    else:
        starts, ends = node.ints(1), node.ints(2)
        axes = node.ints(3) if node.has(3) else None
        steps = node.ints(4) if node.has(4) else None
    axes = list(range(len(starts))) if axes is None else axes
    if node.importer.layers is not node.importer.document.layers and not node.values[1].is_static:
        # One element at a place that each round of a loop computes.
        return node.layer("gather", node.x(), node.x(1), dim=axes[0])
    steps = [1] * len(starts) if steps is None else steps
    x = node.x()
    back = [axis for axis, step in zip(axes, steps, strict=True) if step < 0]
    if not back:
        ends = [min(end, _LARGEST) for end in ends]
        return node.layer("slice", x, dim=axes, start=list(starts), end=ends, step=steps)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = node.sizes()[axis]
        positions = list(range(size))[slice(start, end if end >= -size else None, step)]
        x = node.layer("gather", x, dim=axis, indices=np.asarray(positions, np.int32))
    return x


def gather(node: Node) -> str:
    axis = node.attribute("axis", 0)
    value = node.values[1]
    if value.is_static:
        return node.layer("gather", node.x(), dim=axis, indices=value.array)
    return node.layer("gather", node.x(), _from_zero(node, axis), dim=axis)


def _from_zero(node: Node, axis: int, index: int = 1) -> str:
    """Indices, of which ONNX's may be negative and TensorRT's may not."""
    ids = node.x(index)
    if (node.values[index].array >= 0).all():
        return ids
    wrapped = node.layer("add", ids, other=node.sizes()[axis])
    return node.layer("where", node.layer("less", ids, other=0), wrapped, ids)


def feature_extractor(node: Node) -> str:
    return node.layer("gather", node.x(), node.layer("flatten", node.x(1), start_dim=0), dim=-1)


def gather_elements(node: Node) -> str:
    axis = node.attribute("axis", 0)
    return node.layer("gather_elements", node.x(), _from_zero(node, axis), dim=axis)


def gather_nd(node: Node) -> str:
    return node.layer("gather_nd", node.x(), node.x(1), batch_dims=node.attribute("batch_dims", 0))


def scatter_elements(node: Node) -> str:
    axis = node.attribute("axis", 0)
    return node.layer(
        "scatter_elements", node.x(), _from_zero(node, axis), node.x(2), dim=axis, reduce=_reduction(node)
    )


def scatter_nd(node: Node) -> str:
    return node.layer("scatter_nd", node.x(), node.x(1), node.x(2), reduce=_reduction(node))


def _reduction(node: Node) -> str | None:
    return {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}.get(node.attribute("reduction", "none"))


def pad(node: Node) -> str:
    mode = node.attribute("mode", "constant")
    before_11 = node.version < 11
    pads = list(node.attribute("pads") or node.attribute("paddings")) if before_11 else node.ints(1)
    value = node.attribute("value", 0.0) if before_11 else node.known(2).item() if node.has(2) else 0
    rank = node.rank()
    axes = [axis % rank for axis in node.ints(3)] if node.has(3) else list(range(rank))
    amounts = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    # The last axis first, as far in front as there is something to pad.
    first = min((axis for axis, sides in amounts.items() if any(sides)), default=rank - 1)
    padding = [size for axis in range(rank - 1, first - 1, -1) for size in amounts.get(axis, (0, 0))]
    mode = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    return node.layer("pad", node.x(), padding=padding, mode=mode, value=value if mode == "constant" else None)


def tile(node: Node) -> str:
    if node.version < 6:
        tiles, axis = int(node.known(1)), int(node.known(2))
        repeats = [tiles if i == axis else 1 for i in range(node.rank())]
    else:
        repeats = node.ints(1)
    return node.layer("tile", node.x(), dims=repeats)


def shape(node: Node) -> str:
    sizes = node.layer("shape", node.x())
    start, end = node.attribute("start", 0), node.attribute("end")
    return sizes if start == 0 and end is None else node.layer("slice", sizes, start=[start], end=end and [end])


def size(node: Node) -> str:
    return node.layer("size", node.x())


def depth_to_space(node: Node) -> str:
    return node.layer(
        "depth_to_space", node.x(), blocksize=node.attribute("blocksize"), mode=node.attribute("mode", "DCR")
    )


def space_to_depth(node: Node) -> str:
    if node.attribute("mode", "DCR") == "CRD":
        return node.layer("pixel_unshuffle", node.x(), downscale_factor=node.attribute("blocksize"))
    return node.layer("space_to_depth", node.x(), blocksize=node.attribute("blocksize"))


def one_hot(node: Node) -> str:
    depth = int(node.known(1).reshape(-1)[0])
    off, on = node.known(2)
    x = node.layer("cast", node.x(), dtype="int32") if node.is_float() else node.x()
    # Those from -depth on count from the end; others are nowhere.
    nowhere = node.layer("where", node.layer("less", x, other=-depth), node.layer("mul", x, other=-depth), x)
    wrapped = node.layer(
        "where", node.layer("less", nowhere, other=0), node.layer("add", nowhere, other=depth), nowhere
    )
    return node.layer(
        "one_hot",
        wrapped,
        num_classes=depth,
        dim=node.attribute("axis", -1),
        on_value=on.item(),
        off_value=off.item(),
        dtype=run_type(node.results[0]),
    )


def range_(node: Node) -> str:
    start, limit, delta = (node.known(index).reshape(()) for index in range(3))
    return node.layer("range", start=start.item(), end=limit.item(), step=delta.item(), dtype=run_type(node.results[0]))


def constant_of_shape(node: Node) -> str:
    given = node.attribute("value")
    value = np.zeros(1, np.float32) if given is None else onnx.numpy_helper.to_array(given)
    return node.layer("fill", shape=node.ints(0), value=value.reshape(()).item(), dtype=run_type(value))


def eye_like(node: Node) -> str:
    """Ones without those above and below the diagonal."""
    offset = node.attribute("k", 0)
    ones = node.layer("fill", shape=list(node.sizes()), value=1, dtype=run_type(node.results[0]))
    return node.layer("tril", node.layer("triu", ones, diagonal=offset), diagonal=offset)


def trilu(node: Node) -> str:
    upper = node.attribute("upper", 1)
    offset = int(node.known(1)) if node.has(1) else 0
    return node.layer("triu" if upper else "tril", node.x(), diagonal=offset)


def center_crop_pad(node: Node) -> str:
    axes = node.attribute("axes", list(range(node.rank())))
    wanted = dict(zip((axis % node.rank() for axis in axes), node.ints(1), strict=True))
    x, rank = node.x(), node.rank()
    cut, padding = {}, []
    for axis in range(rank):
        size, target = node.sizes()[axis], wanted.get(axis, node.sizes()[axis])
        if target < size:
            cut[axis] = ((size - target) // 2, (size - target) // 2 + target)
        missing = max(target - size, 0)
        padding = [missing // 2, missing - missing // 2, *padding]
    if cut:
        starts, ends = zip(*cut.values(), strict=True)
        x = node.layer("slice", x, dim=list(cut), start=list(starts), end=list(ends))
    return node.layer("pad", x, padding=padding) if any(padding) else x


def reverse_sequence(node: Node) -> str:
    return node.layer(
        "reverse_sequence",
        node.x(),
        node.x(1),
        batch_axis=node.attribute("batch_axis", 1),
        sequence_axis=node.attribute("time_axis", 0),
    )


def compress(node: Node) -> str:
    """The condition is written down: it settles the size of the output."""
    axis = node.attribute("axis")
    picked = np.flatnonzero(node.known(1)).astype(np.int32)
    x = node.x() if axis is not None else node.layer("flatten", node.x(), start_dim=0)
    return node.layer("gather", x, dim=axis or 0, indices=picked)


def non_zero(node: Node) -> str:
    # Ours has a row for each element that is not zero, ONNX's a column.
    return node.layer("transpose", node.layer("non_zero", node.x()), dim0=0, dim1=1)


def max_unpool(node: Node) -> str:
    """The elements put where they came from in a tensor of zeros, and more zeros behind where those are asked for."""
    kernel = node.attribute("kernel_shape")
    strides = node.attribute("strides", [1] * len(kernel))
    inner = [(size - 1) * s + k for size, s, k in zip(node.sizes()[2:], strides, kernel, strict=True)]
    shape = [*node.sizes()[:2], *inner]
    zeros = node.importer.constant(np.zeros(int(np.prod(shape)), np.float32))
    places, x = (node.layer("flatten", node.x(index), start_dim=0) for index in (1, 0))
    flat = node.layer("scatter_elements", zeros, places, x, dim=0)
    made = node.layer("reshape", flat, shape=shape)
    missing = [size - own for size, own in zip(node.ints(2)[2:] if node.has(2) else inner, inner, strict=True)]
    if not any(missing):
        return made
    return node.layer("pad", made, padding=[size for amount in reversed(missing) for size in (0, amount)])


OPERATORS: Mapping[str, Mapper] = {
    "ArrayFeatureExtractor": feature_extractor,
    "CenterCropPad": center_crop_pad,
    "Compress": compress,
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "MaxUnpool": max_unpool,
    "NonZero": non_zero,
    "OneHot": one_hot,
    "Pad": pad,
    "Range": range_,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Shape": shape,
    "Size": size,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
}
