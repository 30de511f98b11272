"""Functions of single elements: arithmetic, comparisons, logic, activations, conversions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.vectors.document import run_type
from tests.vectors.node import Mapper, Node
from tests.vectors.reasons import Reason


def plain(op: str) -> Mapper:
    """An operator that is the op of that name."""
    return lambda node: node.layer(op, node.x())


def binary(op: str) -> Mapper:
    return lambda node: node.second(op, node.x(0), 1)


def from_the_left(op: str) -> Mapper:
    """An operator of any number of operands."""

    def lower(node: Node) -> str:
        result = node.x(0)
        if len(node.values) == 1:
            return node.layer("identity", result)
        for index in range(1, len(node.values)):
            result = node.second(op, result, index)
        return result

    return lower


def activation(op: str, **parameters: tuple[str, float]) -> Mapper:
    """An op whose parameters are the operator's attributes: `parameter=(attribute, ONNX's default)`."""

    def lower(node: Node) -> str:
        values = {name: node.attribute(of, default) for name, (of, default) in parameters.items()}
        return node.layer(op, node.x(), **values)

    return lower


def as_float(lower: Callable[[Node, str, str], str]) -> Mapper:
    """A function of two operands that TensorRT has for floats; integers are converted and back."""

    def convert(node: Node) -> str:
        operands = [
            node.x(index) if node.is_float(index) else node.layer("cast", node.x(index), dtype="fp32")
            for index in (0, 1)
        ]
        result = lower(node, *operands)
        return result if node.is_float() else node.layer("cast", result, dtype="int32")

    return convert


def div(node: Node) -> str:
    if node.is_float():
        return node.second("div", node.x(0), 1)
    if node.dtype().kind == "u":
        return node.second("floor_div", node.x(0), 1)
    # Towards zero: the quotient of the absolute values, with the sign of the product.
    x, y = node.x(0), node.x(1)
    size = node.layer("floor_div", node.layer("abs", x), node.layer("abs", y))
    negative = node.layer("xor", node.layer("less", x, other=0), node.layer("less", y, other=0))
    return node.layer("where", negative, node.layer("neg", size), size)


def mod(node: Node) -> str:
    if node.is_float() and np.isinf(node.values[1].array).any() and not node.attribute("fmod", 0):
        node.differs(Reason.NO_LAYER, "a remainder by infinity")
    return node.second("fmod" if node.attribute("fmod", 0) else "mod", node.x(0), 1)


def mean(node: Node) -> str:
    total = from_the_left("add")(node)
    return node.layer("mul", total, other=1 / len(node.values))


def clip(node: Node) -> str:
    low, high = (
        node.known(index).reshape(()) if node.has(index) else None if found is None else np.asarray(found)
        for index, found in ((1, node.attribute("min")), (2, node.attribute("max")))
    )
    if low is None and high is None:
        return node.layer("identity", node.x())
    if low is not None and high is not None and low > high:
        return node.layer("min", node.layer("max", node.x(), other=low), other=high)
    limits = {"min": low, "max": high}
    return node.layer("clip", node.x(), **{name: limit.item() for name, limit in limits.items() if limit is not None})


def is_inf(node: Node) -> str:
    infinite = node.layer("isinf", node.x())
    if node.attribute("detect_negative", 1) and node.attribute("detect_positive", 1):
        return infinite
    sign = "greater" if node.attribute("detect_positive", 1) else "less"
    if not node.attribute("detect_negative", 1) and not node.attribute("detect_positive", 1):
        raise node.refuse(Reason.NO_LAYER)
    return node.layer("and", infinite, node.layer(sign, node.x(), other=0.0))


def cast(node: Node) -> str:
    if "float4" in str(node.attribute("to")):
        raise node.refuse(Reason.TYPES)
    result = node.results[0]
    if result.dtype.name == "bfloat16":
        return node.layer("cast", node.layer("cast", node.x(), dtype="bf16"), dtype="fp32")
    return node.layer("cast", node.x(), dtype=run_type(result))


def selu(node: Node) -> str:
    if not {"alpha", "gamma"} & set(node._attributes):
        return node.layer("selu", node.x())
    curve = node.layer("elu", node.x(), alpha=node.attribute("alpha", 1.67326319217681884765625))
    return node.layer("mul", curve, other=node.attribute("gamma", 1.05070102214813232421875))


def shrink(node: Node) -> str:
    x, limit, bias = node.x(), node.attribute("lambd", 0.5), node.attribute("bias", 0.0)
    if not node.is_float():
        x = node.layer("cast", x, dtype="fp32")
    zero = node.layer("mul", x, other=0.0)
    upper = node.layer("where", node.layer("greater", x, other=limit), node.layer("sub", x, other=bias), zero)
    lower = node.layer("where", node.layer("less", x, other=-limit), node.layer("add", x, other=bias), upper)
    return lower if node.is_float() else node.layer("cast", lower, dtype="int32")


def _swish(node: Node) -> str:
    alpha = node.attribute("alpha", 1.0)
    if alpha == 1:
        return node.layer("silu", node.x())
    gate = node.layer("sigmoid", node.layer("mul", node.x(), other=alpha))
    return node.layer("mul", node.x(), gate)


def swiglu(node: Node) -> str:
    return node.layer("mul", _swish(node), node.x(1))


def gelu(node: Node) -> str:
    return node.layer("gelu", node.x(), approximate=node.attribute("approximate", "none"))


def prelu(node: Node) -> str:
    slope = node.known(1)
    if slope.ndim and slope.size == node.channels() and (slope.ndim == 1 or slope.shape[0] == slope.size):
        per_channel = slope.ndim == node.rank() - 1 and slope.shape[0] == slope.size
        if per_channel or (slope.ndim == 1 and node.version < 7):
            return node.layer("prelu", node.x(), num_parameters=slope.size, weight=slope.reshape(-1))
    if slope.size == 1:
        return node.layer("prelu", node.x(), num_parameters=1, weight=slope.reshape(-1))
    # max(x, 0) + slope * min(x, 0)
    negative = node.second("mul", node.layer("min", node.x(), other=0.0), 1)
    return node.layer("add", node.layer("relu", node.x()), negative)


def where(node: Node) -> str:
    return node.layer("where", node.x(0), node.x(1), node.x(2))


def identity(node: Node) -> str:
    return node.layer("identity", node.x())


def dropout(node: Node) -> tuple[str | None, ...]:
    ratio = float(node.known(1)) if node.has(1) else 0.5
    is_training = node.has(2) and bool(node.known(2))
    if is_training and ratio > 0:
        raise node.refuse(Reason.RANDOM)
    kept = node.layer("equal", node.x(), node.x()) if node.wants(1) else None
    return node.layer("dropout", node.x()), kept


def binarizer(node: Node) -> str:
    above = node.layer("greater", node.x(), other=node.attribute("threshold", 0.0))
    return node.layer("cast", above, dtype="fp32")


def power(node: Node, x: str, y: str) -> str:
    return node.layer("pow", x, y)


UNARY = {
    "Abs": "abs", "Neg": "neg", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Erf": "erf", "Reciprocal": "reciprocal",
    "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh",
    "Cosh": "cosh", "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Floor": "floor", "Ceil": "ceil",
    "Round": "round", "Sign": "sign", "IsNaN": "isnan", "Not": "not", "Relu": "relu", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Softsign": "softsign", "Softplus": "softplus", "Mish": "mish", "HardSwish": "hard_swish",
}  # fmt: skip
BINARY = {
    "Sub": "sub", "Mul": "mul", "Equal": "equal", "Less": "less", "Greater": "greater", "And": "and", "Or": "or",
    "Xor": "xor", "LessOrEqual": "less_equal", "GreaterOrEqual": "greater_equal", "Add": "add",
}  # fmt: skip
OPERATORS: Mapping[str, Mapper] = {
    **{operator: plain(op) for operator, op in UNARY.items()},
    **{operator: binary(op) for operator, op in BINARY.items()},
    "Binarizer": binarizer,
    "Cast": cast,
    "CastLike": cast,
    "Celu": activation("celu", alpha=("alpha", 1.0)),
    "Clip": clip,
    "Div": div,
    "Dropout": dropout,
    "Elu": activation("elu", alpha=("alpha", 1.0)),
    "Gelu": gelu,
    "HardSigmoid": activation("hard_sigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "Identity": identity,
    "IsInf": is_inf,
    "LeakyRelu": activation("leaky_relu", negative_slope=("alpha", 0.01)),
    "Max": from_the_left("max"),
    "Mean": mean,
    "Min": from_the_left("min"),
    "Mod": mod,
    "PRelu": prelu,
    "Pow": as_float(power),
    "Selu": selu,
    "Shrink": shrink,
    "Sum": from_the_left("add"),
    "SwiGLU": swiglu,
    "Swish": _swish,
    "ThresholdedRelu": activation("thresholded_relu", alpha=("alpha", 1.0)),
    "Where": where,
}
