"""The inputs of plugins' cases, and how far outputs are off."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from plugin_cases import Case

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3}
SMALLEST = {torch.float32: 1e-37, torch.float16: 6e-8}
"""Nearer to zero, numbers have fewer digits."""
SPECIALS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e4, -1e4, -20.0, 20.0, -88.0, -60.0, 1e-7, -1e-7, 5e-8)
VARIANTS = {"fp32": (torch.float32, "linear"), "fp16": (torch.float16, "linear"), "hwc8": (torch.float16, "hwc8")}


def make_inputs(case: Case, dtype: Any) -> list[Any]:
    generator = torch.Generator("cuda").manual_seed(zlib.crc32(f"{case.plugin}{case.shape}{case.fields}".encode()))
    inputs = []
    for shape in (case.shape, *case.others):
        x = case.spread * torch.randn(shape, device="cuda", generator=generator) + case.centre
        if case.specials:
            flat = x.view(-1)[: len(SPECIALS)]
            flat.copy_(torch.tensor(SPECIALS[: flat.numel()], device="cuda"))
        inputs.append(x.to(dtype))
    return inputs


def bits(x: Any) -> Any:
    """The elements as whole numbers, of which NaN equals itself."""
    return x.contiguous().reshape(-1).view(torch.int32 if x.dtype == torch.float32 else torch.int16)


def error(actual: Any, expected: Any, *, each: bool) -> float:
    """How far an output is off, over the largest magnitude expected, or `each` element over its own.

    Infinite where NaN and infinities are not where they should be.
    """
    smallest = SMALLEST[actual.dtype]
    # What fp16 cannot hold is infinite in either.
    expected = torch.where(expected.to(actual.dtype).isinf(), expected.to(actual.dtype).double(), expected.double())
    actual = actual.double()
    finite = expected.isfinite() & actual.isfinite()
    if actual.shape != expected.shape or not torch.allclose(actual[~finite], expected[~finite], equal_nan=True):
        return math.inf
    actual, expected = actual[finite], expected[finite]
    if not expected.numel():
        return 0.0
    difference, magnitude = (actual - expected).abs(), expected.abs()
    if each:
        return float(((difference - smallest).clamp(min=0) / magnitude.clamp(min=smallest)).max())
    return float(difference.max() / magnitude.max().clamp(min=smallest))
