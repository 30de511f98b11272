"""Operators that put many elements together: reductions, products, normalisations, sorting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.vectors.document import run_type
from tests.vectors.node import Mapper, Node
from tests.vectors.reasons import Reason


def reduce(op: str, *otherwise: str) -> Mapper:
    """A reduction; where it is asked to reduce no axis, the functions that are left of it."""

    def lower(node: Node) -> str:
        axes, x = node.axes(), node.x()
        if not axes and node.attribute("noop_with_empty_axes", 0):
            for function in otherwise or ("identity",):
                x = node.layer(function, x)
            return x
        is_bool = node.is_bool()
        x = node.layer("cast", x, dtype="int32") if is_bool else x
        x = node.layer(op, x, dim=axes or None, keepdim=bool(node.attribute("keepdims", 1)))
        return node.layer("cast", x, dtype="bool") if is_bool else x

    return lower


def softmax(op: str) -> Mapper:
    def lower(node: Node) -> str:
        axis = node.attribute("axis", -1 if node.version >= 13 else 1)
        if node.version >= 13 or axis in (-1, node.rank() - 1):
            return node.layer(op, node.x(), dim=axis)
        # All axes from that one on were one.
        flat = node.layer(op, node.layer("flatten", node.x(), start_dim=axis), dim=-1)
        return node.layer("reshape", flat, shape=list(node.sizes()))

    return lower


def arg(op: str) -> Mapper:
    return lambda node: node.layer(
        op,
        node.x(),
        dim=node.attribute("axis", 0),
        keepdim=bool(node.attribute("keepdims", 1)),
        select_last_index=bool(node.attribute("select_last_index", 0)),
    )


def hardmax(node: Node) -> str:
    axis = node.attribute("axis", -1 if node.version >= 13 else 1)
    if node.version < 13 and axis not in (-1, node.rank() - 1):
        raise node.refuse(Reason.NOT_OFFERED, "axes made one")
    depth = node.sizes()[axis]
    found = node.layer("argmax", node.x(), dim=axis)
    return node.layer("one_hot", found, num_classes=depth, dim=axis, dtype="fp32")


def topk(node: Node) -> tuple[str, str]:
    k = int(node.known(1).reshape(-1)[0]) if node.has(1) else node.attribute("k")
    name = node.layer("topk", node.x(), k=k, dim=node.attribute("axis", -1), largest=bool(node.attribute("largest", 1)))
    return f"{name}:values", f"{name}:indices"


def cumsum(node: Node) -> str:
    return node.layer(
        "cumsum",
        node.x(),
        dim=int(node.known(1).reshape(-1)[0]),
        exclusive=bool(node.attribute("exclusive", 0)),
        reverse=bool(node.attribute("reverse", 0)),
    )


def cumprod(node: Node) -> str:
    """Products over the elements that a triangle of ones lets through; the others count as 1."""
    axis = int(node.known(1).reshape(-1)[0]) % node.rank()
    size = node.sizes()[axis]
    exclusive, reverse = node.attribute("exclusive", 0), node.attribute("reverse", 0)
    ones = np.ones((size, size), bool)
    # Rows are the output's positions.
    mask = np.triu(ones, exclusive) if reverse else np.tril(ones, -exclusive)
    mask = mask.reshape(size, size, *(1,) * (node.rank() - 1 - axis))
    row = node.layer("unsqueeze", node.x(), dim=axis)
    kept = node.layer("where", node.importer.constant(mask), row, node.importer.constant(_ones(node)))
    return node.layer("reduce_prod", kept, dim=axis + 1)


def _ones(node: Node) -> np.ndarray:
    return np.ones((1,) * (node.rank() + 1), node.dtype())


def matmul(node: Node) -> str:
    if node.is_float():
        return node.layer("matmul", node.x(0), node.x(1))
    product = node.layer("matmul", *(node.layer("cast", node.x(i), dtype="fp32") for i in (0, 1)))
    return node.layer("cast", product, dtype="int32")


def gemm(node: Node) -> str:
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    turned = [bool(node.attribute(name, 0)) for name in ("transA", "transB")]
    product = node.layer("matmul", node.x(0), node.x(1), transpose_a=turned[0], transpose_b=turned[1])
    if alpha != 1:
        product = node.layer("mul", product, other=alpha)
    if not node.has(2):
        return product
    if beta != 1:
        return node.layer("add", product, node.layer("mul", node.x(2), other=beta))
    return node.second("add", product, 2)


def einsum(node: Node) -> str:
    inputs = [node.x(index) for index in range(len(node.values))]
    return node.layer("einsum", *inputs, equation=node.attribute("equation").replace(" ", ""))


def batch_norm(node: Node) -> str:
    if node.attribute("training_mode", 0):
        raise node.refuse(Reason.TRAINING)
    weight, bias, mean, variance = (node.known(index) for index in range(1, 5))
    return node.layer(
        "batch_norm",
        node.x(),
        eps=node.attribute("epsilon", 1e-5),
        weight=weight,
        bias=bias,
        running_mean=mean,
        running_var=variance,
    )


def instance_norm(node: Node) -> str:
    return node.layer(
        "instance_norm",
        node.x(),
        eps=node.attribute("epsilon", 1e-5),
        affine=True,
        weight=node.known(1),
        bias=node.known(2),
    )


def group_norm(node: Node) -> str:
    groups = node.attribute("num_groups")
    weight, bias = node.known(1), node.known(2)
    if node.version < 21:
        weight, bias = (np.repeat(entry, node.channels() // groups) for entry in (weight, bias))
    return node.layer(
        "group_norm", node.x(), num_groups=groups, eps=node.attribute("epsilon", 1e-5), weight=weight, bias=bias
    )


def layer_norm(node: Node) -> tuple[str | None, ...]:
    axis, eps, x = node.attribute("axis", -1) % node.rank(), node.attribute("epsilon", 1e-5), node.x()
    normalized = node.layer(
        "layer_norm",
        x,
        normalized_shape=list(node.values[0].array.shape[axis:]),
        eps=eps,
        weight=np.broadcast_to(node.known(1), node.values[0].array.shape[axis:]),
        bias=np.broadcast_to(node.known(2), node.values[0].array.shape[axis:]) if node.has(2) else False,
    )
    if not (node.wants(1) or node.wants(2)):
        return (normalized,)
    axes = list(range(axis, node.rank()))
    mean = node.layer("reduce_mean", x, dim=axes, keepdim=True)
    centred = node.layer("sub", x, mean)
    variance = node.layer("reduce_mean", node.layer("mul", centred, centred), dim=axes, keepdim=True)
    deviation = node.layer("sqrt", node.layer("add", variance, other=eps))
    return normalized, mean, node.layer("reciprocal", deviation)


def rms_norm(node: Node) -> str:
    axis = node.attribute("axis", -1) % node.rank()
    shape = node.values[0].array.shape[axis:]
    return node.layer(
        "rms_norm",
        node.x(),
        normalized_shape=list(shape),
        eps=node.attribute("epsilon", 1e-5),
        weight=np.broadcast_to(node.known(1), shape),
    )


def mean_variance(node: Node) -> str:
    axes = node.attribute("axes", [0, 2, 3])
    mean = node.layer("reduce_mean", node.x(), dim=axes, keepdim=True)
    centred = node.layer("sub", node.x(), mean)
    variance = node.layer("reduce_mean", node.layer("mul", centred, centred), dim=axes, keepdim=True)
    return node.layer("div", centred, node.layer("add", node.layer("sqrt", variance), other=1e-9))


def lp_norm(node: Node) -> str:
    axis, p, x = node.attribute("axis", -1), node.attribute("p", 2), node.x()
    sizes = node.layer("abs", x) if p == 1 else node.layer("mul", x, x)
    total = node.layer("reduce_sum", sizes, dim=axis, keepdim=True)
    norm = total if p == 1 else node.layer("sqrt", total)
    # Where all elements are zero, so is the result.
    divisor = node.layer(
        "add", norm, node.layer("cast", node.layer("equal", norm, other=0.0), dtype=run_type(node.results[0]))
    )
    return node.layer("div", x, divisor)


def lrn(node: Node) -> str:
    return node.layer(
        "lrn",
        node.x(),
        size=node.attribute("size"),
        alpha=node.attribute("alpha", 1e-4),
        beta=node.attribute("beta", 0.75),
        k=node.attribute("bias", 1.0),
    )


def det(node: Node) -> str:
    """Of two rows: the products of the diagonals, one less the other."""
    if node.sizes()[-2:] != (2, 2):
        raise node.refuse(Reason.NO_LAYER, "larger than 2 x 2")

    def entry(row: int, column: int) -> str:
        picked = node.layer("gather", node.x(), dim=-2, indices=np.asarray(row))
        return node.layer("gather", picked, dim=-1, indices=np.asarray(column))

    return node.layer("sub", node.layer("mul", entry(0, 0), entry(1, 1)), node.layer("mul", entry(0, 1), entry(1, 0)))


OPERATORS: Mapping[str, Mapper] = {
    "ArgMax": arg("argmax"),
    "ArgMin": arg("argmin"),
    "BatchNormalization": batch_norm,
    "CumProd": cumprod,
    "CumSum": cumsum,
    "Det": det,
    "Einsum": einsum,
    "Gemm": gemm,
    "GroupNormalization": group_norm,
    "Hardmax": hardmax,
    "InstanceNormalization": instance_norm,
    "LRN": lrn,
    "LayerNormalization": layer_norm,
    "LogSoftmax": softmax("log_softmax"),
    "LpNormalization": lp_norm,
    "MatMul": matmul,
    "MeanVarianceNormalization": mean_variance,
    "RMSNormalization": rms_norm,
    "ReduceL1": reduce("reduce_l1", "abs"),
    "ReduceL2": reduce("reduce_l2", "abs"),
    "ReduceLogSum": reduce("reduce_log_sum", "log"),
    "ReduceLogSumExp": reduce("reduce_log_sum_exp"),
    "ReduceMax": reduce("reduce_max"),
    "ReduceMean": reduce("reduce_mean"),
    "ReduceMin": reduce("reduce_min"),
    "ReduceProd": reduce("reduce_prod"),
    "ReduceSum": reduce("reduce_sum"),
    "ReduceSumSquare": reduce("reduce_sum_square", "square"),
    "Softmax": softmax("softmax"),
    "TopK": topk,
}
