"""Convolutions, pooling, resampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.vectors.node import Mapper, Node
from tests.vectors.reasons import Reason


def padding_of(node: Node) -> Any:
    """ONNX's pads and auto_pad as the `padding` of a layer."""
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return "same" if auto == "SAME_UPPER" else "same_lower"
    pads = node.attribute("pads")
    if auto == "VALID" or pads is None:
        return None
    count = len(pads) // 2
    return [[pads[i], pads[i + count]] for i in range(count)]


def _window(node: Node) -> dict[str, Any]:
    return {
        "stride": node.attribute("strides"),
        "padding": padding_of(node),
        "dilation": node.attribute("dilations"),
    }


def conv(node: Node) -> str:
    weight = node.known(1)
    return node.layer(
        "conv",
        node.x(),
        out_channels=weight.shape[0],
        kernel_size=list(weight.shape[2:]),
        groups=node.attribute("group", 1),
        weight=weight,
        bias=node.known(2) if node.has(2) else False,
        **_window(node),
    )


def deconv(node: Node) -> str:
    weight, group = node.known(1), node.attribute("group", 1)
    spatial = weight.ndim - 2
    window = _window(node)
    extra = node.attribute("output_padding")
    if wanted := node.attribute("output_shape"):
        # The padding that gives this size; ONNX says which side an odd element goes to.
        strides = node.attribute("strides", [1] * spatial)
        dilations = node.attribute("dilations", [1] * spatial)
        lower = node.attribute("auto_pad", "NOTSET") == "SAME_UPPER"
        sides = []
        missing = []
        for axis in range(spatial):
            full = strides[axis] * (node.sizes()[axis + 2] - 1) + (weight.shape[axis + 2] - 1) * dilations[axis] + 1
            total = full + (extra[axis] if extra else 0) - wanted[axis]
            missing.append(max(-total, 0))
            total = max(total, 0)
            half = total // 2
            sides.append([half, total - half] if lower else [total - half, half])
        window["padding"] = sides
        extra = [a + b for a, b in zip(extra or [0] * spatial, missing, strict=True)]
    elif isinstance(window["padding"], str):
        strides = node.attribute("strides", [1] * spatial)
        dilations = node.attribute("dilations", [1] * spatial)
        sides = []
        for axis in range(spatial):
            total = (weight.shape[axis + 2] - 1) * dilations[axis] + 1 - strides[axis]
            half = total // 2
            sides.append([half, total - half] if window["padding"] == "same" else [total - half, half])
        window["padding"] = sides
    return node.layer(
        "deconv",
        node.x(),
        out_channels=weight.shape[1] * group,
        kernel_size=list(weight.shape[2:]),
        groups=group,
        output_padding=extra,
        weight=weight,
        bias=node.known(2) if node.has(2) else False,
        **window,
    )


def max_pool(node: Node) -> str:
    if node.wants(1):
        raise node.refuse(Reason.NO_LAYER, "indices of the largest elements")
    if _is_dilated(node):
        return _by_positions(node, "max", node.x(), -3e38)
    if not node.is_float():
        pooled = node.layer("max_pool", node.layer("cast", node.x(), dtype="fp32"), **_pooling(node))
        return node.layer("cast", pooled, dtype="int32")
    return node.layer("max_pool", node.x(), **_pooling(node))


def avg_pool(node: Node) -> str:
    counts_padding = bool(node.attribute("count_include_pad", 0))
    if not _is_dilated(node):
        return node.layer("avg_pool", node.x(), count_include_pad=counts_padding, **_pooling(node))
    total = _by_positions(node, "add", node.x(), 0.0)
    # How many elements each window has: the same sum, of ones.
    shape = node.values[0].array.shape
    ones = node.importer.constant(np.ones((1, 1, *shape[2:]), np.float32))
    return node.layer("div", total, _by_positions(node, "add", ones, 0.0, float(counts_padding)))


def _is_dilated(node: Node) -> bool:
    return any(step != 1 for step in node.attribute("dilations", []))


