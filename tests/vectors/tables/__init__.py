"""The tables: for each ONNX operator, the layers that a user would write for it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.vectors.node import Mapper
from tests.vectors.tables import attention, control, elements, moving, numbers, sums, windows

MAPPERS: Mapping[str, Mapper] = {
    **attention.OPERATORS,
    **control.OPERATORS,
    **elements.OPERATORS,
    **moving.OPERATORS,
    **numbers.OPERATORS,
    **sums.OPERATORS,
    **windows.OPERATORS,
}
