"""A network under way: its parts, and the element types that it takes for those of ONNX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.vectors.published import Array
from tests.vectors.reasons import LeftOut, Reason

NATIVE = {"float32": "fp32", "float16": "fp16", "int32": "int32", "bool": "bool"}
_AS_FP32 = ("float64", "bfloat16")
_AS_INT32 = ("int64", "int16", "int8", "uint8", "uint16", "uint32", "uint64")


def run_type(array: Array) -> str:
    """The type that a tensor of these elements has in the network. Raises LeftOut."""
    name = array.dtype.name
    if name in NATIVE:
        return NATIVE[name]
    if name in _AS_FP32:
        if name == "float64" and _overflows(array):
            raise LeftOut(Reason.TYPES, "float64 beyond fp32")
        return "fp32"
    if name in _AS_INT32:
        limits = np.iinfo(np.int32)
        if array.size and (int(array.max()) > limits.max or int(array.min()) < limits.min):
            raise LeftOut(Reason.TYPES, f"{name} beyond int32")
        return "int32"
    if array.dtype.kind in "OUS":
        raise LeftOut(Reason.STRINGS)
    raise LeftOut(Reason.TYPES, name)


def _overflows(array: Array) -> bool:
    finite = np.abs(array[np.isfinite(array)])
    return bool(finite.size and finite.max() > np.finfo(np.float32).max)


@dataclass
class Value:
    """What stands for a tensor of the model."""

    array: Any
    """Its elements in the published run."""
    is_static: bool
    """Whether they are the same for all inputs."""
    tensor: str | None = None
    """Its name in the network, once it is there."""
    is_read: bool = False
    """Whether its elements were written into the network."""
    feed: str | None = None
    """The input's name, for a tensor that is fed."""


@dataclass
class Document:
    """A network with all that is needed to run it and to judge it."""

    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    feeds: dict[str, Array] = field(default_factory=dict)
    expected: dict[str, Array] = field(default_factory=dict)
    precision: str = "fp32"
    dims: dict[str, list[int]] = field(default_factory=dict)
    as_types: frozenset[str] = frozenset()
    """`int64 as int32` and the like, for tensors that are fed or come out."""
    sums_in_fp32: bool = False
    """Whether the layers compute in fp32 although fp16 comes in."""
    is_unordered: bool = False
    """Whether the rows of the outputs may come in any order."""
    differs: LeftOut | None = None
    """Why the network cannot give the numbers expected: that it does not is checked."""
    unread: frozenset[str] = frozenset()
    """The model's inputs that are neither fed nor written down."""
    is_unfed: bool = False
    """Whether no input is left, as all are parameters."""
    has_fixed_sizes: bool = False
    """Whether sizes of tensors went into parameters, so that the network fits no others."""

    def mapping(self, weights_file: str) -> dict[str, Any]:
        """The network as YAML wants it."""
        document: dict[str, Any] = {"trtdsl": 1}
        if self.dims:
            document["dims"] = self.dims
        document["inputs"] = self.inputs
        if self.weights:
            document["weights"] = weights_file
        if self.precision != "fp32":
            document["precision"] = self.precision
        return document | {"layers": self.layers, "outputs": self.outputs}


def storage(dtype: str) -> str:
    """The numpy type of a network's."""
    return {"fp32": "float32", "fp16": "float16", "int8": "int8", "int32": "int32", "bool": "bool"}[dtype]
