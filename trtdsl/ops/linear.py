"""Products of matrices: with a weight, and of two tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from trtdsl.ops._axes import of_type
from trtdsl.ops._broadcast import broadcast_shapes
from trtdsl.ops.attributes import Bool, Int
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.ops.base import weight as declare_weight
from trtdsl.types import FLOATS, Dim, Shape, TensorType, format_shape


class Linear(Op):
    """`x weight^T + bias` on the last axis, as torch.nn.Linear; inputs may have any rank from 1."""

    kind = "linear"
    aliases = ("fc", "fully_connected")
    example = "{op: linear, out_features: 1000}"
    x = tensor(FLOATS, help="[..., in_features]")
    out_features = attribute(Int(minimum=1), help="size of the output's last axis")
    weight = declare_weight("[out_features, in_features]")
    bias = declare_weight("[out_features]", optional=True, initial=0.0)
    quantized_weights: ClassVar[Mapping[str, int]] = {"weight": 0}

    def infer(self, x: TensorType) -> TensorType:
        if x.rank == 0:
            raise OpError("linear takes [..., in_features], the input is a scalar")
        if not x.shape[-1].is_static:
            raise OpError(f"linear needs a fixed number of features, the last axis of the input is {x.shape[-1]}")
        return x.with_shape((*x.shape[:-1], self.out_features))

    def weight_shapes(self, x: TensorType) -> dict[str, tuple[int, ...] | None]:
        return {"weight": (self.out_features, x.shape[-1].value), "bias": (self.out_features,)}

    def to_tensorrt(self, net: Net, x: Any) -> Any:
        x_type, y_type = of_type(net.input_types[0]), net.output_types[0]
        rank = max(x_type.rank, 2)
        ones = (1,) * (rank - 2)
        operation = net.trt.MatrixOperation
        weight, is_transposed = net.matrix("weight", rank)
        layer = net.add_matrix_multiply(
            net.broadcast(x, x_type.shape, rank),
            operation.NONE,
            weight,
            operation.NONE if is_transposed else operation.TRANSPOSE,
        )
        net.hands_on(layer)
        product = layer.get_output(0)
        if self.bias:
            bias = net.weight_tensor("bias", (*ones, 1, self.out_features))
            product = net.elementwise("SUM", product, bias)
        return net.reshape(product, (Dim.of(1), *y_type.shape), y_type.shape) if x_type.rank == 1 else product

    def to_onnx(self, net: OnnxNet, x: str) -> str:
        if of_type(net.input_types[0]).rank == 2:
            return net.node("Gemm", x, net.weight("weight"), net.weight("bias") if self.bias else None, transB=1)
        product = net.node("MatMul", x, net.transpose(net.weight("weight"), (1, 0)))
        return net.node("Add", product, net.weight("bias")) if self.bias else product


class MatMul(Op):
    """Product of two tensors' last two axes, as torch.matmul: the axes before them broadcast.

    An input of rank 1 is a row on the left and a column on the right, and its axis is gone from the output.
    """

    kind = "matmul"
    example = "{op: matmul, in: [queries, keys], transpose_b: true}"
    example_inputs = "{queries: [1, 12, 64, 32], keys: [1, 12, 64, 32]}"
    a = tensor(FLOATS, help="[..., n, k], or [k]")
    b = tensor(FLOATS, help="[..., k, m], or [k]")
    transpose_a = attribute(Bool(), default=False, help="exchange the last two axes of the first input")
    transpose_b = attribute(Bool(), default=False, help="exchange the last two axes of the second input")
    quantized_weights: ClassVar[Mapping[str, int]] = {}

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        self._check_rank(a, "first", "transpose_a", self.transpose_a)
        self._check_rank(b, "second", "transpose_b", self.transpose_b)
        rows, inner_a = _matrix(a.shape, self.transpose_a, row=True)
        inner_b, columns = _matrix(b.shape, self.transpose_b, row=False)
        if not inner_a.matches(inner_b):
            raise OpError(
                f"matmul of {format_shape(a.shape)} and {format_shape(b.shape)}: {inner_a} columns against "
                f"{inner_b} rows"
            )
        batch = broadcast_shapes("matmul with batches", a.shape[:-2], b.shape[:-2])
        kept_rows = () if a.rank == 1 else (rows,)
        kept_columns = () if b.rank == 1 else (columns,)
        return a.with_shape((*batch, *kept_rows, *kept_columns))

    def _check_rank(self, x: TensorType, which: str, name: str, transposed: bool) -> None:
        if x.rank == 0:
            raise OpError(f"matmul takes vectors and matrices, the {which} input is a scalar", at="in")
        if x.rank == 1 and transposed:
            raise OpError(f"the {which} input has one axis only, there is nothing to transpose", at=name)

    def to_tensorrt(self, net: Net, a: Any, b: Any) -> Any:
        a_type, b_type = map(of_type, net.input_types)
        y_type = net.output_types[0]
        rank = max(a_type.rank, b_type.rank, 2)
        product = net.add_matrix_multiply(
            _as_matrices(net, a, a_type.shape, rank, row=True),
            _operation(net, self.transpose_a),
            _as_matrices(net, b, b_type.shape, rank, row=False),
            _operation(net, self.transpose_b),
        )
        net.hands_on(product)
        if 1 not in (a_type.rank, b_type.rank):
            return product
        full = list(y_type.shape)
        if b_type.rank == 1:
            full.append(Dim.of(1))
        if a_type.rank == 1:
            full.insert(len(full) - 1, Dim.of(1))
        return net.reshape(product.get_output(0), tuple(full), y_type.shape)

    def to_onnx(self, net: OnnxNet, a: str, b: str) -> str:
        a_type, b_type = map(of_type, net.input_types)
        left = net.transpose(a, _exchanged(a_type.rank)) if self.transpose_a else a
        right = net.transpose(b, _exchanged(b_type.rank)) if self.transpose_b else b
        return net.node("MatMul", left, right)


def _exchanged(rank: int) -> tuple[int, ...]:
    """The permutation that exchanges the last two axes."""
    return (*range(rank - 2), rank - 1, rank - 2)


def _matrix(shape: Shape, transposed: bool, *, row: bool) -> tuple[Dim, Dim]:
    """Rows and columns of an operand."""
    if len(shape) == 1:
        return (Dim.of(1), shape[0]) if row else (shape[0], Dim.of(1))
    rows, columns = shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _operation(net: Net, transposed: bool) -> Any:
    return net.trt.MatrixOperation.TRANSPOSE if transposed else net.trt.MatrixOperation.NONE


def _as_matrices(net: Net, x: Any, shape: Shape, rank: int, *, row: bool) -> Any:
    """An operand with the rank of both."""
    matrix = shape
    if len(shape) == 1 and not row:
        matrix = (*shape, Dim.of(1))
    return net.reshape(x, shape, (Dim.of(1),) * (rank - len(matrix)) + matrix) if rank > len(shape) else x
