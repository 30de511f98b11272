"""Resampling of spatial axes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from trtdsl.ops._spatial import per_axis, spatial_rank
from trtdsl.ops.attributes import Bool, Choice, DimList, Float, Floats, Maybe
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType

_LINEAR = {"linear": None, "bilinear": 2, "trilinear": 3}
_NEAREST = ("nearest", "nearest-exact")
_ONNX_ROUNDING = {"half_down": "round_prefer_floor", "half_up": "round_prefer_ceil", "floor": "floor", "ceil": "ceil"}
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

    The coordinate modes are ONNX's. `pytorch_half_pixel` takes the first element where the output has only one;
    `half_pixel_symmetric` is half_pixel for sizes that a scale gives without rounding, and refused for others.
    ONNX's `tf_crop_and_resize` is a `crop` followed by align_corners.
    """

    kind = "resize"
    aliases = ("upsample", "interpolate", "interp")
    example = "{op: resize, scale_factor: 2, mode: bilinear}"
    by_plugin = "Upsample"
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
        help="interpolation; `linear` on any number of axes, bicubic on two",
    )
    align_corners = attribute(
        Bool(), default=False, help="the corner elements of input and output coincide; not with nearest"
    )
    coordinate_mode = attribute(
        Maybe(Choice("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")),
        default=None,
        help="where an output element lies in the input, in ONNX's words; by default as PyTorch does for the mode",
    )
    nearest_rounding = attribute(
        Maybe(Choice("floor", "ceil", "half_down", "half_up")),
        default=None,
        help="how nearest rounds; by default as PyTorch does for the mode",
    )
    cubic_coeff = attribute(Float(), default=-0.75, help="the coefficient a of bicubic's kernel")
    exclude_outside = attribute(
        Bool(), default=False, help="bicubic weighs only elements that are there, instead of repeating the border"
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
        if self.mode != "bicubic" and self.exclude_outside:
            raise OpError(f"exclude_outside says nothing to {self.mode}", at="exclude_outside")
        if self.mode != "bicubic" and self.cubic_coeff != type(self).cubic_coeff.default:
            raise OpError(f"cubic_coeff says nothing to {self.mode}", at="cubic_coeff")
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
        if self.coordinate_mode == "half_pixel_symmetric":
            self._check_symmetric(x.shape[2:], factors)
        sizes = tuple(_scaled(size, factor) for size, factor in zip(x.shape[2:], factors, strict=True))
        for before, after in zip(x.shape[2:], sizes, strict=True):
            if min(after.sizes) < 1:
                raise OpError(f"scale_factor leaves nothing of an axis of size {before}", at="scale_factor")
        return sizes

    def _check_symmetric(self, shape: Shape, factors: tuple[float, ...]) -> None:
        for axis, (size, factor) in enumerate(zip(shape, factors, strict=True), start=2):
            if any(length * _ratio(factor) % 1 for length in size.sizes):
                raise OpError(
                    f"half_pixel_symmetric differs from half_pixel where the size is rounded, as that of axis {axis} "
                    f"({size}) by scale_factor {factor:g}: TensorRT cannot do that",
                    at="coordinate_mode",
                    hint="`size` instead of `scale_factor`, or half_pixel",
                )

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        (y_type,) = net.output_types
        layer = net.add_resize(x)
        layer.resize_mode = getattr(net.trt.InterpolationMode, self._interpolation())
        self._set_coordinates(net, layer)
        if self.mode == "bicubic":
            layer.cubic_coeff = self.cubic_coeff
            layer.exclude_outside = self.exclude_outside
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
        coordinates = self._coordinates().removeprefix("pytorch_").removesuffix("_symmetric")
        layer.coordinate_transformation = getattr(net.trt.ResizeCoordinateTransformation, coordinates.upper())
        if self._coordinates() == "pytorch_half_pixel":
            layer.selector_for_single_pixel = net.trt.ResizeSelector.UPPER
        if self.mode in _NEAREST:
            layer.nearest_rounding = getattr(net.trt.ResizeRoundMode, self._rounding().upper())

    def _coordinates(self) -> str:
        default = "asymmetric" if self.mode == "nearest" else "half_pixel"
        return self.coordinate_mode or ("align_corners" if self.align_corners else default)

    def _rounding(self) -> str:
        return self.nearest_rounding or ("floor" if self.mode == "nearest" else "half_up")

    def plugin_fields(self, x: TensorType) -> dict[str, object]:
        modes = {"nearest": "nearest", "bilinear": "bilinear", "linear": "bilinear"}
        if self.mode not in modes:
            raise OpError("it interpolates nearest and bilinear", at="mode")
        if self.scale_factor is None or len(set(self.scale_factor)) != 1:
            raise OpError("it takes one scale_factor for both axes", at="scale_factor")
        for name in ("coordinate_mode", "nearest_rounding"):
            if getattr(self, name) is not None:
                raise OpError("it places pixels as PyTorch does", at=name)
        return {
            "scaleFactor": self.scale_factor[0],
            "alignCorners": self.align_corners,
            "mode": modes[self.mode],
        }

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        (y_type,) = net.output_types
        interpolation = self._interpolation().lower()
        attributes: dict[str, Any] = {"coordinate_transformation_mode": self._coordinates().removesuffix("_symmetric")}
        if interpolation == "nearest":
            attributes["nearest_mode"] = _ONNX_ROUNDING[self._rounding()]
        if interpolation == "cubic":
            attributes |= {"cubic_coeff_a": self.cubic_coeff, "exclude_outside": int(self.exclude_outside)}
        scales = sizes = None
        if factors := self._scales(y_type):
            scales = net.constant((1.0, 1.0, *factors), DataType.FP32)
        else:
            sizes = net.shape_tensor(y_type.shape)
        return net.node("Resize", x, None, scales, sizes, mode=interpolation, **attributes)


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