def _by_positions(node: Node, op: str, x: str, outside: float, padding: float | None = None) -> str:
    """Dilated pooling, which TensorRT has not: one slice of the padded tensor for each position in the window.

    `padding` is what the padding itself holds, `outside` what a last window reaches beyond it.
    """
    kernel = node.attribute("kernel_shape")
    spatial = len(kernel)
    dilations = node.attribute("dilations")
    strides = node.attribute("strides", [1] * spatial)
    result = node.results[0].shape[2:]
    before, after, beyond = [], [], []
    sides = padding_of(node)
    for axis in range(spatial):
        size = node.sizes()[axis + 2]
        reach = (result[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        if isinstance(sides, str):
            total = max(reach - size, 0)
            first = total // 2 if sides == "same" else total - total // 2
            pair = [first, total - first]
        else:
            pair = sides[axis] if sides else [0, 0]
        before.append(pair[0])
        after.append(pair[1])
        beyond.append(max(reach - size - sum(pair), 0))
    for start, end, value in (
        (before, after, outside if padding is None else padding),
        ([0] * spatial, beyond, outside),
    ):
        if any(start) or any(end):
            amounts = [size for axis in reversed(range(spatial)) for size in (start[axis], end[axis])]
            x = node.layer("pad", x, padding=amounts, value=value)
    parts = [
        node.layer(
            "slice",
            x,
            dim=[axis + 2 for axis in range(spatial)],
            start=[i * d for i, d in zip(position, dilations, strict=True)],
            end=[
                i * d + (count - 1) * s + 1 for i, d, s, count in zip(position, dilations, strides, result, strict=True)
            ],
            step=strides,
        )
        for position in np.ndindex(*kernel)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = node.layer(op, total, part)
    return total


def _pooling(node: Node) -> dict[str, Any]:
    kernel = node.attribute("kernel_shape")
    return {
        "kernel_size": kernel,
        "stride": node.attribute("strides", [1] * len(kernel)),
        "padding": padding_of(node),
        "ceil_mode": True if node.attribute("ceil_mode", 0) else None,
    }


def lp_pool(node: Node) -> str:
    """The root of a sum of powers: the mean of the powers, times the size of the window."""
    p = node.attribute("p", 2)
    powers = node.layer("pow", node.layer("abs", node.x()), other=float(p))
    if _is_dilated(node):
        return node.layer("pow", _by_positions(node, "add", powers, 0.0), other=1 / p)
    mean = node.layer("avg_pool", powers, count_include_pad=True, **_pooling(node))
    total = node.layer("mul", mean, other=float(np.prod(node.attribute("kernel_shape"))))
    return node.layer("pow", total, other=1 / p)


def global_pool(op: str) -> Mapper:
    return lambda node: node.layer(op, node.x())


def resize(node: Node) -> str:
    mode = node.attribute("mode", "nearest")
    scales_at, sizes_at = (1, 9) if node.version < 11 else (2, 3)
    rank = node.rank()
    scales = node.known(scales_at) if node.has(scales_at) and node.known(scales_at).size else None
    sizes = node.ints(sizes_at) if node.has(sizes_at) else None
    if node.attribute("scales") is not None:
        scales = np.asarray(node.attribute("scales"), np.float32)
    axes = node.attribute("axes", list(range(rank)))
    coordinate = node.attribute("coordinate_transformation_mode", "half_pixel" if node.version >= 11 else "asymmetric")
    parameters: dict[str, Any] = {"mode": {"linear": "linear", "cubic": "bicubic"}.get(mode, mode)}
    parameters["coordinate_mode"] = coordinate
    if mode == "nearest":
        rounding = node.attribute("nearest_mode", "round_prefer_floor" if node.version >= 11 else "floor")
        parameters["nearest_rounding"] = {"round_prefer_floor": "half_down", "round_prefer_ceil": "half_up"}.get(
            rounding, rounding
        )
    if mode == "cubic":
        parameters["cubic_coeff"] = node.attribute("cubic_coeff_a", -0.75)
        parameters["exclude_outside"] = bool(node.attribute("exclude_outside", 0))
    for name in ("antialias",):
        if node.attribute(name, 0):
            parameters[name] = True
    if coordinate == "tf_crop_and_resize":
        raise node.refuse(Reason.NO_LAYER, "resampling of a region")
    if coordinate == "align_corners" and scales is not None:
        lengths = [float(scale) * node.sizes()[axis] for axis, scale in zip(axes, scales, strict=True)]
        if any(length != round(length) for length in lengths):
            node.differs(Reason.NO_LAYER, "align_corners by a scale whose sizes are rounded")
    spatial = [axis % rank for axis in axes]
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    if sizes is not None and policy != "stretch":
        choose = min if policy == "not_larger" else max
        factor = choose(size / node.sizes()[axis] for axis, size in zip(spatial, sizes, strict=True))
        sizes = [int(np.floor(factor * node.sizes()[axis] + 0.5)) for axis in spatial]
    per_axis: dict[int, Any] = dict(zip(spatial, sizes if sizes is not None else scales.tolist(), strict=True))
    full = [per_axis.get(axis, 1.0 if sizes is None else node.sizes()[axis]) for axis in range(rank)]
    order = _spatial_last(node, full, is_size=sizes is not None)
    x = node.x()
    if order is not None:
        x, full = node.layer("permute", x, dims=order), [full[axis] for axis in order]
    x = node.layer("resize", x, **{"size" if sizes is not None else "scale_factor": full[2:]}, **parameters)
    return x if order is None else node.layer("permute", x, dims=list(np.argsort(order)))


def _spatial_last(node: Node, full: list[Any], *, is_size: bool) -> list[int] | None:
    """The order of axes that puts the first two of those that keep their size in front, unless they are there."""
    kept = [axis for axis, entry in enumerate(full) if (entry == node.sizes()[axis] if is_size else entry == 1)]
    if kept[:2] == [0, 1]:
        return None
    if len(kept) < 2:
        raise node.refuse(Reason.NOT_OFFERED, "fewer than two axes that keep their size")
    return [*kept[:2], *(axis for axis in range(len(full)) if axis not in kept[:2])]


def grid_sample(node: Node) -> str:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(found := node.attribute("mode", "linear"), found)
    return node.layer(
        "grid_sample",
        node.x(),
        node.x(1),
        mode=mode,
        padding_mode=node.attribute("padding_mode", "zeros"),
        align_corners=bool(node.attribute("align_corners", 0)),
    )


def affine_grid(node: Node) -> str:
    """The coordinates of all points as a constant, times the matrices."""
    sizes = node.ints(1)
    spatial = sizes[2:]
    corners = node.attribute("align_corners", 0)
    axes = []
    for count in spatial:
        step = 2 / (count - 1) if corners and count > 1 else 2 / count
        axes.append(np.arange(count) * step - 1 + (0 if corners else step / 2))
    points = np.meshgrid(*axes, indexing="ij")
    grid = np.stack([*points[::-1], np.ones_like(points[0])], -1).reshape(1, -1, len(spatial) + 1)
    made = node.layer("matmul", node.importer.constant(grid.astype(np.float32)), node.x(), transpose_b=True)
    return node.layer("reshape", made, shape=[sizes[0], *spatial, len(spatial)])


def col2im(node: Node) -> str:
    """A deconvolution whose kernel puts every element where it came from."""
    image, block = node.ints(1), node.ints(2)
    spatial = len(image)
    strides = node.attribute("strides", [1] * spatial)
    dilations = node.attribute("dilations", [1] * spatial)
    pads = node.attribute("pads", [0] * 2 * spatial)
    area = int(np.prod(block))
    channels = node.channels() // area
    counts = [
        (image[i] + pads[i] + pads[i + spatial] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i in range(spatial)
    ]
    kernel = np.zeros((channels * area, channels, area), np.float32)
    for channel in range(channels):
        kernel[channel * area : (channel + 1) * area, channel] = np.eye(area)
    columns = node.layer("reshape", node.x(), shape=[node.sizes()[0], channels * area, *counts])
    return node.layer(
        "deconv",
        columns,
        out_channels=channels,
        kernel_size=block,
        stride=strides,
        dilation=dilations,
        padding=[[pads[i], pads[i + spatial]] for i in range(spatial)],
        weight=kernel.reshape(channels * area, channels, *block),
        bias=False,
    )


def conv_integer(node: Node) -> str:
    """A convolution of floats, which hold these integers exactly."""
    node.in_fp32()
    x = node.layer("cast", node.x(), dtype="fp32")
    if node.has(2):
        x = node.layer("sub", x, other=float(node.known(2)))
    weight = node.known(1).astype(np.float32)
    if node.has(3):
        weight = weight - node.known(3).astype(np.float32).reshape(-1, *(1,) * (weight.ndim - 1))
    made = node.layer(
        "conv",
        x,
        out_channels=weight.shape[0],
        kernel_size=list(weight.shape[2:]),
        groups=node.attribute("group", 1),
        weight=weight,
        bias=False,
        **_window(node),
    )
    return node.layer("cast", made, dtype="int32")


def matmul_integer(node: Node) -> str:
    """A product of floats, which hold these integers exactly."""
    node.in_fp32()
    operands = []
    for index in (0, 1):
        x = node.layer("cast", node.x(index), dtype="fp32")
        if node.has(index + 2):
            x = node.layer("sub", x, other=node.known(index + 2).astype(np.float32))
        operands.append(x)
    return node.layer("cast", node.layer("matmul", *operands), dtype="int32")


OPERATORS: Mapping[str, Mapper] = {
    "AffineGrid": affine_grid,
    "AveragePool": avg_pool,
    "Col2Im": col2im,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "ConvTranspose": deconv,
    "GlobalAveragePool": global_pool("global_avg_pool"),
    "GlobalMaxPool": global_pool("global_max_pool"),
    "GridSample": grid_sample,
    "LpPool": lp_pool,
    "MatMulInteger": matmul_integer,
    "MaxPool": max_pool,
    "Resize": resize,
    "Upsample": resize,
}
