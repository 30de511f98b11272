"""The catalogue: every op there is, by the names it has in YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from trtdsl.ops.activation import (
    Clip,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mish,
    PRelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Tanh,
)
from trtdsl.ops.attention import ScaledDotProductAttention
from trtdsl.ops.base import LAYER_KEYS, Op
from trtdsl.ops.cast import Cast
from trtdsl.ops.conv import Conv, Deconv
from trtdsl.ops.elementwise import (
    Abs,
    Add,
    Div,
    Erf,
    Exp,
    Log,
    Max,
    Min,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    Sqrt,
    Sub,
    Sum,
)
from trtdsl.ops.gather import Embedding, Gather
from trtdsl.ops.linear import Linear, MatMul
from trtdsl.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from trtdsl.ops.padding import Pad
from trtdsl.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from trtdsl.ops.reduce import ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum, Softmax
from trtdsl.ops.resize import Resize
from trtdsl.ops.shape import (
    Constant,
    Dropout,
    Expand,
    Flatten,
    Identity,
    Permute,
    Reshape,
    Squeeze,
    Transpose,
    Unsqueeze,
)
from trtdsl.ops.slicing import Concat, Crop, Slice, Split


def catalogue(classes: Iterable[type[Op]]) -> Mapping[str, type[Op]]:
    """Ops by kind and alias. Raises ValueError for a name given twice and for parameters that layers cannot have."""
    ops: dict[str, type[Op]] = {}
    for op in classes:
        for name in (op.kind, *op.aliases):
            if name in ops:
                raise ValueError(f"both {ops[name].__name__} and {op.__name__} are called {name}")
            ops[name] = op
        _check_keys(op)
    return MappingProxyType(ops)


def _check_keys(op: type[Op]) -> None:
    """Attributes and weights stand beside each other and the keys of every layer."""
    keys = [*LAYER_KEYS, *op.attributes, *op.weight_parameters]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{op.kind} declares the key `{key}`, which is taken")


CATALOGUE = catalogue(
    (
        # Convolution and pooling.
        Conv,
        Deconv,
        MaxPool,
        AvgPool,
        GlobalAvgPool,
        GlobalMaxPool,
        AdaptiveAvgPool,
        AdaptiveMaxPool,
        # Products of matrices.
        Linear,
        MatMul,
        # Normalisation.
        BatchNorm,
        InstanceNorm,
        LayerNorm,
        GroupNorm,
        RMSNorm,
        # Activations.
        Relu,
        LeakyRelu,
        PRelu,
        Elu,
        Selu,
        Sigmoid,
        HardSigmoid,
        Tanh,
        Softplus,
        Softsign,
        Clip,
        Relu6,
        Gelu,
        Silu,
        Mish,
        HardSwish,
        # Arithmetic.
        Add,
        Sub,
        Mul,
        Div,
        Pow,
        Min,
        Max,
        Sum,
        Abs,
        Neg,
        Exp,
        Log,
        Sqrt,
        Erf,
        Reciprocal,
        # Shapes and parts.
        Reshape,
        Flatten,
        Transpose,
        Permute,
        Squeeze,
        Unsqueeze,
        Expand,
        Concat,
        Split,
        Slice,
        Crop,
        Pad,
        # Reductions.
        ReduceMean,
        ReduceSum,
        ReduceMax,
        ReduceMin,
        ReduceProd,
        Softmax,
        # Indices.
        Gather,
        Embedding,
        # Attention.
        ScaledDotProductAttention,
        # Resampling.
        Resize,
        # Types, fixed elements, and nothing at all.
        Cast,
        Constant,
        Identity,
        Dropout,
    )
)

__all__ = ["CATALOGUE", "catalogue"]
