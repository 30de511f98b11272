"""What ops that attend share: masked softmax of scores in fp32, between two products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.ops._numbers import HIGHEST, count_along
from trtdsl.ops.base import Net, OnnxNet
from trtdsl.ops.softmax import softmax
from trtdsl.types import DataType, Dim, Shape

LOWEST = -HIGHEST[DataType.FP32]
"""After a softmax it is zero, and other than infinity it never makes a NaN."""
_NATIVE_TYPES = (DataType.FP16, DataType.BF16)
"""The types for which TensorRT has kernels that attend in one piece."""
_NATIVE_RANK = 4


@dataclass(frozen=True)
class Mask:
    """A tensor that is added to scores, or booleans that say which are left out (or, `keeps`, which are not)."""

    tensor: Any
    shape: Shape
    dtype: DataType
    keeps: bool = False

    @property
    def is_added(self) -> bool:
        return self.dtype is not DataType.BOOL


@dataclass(frozen=True)
class Attention:
    """One use: shapes of query, key and value, which have the same rank, and what happens to the scores."""

    query: Shape
    key: Shape
    value: Shape
    scale: float
    is_causal: bool = False
    softcap: float | None = None

    @property
    def rank(self) -> int:
        return len(self.query)

    def to_tensorrt(self, net: Net, factors: Sequence[Any], masks: Sequence[Mask] = ()) -> Any:
        """The attended values, [..., L, V], of query, key and value."""
        query, key, value = factors
        # Scaling the query instead of the products keeps them within fp16's range.
        query = net.elementwise("PROD", query, net.constant(self.scale, shape=(1,) * self.rank))
        if self.is_native(net, masks):
            return self._native(net, query, key, value, masks)
        matrix = net.trt.MatrixOperation
        scores = net.add_matrix_multiply(query, matrix.NONE, key, matrix.TRANSPOSE).get_output(0)
        shares = self._shares(net, _as_fp32(net, scores), masks)
        if net.dtype is not DataType.FP32:
            shares = net.cast(shares, net.dtype)
        return net.add_matrix_multiply(shares, matrix.NONE, value, matrix.NONE).get_output(0)

    def _shares(self, net: Net, scores: Any, masks: Sequence[Mask]) -> Any:
        """How much each query takes of each value, in fp32: [..., L, S]."""
        if self.softcap is not None:
            cap = self._number(net, self.softcap)
            scores = net.elementwise("PROD", net.activation("TANH", net.elementwise("DIV", scores, cap)), cap)
        for mask in masks:
            if mask.is_added:
                scores = net.elementwise("SUM", scores, _as_fp32(net, mask.tensor))
        limits = [mask for mask in masks if not mask.is_added]
        if self.is_causal:
            numbers = [count_along(net, self.rank, axis, size) for axis, size in self._positions()]
            limits.append(Mask(net.elementwise("LESS", *numbers), (), DataType.BOOL))
        for limit in limits:
            scores = _select(net, limit, scores, self._number(net, LOWEST))
        shares = softmax(net, scores, self.rank - 1)
        # Where no key takes part the softmax spreads over all; PyTorch gives zeros.
        for limit in limits if masks else ():
            shares = _select(net, limit, shares, self._number(net, 0.0))
        return shares

    def _positions(self) -> tuple[tuple[int, Dim], ...]:
        """The axis of rows and the axis of columns of the scores, each with its size."""
        return (-2, self.query[-2]), (-1, self.key[-2])

    def _number(self, net: Net, number: float) -> Any:
        return net.constant(number, DataType.FP32, (1,) * self.rank)

    def is_native(self, net: Net, masks: Sequence[Mask]) -> bool:
        """Whether TensorRT's own attention is the same: it wants four axes and one mask that leaves no row out."""
        if not net.runtime.has_attention or net.dtype not in _NATIVE_TYPES or self.softcap is not None:
            return False
        if self.rank != _NATIVE_RANK or len(masks) + self.is_causal > 1:
            return False
        query, key, value = ([dim.expression for dim in shape] for shape in (self.query, self.key, self.value))
        scores = [self.query[-2].expression, self.key[-2].expression]
        return (
            query[0] == key[0] == value[0]
            and key[1] == value[1]
            and _shares_heads(self.query[1], self.key[1])
            and self.value[-1].is_static
            and query[-1] == key[-1] == value[-1]
            and all([dim.expression for dim in mask.shape[-2:]] == scores for mask in masks)
        )

    def _native(self, net: Net, query: Any, key: Any, value: Any, masks: Sequence[Mask]) -> Any:
        operation, kinds = net.trt.AttentionNormalizationOp.SOFTMAX, net.trt.CausalMaskKind
        kind = kinds.UPPER_LEFT if self.is_causal else kinds.NONE
        layer = net.add_attention_v2(query, key, value, operation, kind)
        # Sizes for which there is no kernel are composed of others.
        layer.decomposable = True
        if not masks:
            return layer.get_output(0)
        mask = masks[0]
        if mask.is_added:
            layer.mask = mask.tensor
            return layer.get_output(0)
        keeps = mask.tensor if mask.keeps else net.unary("NOT", mask.tensor)
        layer.mask = keeps
        # A row without any key is zero, as in `_shares`.
        zero = net.constant(0.0, shape=(1,) * _NATIVE_RANK)
        most = net.reduce("MAX", net.cast(keeps, net.dtype), (_NATIVE_RANK - 1,), True)
        return net.add_select(net.elementwise("GREATER", most, zero), layer.get_output(0), zero).get_output(0)

    def to_onnx(self, net: OnnxNet, factors: Sequence[str], masks: Sequence[Mask] = ()) -> str:
        """The attended values, [..., L, V], of query, key and value."""
        query, key, value = factors
        query = net.node("Mul", query, net.constant(self.scale))
        exchanged = (*range(self.rank - 2), self.rank - 1, self.rank - 2)
        scores = net.node("MatMul", query, net.transpose(key, exchanged))
        shares = self._onnx_shares(net, _as_onnx_fp32(net, scores), masks)
        if net.dtype is not DataType.FP32:
            shares = net.cast(shares, net.dtype)
        return net.node("MatMul", shares, value)

    def _onnx_shares(self, net: OnnxNet, scores: str, masks: Sequence[Mask]) -> str:
        if self.softcap is not None:
            cap = net.constant(self.softcap, DataType.FP32)
            scores = net.node("Mul", net.node("Tanh", net.node("Div", scores, cap)), cap)
        for mask in masks:
            if mask.is_added:
                scores = net.node("Add", scores, _as_onnx_fp32(net, mask.tensor))
        limits = [mask for mask in masks if not mask.is_added]
        if self.is_causal:
            numbers = [count_along(net, self.rank, axis, size) for axis, size in self._positions()]
            limits.append(Mask(net.node("Less", *numbers), (), DataType.BOOL))
        for limit in limits:
            scores = _where(net, limit, scores, LOWEST)
        shares = net.node("Softmax", scores, axis=-1)
        for limit in limits if masks else ():
            shares = _where(net, limit, shares, 0.0)
        return shares


def _shares_heads(heads: Dim, key_heads: Dim) -> bool:
    """Whether each head of the key stands for as many of the query's."""
    fixed = heads.is_static and key_heads.is_static
    return heads.value % key_heads.value == 0 if fixed else heads.expression == key_heads.expression


def _as_fp32(net: Net, x: Any) -> Any:
    return x if net.dtype is DataType.FP32 else net.cast(x, DataType.FP32)


def _as_onnx_fp32(net: OnnxNet, x: str) -> str:
    return x if net.dtype is DataType.FP32 else net.cast(x, DataType.FP32)


def _select(net: Net, limit: Mask, x: Any, otherwise: Any) -> Any:
    """`x` but for what the limit leaves out."""
    sides = (x, otherwise) if limit.keeps else (otherwise, x)
    return net.add_select(limit.tensor, *sides).get_output(0)


def _where(net: OnnxNet, limit: Mask, x: str, otherwise: float) -> str:
    number = net.constant(otherwise, DataType.FP32)
    sides = (x, number) if limit.keeps else (number, x)
    return net.node("Where", limit.tensor, *sides)
