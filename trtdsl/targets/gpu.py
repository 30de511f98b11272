"""Which GPU is there, asked of the CUDA driver itself: it is wherever a GPU works, and needs no package."""

from __future__ import annotations

import ctypes

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


def has_gpu() -> bool:
    """Whether the CUDA driver sees a GPU."""
    return _driver() is not None


def current_gpu() -> str | None:
    """Name, compute capability and driver version of the first GPU; None without one."""
    driver = _driver()
    if driver is None:
        return None
    name = ctypes.create_string_buffer(128)
    major, minor, version, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    statuses = (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        driver.cuDriverGetVersion(ctypes.byref(version)),
    )
    if any(statuses):
        return None
    return f"{name.value.decode()}, compute capability {major.value}.{minor.value}, CUDA driver {version.value}"


def _driver() -> ctypes.CDLL | None:
    """The driver's library, ready for use; None where it is missing or has no GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return None
    return driver if count.value else None
