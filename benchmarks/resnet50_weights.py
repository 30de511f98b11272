"""Random weights in the shapes of torchvision's ResNet-50, as the benchmarks need them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def write(path: Path) -> None:
    """Write a safetensors file of 102 MB."""
    random = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}

    def conv(name: str, out: int, channels: int, kernel: int) -> None:
        shape = (out, channels, kernel, kernel)
        weights[f"{name}.weight"] = random.standard_normal(shape, np.float32) * np.float32(
            (2 / shape[0]) ** 0.5 / kernel
        )

    def batch_norm(name: str, channels: int) -> None:
        for part in ("weight", "running_var"):
            weights[f"{name}.{part}"] = np.ones(channels, np.float32)
        for part in ("bias", "running_mean"):
            weights[f"{name}.{part}"] = np.zeros(channels, np.float32)

    conv("conv1", 64, 3, 7)
    batch_norm("bn1", 64)
    before = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for i in range(blocks):
            name = f"layer{stage + 1}.{i}"
            for number, shape in enumerate(((width, before, 1), (width, width, 3), (width * 4, width, 1)), 1):
                conv(f"{name}.conv{number}", *shape)
                batch_norm(f"{name}.bn{number}", shape[0])
            if i == 0:
                conv(f"{name}.downsample.0", width * 4, before, 1)
                batch_norm(f"{name}.downsample.1", width * 4)
            before = width * 4
    weights["fc.weight"] = random.standard_normal((1000, before), np.float32) * np.float32(0.01)
    weights["fc.bias"] = np.zeros(1000, np.float32)
    save_file(weights, path)
