"""Typed Graph to an ONNX model: the same network for ONNX Runtime, viewers and other compilers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import onnx

from trtdsl.errors import Diagnostic, ExportError, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import OpError
from trtdsl.targets.onnx_net import Block, Initializer, Node, OnnxLayerNet, OnnxState, opset_for
from trtdsl.types import DataType, Shape, TensorType
from trtdsl.version import __version__

_IR_OF_OPSET = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
_ELEMENT_TYPES = {
    DataType.FP32: onnx.TensorProto.FLOAT,
    DataType.FP16: onnx.TensorProto.FLOAT16,
    DataType.BF16: onnx.TensorProto.BFLOAT16,
    DataType.FP8: onnx.TensorProto.FLOAT8E4M3FN,
    DataType.FP4: onnx.TensorProto.FLOAT4E2M1,
    DataType.E8M0: onnx.TensorProto.FLOAT8E8M0,
    DataType.INT64: onnx.TensorProto.INT64,
    DataType.INT32: onnx.TensorProto.INT32,
    DataType.INT8: onnx.TensorProto.INT8,
    DataType.INT4: onnx.TensorProto.INT4,
    DataType.UINT8: onnx.TensorProto.UINT8,
    DataType.BOOL: onnx.TensorProto.BOOL,
}
_SMALL = 1024
"""Bytes up to which a tensor stays inside the model: shapes and axes have to be there for shape inference."""
_ALIGNMENT = 4096
"""Where a tensor may begin in the file of external data, so that it can be mapped."""


class OnnxModel:
    """An ONNX model that has not read its weights yet."""

    def __init__(self, state: OnnxState) -> None:
        self._state = state

    @property
    def weight_bytes(self) -> int:
        """The size of all elements."""
        return sum(_byte_count(entry) for entry in self._state.initializers.values())

    @property
    def has_large_tensors(self) -> bool:
        """Whether there is anything that may lie beside the model."""
        return next(self._external(), None) is not None

    def proto(self) -> Any:
        """The ModelProto with all elements inside."""
        return self._proto({name: _tensor(name, entry) for name, entry in self._state.initializers.items()})

    def proto_beside(self, location: str) -> Any:
        """The ModelProto whose large tensors lie in the file `location`, as `write_external` writes it."""
        offsets = {name: offset for name, offset, _ in self._external()}
        return self._proto(
            {
                name: _external_tensor(name, entry, location, offsets[name])
                if name in offsets
                else _tensor(name, entry)
                for name, entry in self._state.initializers.items()
            }
        )

    def write_external(self, file: BinaryIO) -> None:
        """Write the elements of all large tensors, one tensor in memory at a time."""
        for _, offset, entry in self._external():
            file.write(b"\0" * (offset - file.tell()))
            file.write(_bytes(entry))

    def _external(self) -> Iterator[tuple[str, int, Initializer]]:
        """The large tensors, and where each begins."""
        end = 0
        for name, entry in self._state.initializers.items():
            if (size := _byte_count(entry)) > _SMALL:
                offset = -(-end // _ALIGNMENT) * _ALIGNMENT
                end = offset + size
                yield name, offset, entry

    def _proto(self, tensors: dict[str, Any]) -> Any:
        state = self._state
        graph = _graph(state.main, list(tensors.values()))
        opset = onnx.helper.make_opsetid("", state.opset)
        model = onnx.helper.make_model(graph, opset_imports=[opset], producer_name="trtdsl")
        model.producer_version = __version__
        model.ir_version = _IR_OF_OPSET[state.opset]
        return model


def to_onnx(graph: Graph, *, stepwise: bool = False) -> OnnxModel:
    """The model of a typed graph. Raises ExportError with every layer that ONNX cannot say.

    With `stepwise` each node's output passes two Identities. Where ONNX Runtime computes a node in fp32, for want of a
    kernel in fp16, it casts, and lets two casts that meet cancel each other, roundings and overflows with them. Behind
    Identities they do not meet, if there are two: one alone between such nodes is brought into fp32 as well.
    """
    state = OnnxState(graph, opset_for(graph))
    refused: list[Diagnostic] = []
    _name_tensors(state)
    state.main.inputs += [(state.tensors[entry.name], entry.type) for entry in graph.inputs]
    for layer in graph.layers:
        add_layer(state, layer, state.main, refused)
    if refused:
        raise ExportError(refused)
    given: set[str] = set()
    for output in graph.outputs:
        tensor = state.tensors[output.tensor]
        if tensor != output.name or tensor in given:
            # A tensor that is an input, or is delivered twice.
            place = output.span.file_and_line
            state.main.nodes.append(Node("Identity", (tensor,), (output.name,), {}, f"{output.name}/output", place))
        given.add(tensor)
        state.main.outputs.append((output.name, graph.types[output.tensor]))
    if stepwise:
        _separate(state, state.main)
    return OnnxModel(state)


def _separate(state: OnnxState, block: Block) -> None:
    """Put two Identities behind each output of each node, inside nodes as well."""
    nodes = []
    for node in block.nodes:
        for value in node.attributes.values():
            if isinstance(value, Block):
                _separate(state, value)
        inner = {name: state.unique(f"{name}/step") for name in node.outputs if name}
        nodes.append(replace(node, outputs=tuple(inner.get(name, name) for name in node.outputs)))
        for name, made in inner.items():
            between = state.unique(f"{name}/step")
            nodes.append(Node("Identity", (made,), (between,), {}, made, node.place))
            nodes.append(Node("Identity", (between,), (name,), {}, between, node.place))
    block.nodes[:] = nodes


def _name_tensors(state: OnnxState) -> None:
    """Inputs and outputs have the names that users know; an inner tensor of such a name gets another."""
    graph = state.graph
    inputs = {entry.name for entry in graph.inputs}
    outside = {state.unique(name) for name in (*inputs, *(output.name for output in graph.outputs))}
    delivered = {output.tensor: output.name for output in reversed(graph.outputs) if output.tensor not in inputs}
    for name in graph.types:
        if name in inputs or name in delivered:
            state.tensors[name] = delivered.get(name, name)
        else:
            state.tensors[name] = state.unique(f"{name}/inner" if name in outside else name)


def add_layer(state: OnnxState, layer: Layer, block: Block, refused: list[Diagnostic]) -> None:
    """Lower one layer into a block; what ONNX cannot say goes to `refused`."""
    net = OnnxLayerNet(state, layer, block, lambda inner, into: add_layer(state, inner, into, refused))
    try:
        result = layer.op.to_onnx(net, *(None if name is None else state.tensors[name] for name in layer.inputs))
    except OpError as error:
        message = f"{layer.name}: {error.message}"
        place = layer.span(error.at)
        refused.append(Diagnostic("onnx-form", message, place, error.hint, used_at(layer.origin)))
        return
    results = result if isinstance(result, tuple) else (result,)
    for name, tensor in zip(layer.outputs, results, strict=True):
        _rename(net, tensor, state.tensors[name])
    if len(block.nodes) > net.first:
        block.nodes[-1] = replace(block.nodes[-1], name=layer.name)


def _rename(net: OnnxLayerNet, tensor: str, name: str) -> None:
    """Give what an op made the name of its tensor; what it did not make itself is handed on by an Identity."""
    nodes = net.block.nodes
    made = {output for node in nodes[net.first :] for output in node.outputs}
    if tensor not in made:
        place = net.layer.origin.span.file_and_line
        nodes.append(Node("Identity", (tensor,), (name,), {}, f"{name}/identity", place))
        return
    for position in range(net.first, len(nodes)):
        node = nodes[position]
        if tensor in node.inputs or tensor in node.outputs:
            inputs, outputs = (
                tuple(name if entry == tensor else entry for entry in side) for side in (node.inputs, node.outputs)
            )
            nodes[position] = replace(node, inputs=inputs, outputs=outputs)
    for expression, size in net.state.sizes.items():
        if size == tensor:
            net.state.sizes[expression] = name


def _graph(block: Block, initializers: list[Any]) -> Any:
    return onnx.helper.make_graph(
        [_node(node) for node in block.nodes],
        block.name or "network",
        [_value(name, entry) for name, entry in block.inputs],
        [_value(name, entry) for name, entry in block.outputs],
        initializers,
    )


def _node(node: Node) -> Any:
    attributes = {key: _attribute(value) for key, value in node.attributes.items()}
    made = onnx.helper.make_node(node.operator, node.inputs, node.outputs, name=node.name, **attributes)
    made.doc_string = node.place
    return made


def _attribute(value: Any) -> Any:
    if isinstance(value, DataType):
        return _ELEMENT_TYPES[value]
    return _graph(value, []) if isinstance(value, Block) else value


def _value(name: str, entry: TensorType) -> Any:
    return onnx.helper.make_tensor_value_info(name, _ELEMENT_TYPES[entry.dtype], _sizes(entry.shape))


def _sizes(shape: Shape) -> list[int | str]:
    return [dim.value if dim.is_static else str(dim) for dim in shape]


def _tensor(name: str, entry: Initializer) -> Any:
    return onnx.TensorProto(name=name, data_type=_ELEMENT_TYPES[entry.dtype], dims=entry.shape, raw_data=_bytes(entry))


def _external_tensor(name: str, entry: Initializer, location: str, offset: int) -> Any:
    tensor = onnx.TensorProto(name=name, data_type=_ELEMENT_TYPES[entry.dtype], dims=entry.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", _byte_count(entry))):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _byte_count(entry: Initializer) -> int:
    count = int(np.prod(entry.shape, dtype=np.int64))
    return -(-count // 2) if entry.dtype is DataType.INT4 else count * np.dtype(entry.dtype.storage).itemsize


def _bytes(entry: Initializer) -> bytes:
    """The elements, little-endian; two of int4 share a byte, the first in its low half."""
    array = entry.array()
    if entry.dtype is DataType.INT4:
        nibbles = np.resize(array.reshape(-1).astype(np.uint8) & 0xF, 2 * _byte_count(entry))
        array = nibbles[0::2] | nibbles[1::2] << 4
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
