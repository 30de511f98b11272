"""Ops that read images at positions which other tensors give."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import of_type
from trtdsl.ops._spatial import per_axis
from trtdsl.ops.attributes import Bool, Choice, Float, Int, Ints
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import FLOATS, INTEGERS, DataType, Dim, Shape, TensorType, format_shape

_INTERPOLATIONS = {"bilinear": "LINEAR", "nearest": "NEAREST", "bicubic": "CUBIC"}
_SAMPLE_MODES = {"zeros": "FILL", "border": "CLAMP", "reflection": "REFLECT"}
_RENAMED_FROM = 20
"""The opset from which ONNX calls the interpolations linear, nearest and cubic."""


class GridSample(Op):
    """An image read at the positions of a grid, as torch.nn.functional.grid_sample on two spatial axes.

    Each position is x and y from -1 to 1, the borders of the image, or with align_corners the middle of its outermost
    elements. TensorRT 8.6 takes one `mode` and `padding_mode` per network, and `nearest` beside it.
    """

    kind = "grid_sample"
    policy = Policy.ACCUMULATE
    example = "{op: grid_sample, in: [image, grid], padding_mode: border}"
    example_inputs = "{image: [1, 8, 32, 32], grid: [1, 16, 16, 2]}"
    x = tensor(FLOATS, help="[batch, channels, height, width]")
    grid = tensor(FLOATS, help="[batch, output height, output width, 2]: x and y of each position")
    mode = attribute(Choice(*_INTERPOLATIONS), default="bilinear", help="interpolation")
    padding_mode = attribute(Choice(*_SAMPLE_MODES), default="zeros", help="what is read beyond the borders")
    align_corners = attribute(Bool(), default=False, help="-1 and 1 are the middle of the outermost elements")

    def infer(self, x: TensorType, grid: TensorType) -> TensorType:
        if x.rank != 4:
            raise OpError(
                f"grid_sample takes [batch, channels, height, width], the input is {format_shape(x.shape)}", at="in"
            )
        if grid.rank != 4 or grid.shape[3].expression != 2:
            shape = format_shape(grid.shape)
            raise OpError(f"the grid is [batch, output height, output width, 2], not {shape}", at="in")
        if not grid.shape[0].matches(x.shape[0]):
            raise OpError(f"the grid has a batch of {grid.shape[0]}, the input one of {x.shape[0]}", at="in")
        return x.with_shape((*x.shape[:2], *grid.shape[1:3]))

    def _check_others(self, net: Net) -> None:
        """Refuse samples whose kernels 8.6.1 takes for each other's: the outputs would be wrong. Raises OpError."""
        for other in net.alike:
            same = [self.values[name] == other.values[name] for name in ("mode", "padding_mode")]
            if not all(same) and (self.mode == "nearest") == (other.values["mode"] == "nearest"):
                kinds = [f"{op.values['mode']} with {op.values['padding_mode']}" for op in (self, other)]
                raise OpError(
                    f"{net.runtime} mixes up grid samples of different kinds in one network: {' and '.join(kinds)}",
                    at="mode",
                    hint="give them the same `mode` and `padding_mode`, or build with a later TensorRT",
                )

    def to_tensorrt(self, net: Net, x: Any, grid: Any) -> Any:
        if not net.runtime.has_distinct_grid_samples:
            self._check_others(net)
        layer = net.add_grid_sample(x, grid)
        layer.interpolation_mode = getattr(net.trt.InterpolationMode, _INTERPOLATIONS[self.mode])
        layer.sample_mode = getattr(net.trt.SampleMode, _SAMPLE_MODES[self.padding_mode])
        layer.align_corners = self.align_corners
        return layer

    def to_onnx(self, net: OnnxNet, x: str, grid: str) -> str:
        mode = _INTERPOLATIONS[self.mode].lower() if net.opset >= _RENAMED_FROM else self.mode
        corners = int(self.align_corners)
        return net.node("GridSample", x, grid, mode=mode, padding_mode=self.padding_mode, align_corners=corners)


