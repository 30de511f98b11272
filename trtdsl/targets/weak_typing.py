"""Layer precisions for runtimes whose networks are weakly typed (TensorRT 8.6, and 10 unless asked otherwise).

There a cast is only a suggestion. Every layer of a float type is given its precision and its outputs' types, which the
builder's OBEY_PRECISION_CONSTRAINTS flag then makes binding.
"""

from __future__ import annotations

from typing import Any

from trtdsl.targets.runtime import Runtime
from trtdsl.types import FLOATS


class WeakTyping:
    """Follows the float types through the layers of one network, in the order in which they are added.

    TensorRT itself reports fp32 for every float tensor of a weakly typed network until the builder decides, so the
    types are kept here, by the names of tensors.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._kinds = runtime.module.LayerType
        self._floats = {runtime.data_type(dtype) for dtype in FLOATS & runtime.dtypes}
        self._types: dict[str, Any] = {}

    def constrain(self, layer: Any) -> None:
        """Set the precision of one layer and the types of its outputs; layers of integers are left alone."""
        dtype = self._computes_in(layer)
        if dtype not in self._floats:
            return
        layer.precision = dtype
        for index in range(layer.num_outputs):
            output = layer.get_output(index)
            # Comparisons, shapes and indices come out as integers or booleans whatever the precision.
            if output.dtype in self._floats:
                layer.set_output_type(index, dtype)
                self._types[output.name] = dtype

    def _computes_in(self, layer: Any) -> Any:
        if layer.type == self._kinds.CAST:
            return layer.to_type
        if layer.type == self._kinds.CONSTANT:
            return layer.get_output(0).dtype
        for index in range(layer.num_inputs):
            tensor = layer.get_input(index)
            if tensor is not None and (dtype := self._types.get(tensor.name, tensor.dtype)) in self._floats:
                return dtype
        return layer.get_output(0).dtype if layer.num_inputs == 0 else None
