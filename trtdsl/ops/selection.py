"""Ops between indices and what they stand for: classes, elements that count, and boxes that are kept."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import MOVABLE, axis_of, of_type
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import Choice, DType, Float, Int, Maybe
from trtdsl.ops.base import FLOATS, Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import INTEGERS, DataType, Dim, Shape, TensorType, format_shape, volume

INDEX_TYPE = DType(DataType.INT32, DataType.INT64)


class OneHot(Op):
    """Class numbers as vectors that are `on_value` at the class and `off_value` elsewhere, as F.one_hot.

    The vectors are in the layer's precision unless `dtype` says more (PyTorch makes integers).
    """

    kind = "one_hot"
    example = "{op: one_hot, num_classes: 10}"
    example_inputs = "{x: {shape: [8], dtype: int32}}"
    indices = tensor(INTEGERS, help="class numbers, from 0 to num_classes - 1")
    num_classes = attribute(Int(minimum=1), help="length of a vector")
    dim = attribute(Int(), default=-1, help="the axis of the output that the vectors lie along")
    on_value = attribute(Float(), default=1.0, help="what stands at the class")
    off_value = attribute(Float(), default=0.0, help="what stands elsewhere")
    dtype = attribute(
        Maybe(DType(*sorted(MOVABLE, key=list(DataType).index))),
        default=None,
        help="element type; by default the precision of the layer",
    )

    def precision_policy(self) -> Policy:
        return Policy.COMPUTE if self.dtype is None else Policy.TRANSPARENT

    def infer(self, indices: TensorType) -> TensorType:
        dtype = self.dtype or DataType.FP32
        for name in ("on_value", "off_value"):
            check_number(self.values[name], dtype, name)
        axis = axis_of(self.dim, indices.rank + 1)
        return TensorType(dtype, (*indices.shape[:axis], Dim.of(self.num_classes), *indices.shape[axis:]))

    def to_tensorrt(self, net: Net, indices: Any) -> Any:
        made = net.output_types[0]
        if of_type(net.input_types[0]).dtype is not DataType.INT32:
            indices = net.cast(indices, DataType.INT32)
        # Numbers are what every version has kernels for.
        dtype = DataType.INT32 if made.dtype is DataType.BOOL else made.dtype
        values = net.constant([self.off_value, self.on_value], dtype)
        depth = net.constant(self.num_classes, DataType.INT32, ())
        vectors = net.add_one_hot(indices, values, depth, axis_of(self.dim, made.rank))
        return vectors if made.dtype is dtype else net.cast(vectors.get_output(0), made.dtype)

    def to_onnx(self, net: OnnxNet, indices: str) -> str:
        made = net.output_types[0]
        if made.rank == 1:
            # ONNX wants an axis to put another one beside.
            indices = net.unsqueeze(indices, (0,))
        dtype = DataType.FP32 if made.dtype.is_float else DataType.INT64
        vectors = net.node(
            "OneHot",
            net.cast(indices, DataType.INT64),
            net.constant(self.num_classes),
            net.constant([self.off_value, self.on_value], dtype),
            axis=axis_of(self.dim, made.rank) if made.rank > 1 else 1,
        )
        vectors = net.cast(vectors, made.dtype)
        return net.squeeze(vectors, (0,)) if made.rank == 1 else vectors


class NonZero(Op):
    """The positions of all elements that are not 0, in order, as torch.nonzero: a row of indices for each.

    How many there are is known once the layer has run.
    """

    kind = "non_zero"
    aliases = ("nonzero",)
    policy = Policy.TRANSPARENT
    example = "non_zero"
    x = tensor(MOVABLE)
    dtype = attribute(INDEX_TYPE, default=DataType.INT32, help="element type of the positions")

    def infer(self, x: TensorType) -> TensorType:
        if not x.rank:
            raise OpError("a scalar has no positions", at="in")
        return TensorType(self.dtype, (Dim.data_dependent("count", volume(x.shape)), Dim.of(x.rank)))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        _check_kernels(net, self.kind)
        positions = net.transpose(net.add_non_zero(x).get_output(0), (1, 0))
        return positions if self.dtype is DataType.INT32 else net.cast(positions, self.dtype)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.cast(net.transpose(net.node("NonZero", x), (1, 0)), self.dtype)


class Nms(Op):
    """Non-maximum suppression: the boxes that are left when, in each class, those that overlap a better one are gone.

    A box counts in a class where its score is above `score_threshold`; a better box of the class takes away those whose
    intersection with it is more than `iou_threshold` of the union. The output has a row `[batch, class, box]` for each
    box that is kept, by batch and then from the highest score down, those of equal scores in any order; how many there
    are is known once the layer has run. TensorRT looks at the 5000 best boxes of each item of the batch.
    """

    kind = "nms"
    # Overlaps in fp16 would be too coarse for positions of pixels.
    policy = Policy.ACCUMULATE
    example = "{op: nms, in: [boxes, scores], max_output_boxes_per_class: 100, iou_threshold: 0.5}"
    example_inputs = "{boxes: [1, 1000, 4], scores: [1, 1000, 80]}"
    boxes = tensor(FLOATS, help="[batch, boxes, 4], or [batch, boxes, classes, 4]")
    scores = tensor(FLOATS, help="[batch, boxes, classes]")
    max_output_boxes_per_class = attribute(Int(minimum=1), help="the most boxes that are kept of each class")
    iou_threshold = attribute(
        Float(minimum=0, maximum=1), default=0.0, help="the overlap up to which both boxes are kept"
    )
    score_threshold = attribute(Float(), default=0.0, help="the score that a box has to exceed")
    box_format = attribute(
        Choice("corner_pairs", "center_sizes"),
        default="corner_pairs",
        help="what the four numbers are: x and y of two opposite corners, or x and y of the centre, width and height",
    )
    dtype = attribute(INDEX_TYPE, default=DataType.INT32, help="element type of the rows")

    def infer(self, boxes: TensorType, scores: TensorType) -> TensorType:
        if scores.rank != 3:
            raise OpError(f"the scores are [batch, boxes, classes], not {format_shape(scores.shape)}", at="in")
        wanted = (scores.shape[:2], scores.shape)
        if boxes.rank not in (3, 4) or boxes.shape[-1].expression != 4 or not _agree(boxes.shape[:-1], wanted):
            listed = f"{format_shape((*scores.shape[:2], 4))} or {format_shape((*scores.shape, 4))}"
            shapes = f"boxes {format_shape(boxes.shape)} for scores {format_shape(scores.shape)}"
            raise OpError(f"{shapes}: {listed} fit", at="in")
        batch, count, classes = scores.shape
        kept = count.minimum(self.max_output_boxes_per_class)
        return TensorType(self.dtype, (Dim.data_dependent("boxes", batch * classes * kept), Dim.of(3)))

    def to_tensorrt(self, net: Net, boxes: Any, scores: Any) -> Any:
        _check_kernels(net, self.kind)
        layer = net.add_nms(boxes, scores, net.constant(self.max_output_boxes_per_class, DataType.INT32, ()))
        layer.bounding_box_format = getattr(net.trt.BoundingBoxFormat, self.box_format.upper())
        layer.set_input(3, net.constant(self.iou_threshold, DataType.FP32, ()))
        layer.set_input(4, net.constant(self.score_threshold, DataType.FP32, ()))
        rows = layer.get_output(0)
        # The layer that is named last makes the output.
        return net.cast(rows, self.dtype) if self.dtype is not DataType.INT32 else net.add_identity(rows)

    def to_onnx(self, net: OnnxNet, boxes: str, scores: str) -> str:
        boxes_type, scores_type = (of_type(entry) for entry in net.input_types)
        batch, count, classes = scores_type.shape
        boxes, scores = net.cast(boxes, DataType.FP32), net.transpose(net.cast(scores, DataType.FP32), (0, 2, 1))
        of_classes, of_boxes = scores, boxes
        if boxes_type.rank == 4:
            # ONNX knows boxes for all classes only: each class becomes an item of the batch.
            of_boxes = net.reshape(net.transpose(boxes, (0, 2, 1, 3)), (batch * classes, count, Dim.of(4)))
            of_classes = net.reshape(scores, (batch * classes, Dim.of(1), count))
        rows = net.node(
            "NonMaxSuppression",
            of_boxes,
            of_classes,
            net.constant(self.max_output_boxes_per_class),
            net.constant(self.iou_threshold, DataType.FP32),
            net.constant(self.score_threshold, DataType.FP32),
            center_point_box=int(self.box_format == "center_sizes"),
        )
        if boxes_type.rank == 4:
            rows = _with_classes(net, rows, classes)
        rows = _sorted(net, rows, net.node("GatherND", scores, rows), largest=True)
        if not batch.is_one:
            rows = _sorted(net, rows, net.node("Gather", rows, net.constant(0), axis=1), largest=False)
        return net.cast(rows, self.dtype)


def _check_kernels(net: Net, kind: str) -> None:
    """Say so where TensorRT adds the layer and its builder then fails. Raises OpError."""
    if not net.runtime.has_data_dependent_sizes:
        raise OpError(
            f"{net.runtime} has no kernel for {kind}, whose output is as large as the data make it",
            hint="TensorRT itself has one",
        )


def _agree(shape: Shape, wanted: tuple[Shape, ...]) -> bool:
    """Whether a shape is one of those wanted."""
    return any(
        len(shape) == len(other) and all(a.matches(b) for a, b in zip(shape, other, strict=True)) for other in wanted
    )


def _with_classes(net: OnnxNet, rows: str, classes: Dim) -> str:
    """Rows whose first number counts the classes of all items, as batch, class and box."""
    count = net.shape_tensor((classes,))
    both = net.node("Gather", rows, net.constant([0]), axis=1)
    box = net.node("Gather", rows, net.constant([2]), axis=1)
    return net.node("Concat", net.node("Div", both, count), net.node("Mod", both, count), box, axis=1)


def _sorted(net: OnnxNet, rows: str, keys: str, *, largest: bool) -> str:
    """The rows in the order of their keys; those of equal keys stay as they are, as ONNX has it."""
    count = net.node("Shape", keys)
    _, order = net.nodes("TopK", keys, count, outputs=2, axis=0, largest=int(largest))
    return net.node("Gather", rows, order, axis=0)
