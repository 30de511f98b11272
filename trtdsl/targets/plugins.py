"""Plugins out of TensorRT's own registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trtdsl.ops.base import OpError


def make_plugin(trt: Any, name: str, version: str, fields: Mapping[str, int | float], label: str) -> Any:
    """The plugin of a creator, with fields of 32 bits. Raises OpError where the registry does not have it."""
    # NVIDIA's own plugins register themselves in this call, which may be made again.
    trt.init_libnvinfer_plugins(None, "")
    creator = trt.get_plugin_registry().get_plugin_creator(name, version, "")
    if creator is None:
        raise OpError(f"TensorRT's registry has no plugin {name} of version {version}")
    # TensorRT keeps pointers to the elements until the plugin is made.
    arrays = {
        key: np.array([value], np.float32 if isinstance(value, float) else np.int32) for key, value in fields.items()
    }
    types = trt.PluginFieldType
    collection = trt.PluginFieldCollection(
        [
            trt.PluginField(key, array, types.FLOAT32 if array.dtype == np.float32 else types.INT32)
            for key, array in arrays.items()
        ]
    )
    plugin = creator.create_plugin(label, collection)
    if plugin is None:
        raise OpError(f"the creator of {name} refused the fields {dict(fields)}")
    return plugin