class RoiAlign(Op):
    """Parts of an image resampled to one size, as torchvision.ops.roi_align.

    Each box is x1, y1, x2, y2 in the image's own coordinates, which `spatial_scale` takes to those of the input. Which
    image of the batch it is in says `batch_indices`, or as in torchvision a number before x1, or it is the first. The
    result is `output_size` bins per box, each the mean of its sampling points; in the mode `max`, as in ONNX, the
    largest of the weighted elements that these points would be interpolated from.

    TensorRT has this as the plugin ROIAlign_TRT, TensorRT-RTX has no plugins.
    """

    kind = "roi_align"
    policy = Policy.ACCUMULATE
    built_on = "ROIAlign_TRT"
    example = "{op: roi_align, in: [features, boxes, batch_indices], output_size: 7, spatial_scale: 0.25}"
    example_inputs = "{features: [1, 8, 32, 32], boxes: [5, 4], batch_indices: {shape: [5], dtype: int32}}"
    x = tensor(FLOATS, help="[batch, channels, height, width]")
    boxes = tensor(FLOATS, help="[boxes, 4]: x1, y1, x2, y2; or [boxes, 5] with the index in the batch before them")
    batch_indices = tensor(INTEGERS, help="[boxes], the index in the batch of each box", optional=True)
    output_size = attribute(Ints(minimum=1), help="bins on each axis: one for both, or height and width")
    spatial_scale = attribute(Float(minimum=0), default=1.0, help="size of the input over that of the image")
    sampling_ratio = attribute(
        Int(), default=-1, help="sampling points per bin and axis; 0 or less takes one per element, rounded up"
    )
    aligned = attribute(Bool(), default=False, help="elements lie at the middle of their squares, not at the corner")
    mode = attribute(Choice("avg", "max"), default="avg", help="what a bin is of its sampling points")

    def infer(self, x: TensorType, boxes: TensorType, batch_indices: TensorType | None = None) -> TensorType:
        if x.rank != 4:
            raise OpError(f"roi_align takes [batch, channels, height, width], the input is {format_shape(x.shape)}")
        if self.spatial_scale == 0:
            raise OpError("spatial_scale 0 leaves nothing of the boxes", at="spatial_scale")
        if boxes.rank != 2 or boxes.shape[1].expression not in (4, 5):
            raise OpError(f"boxes are [boxes, 4] or [boxes, 5], not {format_shape(boxes.shape)}", at="in")
        if batch_indices is not None:
            _check_indices(boxes, batch_indices)
        return x.with_shape((boxes.shape[0], x.shape[1], *self._bins()))

    def _bins(self) -> Shape:
        return tuple(map(Dim.of, per_axis(self.output_size, 2, "output_size")))

    def to_tensorrt(self, net: Net, x: Any, boxes: Any, batch_indices: Any = None) -> Any:
        height, width = (dim.value for dim in self._bins())
        fields = {
            "coordinate_transformation_mode": int(self.aligned),
            "mode": int(self.mode == "avg"),
            "output_height": height,
            "output_width": width,
            "sampling_ratio": max(self.sampling_ratio, 0),
            "spatial_scale": self.spatial_scale,
        }
        count, columns = of_type(net.input_types[1]).shape
        if columns.value == 5:
            batch_indices = net.slice(boxes, _ZEROS, (count, Dim.of(1)), (1, 1))
            batch_indices = net.reshape(net.cast(batch_indices, DataType.INT32), (count, Dim.of(1)), (count,))
            boxes = net.slice(boxes, (Dim.of(0), Dim.of(1)), (count, Dim.of(4)), (1, 1))
        elif batch_indices is None:
            zero = net.constant([0], DataType.INT32)
            batch_indices = net.slice(zero, _ZEROS[:1], (count,), (1,), "CLAMP")
        elif of_type(net.input_types[2]).dtype is not DataType.INT32:
            batch_indices = net.cast(batch_indices, DataType.INT32)
        return net.plugin(self.built_on, (x, boxes, batch_indices), fields, version="1", namespace="")

    def to_onnx(self, net: OnnxNet, x: str, boxes: str, batch_indices: str | None = None) -> str:
        height, width = (dim.value for dim in self._bins())
        count, columns = of_type(net.input_types[1]).shape
        if columns.value == 5:
            indices = net.squeeze(net.slice(boxes, _ZEROS, (count, Dim.of(1)), (1, 1)), (1,))
            boxes = net.slice(boxes, (Dim.of(0), Dim.of(1)), (count, Dim.of(4)), (1, 1))
        elif batch_indices is None:
            indices = net.node("Expand", net.constant(0), net.shape_tensor((count,)))
        else:
            indices = batch_indices
        return net.node(
            "RoiAlign",
            x,
            boxes,
            net.cast(indices, DataType.INT64),
            coordinate_transformation_mode="half_pixel" if self.aligned else "output_half_pixel",
            mode=self.mode,
            output_height=height,
            output_width=width,
            sampling_ratio=max(self.sampling_ratio, 0),
            spatial_scale=self.spatial_scale,
        )


_ZEROS = (Dim.of(0), Dim.of(0))


def _check_indices(boxes: TensorType, indices: TensorType) -> None:
    if boxes.shape[1].expression == 5:
        raise OpError("boxes of 5 columns have their indices in the batch, batch_indices says them again", at="in")
    if indices.rank != 1 or not indices.shape[0].matches(boxes.shape[0]):
        shapes = f"{format_shape(indices.shape)} for boxes {format_shape(boxes.shape)}"
        raise OpError(f"batch_indices is [boxes], here it is {shapes}", at="in")
