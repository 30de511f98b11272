"""Numbers and positions that lowerings make out of nothing: limits of types, and 0, 1, 2, ... along an axis."""

from __future__ import annotations

from typing import Any

from trtdsl.ops.base import Net, OnnxNet
from trtdsl.types import DataType, Dim

HIGHEST = {DataType.FP32: 3.4028234663852886e38, DataType.FP16: 65504.0, DataType.BF16: 3.3895313892515355e38}
"""The highest finite number of each type that layers compute in."""


def count_along(net: Net | OnnxNet, rank: int, axis: int, size: Dim) -> Any:
    """0, 1, 2, ... along one axis of a tensor of int32 that has ones for its other axes.

    Of a dynamic size it is the beginning of a constant that is long enough for the largest.
    """
    import numpy as np

    at = axis % rank
    counted = np.arange(max(size.sizes), dtype=np.int32).reshape([-1 if i == at else 1 for i in range(rank)])
    numbers = net.constant(counted, DataType.INT32)
    if size.is_static:
        return numbers
    wanted = tuple(size if i == at else Dim.of(1) for i in range(rank))
    return net.slice(numbers, (Dim.of(0),) * rank, wanted, (1,) * rank)
