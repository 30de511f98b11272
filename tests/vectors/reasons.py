"""Why a published case is left out: a closed list."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """What stands against a case."""

    STRINGS = "TensorRT has no strings"
    SEQUENCES = "TensorRT has no sequences and optional values"
    TYPES = "an element type that TensorRT does not compute with"
    TRAINING = "training: its outputs are gradients, updated weights or running statistics"
    RANDOM = "random numbers have no expected output"
    DATA_DEPENDENT = "sizes or parameters that come from data, where TensorRT wants them fixed"
    EMPTY = "tensors without elements, which trtdsl refuses"
    NO_LAYER = "TensorRT has no layer for it"
    NOT_OFFERED = "trtdsl does not offer it"


class LeftOut(Exception):
    """A case cannot be said in YAML."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
