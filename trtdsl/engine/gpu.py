"""Which GPU is there."""

from __future__ import annotations

from typing import Any


def current_gpu() -> str | None:
    """Name, compute capability and driver version of the first GPU; None without one or without cuda-bindings."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None
    cuda: Any = driver
    if cuda.cuInit(0)[0] != cuda.CUresult.CUDA_SUCCESS:
        return None
    status, device = cuda.cuDeviceGet(0)
    if status != cuda.CUresult.CUDA_SUCCESS:
        return None
    attribute = cuda.CUdevice_attribute
    name = cuda.cuDeviceGetName(128, device)[1].split(b"\0")[0].decode()
    major = cuda.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)[1]
    minor = cuda.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)[1]
    return f"{name}, compute capability {major}.{minor}, CUDA driver {cuda.cuDriverGetVersion()[1]}"
