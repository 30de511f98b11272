"""A network that takes plugins without a GPU: what TensorRT's own network would be given is kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Tensor:
    """A tensor of a shape and a type."""

    is_network_input = is_network_output = False

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype, self.name = shape, dtype, ""


class PluginLayer:
    """A layer whose outputs are like its first input."""

    def __init__(self, kind: Any, inputs: list[Tensor], shapes: list[Tensor], plugin: Any) -> None:
        self.type, self.inputs, self.shapes, self.plugin = kind, inputs, shapes, plugin
        first = [*inputs, *shapes][0]
        self.outputs = [Tensor(first.shape, first.dtype)]
        self.num_outputs, self.num_inputs = 1, len(inputs)
        self.precision: Any = None
        self.output_types: dict[int, Any] = {}

    def get_output(self, index: int) -> Tensor:
        return self.outputs[index]

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def set_output_type(self, index: int, dtype: Any) -> None:
        self.output_types[index] = dtype


class Network:
    """Stands in for an INetworkDefinition of TensorRT's module `trt`."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self.name = ""
        self.plugins: list[PluginLayer] = []
        if hasattr(trt, "IPluginV3"):
            self.add_plugin_v3 = self._add_plugin_v3

    def add_input(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Tensor:
        tensor = Tensor(shape, dtype)
        tensor.is_network_input = True
        return tensor

    def add_identity(self, x: Tensor) -> Any:
        return PluginLayer(None, [x], [], None)

    def add_cast(self, x: Tensor, dtype: Any) -> Any:
        layer = PluginLayer(self._trt.LayerType.CAST, [x], [], None)
        layer.outputs[0].dtype = layer.to_type = dtype  # type: ignore[attr-defined]
        return layer

    def add_plugin_v2(self, inputs: list[Tensor], plugin: Any) -> PluginLayer:
        return self._add(self._trt.LayerType.PLUGIN_V2, inputs, [], plugin)

    def _add_plugin_v3(self, inputs: list[Tensor], shape_inputs: list[Tensor], plugin: Any) -> PluginLayer:
        return self._add(self._trt.LayerType.PLUGIN_V3, inputs, shape_inputs, plugin)

    def _add(self, kind: Any, inputs: list[Tensor], shapes: list[Tensor], plugin: Any) -> PluginLayer:
        assert plugin is not None
        self.plugins.append(PluginLayer(kind, inputs, shapes, plugin))
        return self.plugins[-1]

    def mark_output(self, tensor: Tensor) -> None:
        tensor.is_network_output = True


SILENCE = SimpleNamespace(take_errors=lambda: [])
"""A log that heard nothing."""
