"""Networks of blocks between convolutions that plugins do, whose layouts TensorRT is free to choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCKS = {
    "norm": "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}",
    "norm-relu": "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}\n- relu",
    "norm-leaky": "- instance_norm\n- {op: leaky_relu, negative_slope: 0.2}",
    "norm-relu-pad": (
        "- {op: instance_norm, affine: true, weight: {normal: 1}, bias: {normal: 1}}\n- relu\n"
        "- {op: pad, padding: [1, 2, 3, 0], mode: reflect}"
    ),
    "norm-add": "- {op: instance_norm, name: n}\n- {op: add, in: [n, c]}",
    "norm-add-pad": "- {op: instance_norm, name: n}\n- {op: add, in: [c, n]}\n- {op: pad, padding: 2, mode: edge}",
    "padded-residual": (
        "- instance_norm\n- {op: relu, name: r}\n- {op: pad, padding: 1, mode: reflect}\n"
        "- {op: conv, name: d, out_channels: $channels, kernel_size: 3, bias: false, weight: {normal: 0.1}}\n"
        "- {op: instance_norm, name: m}\n"
        "- {op: add, name: s, in: [m, r]}\n- {op: pad, padding: [2, 0, 0, 2], mode: edge}\n"
        "- {op: conv, name: e, out_channels: $channels, kernel_size: 3, bias: false, weight: {normal: 0.1}}\n"
        "- {op: instance_norm, name: o}\n"
        "- {op: add, in: [o, s]}"
    ),
    "pad": "- {op: pad, padding: [4, 0, 1, 3], mode: reflect, impl: plugin}",
    "edge": "- {op: pad, padding: 7, mode: replicate, impl: plugin}",
    "nearest": "- {op: resize, scale_factor: 2, mode: nearest, impl: plugin}",
    "bilinear": "- {op: resize, scale_factor: 2, mode: bilinear, impl: plugin}",
    "bilinear-corners": "- {op: resize, scale_factor: 1.5, mode: bilinear, align_corners: true, impl: plugin}",
    "mish": "- {op: mish, impl: plugin}",
    "hard_swish": "- {op: hard_swish, impl: plugin}",
    "leaky": "- {op: leaky_relu, negative_slope: 0.1, impl: plugin}",
}
SIZES = {
    "{N: [1, 2, 5], H: [5, 17, 33], W: [6, 23, 40]}": (
        (1, 5, 6),
        (2, 17, 23),
        (3, 32, 39),
        (4, 7, 40),
        (5, 33, 9),
        (5, 33, 40),
    ),
    "{N: 3, H: 61, W: 47}": ((3, 61, 47),),
}
"""Batch, height and width: the least, usual and largest of a profile, and some between; and sizes that are fixed."""


CHAIN = "padded-residual"
"""The block with convolutions inside, which compute."""


def write_blocks(channels: int, dims: str, folder: Path, names: Sequence[str] = (), inner: Sequence[str] = ()) -> Path:
    """A network with an output for each block, which reads and is read by a convolution that copies its input.

    `names` are the blocks, all of them unless said; `inner` are tensors inside of blocks, which become outputs too.
    """
    names = names or list(BLOCKS)
    np.savez(folder / "eye.npz", eye=np.eye(channels, dtype=np.float32)[:, :, None, None])
    copy = f"out_channels: {channels}, kernel_size: 1, bias: false, weight: {{key: eye, file: eye.npz}}"
    lines = [f"trtdsl: 1\nimpl: auto\nparams: {{channels: {channels}}}"]
    lines += [f"dims: {dims}\ninputs: {{x: [N, $channels, H, W]}}\nlayers:"]
    for name in names:
        lines += [
            f"  - op: sequence\n    name: {name}\n    in: x\n    layers:",
            f"      - {{op: conv, name: c, {copy}}}",
        ]
        lines += [f"      {layer}" for layer in BLOCKS[name].splitlines()]
        lines += [f"      - {{op: conv, name: last, {copy}}}"]
    path = folder / "net.yaml"
    path.write_text("\n".join([*lines, f"outputs: [{', '.join([*names, *inner])}]"]))
    return path


def make_input(seed: int, channels: int, size: tuple[int, int, int]) -> Array:
    """Numbers that fp16 has, whose mean is not zero: x of a network of blocks."""
    return np.random.default_rng(seed).normal(0.3, 2, (size[0], channels, *size[1:])).astype(np.float16)


def chain_of(x: Array, d: Array, e: Array) -> Array:
    """The chain's output by its definition, of what its convolutions d and e gave."""
    relu = np.maximum(_normalised(x), 0)
    result: Array = _normalised(e) + (_normalised(d) + relu)
    return result


def _normalised(x: Array) -> Array:
    x = x.astype(np.float64)
    result: Array = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    return result
