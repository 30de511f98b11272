"""safetensors: a JSON header and raw elements; checked by its own library, elements mapped in place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from trtdsl.types import DataType
from trtdsl.weights.base import Array
from trtdsl.weights.entries import Entry, WeightFile, unusable

# The name shown, the type taken as, and the numpy type that the elements are viewed in.
_TYPES: dict[str, tuple[str, DataType | None, str]] = {
    "F64": ("fp64", DataType.FP32, "<f8"),
    "F32": ("fp32", DataType.FP32, "<f4"),
    "F16": ("fp16", DataType.FP16, "<f2"),
    "BF16": ("bf16", DataType.BF16, "<u2"),
    "F8_E4M3": ("fp8", DataType.FP8, "u1"),
    "F8_E5M2": ("fp8 (e5m2)", None, "u1"),
    "I64": ("int64", DataType.INT64, "<i8"),
    "I32": ("int32", DataType.INT32, "<i4"),
    "I16": ("int16", None, "<i2"),
    "I8": ("int8", DataType.INT8, "i1"),
    "U64": ("uint64", None, "<u8"),
    "U32": ("uint32", None, "<u4"),
    "U16": ("uint16", None, "<u2"),
    "U8": ("uint8", DataType.UINT8, "u1"),
    "BOOL": ("bool", DataType.BOOL, "?"),
}


class SafetensorsFile(WeightFile):
    """The tensors of one safetensors file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            # The library checks the header and that the offsets cover the file without gap or overlap.
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise unusable(path, f"not a complete safetensors file ({error})") from None
        self._bytes: Array = np.memmap(path, np.uint8, mode="r")
        header_size = int(self._bytes[:8].view("<u8")[0])
        self._data: Array = self._bytes[8 + header_size :]
        self._header: dict[str, Any] = json.loads(self._bytes[8 : 8 + header_size].tobytes())
        self._header.pop("__metadata__", None)

    def __getitem__(self, key: str) -> Entry:
        info = self._header[key]
        shape = tuple(info["shape"])
        begin, end = info["data_offsets"]
        count = math.prod(shape)
        stored = info["dtype"]
        shown, dtype, view = _TYPES.get(stored, (stored.lower(), None, ""))

        def read() -> Array:
            elements = self._data[begin:end]
            # Other writers than the library may leave elements off their natural alignment, which TensorRT needs.
            return np.require(elements.view(view).reshape(shape) if view else elements, requirements="A")

        return Entry(self.path, key, shown, dtype, shape, count, (end - begin) // max(count, 1), read)

    def _known(self) -> Mapping[str, object]:
        return self._header
