"""Layer precisions for runtimes whose networks are weakly typed (TensorRT 8.6, and 10 unless asked otherwise).

There a cast is only a suggestion. Every output of a float type is given its type, and layers with kernels of their own
their precision, which the builder's OBEY_PRECISION_CONSTRAINTS flag then makes binding.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from trtdsl.targets.runtime import Runtime
from trtdsl.types import FLOATS


def weak_typing(runtime: Runtime) -> WeakTyping:
    """The precisions of one network of a weakly typed runtime."""
    return WeakTyping(runtime.module, [runtime.data_type(dtype) for dtype in FLOATS & runtime.dtypes])


class WeakTyping:
    """Follows the float types through the layers of one network, in the order in which they are added.

    TensorRT itself reports fp32 for every float tensor of a weakly typed network until the builder decides, so the
    types are kept here, by the names of tensors.
    """

    # Written into scripts as it stands here, so it uses nothing but what it is given.

    def __init__(self, trt: Any, floats: Collection[Any]) -> None:
        """`trt` is TensorRT's module, `floats` its members of DataType that are floats."""
        self._kinds = trt.LayerType
        # All other layers are fused by a compiler inside TensorRT, which follows the types of tensors; 8.6.1's finds
        # no implementation, or reads memory that is not its own, where its matrix products or normalisations have a
        # precision as well.
        self._own_kernels = [
            trt.LayerType.CONVOLUTION,
            trt.LayerType.DECONVOLUTION,
            trt.LayerType.POOLING,
            trt.LayerType.SCALE,
        ]
        self._floats = floats
        self._types: dict[str, Any] = {}

    def constrain(self, layer: Any) -> None:
        """Set the types of one layer's outputs, and its precision where it has one; integers are left alone."""
        dtype = self._computes_in(layer)
        if dtype not in self._floats:
            return
        # An attention stands for several layers: it has no type of its own, and none can be set.
        is_single = hasattr(layer, "set_output_type")
        if is_single and layer.type in self._own_kernels:
            layer.precision = dtype
        for index in range(layer.num_outputs):
            output = layer.get_output(index)
            # Comparisons, shapes and indices come out as integers or booleans whatever the precision.
            if output.dtype in self._floats:
                if is_single:
                    layer.set_output_type(index, dtype)
                self._types[output.name] = dtype

    def _computes_in(self, layer: Any) -> Any:
        kind = getattr(layer, "type", None)
        if kind == self._kinds.CAST:
            return layer.to_type
        if kind == self._kinds.CONSTANT:
            return layer.get_output(0).dtype
        for index in range(layer.num_inputs):
            tensor = layer.get_input(index)
            if tensor is not None and (dtype := self._types.get(tensor.name, tensor.dtype)) in self._floats:
                return dtype
        return layer.get_output(0).dtype if layer.num_inputs == 0 else None
