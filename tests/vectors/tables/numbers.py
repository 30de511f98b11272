"""Quantised numbers, signals, and what selects boxes: operators composed of arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from tests.vectors.document import run_type
from tests.vectors.node import Mapper, Node
from tests.vectors.reasons import LeftOut, Reason


def _limits(dtype: Any) -> tuple[float, float]:
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def _per_axis(node: Node, index: int, like: int = 0) -> str:
    """A scale or zero point as a float tensor that broadcasts against the input."""
    value = node.values[index].array
    x = node.x(index) if node.is_float(index) else node.layer("cast", node.x(index), dtype="fp32")
    if value.size == 1 and value.ndim:
        return node.layer("reshape", x, shape=[1] * node.rank(like))
    block = node.attribute("block_size", 0)
    axis = node.attribute("axis", 1)
    if block:
        size = node.sizes(like)[axis]
        return node.layer("gather", x, dim=axis, indices=(np.arange(size) // block).astype(np.int32))
    if value.ndim == 1:
        shape = [1] * node.rank(like)
        shape[axis] = -1
        return node.layer("reshape", x, shape=shape)
    return x


def quantize(node: Node) -> str:
    """Rounded quotients in the range of the type, as int32: TensorRT's own quantisation knows int8 around zero."""
    node.in_fp32()
    dtype = node.results[0].dtype
    run_type(node.results[0])
    scaled = node.layer("round", node.layer("div", node.x(), _per_axis(node, 1)))
    if node.has(2):
        scaled = node.layer("add", scaled, _per_axis(node, 2))
    low, high = _limits(dtype)
    return node.layer("cast", node.layer("clip", scaled, min=low, max=high), dtype="int32")


def dequantize(node: Node) -> str:
    node.in_fp32()
    run_type(node.values[0].array)
    x = node.layer("cast", node.x(), dtype="fp32")
    if node.has(2):
        x = node.layer("sub", x, _per_axis(node, 2))
    return node.layer("mul", x, _per_axis(node, 1))


def dynamic_quantize(node: Node) -> tuple[str, str, str]:
    """The scale and zero point that fit the largest and the smallest element, zero among them."""
    node.in_fp32()
    lowest = node.layer("min", node.layer("reduce_min", node.x()), other=0.0)
    highest = node.layer("max", node.layer("reduce_max", node.x()), other=0.0)
    scale = node.layer("mul", node.layer("sub", highest, lowest), other=1 / 255)
    zero = node.layer("round", node.layer("clip", node.layer("neg", node.layer("div", lowest, scale)), min=0, max=255))
    shifted = node.layer("add", node.layer("round", node.layer("div", node.x(), scale)), zero)
    quantized = node.layer("cast", node.layer("clip", shifted, min=0, max=255), dtype="int32")
    return quantized, scale, node.layer("cast", zero, dtype="int32")


def _float_operand(node: Node, index: int) -> str:
    """What a quantised operand with its scale and zero point stands for."""
    x = node.layer("cast", node.x(index), dtype="fp32")
    zero = node.layer("cast", node.x(index + 2), dtype="fp32")
    scale = node.x(index + 1)
    return node.layer("mul", node.layer("sub", x, zero), scale)


def qlinear_matmul(node: Node) -> str:
    node.in_fp32()
    product = node.layer("matmul", _float_operand(node, 0), _float_operand(node, 3))
    return _requantized(node, product)


def _requantized(node: Node, x: str) -> str:
    scaled = node.layer("round", node.layer("div", x, node.x(6)))
    shifted = node.layer("add", scaled, node.layer("cast", node.x(7), dtype="fp32"))
    low, high = _limits(node.results[0].dtype)
    return node.layer("cast", node.layer("clip", shifted, min=low, max=high), dtype="int32")


def qlinear_conv(node: Node) -> str:
    node.in_fp32()
    weight = (node.known(3).astype(np.float32) - node.known(5).astype(np.float32)) * node.known(4)
    made = node.layer(
        "conv",
        _float_operand(node, 0),
        out_channels=weight.shape[0],
        kernel_size=list(weight.shape[2:]),
        weight=weight.astype(np.float32),
        bias=False,
    )
    return _requantized(node, made)


