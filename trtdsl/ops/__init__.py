"""The catalogue: every op there is, by the names it has in YAML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trtdsl.ops.activation import (
    Celu,
    Clip,
    Elu,
    HardShrink,
    HardSigmoid,
    HardTanh,
    LeakyRelu,
    PRelu,
    Relu,
    Relu6,
    ScaledTanh,
    Selu,
    Sigmoid,
    SoftShrink,
    Softsign,
    Tanh,
    ThresholdedRelu,
)
from trtdsl.ops.arrange import Flip, ReverseSequence, Roll, Tile, Tril, Triu
from trtdsl.ops.assertion import Assert
from trtdsl.ops.attention import ScaledDotProductAttention
from trtdsl.ops.base import LAYER_KEYS, Op
from trtdsl.ops.cast import Cast
from trtdsl.ops.comparison import (
    And,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    MaskedFill,
    Not,
    NotEqual,
    Or,
    Where,
    Xor,
)
from trtdsl.ops.control import If, Loop
from trtdsl.ops.conv import Conv, Deconv
from trtdsl.ops.cumulative import CumSum
from trtdsl.ops.einsum import Einsum
from trtdsl.ops.elementwise import Add, Div, FloorDiv, Fmod, Max, Min, Mod, Mul, Pow, Sub, Sum
from trtdsl.ops.gates import Gelu, Glu, HardSwish, Mish, Silu
from trtdsl.ops.gather import Embedding, Gather, GatherElements, GatherND
from trtdsl.ops.generate import Fill, Linspace, RandomNormal, RandomUniform, Range, ShapeOf, Size
from trtdsl.ops.linear import Linear, MatMul
from trtdsl.ops.local_norm import LRN, L2Normalize
from trtdsl.ops.multihead import MultiHeadAttention
from trtdsl.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from trtdsl.ops.padding import Pad
from trtdsl.ops.plugin import PluginLayer
from trtdsl.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from trtdsl.ops.quantization import Dequantize, Quantize
from trtdsl.ops.raw import raw_layer
from trtdsl.ops.rearrange import ChannelShuffle, DepthToSpace, PixelShuffle, PixelUnshuffle, SpaceToDepth
from trtdsl.ops.reduce import (
    ReduceL1,
    ReduceL2,
    ReduceLogSum,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)
from trtdsl.ops.resize import Resize
from trtdsl.ops.rotary import RotaryEmbedding
from trtdsl.ops.sampling import GridSample, RoiAlign
from trtdsl.ops.scatter import ScatterElements, ScatterND
from trtdsl.ops.selection import Nms, NonZero, OneHot
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
from trtdsl.ops.softmax import LogSoftmax, Softmax
from trtdsl.ops.softplus import LogSigmoid, Softplus
from trtdsl.ops.topk import ArgMax, ArgMin, TopK
from trtdsl.ops.unary import (
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    IsInf,
    IsNan,
    Log,
    Neg,
    Reciprocal,
    Round,
    Rsqrt,
    Sign,
    Sin,
    Sinh,
    Sqrt,
    Square,
    Tan,
)


class Catalogue(Mapping[str, "type[Op]"]):
    """Ops by name. It lists those that are declared, and answers for the raw ones (`trt.einsum`) as well."""

    def __init__(self, ops: Mapping[str, type[Op]]) -> None:
        self._ops = dict(ops)

    def __getitem__(self, name: str) -> type[Op]:
        found = self._ops.get(name) or raw_layer(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)


def catalogue(classes: Iterable[type[Op]]) -> Catalogue:
    """Ops by kind and alias. Raises ValueError for a name given twice and for parameters that layers cannot have."""
    ops: dict[str, type[Op]] = {}
    for op in classes:
        for name in (op.kind, *op.aliases):
            if name in ops:
                raise ValueError(f"both {ops[name].__name__} and {op.__name__} are called {name}")
            ops[name] = op
        _check_keys(op)
    return Catalogue(ops)


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
        Einsum,
        # Normalisation.
        BatchNorm,
        InstanceNorm,
        LayerNorm,
        GroupNorm,
        RMSNorm,
        LRN,
        L2Normalize,
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
        Glu,
        Celu,
        HardTanh,
        ThresholdedRelu,
        ScaledTanh,
        LogSigmoid,
        HardShrink,
        SoftShrink,
        # Arithmetic.
        Add,
        Sub,
        Mul,
        Div,
        FloorDiv,
        Mod,
        Fmod,
        Pow,
        Min,
        Max,
        Sum,
        Abs,
        Neg,
        Sign,
        Floor,
        Ceil,
        Round,
        Exp,
        Log,
        Sqrt,
        Rsqrt,
        Square,
        Reciprocal,
        Erf,
        Sin,
        Cos,
        Tan,
        Asin,
        Acos,
        Atan,
        Sinh,
        Cosh,
        Asinh,
        Acosh,
        Atanh,
        # Comparisons, logic and choices.
        Equal,
        NotEqual,
        Less,
        LessEqual,
        Greater,
        GreaterEqual,
        IsNan,
        IsInf,
        And,
        Or,
        Xor,
        Not,
        Where,
        MaskedFill,
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
        Tile,
        Flip,
        Roll,
        ReverseSequence,
        Triu,
        Tril,
        Pad,
        # Reductions.
        ReduceMean,
        ReduceSum,
        ReduceMax,
        ReduceMin,
        ReduceProd,
        ReduceL1,
        ReduceL2,
        ReduceSumSquare,
        ReduceLogSum,
        ReduceLogSumExp,
        Softmax,
        LogSoftmax,
        CumSum,
        TopK,
        ArgMax,
        ArgMin,
        # Indices.
        Gather,
        Embedding,
        GatherElements,
        GatherND,
        ScatterElements,
        ScatterND,
        OneHot,
        NonZero,
        Nms,
        # Attention.
        ScaledDotProductAttention,
        MultiHeadAttention,
        RotaryEmbedding,
        # Resampling.
        Resize,
        GridSample,
        RoiAlign,
        PixelShuffle,
        PixelUnshuffle,
        DepthToSpace,
        SpaceToDepth,
        ChannelShuffle,
        # Quantisation.
        Quantize,
        Dequantize,
        # Sizes, and tensors made from them.
        ShapeOf,
        Size,
        Range,
        Linspace,
        Fill,
        RandomUniform,
        RandomNormal,
        Assert,
        # What others have written.
        PluginLayer,
        # Types, fixed elements, and nothing at all.
        Cast,
        Constant,
        Identity,
        Dropout,
        # Control flow.
        If,
        Loop,
    )
)

__all__ = ["CATALOGUE", "Catalogue", "catalogue"]
