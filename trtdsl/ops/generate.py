"""Ops that make a tensor from sizes and numbers: of what it is filled with, and how large it is."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

from trtdsl.ops._axes import MOVABLE, axis_of, of_type
from trtdsl.ops._ranges import check_number
from trtdsl.ops.attributes import DimList, DType, Float, Int, Maybe, Number
from trtdsl.ops.base import ANY, Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import INTEGERS, PRECISIONS, DataType, Dim, Shape, TensorType, volume

ZERO, ONE = Dim.of(0), Dim.of(1)
WHOLE = DType(DataType.INT32, DataType.INT64)
FLOAT = Maybe(DType(*PRECISIONS))


class ShapeOf(Op):
    """The sizes of all axes of a tensor, as a list of whole numbers, as torch.Tensor.shape."""

    kind = "shape"
    reads_sizes = True
    policy = Policy.TRANSPARENT
    example = "shape"
    x = tensor(ANY)
    dtype = attribute(WHOLE, default=DataType.INT32, help="element type of the sizes")

    def infer(self, x: TensorType) -> TensorType:
        if not x.rank:
            raise OpError("a scalar has no axes, whose sizes would be its shape", at="in")
        return TensorType(self.dtype, (Dim.of(x.rank),))

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return _from_sizes(net, net.add_shape(x).get_output(0), self.dtype)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.cast(net.node("Shape", x), self.dtype)


class Size(Op):
    """The number of elements of a tensor, as torch.numel, or the size of one axis: a whole number, without axes."""

    kind = "size"
    reads_sizes = True
    aliases = ("numel",)
    policy = Policy.TRANSPARENT
    example = "{op: size, dim: 0}"
    x = tensor(ANY)
    dim = attribute(Maybe(Int()), default=None, help="the axis; by default the elements of all axes are counted")
    dtype = attribute(WHOLE, default=DataType.INT32, help="element type of the number")

    def infer(self, x: TensorType) -> TensorType:
        size = self._size(x)
        if self.dtype is DataType.INT32 and max(size.sizes) >= 2**31:
            raise OpError(f"{max(size.sizes)} elements are more than int32 holds", at="dtype")
        return TensorType(self.dtype, ())

    def _size(self, x: TensorType) -> Dim:
        return volume(x.shape) if self.dim is None else x.shape[axis_of(self.dim, x.rank)]

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        size = net.shape_tensor((self._size(of_type(net.input_types[0])),))
        return net.reshape(_from_sizes(net, size, self.dtype), (ONE,), ())

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        size = net.shape_tensor((self._size(of_type(net.input_types[0])),))
        return net.cast(net.squeeze(size, (0,)), self.dtype)


def _from_sizes(net: Net, sizes: Any, dtype: DataType) -> Any:
    """A shape tensor in another type."""
    return sizes if net.runtime.shape_dtype is dtype else net.cast(sizes, dtype)


class _Made(Op):
    """A tensor made from nothing, of a type that is the layer's precision unless `dtype` says more."""

    dtype: Any

    def precision_policy(self) -> Policy:
        return Policy.COMPUTE if self.dtype is None else Policy.TRANSPARENT


class Fill(_Made):
    """A tensor of one number, as torch.full."""

    kind = "fill"
    aliases = ("full",)
    example = "{op: fill, shape: [N, 1, 768], value: 0}"
    example_inputs = "{x: [N, 768]}"
    shape = attribute(DimList(minimum=1), help="sizes: integers, dimensions, expressions")
    value = attribute(Float(), help="the number; for booleans 0 or 1")
    dtype = attribute(
        Maybe(DType(*sorted(MOVABLE, key=list(DataType).index))),
        default=None,
        help="element type; by default the precision of the layer",
    )

    def infer(self) -> TensorType:
        dtype = self.dtype or DataType.FP32
        check_number(self.value, dtype, "value")
        if dtype is DataType.BOOL and self.value not in (0, 1):
            raise OpError(f"value {self.value:g} is neither 0 nor 1, the elements are booleans", at="value")
        return TensorType(dtype, self.shape)

    def to_tensorrt(self, net: Net) -> Any:
        made = net.output_types[0]
        number = net.constant(self.value, made.dtype, (1,) * made.rank)
        return net.slice(number, (ZERO,) * made.rank, made.shape, (0,) * made.rank) if made.rank else number

    def to_onnx(self, net: OnnxNet) -> str:
        made = net.output_types[0]
        return net.node("Expand", net.constant(self.value, made.dtype), net.shape_tensor(made.shape))