def bit_shift(node: Node) -> str:
    """Whole numbers times or over powers of two; those shifted out at the left are taken away."""
    node.in_fp32()
    bits, is_left = node.dtype().itemsize * 8, node.attribute("direction") == "LEFT"
    result = node.x()
    # In two steps, as 2**31 is no int32.
    for factor in _powers_of_two(node, bits):
        result = node.layer("mul" if is_left else "floor_div", result, factor)
    is_signed = node.dtype().kind == "i"
    if is_left and bits < 32:
        offset = 2 ** (bits - 1) if is_signed else 0
        shifted = node.layer("add", result, other=offset) if offset else result
        result = node.layer("mod", shifted, other=2**bits)
        result = node.layer("sub", result, other=offset) if offset else result
    if not is_signed:
        return result
    # By more than there are bits, or by a negative number: nothing is left but the sign.
    zero = node.layer("mul", node.x(), other=0)
    nothing = (
        zero
        if is_left
        else node.layer("sub", zero, node.layer("cast", node.layer("less", node.x(), other=0), dtype="int32"))
    )
    fits = node.layer("and", node.layer("greater_equal", node.x(1), other=0), node.layer("less", node.x(1), other=bits))
    return node.layer("where", fits, result, nothing)


def _powers_of_two(node: Node, bits: int) -> list[str]:
    amount = node.layer("clip", node.x(1), min=0, max=bits - 1)
    half = node.layer("floor_div", amount, other=2)
    powers = []
    for part in (half, node.layer("sub", amount, half)):
        power = node.layer("exp", node.layer("mul", node.layer("cast", part, dtype="fp32"), other=float(np.log(2))))
        powers.append(node.layer("cast", node.layer("round", power), dtype="int32"))
    return powers


def bitwise_not(node: Node) -> str:
    """`-1 - x`; without a sign, the largest number less x."""
    largest = -1 if node.dtype().kind == "i" else int(np.iinfo(node.dtype()).max)
    if largest > np.iinfo(np.int32).max:
        raise LeftOut(Reason.TYPES, f"{node.dtype()} beyond int32")
    return node.layer("add", node.layer("neg", node.x()), other=largest)


def window(*terms: float) -> Mapper:
    """A sum of cosines over the positions."""

    def lower(node: Node) -> str:
        size = int(node.known(0))
        periods = size if node.attribute("periodic", 1) else size - 1
        dtype = onnx.helper.tensor_dtype_to_np_dtype(node.attribute("output_datatype", onnx.TensorProto.FLOAT))
        if dtype != np.float32:
            raise LeftOut(Reason.TYPES, str(dtype))
        positions = node.layer("range", start=0.0, end=float(size), step=1.0, dtype="fp32")
        total = None
        for order, factor in enumerate(terms[1:], 1):
            angle = node.layer("mul", positions, other=2 * np.pi * order / periods)
            wave = node.layer("mul", node.layer("cos", angle), other=factor)
            total = wave if total is None else node.layer("add", total, wave)
        assert total is not None
        return node.layer("add", total, other=terms[0])

    return lower


def dft(node: Node) -> str:
    """Products with matrices of cosines and sines."""
    rank = node.rank()
    if node.version < 20:
        axis, length_at = node.attribute("axis", 1), 1
    else:
        axis, length_at = (int(node.known(2)) if node.has(2) else -2), 1
    axis %= rank
    inverse, onesided = node.attribute("inverse", 0), node.attribute("onesided", 0)
    result = node.results[0]
    size = node.sizes()[axis]
    length = int(node.known(length_at)) if node.has(length_at) else result.shape[axis] if inverse and onesided else size
    count = result.shape[axis]
    rows, columns = np.arange(min(size, length)), np.arange(count)
    angle = 2 * np.pi * np.outer(rows, columns) / length
    scale = np.full(len(rows), 1 / length if inverse else 1.0)
    if inverse and onesided:
        # The other half is the mirror image.
        scale[1:] *= 2
        if length % 2 == 0:
            scale[-1] /= 2
    cosines, sines = (scale[:, None] * table for table in (np.cos(angle), np.sin(angle)))
    order = [i for i in range(rank - 1) if i != axis] + [axis]
    parts = [_part(node, index, order, size, len(rows)) for index in range(node.sizes()[-1])]
    sign = 1.0 if inverse else -1.0
    real = _times(node, parts[0], cosines)
    imaginary = _times(node, parts[0], sign * sines)
    if len(parts) > 1:
        real = node.layer("sub", real, _times(node, parts[1], sign * sines))
        imaginary = node.layer("add", imaginary, _times(node, parts[1], cosines))
    made = [real] if result.shape[-1] == 1 else [real, imaginary]
    back = [int(i) for i in np.argsort(order)]
    columns_of = [node.layer("unsqueeze", node.layer("permute", x, dims=back), dim=-1) for x in made]
    return node.layer("concat", *columns_of, dim=-1)


