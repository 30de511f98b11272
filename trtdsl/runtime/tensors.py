"""What an engine takes and gives, and which of its profiles takes some shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import Diagnostic, RunError
from trtdsl.types import DataType

Shape = tuple[int, ...]


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine.

    A size in `shape` is -1 where it differs from run to run. Inputs have the smallest, usual and largest shape of every
    optimisation profile in `profiles`. `on_host` are shapes that the engine computes with: the host has them.
    """

    name: str
    dtype: DataType
    shape: Shape
    is_input: bool
    on_host: bool
    profiles: tuple[tuple[Shape, Shape, Shape], ...] = ()

    def takes(self, profile: int, shape: Shape) -> bool:
        """Whether an input may have a shape under a profile."""
        low, _, high = self.profiles[profile]
        return len(shape) == len(low) and all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))

    @property
    def limits(self) -> str:
        """The shapes that an input may have, in words."""
        texts = (f"{[*low]}" if low == high else f"{[*low]} to {[*high]}" for low, _, high in self.profiles)
        return " or ".join(dict.fromkeys(texts))


def describe_tensors(trt: Any, engine: Any) -> tuple[EngineTensor, ...]:
    """The inputs and outputs of a deserialised engine, in its order."""
    names = (engine.get_tensor_name(index) for index in range(engine.num_io_tensors))
    return tuple(_describe(trt, engine, name) for name in names)


def _describe(trt: Any, engine: Any, name: str) -> EngineTensor:
    is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    profiles: list[tuple[Shape, ...]] = []
    if is_input:
        for index in range(max(engine.num_optimization_profiles, 1)):
            profiles.append(tuple(tuple(shape) for shape in engine.get_tensor_profile_shape(name, index)))
    on_host = engine.get_tensor_location(name).name == "HOST"
    shape = tuple(engine.get_tensor_shape(name))
    return EngineTensor(name, element_type(engine, name), shape, is_input, on_host, tuple(profiles))  # type: ignore[arg-type]


def element_type(engine: Any, name: str) -> DataType:
    """The type of a tensor's elements."""
    trt_name = engine.get_tensor_dtype(name).name
    return next(dtype for dtype in DataType if dtype.trt_name == trt_name)


def choose_profile(inputs: Sequence[EngineTensor], shapes: Mapping[str, Shape], asked: int | None = None) -> int:
    """The profile that takes these shapes of all inputs; of several the one whose usual shapes are nearest.

    `asked` is the only one that may be taken. Raises RunError that says what the inputs may be, or which profiles
    there are.
    """
    count = len(inputs[0].profiles) if inputs else 1
    if asked is not None and not 0 <= asked < count:
        there = "0 only" if count == 1 else f"0 to {count - 1}"
        raise RunError.of("input-value", f"the engine has no profile {asked}: it has {there}")
    candidates = range(count) if asked is None else (asked,)
    fitting = [index for index in candidates if all(entry.takes(index, shapes[entry.name]) for entry in inputs)]
    if not fitting:
        raise RunError(_why_none(inputs, shapes, candidates))
    return min(fitting, key=lambda index: _distance(inputs, shapes, index))


def _distance(inputs: Sequence[EngineTensor], shapes: Mapping[str, Shape], profile: int) -> int:
    """By how much all sizes together are off those that a profile was made for."""
    usual = {entry.name: entry.profiles[profile][1] for entry in inputs}
    return sum(abs(a - b) for name, shape in usual.items() for a, b in zip(shape, shapes[name], strict=True))


def _why_none(
    inputs: Sequence[EngineTensor], shapes: Mapping[str, Shape], candidates: Sequence[int]
) -> list[Diagnostic]:
    found = []
    for entry in inputs:
        if not any(entry.takes(index, shapes[entry.name]) for index in candidates):
            takes = entry.limits if len(candidates) > 1 else _limits(entry, candidates[0], len(entry.profiles) > 1)
            message = f"{entry.name} has the shape {[*shapes[entry.name]]}; the engine takes {takes}"
            found.append(Diagnostic("input-value", message))
    if not found:
        given = ", ".join(f"{entry.name} {[*shapes[entry.name]]}" for entry in inputs)
        found.append(Diagnostic("input-value", f"no profile of the engine takes these together: {given}"))
    return found


def _limits(entry: EngineTensor, profile: int, has_several: bool) -> str:
    low, _, high = entry.profiles[profile]
    limits = f"{[*low]}" if low == high else f"{[*low]} to {[*high]}"
    return f"{limits} in profile {profile}" if has_several else limits
