"""Engines that run: the device they run on, the memory they use, and their life from loading to release."""

from __future__ import annotations

from trtdsl.runtime.context import Context
from trtdsl.runtime.device_array import DeviceArray
from trtdsl.runtime.engine import Engine
from trtdsl.runtime.tensors import EngineTensor

__all__ = ["Context", "DeviceArray", "Engine", "EngineTensor"]