def _part(node: Node, index: int, order: list[int], size: int, wanted: int) -> str:
    """The real or imaginary part, with the axis that is transformed at the end."""
    part = node.layer("permute", node.layer("gather", node.x(), dim=-1, indices=np.asarray(index)), dims=order)
    return part if wanted == size else node.layer("slice", part, dim=-1, end=wanted)


def _times(node: Node, x: str, table: Any) -> str:
    matrix = table.reshape(*(1,) * (node.rank() - 3), *table.shape) if node.rank() > 3 else table
    return node.layer("matmul", x, node.importer.constant(matrix.astype(np.float32)))


def stft(node: Node) -> str:
    """Frames picked by index, times the window, times the matrices of a Fourier transform."""
    step = int(node.known(1))
    length = int(node.known(3)) if node.has(3) else node.values[2].array.shape[0]
    frames, bins = node.results[0].shape[1:3]
    places = (np.arange(frames)[:, None] * step + np.arange(length)).astype(np.int32)
    signal = node.layer("squeeze", node.x(), dim=-1)
    picked = node.layer("gather", signal, dim=1, indices=places)
    if node.has(2):
        picked = node.layer("mul", picked, node.x(2))
    angle = 2 * np.pi * np.outer(np.arange(length), np.arange(bins)) / length
    parts = [
        node.layer("matmul", picked, node.importer.constant(table[None].astype(np.float32)))
        for table in (np.cos(angle), -np.sin(angle))
    ]
    return node.layer("concat", *(node.layer("unsqueeze", part, dim=-1) for part in parts), dim=-1)


def nms(node: Node) -> str:
    def number(index: int) -> float:
        return float(node.known(index).reshape(-1)[0]) if node.has(index) else 0.0

    node.importer.document.is_unordered = True
    return node.layer(
        "nms",
        node.x(0),
        node.layer("transpose", node.x(1), dim0=1, dim1=2),
        max_output_boxes_per_class=int(number(2)),
        iou_threshold=number(3),
        score_threshold=number(4),
        box_format="center_sizes" if node.attribute("center_point_box", 0) else None,
    )


def roi_align(node: Node) -> str:
    return node.layer(
        "roi_align",
        node.x(0),
        node.x(1),
        node.x(2),
        output_size=[node.attribute("output_height", 1), node.attribute("output_width", 1)],
        spatial_scale=node.attribute("spatial_scale", 1.0),
        sampling_ratio=node.attribute("sampling_ratio", 0),
        aligned=node.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel",
        mode=node.attribute("mode", "avg"),
    )


def tensor_scatter(node: Node) -> str:
    """The update put where each sample's write index says, along the axis of the sequence."""
    axis = node.attribute("axis", -2) % node.rank()
    shape = node.sizes(1)
    offsets = np.arange(shape[axis], dtype=np.int32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    places = node.importer.constant(np.ascontiguousarray(np.broadcast_to(offsets, shape)))
    if node.has(2):
        begins = node.layer("reshape", node.x(2), shape=[shape[0], *[1] * (len(shape) - 1)])
        places = node.layer("add", places, begins)
    if node.attribute("mode", "linear") == "circular":
        places = node.layer("mod", places, other=node.sizes(0)[axis])
    return node.layer("scatter_elements", node.x(0), places, node.x(1), dim=axis)


OPERATORS: Mapping[str, Mapper] = {
    "BitShift": bit_shift,
    "BitwiseNot": bitwise_not,
    "BlackmanWindow": window(0.42, -0.5, 0.08),
    "DFT": dft,
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic_quantize,
    "HammingWindow": window(25 / 46, -21 / 46),
    "HannWindow": window(0.5, -0.5),
    "NonMaxSuppression": nms,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize,
    "RoiAlign": roi_align,
    "STFT": stft,
    "TensorScatter": tensor_scatter,
}
