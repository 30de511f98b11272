"""Layers that multiply in int8 or fp8: scales of activations from reviewed files, and where tensors are quantised."""

from __future__ import annotations

from trtdsl.quantization.fit import without_missing_kernels
from trtdsl.quantization.insert import insert_quantization
from trtdsl.quantization.settle import in_floats, settle_quantization
from trtdsl.quantization.sharing import needed_scales, sharing_scales, wiring_hash

__all__ = [
    "in_floats",
    "insert_quantization",
    "needed_scales",
    "settle_quantization",
    "sharing_scales",
    "wiring_hash",
    "without_missing_kernels",
]
