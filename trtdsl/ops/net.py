"""What a lowering may use: TensorRT's own `add_*` methods, and what every second op needs besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from trtdsl.types import DataType, Dim, Shape, TensorType

if TYPE_CHECKING:
    import numpy as np

    from trtdsl.ops.base import Op
    from trtdsl.ops.raw import RawLayer
    from trtdsl.plugins.given import GivenField


class Abilities(Protocol):
    """What the TensorRT at hand can do, as far as lowerings have to ask. Its text is its name and version."""

    @property
    def has_gelu(self) -> bool:
        """Whether there are GELU activations."""
        ...

    @property
    def has_isnan(self) -> bool:
        """Whether there is a unary operation that finds NaN."""
        ...

    @property
    def has_typed_quantization(self) -> bool:
        """Whether quantisation has types to choose from, fp8 as well as int8, and dequantisation those of floats."""
        ...

    @property
    def has_bf16_deconvolution(self) -> bool:
        """Whether deconvolutions may compute in bf16."""
        ...

    @property
    def has_bool_padding(self) -> bool:
        """Whether slices of booleans may reach beyond their input."""
        ...

    @property
    def has_data_dependent_sizes(self) -> bool:
        """Whether there are kernels whose outputs are as large as the data make them."""
        ...

    @property
    def has_typed_fill(self) -> bool:
        """Whether a fill layer is told its element type."""
        ...

    @property
    def shape_dtype(self) -> DataType:
        """The element type of shape tensors."""
        ...

    @property
    def has_integer_topk(self) -> bool:
        """Whether the largest integers can be picked."""
        ...

    @property
    def has_distinct_grid_samples(self) -> bool:
        """Whether grid samples of several kinds may stand in one network."""
        ...

    @property
    def has_attention(self) -> bool:
        """Whether there is an attention of one piece for networks of any kind that the builder takes."""
        ...


class Net(Protocol):
    """The network as one op sees it while it is lowered.

    `net.add_softmax(x)` and every other `add_*` reach `INetworkDefinition`; a returned None is an error there and then.
    `net.trt` is TensorRT's module, for its enumerations. Tensors are opaque: shapes and types come from
    `input_types` and `output_types`, never from an ITensor, so that the same lowering runs without TensorRT.
    """

    input_types: tuple[TensorType | None, ...]
    output_types: tuple[TensorType, ...]
    trt: Any

    @property
    def runtime(self) -> Abilities:
        """What this TensorRT can do."""
        ...

    @property
    def dtype(self) -> DataType:
        """The type in which this layer computes."""
        ...

    @property
    def alike(self) -> Iterator[Op]:
        """The ops of the same kind in all other layers of the network."""
        ...

    def __getattr__(self, method: str) -> Any: ...

    def raw(self, layer: RawLayer, tensors: tuple[Any, ...]) -> Any:
        """Call the method of a raw layer, with what YAML gives turned into what the method takes. Raises OpErrors."""
        ...

    def has(self, method: str) -> bool:
        """Whether this TensorRT's network has that `add_*` method."""
        ...

    def plugin(
        self,
        name: str,
        inputs: Sequence[Any],
        fields: Mapping[str, object] | Sequence[GivenField],
        *,
        version: str | None = None,
        namespace: str | None = None,
        shape_inputs: Sequence[int] = (),
    ) -> Any:
        """The layer of a plugin, whose fields are held against what it declares.

        Without a version it is the highest that the network takes, without a namespace a plugin that comes with
        trtdsl, else the one that is registered. `shape_inputs` are positions of inputs that are shape tensors.
        Raises OpError where there is no such plugin, and for fields that it does not take.
        """
        ...

    def weight_array(self, name: str) -> np.ndarray[Any, Any]:
        """A weight's elements as fp32 (integers as they are), in its declared shape: for folding into others."""
        ...

    def weights(self, name: str) -> Any:
        """A weight for an `add_*` that takes Weights, in the layer's type and without a copy where possible.

        Empty Weights for one that is not present.
        """
        ...

    def typed_weights(self, array: np.ndarray[Any, Any]) -> Any:
        """Weights for computed values, converted to the layer's type and kept alive until the build ends."""
        ...

    def weight_tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Any:
        """A weight as the output of a constant layer, in the layer's type, reshaped when `shape` is given."""
        ...

    def weight_type(self, name: str) -> TensorType:
        """The element type and shape of a weight."""
        ...

    def matrix(self, name: str, rank: int) -> tuple[Any, bool]:
        """A weight of two axes as a constant of `rank`, as it lies in its file, and whether that is transposed.

        For products, which take either; a transposed weight by `weight_tensor` is a copy.
        """
        ...

    def add_weighted(self, method: str, x: Any, channels: int, window: tuple[int, ...]) -> Any:
        """The convolution or deconvolution by `weight` and `bias`, in the type that this layer multiplies in.

        `method` adds it, `window` is the size of its kernel.
        """
        ...

    def hands_on(self, layer: Any) -> None:
        """Say of a layer that was added that, if it reads int8 or fp8, it gives floats of this layer's precision."""
        ...

    def constant(self, value: object, dtype: DataType | None = None, shape: tuple[int, ...] | None = None) -> Any:
        """A constant tensor; floats take the layer's type unless `dtype` says more."""
        ...

    def cast(self, x: Any, dtype: DataType) -> Any: ...

    def reshape(self, x: Any, shape: Shape, new_shape: Shape) -> Any:
        """`x`, which has `shape`, as `new_shape`; dynamic sizes are computed at run time where they have to be."""
        ...

    def transpose(self, x: Any, permutation: tuple[int, ...]) -> Any: ...

    def broadcast(self, x: Any, shape: Shape, rank: int) -> Any:
        """`x` with ones in front of its shape, up to `rank`."""
        ...

    def shape_tensor(self, dims: Shape) -> Any:
        """A 1-d tensor of these sizes, computed at run time from the network's inputs where they are dynamic."""
        ...

    def unary(self, operation: str, x: Any) -> Any:
        """`operation` is a member of `UnaryOperation`."""
        ...

    def elementwise(self, operation: str, a: Any, b: Any) -> Any:
        """`operation` is a member of `ElementWiseOperation`; both tensors have the same rank."""
        ...

    def activation(self, operation: str, x: Any, alpha: float | None = None, beta: float | None = None) -> Any:
        """`operation` is a member of `ActivationType`."""
        ...

    def slice(
        self,
        x: Any,
        start: Shape,
        size: Shape,
        stride: tuple[int, ...],
        mode: str = "STRICT_BOUNDS",
        fill: Any = None,
    ) -> Any:
        """A slice layer; `mode` is a member of `SampleMode`, `fill` the scalar tensor that the mode `FILL` puts in."""
        ...

    def data_behind(self, position: int) -> str | None:
        """The network input whose elements, not only its sizes, an input of this layer is computed from, if any."""
        ...

    def reduce(self, operation: str, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        """`operation` is a member of `ReduceOperation`."""
        ...

    def size_scalar(self, size: Dim) -> Any:
        """An int32 tensor of rank 0 that holds a size."""
        ...

    def loop(self) -> Any:
        """A new ILoop, whose own `add_*` are checked as the network's are."""
        ...

    def conditional(self) -> Any:
        """A new IIfConditional, likewise."""
        ...

    def body(
        self, name: str, inputs: tuple[Any, ...] = (), enter: Callable[[str, Any], Any] | None = None
    ) -> tuple[Any, ...]:
        """Add the layers of one of this layer's bodies, given these tensors; gives those that come out.

        `enter` makes of each tensor from outside, of which the name is given as well, the one that the layers read.
        """
        ...
