"""Launches every bundled plugin's kernels on small and odd shapes, for NVIDIA's compute-sanitizer to watch.

    TRTDSL_KERNELS=libtrtdsl_kernels.so compute-sanitizer --tool memcheck python tests/gpu/sanitized_kernels.py

Say `PYTORCH_NO_CUDA_MEMORY_CACHING=1`, so that each tensor is an allocation of its own, whose end the sanitizer knows.
With `--too-small` a kernel writes where it must not, so that one sees that the sanitizer does.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from plugin_cases import CASES, Case  # noqa: E402
from plugin_kernels import Kernel, Kernels, Stored  # noqa: E402

SMALL = 3000
"""Elements of an input at most, where every case is taken."""
SHARED_OUT = ((1, 2, 301, 303), (2, 1, 1201, 1203))
"""Instances that blocks work on together: in a cluster, and in a grid that runs at once."""
VARIANTS = ((torch.float32, "linear"), (torch.float16, "linear"), (torch.float16, "hwc8"))


def chosen() -> Iterator[Case]:
    for case in CASES:
        if math.prod(case.shape) <= SMALL:
            yield case
    for shape in SHARED_OUT:
        batch, channels, height, width = shape
        yield Case("InstanceNorm", {"activation": "relu"}, shape, torch.relu)
        for paddings, around in (([0, 0, 0, 0], 0), ([3, 2, 1, 4], 1)):
            fields = {"paddings": paddings, "residualPaddings": [around] * 4}
            residual = (batch, channels, height + 2 * around, width + 2 * around)
            yield Case("InstanceNormPad", fields, shape, torch.relu, others=(residual,) if around else ())


def launch(kernel: Kernel, case: Case, dtype: torch.dtype, layout: str, offset: int) -> None:
    """The tensors' memory begins `offset` elements after an aligned address, which linear ones may."""

    def stored(shape: tuple[int, ...]) -> Stored:
        room = Stored.empty(shape, dtype, layout, 1.0)
        if offset:
            room.data = torch.ones(room.data.numel() + offset, dtype=dtype, device="cuda")[offset:].view(shape)
        return room

    inputs = [stored(shape) for shape in (case.shape, *case.others)]
    kernel.bound(inputs, [stored(shape) for shape in kernel.output_shapes(inputs)])()


def main() -> None:
    kernels = Kernels(Path(os.environ["TRTDSL_KERNELS"]))
    if "--too-small" in sys.argv[1:]:
        too_small = Stored(torch.zeros(16, device="cuda"), (17, 31))
        kernels.make("Mish").bound([Stored.empty((17, 31), torch.float32, "linear")], [too_small])()
        torch.cuda.synchronize()
        return
    launches = 0
    for case in chosen():
        kernel = kernels.make(case.plugin, **case.fields)
        for dtype, layout in VARIANTS:
            if layout == "hwc8" and len(case.shape) != 4:
                continue
            for offset in (0,) if layout == "hwc8" else (0, 1):
                launch(kernel, case, dtype, layout, offset)
                launches += 1
    torch.cuda.synchronize()
    print(f"{launches} launches")


if __name__ == "__main__":
    main()
