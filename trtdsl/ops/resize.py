"""Resampling of spatial axes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from trtdsl.ops._spatial import per_axis, spatial_rank
from trtdsl.ops.attributes import Bool, Choice, DimList, Floats, Maybe
from trtdsl.ops.base import Net, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, Dim, TensorType

_LINEAR = {"linear": None, "bilinear": 2, "trilinear": 3}
_NEAREST = ("nearest", "nearest-exact")
_LARGEST_DENOMINATOR = 1_000_000
_LARGEST_EXACT_DENOMINATOR = 64
_LARGEST_PRODUCT = 2**20


class Resize(Op):
    """Resampling of all spatial axes, as torch.nn.functional.interpolate (without antialias).

    The source of an output element i, for a scale s, is `(i + 0.5) / s - 0.5` (half_pixel), `i / s` (asymmetric) or
    `i (input - 1) / (output - 1)` (align_corners). By default PyTorch's: `nearest` is asymmetric and rounds down,
    `nearest-exact` is half_pixel and rounds halves up, all others are half_pixel, or align_corners where that is set.

    s is the scale_factor, or output size / input size where `size` is given. `nearest` takes the sizes, too, for a
    factor such as 1.3, which fp32 does not hold: PyTorch does so with recompute_scale_factor.
    """

    kind = "resize"
    aliases = ("upsample",)
    example = "{op: resize, scale_factor: 2, mode: bilinear}"
    x = tensor(FLOATS, help="[batch, channels, ...] with 1 to 3 spatial axes")
    size = attribute(
        Maybe(DimList(minimum=1, single=True)), default=None, help="sizes of the spatial axes, one for all or one each"
    )
    scale_factor = attribute(
        Maybe(Floats(minimum=0)), default=None, help="output size over input size, rounded down; instead of `size`"
    )
    mode = attribute(
        Choice(*_NEAREST, *_LINEAR, "bicubic"),
        default="nearest",
        help="interpolation; `linear` on any number of axes, bicubic (a = -0.75) on two",
    )
    align_corners = attribute(
        Bool(), default=False, help="the corner elements of input and output coincide; not with nearest"
    )
    coordinate_mode = attribute(
        Maybe(Choice("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")),
        default=None,
        help="where an output element lies in the input, in ONNX's words; by default as PyTorch does for the mode",
    )
    nearest_rounding = attribute(
        Maybe(Choice("floor", "ceil", "half_down", "half_up")),
        default=None,
        help="how nearest rounds; by default as PyTorch does for the mode",
    )

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(self.kind, x)
        self._check_mode(rank)
        return x.with_shape((*x.shape[:2], *self._sizes(x, rank)))

    def _check_mode(self, rank: int) -> None:
        wanted = 2 if self.mode == "bicubic" else _LINEAR.get(self.mode)
        if wanted not in (None, rank):
            hint = None if self.mode == "bicubic" else "`linear` fits any number of axes"
            raise OpError(f"{self.mode} is for {wanted} spatial axes, the input has {rank}", at="mode", hint=hint)
        is_nearest = self.mode in _NEAREST
        if is_nearest and self.align_corners:
            raise OpError(f"align_corners says nothing to {self.mode}", at="align_corners")
        if not is_nearest and self.nearest_rounding is not None:
            raise OpError(f"nearest_rounding says nothing to {self.mode}", at="nearest_rounding")
        if self.align_corners and self.coordinate_mode not in (None, "align_corners"):
            raise OpError(
                f"align_corners and coordinate_mode {self.coordinate_mode} exclude each other", at="coordinate_mode"
            )

    def _sizes(self, x: TensorType, rank: int) -> tuple[Dim, ...]:
        if (self.size is None) == (self.scale_factor is None):
            raise OpError("resize takes either size or scale_factor", at="scale_factor" if self.size else None)
        if self.size is not None:
            return per_axis(self.size, rank, "size")
        assert self.scale_factor is not None, "one of the two is given"
        factors = per_axis(self.scale_factor, rank, "scale_factor")
        if not all(map(math.isfinite, factors)):
            raise OpError("scale_factor is infinite", at="scale_factor")
        sizes = tuple(_scaled(size, factor) for size, factor in zip(x.shape[2:], factors, strict=True))
        for before, after in zip(x.shape[2:], sizes, strict=True):
            if min(after.sizes) < 1:
                raise OpError(f"scale_factor leaves nothing of an axis of size {before}", at="scale_factor")
        return sizes

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        (y_type,) = net.output_types
        layer = net.add_resize(x)
        layer.resize_mode = getattr(net.trt.InterpolationMode, self._interpolation())
        self._set_coordinates(net, layer)
        if self.mode == "bicubic":
            layer.cubic_coeff = -0.75
        if scales := self._scales(y_type):
            layer.scales = (1.0, 1.0, *scales)
        elif y_type.is_static:
            layer.shape = tuple(dim.value for dim in y_type.shape)
        else:
            layer.set_input(1, net.shape_tensor(y_type.shape))
        return layer

    def _scales(self, y: TensorType) -> tuple[float, ...] | None:
        """The factors as TensorRT takes them, or None where it has to be given the sizes."""
        if self.scale_factor is None:
            return None
        factors = per_axis(self.scale_factor, y.rank - 2, "scale_factor")
        if all(map(_is_exact, factors)):
            return factors
        # The smallest error moves an element that lies between two others by a whole place.
        if self.mode in _NEAREST or not all(map(_stays_below, factors, y.shape[2:])):
            return None
        return tuple(map(_rounded_up, factors))

    def _interpolation(self) -> str:
        if self.mode in _NEAREST:
            return "NEAREST"
        return "CUBIC" if self.mode == "bicubic" else "LINEAR"

    def _set_coordinates(self, net: Net, layer: Any) -> None:
        coordinates = self.coordinate_mode or ("align_corners" if self.align_corners else self._default_coordinates())
        transformations = net.trt.ResizeCoordinateTransformation
        layer.coordinate_transformation = getattr(transformations, coordinates.removeprefix("pytorch_").upper())
        if coordinates == "pytorch_half_pixel":
            layer.selector_for_single_pixel = net.trt.ResizeSelector.UPPER
        if self.mode in _NEAREST:
            rounding = self.nearest_rounding or ("floor" if self.mode == "nearest" else "half_up")
            layer.nearest_rounding = getattr(net.trt.ResizeRoundMode, rounding.upper())

    def _default_coordinates(self) -> str:
        return "asymmetric" if self.mode == "nearest" else "half_pixel"


def _scaled(size: Dim, factor: float) -> Dim:
    """The size times the factor, rounded down, as a ratio of whole numbers that a runtime can compute with."""
    ratio = _ratio(factor)
    return size * ratio.numerator // ratio.denominator


def _ratio(factor: float) -> Fraction:
    return Fraction(factor).limit_denominator(_LARGEST_DENOMINATOR)


def _is_exact(factor: float) -> bool:
    """Whether fp32, in which TensorRT multiplies sizes by factors, gives the same product: for 2, 1.5, 0.25."""
    return Fraction(factor).denominator <= _LARGEST_EXACT_DENOMINATOR


def _rounded_up(factor: float) -> float:
    """The fp32 number from the factor on, so that a size times the factor never falls short of a whole number."""
    import numpy as np

    ratio = _ratio(factor)
    nearest = np.float32(float(ratio))
    return float(nearest if Fraction(float(nearest)) >= ratio else np.nextafter(nearest, np.float32("inf")))


def _stays_below(factor: float, result: Dim) -> bool:
    """Whether rounding the factor up and rounding its product can never make the result one larger."""
    return _ratio(factor).denominator * (max(result.sizes) + 1) <= _LARGEST_PRODUCT