class Range(Op):
    """Numbers from `start` on that are `step` apart, up to but without `end`, as torch.arange.

    Whole numbers give int32 unless `dtype` says more, others the layer's precision.
    """

    kind = "range"
    aliases = ("arange",)
    example = "{op: range, end: N}"
    example_inputs = "{x: [N, 768]}"
    start = attribute(Number(), default=ZERO, help="the first number")
    end = attribute(Number(), help="the number before which to stop")
    step = attribute(Number(), default=ONE, help="what each number is larger than the one before; may be negative")
    dtype = attribute(
        Maybe(DType(*PRECISIONS, DataType.INT64, DataType.INT32)),
        default=None,
        help="element type; by default int32 for whole numbers, else the precision of the layer",
    )

    def precision_policy(self) -> Policy:
        return Policy.COMPUTE if self.dtype is None else Policy.TRANSPARENT

    def infer(self) -> TensorType:
        dtype = self.dtype or (DataType.INT32 if self._whole else DataType.FP32)
        if not self._whole and not dtype.is_float:
            raise OpError(f"the numbers are not whole, as {dtype} would have them", at="dtype")
        count = self._count()
        if min(count.sizes) <= 0:
            raise OpError(f"nothing lies between {_text(self.start)} and {_text(self.end)}", at="end")
        return TensorType(dtype, (count,))

    @property
    def _whole(self) -> tuple[Dim, Dim, Dim] | None:
        """The parameters, if all are whole numbers."""
        start, end, step = self.start, self.end, self.step
        if isinstance(start, Dim) and isinstance(end, Dim) and isinstance(step, Dim):
            return start, end, step
        return None

    def _count(self) -> Dim:
        if whole := self._whole:
            start, end, step = whole
            if min(step.sizes) > 0:
                return (end - start + step - 1) // step
            if max(step.sizes) < 0:
                return (start - end - step - 1) // (0 - step)
            raise OpError(f"step {step} is 0, or changes its sign", at="step")
        first, last, step_size = (self._number(name) for name in ("start", "end", "step"))
        if not step_size:
            raise OpError("a step of 0", at="step")
        count = (last - first) / step_size
        if not isfinite(count):
            raise OpError(f"{_text(self.end)} is never reached from {_text(self.start)}", at="end")
        return Dim.of(max(ceil(count), 0))

    def _number(self, name: str) -> float:
        """A parameter among which some are no whole numbers."""
        value: Dim | float = self.values[name]
        if not isinstance(value, Dim):
            return value
        if not value.is_static:
            raise OpError(f"the dimension {value} goes with whole numbers only", at=name)
        return value.value

    def to_tensorrt(self, net: Net) -> Any:
        made = net.output_types[0]
        if whole := self._whole:
            dtype = made.dtype if made.dtype in INTEGERS else DataType.INT32
            numbers = counting(net, made.shape[0], dtype, whole[0], whole[2])
        else:
            dtype = DataType.FP32
            layer = _add_fill(net, made.shape, "LINSPACE", dtype)
            layer.alpha, layer.beta = self._number("start"), self._number("step")
            numbers = layer.get_output(0)
        return numbers if made.dtype is dtype else net.cast(numbers, made.dtype)

    def to_onnx(self, net: OnnxNet) -> str:
        made = net.output_types[0]
        if whole := self._whole:
            return net.cast(net.node("Range", *(_scalar(net, value) for value in whole)), made.dtype)
        return evenly_spaced(net, made, self._number("start"), net.constant(self._number("step"), DataType.FP32))


def _text(value: Dim | float) -> str:
    return str(value) if isinstance(value, Dim) else f"{value:g}"


class Linspace(_Made):
    """A number of values, evenly spaced from `start` to `end`, both included, as torch.linspace."""

    kind = "linspace"
    example = "{op: linspace, start: -1, end: 1, steps: W}"
    example_inputs = "{x: [1, 8, H, W]}"
    start = attribute(Float(), help="the first value")
    end = attribute(Float(), help="the last value")
    steps = attribute(DimList(minimum=1, single=True), help="how many values: an integer or a dimension")
    dtype = attribute(FLOAT, default=None, help="element type; by default the precision of the layer")

    def infer(self) -> TensorType:
        if len(self.steps) != 1:
            raise OpError(f"steps is one number, not {len(self.steps)}", at="steps")
        return TensorType(self.dtype or DataType.FP32, self.steps)

    @property
    def _gaps(self) -> Dim:
        """The number of steps from the first value to the last, at least one."""
        return (self.steps[0] - 1).maximum(1)

    def to_tensorrt(self, net: Net) -> Any:
        made = net.output_types[0]
        layer = _add_fill(net, made.shape, "LINSPACE", DataType.FP32)
        if self._gaps.is_static:
            layer.alpha, layer.beta = self.start, (self.end - self.start) / self._gaps.value
        else:
            gaps = net.cast(net.shape_tensor((self._gaps,)), DataType.FP32)
            layer.set_input(1, net.constant(self.start, DataType.FP32, ()))
            layer.set_input(2, net.elementwise("DIV", net.constant(self.end - self.start, DataType.FP32, (1,)), gaps))
        numbers = layer.get_output(0)
        return numbers if made.dtype is DataType.FP32 else net.cast(numbers, made.dtype)

    def to_onnx(self, net: OnnxNet) -> str:
        gaps = net.cast(net.shape_tensor((self._gaps,)), DataType.FP32)
        step = net.node("Div", net.constant(self.end - self.start, DataType.FP32), gaps)
        return evenly_spaced(net, net.output_types[0], self.start, step)


