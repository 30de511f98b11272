"""What a lowering to ONNX may use: nodes of any operator, and what every second op needs besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from trtdsl.types import DataType, Shape, TensorType

if TYPE_CHECKING:
    import numpy as np


class OnnxNet(Protocol):
    """The ONNX graph as one op sees it while it is lowered. Tensors are names; ONNX broadcasts by itself.

    Attributes of nodes are given as Python values: a DataType becomes ONNX's element type, tuples become lists.
    """

    input_types: tuple[TensorType | None, ...]
    output_types: tuple[TensorType, ...]
    opset: int
    """The version of ONNX's operators: 17, or what the graph's element types need (bf16: 22)."""

    @property
    def dtype(self) -> DataType:
        """The type in which this layer computes."""
        ...

    def node(self, operator: str, *inputs: str | None, **attributes: Any) -> str:
        """The only output of a new node; None stands for an optional input left out, a None attribute is left out."""
        ...

    def nodes(self, operator: str, *inputs: str | None, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """The outputs of a new node that has several."""
        ...

    def constant(self, value: object, dtype: DataType | None = None) -> str:
        """A constant; floats take the layer's type unless `dtype` says more, integers are int64."""
        ...

    def weight(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """A weight in its declared layout, reshaped when `shape` is given."""
        ...

    def weight_array(self, name: str) -> np.ndarray[Any, Any]:
        """A weight's elements as fp32 (integers as they are), in its declared shape: for folding into others."""
        ...

    def weight_type(self, name: str) -> TensorType:
        """The element type and shape of a weight."""
        ...

    def cast(self, x: str, dtype: DataType) -> str: ...

    def reshape(self, x: str, new_shape: Shape) -> str:
        """`x` as `new_shape`; dynamic sizes are computed at run time where they have to be."""
        ...

    def transpose(self, x: str, permutation: tuple[int, ...]) -> str: ...

    def squeeze(self, x: str, axes: tuple[int, ...]) -> str: ...

    def unsqueeze(self, x: str, axes: tuple[int, ...]) -> str: ...

    def slice(self, x: str, start: Shape, size: Shape, stride: tuple[int, ...]) -> str:
        """`size` elements of each axis, `stride` apart (which may be negative), as a TensorRT slice without padding."""
        ...

    def reduce(self, operator: str, x: str, axes: tuple[int, ...], keepdim: bool) -> str:
        """`operator` is one of ONNX's `Reduce…`."""
        ...

    def shape_tensor(self, dims: Shape) -> str:
        """A 1-d int64 tensor of these sizes, computed at run time where they are dynamic."""
        ...

    def inside(self) -> OnnxBody:
        """A new graph inside a node that is yet to be made."""
        ...


class OnnxBody(OnnxNet, Protocol):
    """A graph inside a node, which sees the tensors around it: nodes made by it are the graph's."""

    @property
    def block(self) -> Any:
        """The graph, as the attribute of a node."""
        ...

    def parameter(self, label: str, type: TensorType) -> str:
        """A new input of the graph."""
        ...

    def layers(self, body: str, inputs: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Add the layers of one of the layer's bodies, given these tensors; gives those that come out."""
        ...

    def result(self, tensor: str, type: TensorType) -> None:
        """Give out a tensor, whichever it is, as the graph's next output."""
        ...
