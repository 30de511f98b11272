"""What PyTorch computes for an op case: its `torch` expression, evaluated in fp32. Importing this needs PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torchvision.ops import nms as nms_of_one_class

from tests.ops.harness import Case


def evaluate(case: Case, point: str) -> list[np.ndarray[Any, Any]]:
    """The outputs of a case's expression at the min, opt or max of its dimensions."""
    named = {**case.input_arrays(point), **case.weight_arrays()}
    tensors = {name: torch.from_numpy(np.array(array, order="C")) for name, array in named.items()}
    sizes = {name: getattr(dim.sizes, point) for name, dim in case.dims.items()}
    scope: dict[str, Any] = {
        "F": F,
        "torch": torch,
        "same": same,
        "heads": heads,
        "nms": nms,
        "roi_align": roi_align,
        "roi_max": roi_max,
        "inf": float("inf"),
        **sizes,
        **tensors,
    }
    try:
        result = eval(case.torch, scope)  # the tables are our own
    except Exception as error:
        raise ValueError(f"{case.id}: {case.torch}: {error}") from error
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return [output.detach().numpy() for output in outputs]


def heads(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    count: int,
    in_weight: torch.Tensor,
    in_bias: torch.Tensor | None,
    out_weight: torch.Tensor,
    out_bias: torch.Tensor | None,
    **masks: torch.Tensor,
) -> torch.Tensor:
    """PyTorch's attention of several heads, for inputs whose first axis is the batch."""
    sides = [entry.transpose(0, 1) for entry in (query, key, value)]
    size = query.shape[-1]
    fixed = (size, count, in_weight, in_bias, None, None, False, 0.0, out_weight, out_bias)
    output, _ = F.multi_head_attention_forward(*sides, *fixed, training=False, need_weights=False, **masks)
    return output.transpose(0, 1)


def same(x: torch.Tensor, kernel: int, stride: int, *, lower: bool = False, value: float = 0.0) -> torch.Tensor:
    """`x` padded so that a window at every stride-th element fits, the odd one after (ONNX's SAME_UPPER)."""
    padding: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides = [total // 2, total - total // 2]
        padding += sides[::-1] if lower else sides
    return F.pad(x, padding, value=value)


def nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    most: int,
    overlap: float,
    least: float = 0.0,
    *,
    center: bool = False,
) -> torch.Tensor:
    """Rows of batch, class and box, class by class of each item, then sorted by score within the item."""
    x, y = boxes[..., :2], boxes[..., 2:]
    first, second = (x - y / 2, x + y / 2) if center else (x, y)
    corners = torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)
    rows: list[tuple[int, int, int]] = []
    for item, of_item in enumerate(scores):
        found = []
        for kind in range(scores.shape[2]):
            own = corners[item] if boxes.dim() == 3 else corners[item, :, kind]
            (above,) = torch.where(of_item[:, kind] > least)
            kept = above[nms_of_one_class(own[above], of_item[above, kind], overlap)][:most]
            found += [(item, kind, int(box)) for box in kept]
        rows += sorted(found, key=lambda row: -float(scores[row[0], row[2], row[1]]))
    return torch.tensor(rows).reshape(-1, 3)


def roi_align(*arguments: Any, **keywords: Any) -> torch.Tensor:
    """torchvision's, which is there where this is called."""
    from torchvision.ops import roi_align as reference

    return reference(*arguments, **keywords)


def roi_max(x: torch.Tensor, boxes: torch.Tensor, indices: torch.Tensor, bins: int, points: int) -> torch.Tensor:
    """The largest weighted neighbour of the sampling points of each bin, for boxes inside of the input."""
    results = []
    for box, index in zip(boxes, indices.long(), strict=True):
        length = (box[2:] - box[:2]).clamp(min=1)
        columns, rows = (
            box[axis] + length[axis] * (torch.arange(bins * points) + 0.5) / bins / points for axis in (0, 1)
        )
        weighted = [
            _weights(rows, i, x.shape[2])[:, None]
            * _weights(columns, j, x.shape[3])
            * x[index][:, _corner(rows, i, x.shape[2])][:, :, _corner(columns, j, x.shape[3])]
            for i in (0, 1)
            for j in (0, 1)
        ]
        results.append(F.max_pool2d(torch.stack(weighted).amax(0), points))
    return torch.stack(results)


def _corner(position: torch.Tensor, side: int, size: int) -> torch.Tensor:
    return (position.floor().long() + side).clamp(max=size - 1)


def _weights(position: torch.Tensor, side: int, size: int) -> torch.Tensor:
    """How much the element before or after a position counts."""
    fraction = position.clamp(max=size - 1) % 1
    return fraction if side else 1 - fraction