def counting(net: Net, count: Dim, dtype: DataType, start: Dim = ZERO, step: Dim = ONE) -> Any:
    """A 1-d tensor of whole numbers: `start`, `start + step`, ..."""
    first, distance = (_from_sizes(net, net.shape_tensor((value,)), dtype) for value in (start, step))
    layer = _add_fill(net, (count,), "LINSPACE", dtype)
    layer.set_input(1, net.reshape(first, (ONE,), ()))
    layer.set_input(2, distance)
    return layer.get_output(0)


def _add_fill(net: Net, shape: Shape, operation: str, dtype: DataType) -> Any:
    """A fill layer whose shape may be dynamic."""
    sizes = tuple(size.value if size.is_static else 0 for size in shape)
    member = getattr(net.trt.FillOperation, operation)
    if net.runtime.has_typed_fill:
        layer = net.add_fill(sizes, member, getattr(net.trt.DataType, dtype.trt_name))
    else:
        layer = net.add_fill(sizes, member)
    if not all(size.is_static for size in shape):
        layer.set_input(0, net.shape_tensor(shape))
    return layer


def counted(net: OnnxNet, count: Dim) -> str:
    """A 1-d int64 tensor of the numbers from 0 on."""
    return net.node("Range", net.constant(0), _scalar(net, count), net.constant(1))


def _scalar(net: OnnxNet, number: Dim) -> str:
    """A number without axes; ONNX infers shapes from those that are constants."""
    return net.constant(number.value) if number.is_static else net.squeeze(net.shape_tensor((number,)), (0,))


def evenly_spaced(net: OnnxNet, made: TensorType, start: float, step: str) -> str:
    """Floats that are a step apart: ONNX's Range of floats rounds to another count now and then."""
    offsets = net.node("Mul", net.cast(counted(net, made.shape[0]), DataType.FP32), step)
    return net.cast(net.node("Add", offsets, net.constant(start, DataType.FP32)), made.dtype)


class _Random(_Made):
    """Numbers drawn anew in every run."""

    operation = ""
    shape = attribute(DimList(minimum=1), help="sizes: integers, dimensions, expressions")
    dtype = attribute(FLOAT, default=None, help="element type; by default the precision of the layer")

    def bounds(self) -> tuple[float, float]:
        """The two numbers that tell the distribution. Raises OpError."""
        raise NotImplementedError

    def infer(self) -> TensorType:
        self.bounds()
        if not self.shape:
            raise OpError("TensorRT makes no scalar of random numbers", at="shape", hint="`[1]`, then `reshape`")
        return TensorType(self.dtype or DataType.FP32, self.shape)

    def to_tensorrt(self, net: Net) -> Any:
        made = net.output_types[0]
        layer = _add_fill(net, made.shape, self.operation, DataType.FP32)
        layer.alpha, layer.beta = self.bounds()
        numbers = layer.get_output(0)
        return numbers if made.dtype is DataType.FP32 else net.cast(numbers, made.dtype)

    def make_onnx(self, net: OnnxNet, operator: str, **bounds: float) -> str:
        """The node for a fixed shape, or that which takes its shape from a tensor."""
        made = net.output_types[0]
        if made.is_static:
            sizes = tuple(size.value for size in made.shape)
            numbers = net.node(operator, shape=sizes, dtype=DataType.FP32, **bounds)
        else:
            like = net.node("Expand", net.constant(0.0, DataType.FP32), net.shape_tensor(made.shape))
            numbers = net.node(f"{operator}Like", like, **bounds)
        return net.cast(numbers, made.dtype)


class RandomUniform(_Random):
    """Random numbers from `low` to `high`, all as likely, other ones in every run; TensorRT takes no seed."""

    kind = "random_uniform"
    aliases = ("rand",)
    example = "{op: random_uniform, shape: [N, 16]}"
    example_inputs = "{x: [N, 768]}"
    operation = "RANDOM_UNIFORM"
    low = attribute(Float(), default=0.0, help="the least number")
    high = attribute(Float(), default=1.0, help="the number that all are below")

    def bounds(self) -> tuple[float, float]:
        if not self.low < self.high:
            raise OpError(f"low {self.low:g} is not below high {self.high:g}", at="low")
        return self.low, self.high

    def to_onnx(self, net: OnnxNet) -> str:
        return self.make_onnx(net, "RandomUniform", low=self.low, high=self.high)


class RandomNormal(_Random):
    """Random numbers of a normal distribution, other ones in every run; TensorRT takes no seed."""

    kind = "random_normal"
    aliases = ("randn",)
    example = "{op: random_normal, shape: [N, 16], std: 0.02}"
    example_inputs = "{x: [N, 768]}"
    operation = "RANDOM_NORMAL"
    mean = attribute(Float(), default=0.0, help="the mean")
    std = attribute(Float(minimum=0), default=1.0, help="the standard deviation")

    def bounds(self) -> tuple[float, float]:
        return self.mean, self.std

    def to_onnx(self, net: OnnxNet) -> str:
        return self.make_onnx(net, "RandomNormal", mean=self.mean, scale=self.std)
