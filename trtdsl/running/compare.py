"""How far what runs is from what the network says: outputs beside a reference in fp32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trtdsl.errors import TrtdslError
from trtdsl.graph import Graph, GraphOutput
from trtdsl.precision import assign_types
from trtdsl.running.inputs import as_numbers
from trtdsl.running.reference import run_in_fp32, run_on_cpu
from trtdsl.types import DataType

Array = np.ndarray[Any, Any]

EXPECTED = {
    DataType.FP32: 1e-3,
    DataType.FP16: 2e-2,
    DataType.BF16: 1e-1,
    DataType.FP8: 2e-1,
    DataType.INT8: 2e-1,
}
"""Relative errors that networks of a narrowest type stay below when nothing is wrong: rounding adds up over layers, and
so does the order of sums in fp32."""


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from its reference.

    `absolute` is the largest absolute error, `relative` the same over the reference's largest magnitude (an error
    relative to each element says little where elements are near zero), `cosine` the cosine of the angle between both
    as vectors. Elements that are NaN or the same infinity in both count as equal and are left out of the cosine;
    `astray` counts those that are finite in only one, or different infinities: then both errors are infinite, as they
    are where the shapes differ. `line` is the place of the layer or output in the YAML file.
    """

    name: str
    line: str
    shape: tuple[int, ...]
    reference_shape: tuple[int, ...]
    absolute: float
    relative: float
    cosine: float | None
    astray: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where null stands for an infinite error."""
        values = asdict(self)
        for key in ("absolute", "relative"):
            values[key] = values[key] if np.isfinite(values[key]) else None
        return values


@dataclass(frozen=True)
class Compared:
    """One way of running the network: the differences in order, or the reason for which it did not run."""

    what: str
    differences: tuple[Difference, ...] = ()
    not_run: str | None = None

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max((entry.relative for entry in self.differences), default=0.0)

    def first_beyond(self, limit: float) -> Difference | None:
        """The first tensor whose relative error is larger."""
        return next((entry for entry in self.differences if not entry.relative <= limit), None)


@dataclass(frozen=True)
class Comparison:
    """A network beside its reference in fp32. `expected` is the relative error that its types explain."""

    ways: tuple[Compared, ...]
    expected: float

    @property
    def has_run(self) -> bool:
        """Whether there was anything to compare."""
        return any(way.not_run is None for way in self.ways)

    def is_within(self, tolerance: float) -> bool:
        """Whether something was compared and all of it is within a relative error."""
        return self.has_run and all(way.first_beyond(tolerance) is None for way in self.ways)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ways = [
            {"what": way.what, "not_run": way.not_run, "tensors": [entry.as_dict() for entry in way.differences]}
            for way in self.ways
        ]
        return {"reference": "fp32, by ONNX Runtime", "expected_relative": self.expected, "ways": ways}


def with_every_layer(graph: Graph) -> Graph:
    """An untyped graph whose outputs are the tensors of all layers, each under its own name."""
    outputs = tuple(
        GraphOutput(name, name, None, layer.origin.span) for layer in graph.layers for name in layer.outputs
    )
    return replace(graph, outputs=outputs)


class Comparer:
    """Runs an untyped graph on some inputs and compares what comes out with the reference in fp32.

    Making one runs the reference. Raises ExportError for layers that ONNX cannot say, RunError.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Array]) -> None:
        self.graph = graph
        self.typed = assign_types(graph)
        self.inputs = inputs
        self._reference = run_in_fp32(graph, inputs)

    @property
    def narrow_types(self) -> list[DataType]:
        """The types besides fp32 in which something is computed, the narrowest last."""
        used = {entry.dtype for entry in self.typed.types.values() if entry.dtype.is_float}
        used |= {layer.quantized for layer in self.typed.layers if layer.quantized is not None}
        return [dtype for dtype in EXPECTED if dtype in used and dtype is not DataType.FP32]

    def onnx_form(self) -> Compared:
        """The network's own types, by ONNX Runtime."""
        narrow = self.narrow_types
        what = f"ONNX form in {' and '.join(map(str, narrow)) or 'fp32'}, by ONNX Runtime"
        if not narrow:
            return Compared(what, not_run="the network is fp32 throughout: its ONNX form is the reference itself")
        if DataType.BF16 in narrow:
            return Compared(what, not_run="ONNX Runtime has no kernels of bf16 on a CPU")
        try:
            outputs = run_on_cpu(self.typed, self.inputs, stepwise=True)
        except TrtdslError as error:
            return Compared(what, not_run="; ".join(entry.message for entry in error.diagnostics))
        return self.differences(what, outputs)

    def differences(self, what: str, outputs: Mapping[str, Array]) -> Compared:
        """The outputs of a run, in the storage of their types, beside the reference."""
        found = []
        for output in self.typed.outputs:
            actual = as_numbers(outputs[output.name], self.typed.types[output.tensor].dtype)
            place = output.span.file_and_line
            found.append(difference(output.name, place, actual, self._reference[output.name]))
        return Compared(what, tuple(found))

    def result(self, ways: tuple[Compared, ...]) -> Comparison:
        """All of it."""
        return Comparison(ways, EXPECTED[[DataType.FP32, *self.narrow_types][-1]])


def difference(name: str, line: str, actual: Array, reference: Array) -> Difference:
    """How far an array is from its reference."""
    if actual.shape != reference.shape:
        return Difference(name, line, actual.shape, reference.shape, np.inf, np.inf, None, 0)
    a, b = actual.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a) & np.isfinite(b)
    astray = int((~same & ~finite).sum())
    a, b = a[finite], b[finite]
    absolute = float(np.abs(a - b).max(initial=0.0)) if not astray else np.inf
    scale = float(np.abs(b).max(initial=0.0))
    relative = 0.0 if absolute == 0 else absolute / scale if scale else np.inf
    return Difference(name, line, actual.shape, reference.shape, absolute, relative, _cosine(a, b), astray)


def _cosine(a: Array, b: Array) -> float | None:
    """None where a vector of zeros has no direction; two of them have the same."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not any(lengths):
        return 1.0
    return float(np.dot(a / lengths[0], b / lengths[1])) if all(lengths) else None
