"""Attention and the losses: operators that are small networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.vectors.node import Mapper, Node

_MASK_MODE, _SOFTCAP_MODE, _SOFTMAX_MODE = 2, 1, 3


class _Heads:
    """Query, key and value of an Attention node as [batch, heads, length, size]."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.is_flat = node.rank() == 3
        self.query_heads = node.attribute("q_num_heads") or node.channels(0)
        self.key_heads = node.attribute("kv_num_heads") or node.channels(1)
        self.query, self.key, self.value = (
            self._split(index, heads) for index, heads in enumerate((self.query_heads, self.key_heads, self.key_heads))
        )
        self.query_length = node.sizes(0)[1 if self.is_flat else 2]
        self.key_length = node.sizes(1)[1 if self.is_flat else 2]
        self.past_length = 0
        if node.has(4):
            self.past_length = node.sizes(4)[2]
            self.key = node.layer("concat", node.x(4), self.key, dim=2)
            self.value = node.layer("concat", node.x(5), self.value, dim=2)
            self.key_length += self.past_length

    @property
    def head_size(self) -> int:
        size = self.node.channels(0, -1)
        return size // self.query_heads if self.is_flat else size

    def _split(self, index: int, heads: int) -> str:
        x = self.node.x(index)
        if not self.is_flat:
            return x
        batch, length, size = self.node.sizes(index)
        x = self.node.layer("reshape", x, shape=[batch, length, heads, size // heads])
        return self.node.layer("transpose", x, dim0=1, dim1=2)

    def join(self, x: str) -> str:
        """The output in the layout of the inputs."""
        if not self.is_flat:
            return x
        return self.node.layer("flatten", self.node.layer("transpose", x, dim0=1, dim1=2), start_dim=2)


def attention(node: Node) -> tuple[str | None, ...]:
    heads = _Heads(node)
    scale = node.attribute("scale") or 1 / np.sqrt(heads.head_size)
    softcap = node.attribute("softcap", 0.0) or None
    if _is_plain(node, heads):
        attended = node.layer(
            "scaled_dot_product_attention",
            heads.query,
            heads.key,
            heads.value,
            *([node.x(3)] if node.has(3) else []),
            is_causal=True if node.attribute("is_causal", 0) else None,
            scale=float(scale),
            softcap=softcap,
            enable_gqa=True if heads.query_heads != heads.key_heads else None,
        )
        return heads.join(attended), heads.key, heads.value, None
    key, value = heads.key, heads.value
    if heads.query_heads != heads.key_heads:
        order = np.repeat(np.arange(heads.key_heads, dtype=np.int32), heads.query_heads // heads.key_heads)
        key, value = (node.layer("gather", x, dim=1, indices=order) for x in (key, value))
    query = node.layer("mul", heads.query, other=float(scale))
    scores = node.layer("matmul", query, key, transpose_b=True)
    mode, seen = node.attribute("qk_matmul_output_mode", 0), scores
    if softcap is not None:
        scores = node.layer("mul", node.layer("tanh", node.layer("mul", scores, other=1 / softcap)), other=softcap)
        seen = scores if mode == _SOFTCAP_MODE else seen
    mask = _mask(node, heads)
    biased = (
        scores if mask is None else node.layer("where", mask[0], scores, node.importer.constant(_minus_infinity(node)))
    )
    if mask is not None and mask[1] is not None:
        biased = node.layer("add", biased, mask[1])
    seen = biased if mode == _MASK_MODE else seen
    weights = node.layer("softmax", biased, dim=-1)
    if mask is not None or node.has(3):
        # A row that sees nothing gives nothing.
        highest = node.layer("reduce_max", biased, dim=-1, keepdim=True)
        weights = node.layer("where", node.layer("isinf", highest), node.importer.constant(_zero(node)), weights)
    seen = weights if mode == _SOFTMAX_MODE else seen
    return heads.join(node.layer("matmul", weights, value)), heads.key, heads.value, seen


def _is_plain(node: Node, heads: _Heads) -> bool:
    """Whether this is what `scaled_dot_product_attention` says."""
    causal = node.attribute("is_causal", 0)
    if node.wants(3) or node.has(6) or (causal and (node.has(3) or heads.past_length)):
        return False
    if node.attribute("left_window_size", -1) >= 0 or node.attribute("right_window_size", -1) >= 0:
        return False
    if not node.has(3):
        return True
    mask = node.values[3].array
    if mask.ndim < 2 or mask.shape[-1] != heads.key_length:
        return False
    allowed = mask if mask.dtype == bool else ~np.isneginf(mask)
    return bool(allowed.any(-1).all())


def _mask(node: Node, heads: _Heads) -> tuple[str, str | None] | None:
    """Where a query sees a key, as bools, and what is added besides; None where all see all."""
    rows = np.arange(heads.query_length).reshape(-1, 1)
    columns = np.arange(heads.key_length)
    distance = (rows - columns).astype(np.int32)
    left, right = node.attribute("left_window_size", -1), node.attribute("right_window_size", -1)
    right = (
        0
        if node.attribute("is_causal", 0) and right < 0
        else min(right, 0)
        if node.attribute("is_causal", 0)
        else right
    )
    parts: list[str] = []
    lengths = None
    if node.has(6):
        lengths = node.layer("reshape", node.x(6), shape=[node.sizes(6)[0], 1, 1, 1])
        parts.append(node.layer("less", node.importer.constant(columns.reshape(1, 1, 1, -1).astype(np.int32)), lengths))
    if left >= 0 or right >= 0:
        if lengths is not None and not node.has(4):
            # Queries stand at the end of what is there.
            offset = node.layer("sub", lengths, other=heads.query_length)
            behind = node.layer("add", node.importer.constant(distance[None, None]), offset)
            if right >= 0:
                parts.append(node.layer("greater_equal", behind, other=-right))
            if left >= 0:
                parts.append(node.layer("less_equal", behind, other=left))
        else:
            behind_by = distance + heads.past_length
            allowed = np.ones_like(behind_by, bool)
            if right >= 0:
                allowed &= behind_by >= -right
            if left >= 0:
                allowed &= behind_by <= left
            parts.append(node.importer.constant(allowed[None, None]))
    added = None
    if node.has(3):
        given = _whole_mask(node, heads)
        if node.is_bool(3):
            parts.append(given)
        else:
            added = given
    if not parts and added is None:
        return None
    if not parts:
        parts.append(node.importer.constant(np.ones((1, 1, *distance.shape), bool)))
    mask = parts[0]
    for part in parts[1:]:
        mask = node.layer("and", mask, part)
    return mask, added


def _whole_mask(node: Node, heads: _Heads) -> str:
    """The mask that is given, of as many columns as there are keys: others are not seen."""
    missing = heads.key_length - node.sizes(3)[-1]
    mask = node.x(3)
    if missing <= 0:
        return mask
    fill = np.full((*node.sizes(3)[:-1], missing), 0 if node.is_bool(3) else -np.inf, node.dtype(3))
    return node.layer("concat", mask, node.importer.constant(fill), dim=-1)


def _minus_infinity(node: Node) -> Any:
    return np.full((1, 1, 1, 1), -np.inf, node.dtype())


def _zero(node: Node) -> Any:
    return np.zeros((1, 1, 1, 1), node.dtype())


def rotary_embedding(node: Node) -> str:
    """Pairs of elements turned by angles: the first half with the second, or neighbours."""
    x, flat = node.x(), node.rank() == 3
    heads = node.attribute("num_heads", 0)
    if flat:
        batch, length, size = node.sizes()
        x = node.layer("reshape", x, shape=[batch, length, heads, size // heads])
        head_size = size // heads
    else:
        x = node.layer("transpose", x, dim0=1, dim1=2)
        head_size = node.sizes()[3]
    turned = node.attribute("rotary_embedding_dim", 0) or head_size
    rest = None
    if turned < head_size:
        parts = node.layer("split", x, split_size=[turned, head_size - turned], dim=-1)
        x, rest = f"{parts}:0", f"{parts}:1"
    tables = [node.x(1), node.x(2)]
    if node.has(3):
        tables = [node.layer("gather", table, node.x(3), dim=0) for table in tables]
    cos, sin = (node.layer("unsqueeze", table, dim=2) for table in tables)
    interleaved = bool(node.attribute("interleaved", 0))
    half = turned // 2
    if interleaved:
        first = node.layer("slice", x, dim=-1, start=0, step=2)
        second = node.layer("slice", x, dim=-1, start=1, step=2)
    else:
        parts = node.layer("split", x, sections=2, dim=-1)
        first, second = f"{parts}:0", f"{parts}:1"
    real = node.layer("sub", node.layer("mul", first, cos), node.layer("mul", second, sin))
    imaginary = node.layer("add", node.layer("mul", first, sin), node.layer("mul", second, cos))
    made = node.layer("concat", real, imaginary, dim=-1)
    if interleaved:
        order = np.arange(turned).reshape(2, half).T.reshape(-1).astype(np.int32)
        made = node.layer("gather", made, dim=-1, indices=order)
    if rest is not None:
        made = node.layer("concat", made, rest, dim=-1)
    if flat:
        return node.layer("flatten", made, start_dim=2)
    return node.layer("transpose", made, dim0=1, dim1=2)


def nll_loss(node: Node) -> str:
    return _loss(node, node.x())


def cross_entropy(node: Node) -> tuple[str, str]:
    logarithms = node.layer("log_softmax", node.x(), dim=1)
    return _loss(node, logarithms), logarithms


def _loss(node: Node, logarithms: str) -> str:
    """The logarithms at the targets, negated and weighted; targets to ignore weigh nothing."""
    target, ignored = node.x(1), node.attribute("ignore_index")
    counts = None
    if ignored is not None:
        counts = node.layer("not_equal", target, other=ignored)
        target = node.layer("where", counts, target, node.layer("mul", target, other=0))
    picked = node.layer("gather_elements", logarithms, node.layer("unsqueeze", target, dim=1), dim=1)
    loss = node.layer("neg", node.layer("squeeze", picked, dim=1))
    weight = node.layer("gather", node.x(2), target, dim=0) if node.has(2) else None
    if counts is not None:
        one = node.layer("cast", counts, dtype="fp32")
        weight = one if weight is None else node.layer("mul", weight, one)
    weighted = loss if weight is None else node.layer("mul", loss, weight)
    reduction = node.attribute("reduction", "mean")
    if reduction == "none":
        return weighted
    if reduction == "mean" and weight is None:
        return node.layer("reduce_mean", weighted)
    total = node.layer("reduce_sum", weighted)
    return total if reduction == "sum" else node.layer("div", total, node.layer("reduce_sum", weight))


def causal_conv(node: Node) -> tuple[str, str | None]:
    """A convolution of each channel over what was before: the state, or zeros."""
    weight = node.known(1)
    channels, _, size = weight.shape
    x = node.x()
    if size > 1:
        padding = [size - 1, 0]
        x = node.layer("concat", node.x(3), x, dim=2) if node.has(3) else node.layer("pad", x, padding=padding)
    made = node.layer(
        "conv",
        x,
        out_channels=channels,
        kernel_size=size,
        groups=channels,
        weight=weight,
        bias=node.known(2) if node.has(2) else False,
    )
    if node.attribute("activation", "none") in ("silu", "swish"):
        made = node.layer("silu", made)
    state = node.layer("slice", x, dim=2, start=-(size - 1)) if size > 1 and node.wants(1) else None
    return made, state


OPERATORS: Mapping[str, Mapper] = {
    "Attention": attention,
    "CausalConvWithState": causal_conv,
    "NegativeLogLikelihoodLoss": nll_loss,
    "RotaryEmbedding": rotary_embedding,
    "SoftmaxCrossEntropyLoss": cross_entropy,
}
