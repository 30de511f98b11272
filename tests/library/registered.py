"""What a real registry makes of the bundled library; prints JSON.

    python registered.py LIBRARY COPY

LIBRARY is loaded and loaded again, as COPY too. What the library has to say goes to stderr, as no builder gives
TensorRT a logger here.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import numpy as np
import tensorrt_bindings as trt

NUMBERS = {"f4": (np.float32, "FLOAT32"), "i4": (np.int32, "INT32"), "f8": (np.float64, "FLOAT64")}

# (plugin, fields as (name, type, values))
MADE = {
    "right": ("ReflectPad", [("paddings", "i4", [1, 2, 3, 4]), ("mode", "i4", [1])]),
    "defaults": ("InstanceNorm", []),
    "arrays": ("InstanceNorm", [("scale", "f4", [1, 2, 3]), ("bias", "f4", [0, 0, 1])]),
    "missing": ("ReflectPad", [("mode", "i4", [1])]),
    "unknown": ("ReflectPad", [("paddings", "i4", [1, 2, 3, 4]), ("padding", "i4", [1])]),
    "twice": ("LeakyReLU", [("negSlope", "f4", [1]), ("negSlope", "f4", [1])]),
    "another type": ("ReflectPad", [("paddings", "f4", [1, 2, 3, 4])]),
    "wider type": ("LeakyReLU", [("negSlope", "f8", [0.1])]),
    "too short": ("ReflectPad", [("paddings", "i4", [1, 2, 3])]),
    "too long": ("LeakyReLU", [("negSlope", "f4", [0.1, 0.2])]),
    "below its range": ("ReflectPad", [("paddings", "i4", [1, 2, 3, -4])]),
    "no choice": ("ReflectPad", [("paddings", "i4", [1, 2, 3, 4]), ("mode", "i4", [2])]),
    "not a number": ("InstanceNorm", [("epsilon", "f4", [float("nan")])]),
    "no boolean": ("Upsample", [("scaleFactor", "f4", [2]), ("alignCorners", "i4", [2])]),
}


class Log(trt.ILogger):  # type: ignore[misc]
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.said: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.said.append(message)


def main(library: str, copy: str) -> None:
    log = Log()
    trt.init_libnvinfer_plugins(log, "")
    registry = trt.get_plugin_registry()
    is_8 = trt.__version__.startswith("8.")

    def creators() -> list[Any]:
        known = registry.plugin_creator_list if is_8 else registry.all_creators
        return [creator for creator in known if creator.plugin_namespace == "trtdsl"]

    answer: dict[str, Any] = {}
    handle = ctypes.CDLL(library)
    answer["creators"] = sorted([creator.name, creator.plugin_version] for creator in creators())
    answer["fields"] = {
        f"{creator.name} {creator.plugin_version}": [[f.name, f.type.name] for f in creator.field_names]
        for creator in creators()
    }
    ctypes.CDLL(library)
    ctypes.CDLL(copy)
    handle.initTrtdslPlugins()
    registry.load_library(library)
    registry.deregister_library(registry.load_library(copy))
    answer["creators when loaded again"] = len(creators())
    answer["said of loading"] = log.said[:]
    answer["made"] = {}
    for creator in creators():
        for name, (plugin, fields) in MADE.items():
            if plugin == creator.name:
                key = f"{name} {creator.plugin_version}"
                print(f"{key}: ", end="", file=sys.stderr, flush=True)
                answer["made"][key] = _make(creator, fields) is not None
                print(file=sys.stderr, flush=True)
    print(json.dumps(answer))


def _make(creator: Any, fields: list[Any]) -> Any:
    arrays = [np.array(values, NUMBERS[kind][0]) for _, kind, values in fields]
    types = [getattr(trt.PluginFieldType, NUMBERS[kind][1]) for _, kind, _ in fields]
    collection = trt.PluginFieldCollection(
        [trt.PluginField(entry[0], array, type) for entry, array, type in zip(fields, arrays, types, strict=True)]
    )
    if creator.plugin_version == "1":
        return creator.create_plugin("made", collection)
    return creator.create_plugin("made", collection, trt.TensorRTPhase.BUILD)


if __name__ == "__main__":
    main(*sys.argv[1:])
