"""What every bundled plugin is tested with: fields, shapes, and PyTorch's way of saying the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch.nn import functional

IMAGES = ((1, 1, 1, 1), (1, 3, 7, 5), (2, 5, 33, 17), (3, 8, 9, 31), (4, 16, 12, 20), (5, 2, 4, 4), (1, 9, 64, 66))
LARGE_IMAGES = ((1, 64, 256, 256), (16, 64, 127, 129), (1, 3, 1080, 1920))
ANY_RANK = ((), (1,), (7,), (2, 3), (3, 0, 5), (5, 1, 2, 3, 1, 2), (1023,), (1025, 3))
SCALES = (2.0, 1.0, 1.5, 3.0, 0.5, 2.25, 1.015625, 0.734375, 2.984375, 16.0)
LARGEST_OUTPUT = 150_000_000


@dataclass(frozen=True)
class Case:
    """One kernel on inputs of some shape."""

    plugin: str
    fields: Mapping[str, Any]
    shape: tuple[int, ...]
    reference: Callable[..., torch.Tensor] = field(repr=False)
    """PyTorch's output for the inputs."""
    in_fp64: bool = False
    """Whether PyTorch computes it in fp64: more exact than its kernels of fp32 are."""
    specials: bool = False
    """Whether NaN, infinities and extreme numbers are among the inputs."""
    exact: bool = False
    """Whether no number is computed, so that every bit has to be the same."""
    each: bool = False
    """Whether every element is measured by its own size, rather than the largest."""
    others: tuple[tuple[int, ...], ...] = ()
    """The shapes of further inputs."""
    spread: float = 4.0
    centre: float = 0.0


@dataclass(frozen=True)
class Large:
    """A kernel whose output has more than 2^31 elements, or in one instance as many as it may."""

    plugin: str
    fields: Mapping[str, Any]
    shape: tuple[int, ...]
    reference: Callable[..., torch.Tensor] = field(repr=False)
    """Of any part of the batch."""
    layout: str = "linear"
    others: tuple[tuple[int, ...], ...] = ()
    """The shapes of further inputs."""


def _elementwise(plugin: str, reference: Callable[..., torch.Tensor], **fields: Any) -> Iterator[Case]:
    for shape in (*ANY_RANK, *IMAGES, *LARGE_IMAGES):
        yield Case(plugin, fields, shape, reference, in_fp64=True, specials=True, each=True)


def _pads() -> Iterator[Case]:
    for shape in (*IMAGES, *LARGE_IMAGES):
        height, width = shape[2:]
        largest = [width - 1, width - 1, height - 1, height - 1]
        for paddings, mode in product(
            ([3, 3, 3, 3], [0, 0, 0, 0], [1, 0, 2, 4], [0, 5, 0, 1], [7, 8, 9, 10], largest), ("reflect", "edge")
        ):
            if mode == "reflect" and any(given > most for given, most in zip(paddings, largest, strict=True)):
                continue
            fields = {"paddings": paddings, "mode": mode}
            yield Case("ReflectPad", fields, shape, _padded(paddings, mode), specials=True, exact=True)


def _padded(paddings: Sequence[int], mode: str) -> Callable[..., torch.Tensor]:
    word = {"reflect": "reflect", "edge": "replicate"}[mode]
    return lambda x: functional.pad(x, tuple(paddings), mode=word)


def _upsamplings() -> Iterator[Case]:
    modes = (("nearest", False), ("bilinear", False), ("bilinear", True))
    for shape, scale, (mode, corners) in product((*IMAGES, *LARGE_IMAGES), SCALES, modes):
        height, width = (math.floor(size * scale) for size in shape[2:])
        if not (height and width) or math.prod(shape[:2]) * height * width > LARGEST_OUTPUT:
            continue
        fields = {"scaleFactor": scale, "mode": mode, "alignCorners": corners}
        nearest = mode == "nearest"
        yield Case("Upsample", fields, shape, _resized(scale, mode, corners), specials=nearest, exact=nearest)


def _resized(scale: float, mode: str, corners: bool) -> Callable[..., torch.Tensor]:
    align = None if mode == "nearest" else corners
    return lambda x: functional.interpolate(x, scale_factor=scale, mode=mode, align_corners=align)


