"""Sums of everything up to each element."""

from __future__ import annotations

from typing import Any

from trtdsl.ops._axes import axis_of, of_type
from trtdsl.ops.attributes import Bool, Int
from trtdsl.ops.base import Net, OnnxNet, Op, Policy, attribute, tensor
from trtdsl.types import NUMBERS, DataType, Dim, TensorType


class CumSum(Op):
    """The sum of all elements up to each one along an axis, as torch.cumsum; integers keep their type."""

    kind = "cumsum"
    policy = Policy.ACCUMULATE
    example = "{op: cumsum, dim: 1}"
    x = tensor(NUMBERS)
    dim = attribute(Int(), help="the axis along which elements are added up")
    exclusive = attribute(Bool(), default=False, help="whether an element is left out of its own sum")
    reverse = attribute(Bool(), default=False, help="whether the sums begin at the axis' end")

    def infer(self, x: TensorType) -> TensorType:
        axis_of(self.dim, x.rank)
        return x

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type = of_type(net.input_types[0])
        axis = axis_of(self.dim, x_type.rank)
        if not net.has("add_cumulative"):
            return self._doubled(net, x, x_type, axis)
        at = net.constant(axis, DataType.INT32, ())
        return net.add_cumulative(x, at, net.trt.CumulativeOperation.SUM, self.exclusive, self.reverse)

    def _doubled(self, net: Net, x: Any, x_type: TensorType, axis: int) -> Any:
        """Each step adds what lies as many elements back as the sums already hold: a few layers for a long axis."""
        zero = net.constant(0.0 if x_type.dtype.is_float else 0, x_type.dtype, ())

        def moved(tensor: Any, distance: int) -> Any:
            offset = Dim.of(distance if self.reverse else -distance)
            start = tuple(offset if i == axis else Dim.of(0) for i in range(x_type.rank))
            return net.slice(tensor, start, x_type.shape, (1,) * x_type.rank, "FILL", zero)

        total = moved(x, 1) if self.exclusive else x
        held = 1
        while held < max(x_type.shape[axis].sizes):
            total = net.elementwise("SUM", total, moved(total, held))
            held *= 2
        return total

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        axis = net.constant(axis_of(self.dim, of_type(net.input_types[0]).rank))
        return net.node("CumSum", x, axis, exclusive=int(self.exclusive), reverse=int(self.reverse))
