"""Conversion between element types."""

from __future__ import annotations

from typing import Any

from trtdsl.ops.attributes import DType
from trtdsl.ops.base import ANY, Net, OnnxNet, Op, Policy, attribute, tensor
from trtdsl.types import DataType, TensorType


class Cast(Op):
    """Converts elements to another type."""

    kind = "cast"
    policy = Policy.TRANSPARENT
    example = "{op: cast, dtype: fp16}"
    x = tensor(ANY)
    dtype = attribute(
        DType(
            DataType.FP32, DataType.FP16, DataType.BF16, DataType.INT64, DataType.INT32, DataType.UINT8, DataType.BOOL
        ),
        help="the type to convert to",
    )

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        return net.cast(x, self.dtype)

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        return net.cast(x, self.dtype)