def _normalised(x: torch.Tensor, fields: Mapping[str, Any]) -> torch.Tensor:
    """InstanceNorm as its definition has it; PyTorch's own operator refuses instances of one element."""
    axes = tuple(range(2, x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    y = centred / (centred.square().mean(axes, keepdim=True) + fields.get("epsilon", 1e-5)).sqrt()
    for name, combine in (("scale", torch.mul), ("bias", torch.add)):
        if numbers := fields.get(name):
            y = combine(y, torch.tensor(numbers, dtype=x.dtype, device=x.device).view(-1, *[1] * len(axes)))
    activation = fields.get("activation", "none")
    slope = {"none": 1.0, "relu": 0.0, "leaky_relu": fields.get("slope", 0.01)}[activation]
    return torch.where(y > 0, y, y * slope)


def _affine(channels: int) -> dict[str, list[float]]:
    return {
        "scale": [0.5 + index % 7 / 8 for index in range(channels)],
        "bias": [index % 5 / 4 - 0.5 for index in range(channels)],
    }


def _norms() -> Iterator[Case]:
    volumes = ((2, 3, 7), (1, 2, 1), (3, 5, 1000), (2, 3, 3, 5, 7), (1, 4, 8, 16, 16))
    large = ((1, 64, 512, 512), (1, 3, 1024, 1023), (1, 1, 2048, 2049), (40, 16, 31, 31), (300, 8, 4, 4))
    for shape in (*volumes, *IMAGES, *LARGE_IMAGES, *large):
        for centre, fields in (
            (0.0, {}),
            (100.0, {"epsilon": 1e-3, **_affine(shape[1])}),
            (-1.0, {"activation": "relu", "scale": _affine(shape[1])["scale"]}),
            (1.0, {"activation": "leaky_relu", "slope": 0.25, "bias": _affine(shape[1])["bias"]}),
        ):
            yield Case("InstanceNorm", fields, shape, _norm(fields), in_fp64=True, centre=centre)


def _norm(fields: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    return lambda x: _normalised(x, fields)


def _padded_norms() -> Iterator[Case]:
    for shape in (*IMAGES, *LARGE_IMAGES, (1, 64, 512, 512), (2, 256, 64, 64)):
        batch, channels, height, width = shape
        largest = [width - 1, width - 1, height - 1, height - 1]
        for paddings, around, mode in product(
            (None, [1, 1, 1, 1], [3, 0, 2, 1], largest), (None, [0, 0, 0, 0], [1, 2, 3, 4]), ("reflect", "edge")
        ):
            if paddings and (any(given > most for given, most in zip(paddings, largest, strict=True))):
                continue
            if math.prod(shape) > 2_000_000 and (paddings == largest or mode == "edge"):
                continue
            fields = {"activation": "relu" if around is None else "none", **_affine(channels)}
            fields |= {"paddings": paddings, "mode": mode} if paddings else {}
            fields |= {"residualPaddings": around} if around and any(around) else {}
            residual = around and (batch, channels, height + around[2] + around[3], width + around[0] + around[1])
            yield Case(
                "InstanceNormPad",
                fields,
                shape,
                _norm_and_pad(fields),
                in_fp64=True,
                others=(residual,) if residual else (),
            )


def _norm_and_pad(fields: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    left, right, top, bottom = fields.get("residualPaddings", [0, 0, 0, 0])

    def reference(x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        y = _normalised(x, fields)
        if residual is not None:
            y = y + residual[:, :, top : residual.shape[2] - bottom, left : residual.shape[3] - right]
        return _padded(fields["paddings"], fields["mode"])(y) if "paddings" in fields else y

    return reference


SLOPE = 0.125


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, SLOPE)


CASES: tuple[Case, ...] = (
    *_elementwise("LeakyReLU", _leaky, negSlope=SLOPE),
    *_elementwise("Mish", functional.mish),
    *_elementwise("HardSwish", functional.hardswish),
    *_pads(),
    *_upsamplings(),
    *_norms(),
    *_padded_norms(),
)

_FLAT = (5, 429_496_731)
_SIDES = {"paddings": [1, 1, 1, 1]}
_PADDED = {**_SIDES, "mode": "reflect", "residualPaddings": [1, 1, 1, 1]}
_LARGE_IMAGES = (("linear", (3, 11, 8100, 8100)), ("hwc8", (3, 16, 8100, 5700)))
LARGE: tuple[Large, ...] = (
    Large("LeakyReLU", {"negSlope": SLOPE}, _FLAT, _leaky),
    Large("Mish", {}, _FLAT, functional.mish),
    Large("HardSwish", {}, _FLAT, functional.hardswish),
    Large("ReflectPad", {"paddings": [9, 7, 3, 3]}, (3, 6, 10920, 10920), _padded([9, 7, 3, 3], "reflect")),
    Large("InstanceNorm", {}, (1, 1, 46329, 46329), _norm({})),
    Large("Upsample", {"scaleFactor": 2, "mode": "bilinear"}, (3, 11, 4050, 4050), _resized(2, "bilinear", False)),
    *(
        large
        for layout, shape in _LARGE_IMAGES
        for large in (
            Large("InstanceNorm", {}, shape, _norm({}), layout),
            Large("InstanceNormPad", _SIDES, shape, _norm_and_pad({**_SIDES, "mode": "reflect"}), layout),
            Large(
                "InstanceNormPad",
                _PADDED,
                shape,
                _norm_and_pad(_PADDED),
                layout,
                ((*shape[:2], shape[2] + 2, shape[3] + 2),),
            ),
        )
    ),
    Large("ReflectPad", _SIDES, (3, 16, 8100, 5700), _padded([1, 1, 1, 1], "reflect"), "hwc8"),
    Large("Upsample", {"scaleFactor": 2}, (3, 16, 4050, 2850), _resized(2, "nearest", False), "hwc8"),
)

REFUSED_AT_LAUNCH: tuple[tuple[str, Mapping[str, Any], tuple[int, ...], str], ...] = (
    ("InstanceNorm", {}, (70_000, 70_000, 1), "linear"),
    ("InstanceNorm", {}, (1, 16, 46_000, 46_000), "hwc8"),
    ("InstanceNormPad", _SIDES, (1, 16, 46_000, 46_000), "hwc8"),
    ("ReflectPad", _SIDES, (1, 16, 46_000, 46_000), "hwc8"),
    ("Upsample", {"scaleFactor": 2}, (1, 16, 23_000, 23_000), "hwc8"),
)

REFUSED: tuple[tuple[str, Mapping[str, Any], tuple[tuple[int, ...], ...], str], ...] = (
    ("ReflectPad", {"paddings": [7, 0, 0, 0]}, ((1, 3, 9, 7),), "fewer columns"),
    ("ReflectPad", {"paddings": [0, 7, 0, 0]}, ((1, 3, 9, 7),), "fewer columns"),
    ("ReflectPad", {"paddings": [0, 0, 9, 0]}, ((1, 3, 9, 7),), "fewer rows"),
    ("ReflectPad", {"paddings": [0, 0, 0, 9]}, ((1, 3, 9, 7),), "fewer rows"),
    ("ReflectPad", {"paddings": [1, 1, 1, 1], "mode": "edge"}, ((1, 3, 0, 7),), "nothing to pad with"),
    ("ReflectPad", {"paddings": [1, 1, 1, 1]}, ((1, 1, 65536, 65536),), "2147483647"),
    ("Upsample", {"scaleFactor": 1.3}, ((1, 3, 9, 7),), "multiple of 1/64"),
    ("Upsample", {"scaleFactor": 2, "alignCorners": True}, ((1, 3, 9, 7),), "mode: bilinear"),
    ("Upsample", {"scaleFactor": 0.125}, ((1, 3, 9, 7),), "at least one"),
    ("Upsample", {"scaleFactor": 1024}, ((1, 1, 64, 64),), "2147483647"),
    ("InstanceNorm", {"scale": [1.0, 2.0]}, ((1, 3, 9, 7),), "scale has one number per channel"),
    ("InstanceNorm", {"bias": [1.0, 2.0]}, ((1, 3, 9, 7),), "bias has one number per channel"),
    ("InstanceNorm", {}, ((1, 1, 46330, 46330),), "2146435071"),
    ("InstanceNormPad", {"paddings": [0, 7, 0, 0]}, ((1, 3, 9, 7),), "fewer columns"),
    ("InstanceNormPad", _SIDES, ((1, 1, 46328, 46328),), "2146435071"),
    ("InstanceNormPad", _SIDES, ((1, 3, 9, 7), (1, 3, 11, 9)), "height and width"),
    ("InstanceNormPad", _SIDES, ((1, 3, 9, 7), (1, 4, 9, 7)), "batch and channels"),
)
