"""The bundled plugins' kernels beside a device copy of the same bytes and PyTorch's own operator, all in one run.

Each is recorded in a CUDA graph over buffers that are larger than the cache together, so that nothing is found there
by accident. Needs an NVIDIA GPU and PyTorch; `TRTDSL_KERNELS` names the library of the target `trtdsl_kernels`.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "gpu"))

from plugin_kernels import Kernels, Stored

LAUNCHES, REPLAYS = 24, 11
ROTATED_BYTES = 400e6
IMAGE, BATCH = (1, 64, 512, 512), (16, 64, 256, 256)
BLOCK = (1, 256, 128, 128)
"""Of a CycleGAN generator's residual blocks."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    plugin: str
    fields: Mapping[str, Any]
    shape: tuple[int, ...]
    reference: Callable[..., torch.Tensor]
    note: str = ""
    inputs: int = 1


def norm(x: torch.Tensor) -> torch.Tensor:
    return functional.instance_norm(x)


def reflected(x: torch.Tensor, padding: int) -> torch.Tensor:
    return functional.pad(x, (padding,) * 4, mode="reflect")


ROWS = (
    Row("InstanceNorm", {}, IMAGE, norm),
    Row("InstanceNorm", {}, BATCH, norm),
    Row("InstanceNorm", {"activation": "relu"}, BLOCK, lambda x: norm(x).relu(), "relu"),
    Row(
        "InstanceNormPad",
        {"activation": "relu", "paddings": [1] * 4},
        BLOCK,
        lambda x: reflected(norm(x).relu(), 1),
        "relu, 1",
    ),
    Row(
        "InstanceNormPad",
        {"paddings": [1] * 4},
        BLOCK,
        lambda x, residual: reflected(norm(x) + residual, 1),
        "residual, 1",
        2,
    ),
    Row("LeakyReLU", {"negSlope": 0.1}, IMAGE, lambda x: functional.leaky_relu(x, 0.1)),
    Row("Mish", {}, IMAGE, functional.mish),
    Row("HardSwish", {}, IMAGE, functional.hardswish),
    Row("ReflectPad", {"paddings": [3] * 4}, IMAGE, lambda x: reflected(x, 3), "3"),
    Row("Upsample", {"scaleFactor": 2}, IMAGE, lambda x: functional.interpolate(x, scale_factor=2), "2x nearest"),
    Row(
        "Upsample",
        {"scaleFactor": 2, "mode": "bilinear"},
        IMAGE,
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
        "2x bilinear",
    ),
    Row(
        "Upsample",
        {"scaleFactor": 2, "mode": "bilinear", "alignCorners": True},
        IMAGE,
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        "2x, aligned corners",
    ),
)


def microseconds(launches: Sequence[Callable[[], Any]]) -> float:
    """The time of one launch, when these take turns."""
    # What PyTorch's operators return is kept for a while, or they would all write to the same place.
    kept: deque[Any] = deque(maxlen=len(launches))
    for launch in launches:
        kept.append(launch())
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(LAUNCHES):
            kept.append(launches[index % len(launches)]())
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / LAUNCHES)
    return statistics.median(times)


def measure(kernels: Kernels, row: Row, dtype: torch.dtype, layout: str) -> tuple[float, float, float]:
    """Microseconds of the kernel, of a copy that moves as many bytes, and of PyTorch."""
    kernel = kernels.make(row.plugin, **row.fields)
    inputs = [torch.randn(row.shape, device="cuda").to(dtype) for _ in range(row.inputs)]
    stored = [Stored.of(x, layout) for x in inputs]
    [shape] = kernel.output_shapes(stored)
    moved = sum(x.data.numel() for x in (*stored, Stored.empty(shape, dtype, layout))) * dtype.itemsize
    sets = max(2, math.ceil(ROTATED_BYTES / moved))
    launches, copies, references = [], [], []
    for _ in range(sets):
        mine = [Stored(x.data.clone(), x.shape, layout) for x in stored]
        launches.append(kernel.bound(mine, [Stored.empty(shape, dtype, layout)]))
        # Whole pages, since a copy of odd bytes is slow.
        source = torch.zeros(-(-moved // 8192) * 4096, dtype=torch.uint8, device="cuda")
        copies.append(partial(torch.empty_like(source).copy_, source))
        given = [x.logical() for x in mine]
        references.append(partial(row.reference, *given))
    return microseconds(launches), microseconds(copies), microseconds(references)


def main() -> None:
    kernels = Kernels(Path(os.environ["TRTDSL_KERNELS"]))
    print(torch.cuda.get_device_name(), "- microseconds, and the kernel's share of each")
    print(f"{'kernel':30}{'shape':15}{'type':6}{'ours':>8}{'copy':>8}{'PyTorch':>9}{'/ copy':>8}{'/ PyTorch':>10}")
    for row in ROWS:
        for dtype, layout in ((torch.float32, "linear"), (torch.float16, "linear"), (torch.float16, "hwc8")):
            ours, copy, reference = measure(kernels, row, dtype, layout)
            torch.cuda.empty_cache()
            kind = "hwc8" if layout == "hwc8" else {torch.float32: "fp32", torch.float16: "fp16"}[dtype]
            name, shape = f"{row.plugin} {row.note}", "x".join(map(str, row.shape))
            figures = f"{ours:8.1f}{copy:8.1f}{reference:9.1f}{ours / copy:8.2f}{ours / reference:10.2f}"
            print(f"{name:30}{shape:15}{kind:6}{figures}", flush=True)


if __name__ == "__main__":
    main()
