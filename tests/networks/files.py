"""Weights files of the shapes that a published network has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.networks.references import Shape


def write_zeros(path: Path, state: Mapping[str, Shape]) -> None:
    """A file of fp32 zeros that takes no room on disk, however large the network: all but its header is a hole."""
    header, position = {}, 0
    for key, shape in state.items():
        end = position + 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + position)


def write_random(path: Path, state: Mapping[str, Shape]) -> None:
    """A file of numbers small enough for activations to stay within fp16, with variances above zero."""
    random = np.random.default_rng(0)
    save_file({key: _random(random, shape) for key, shape in state.items()}, path)


def _random(random: np.random.Generator, shape: Shape) -> np.ndarray:
    spread = 1 / math.sqrt(math.prod(shape[1:]))
    low = spread / 2 if len(shape) == 1 else -spread
    return np.asarray(random.uniform(low, spread, shape), np.float32)
