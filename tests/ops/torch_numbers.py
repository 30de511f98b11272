"""What PyTorch computes for an op case: its `torch` expression, evaluated in fp32. Importing this needs PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from tests.ops.harness import Case


def evaluate(case: Case, point: str) -> list[np.ndarray[Any, Any]]:
    """The outputs of a case's expression at the min, opt or max of its dimensions."""
    named = {**case.input_arrays(point), **case.weight_arrays()}
    tensors = {name: torch.from_numpy(np.array(array, order="C")) for name, array in named.items()}
    sizes = {name: getattr(dim.sizes, point) for name, dim in case.dims.items()}
    scope: dict[str, Any] = {"F": F, "torch": torch, "same": same, "inf": float("inf"), **sizes, **tensors}
    try:
        result = eval(case.torch, scope)  # the tables are our own
    except Exception as error:
        raise ValueError(f"{case.id}: {case.torch}: {error}") from error
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return [output.detach().numpy() for output in outputs]


def same(x: torch.Tensor, kernel: int, stride: int, *, lower: bool = False, value: float = 0.0) -> torch.Tensor:
    """`x` padded so that a window at every stride-th element fits, the odd one after (ONNX's SAME_UPPER)."""
    padding: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides = [total // 2, total - total // 2]
        padding += sides[::-1] if lower else sides
    return F.pad(x, padding, value=value)
