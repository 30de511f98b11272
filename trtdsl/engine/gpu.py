"""Which GPU is there."""

from __future__ import annotations


def current_gpu() -> str | None:
    """Name, compute capability and driver version of the current GPU; None without one or without cuda-bindings."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None
    for call in (lambda: driver.cuInit(0), lambda: driver.cuDeviceGet(0)):
        status, *values = call()
        if status != driver.CUresult.CUDA_SUCCESS:
            return None
    device = values[0]
    attribute = driver.CUdevice_attribute
    _, name = driver.cuDeviceGetName(128, device)
    _, major = driver.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
    _, minor = driver.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)
    _, version = driver.cuDriverGetVersion()
    return f"{name.split(bytes(1))[0].decode()}, compute capability {major}.{minor}, driver {version}"
