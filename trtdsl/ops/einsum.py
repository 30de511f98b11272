"""Sums of products over named axes."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trtdsl.ops._axes import common_dtype, of_type
from trtdsl.ops._numbers import count_along
from trtdsl.ops.attributes import Text
from trtdsl.ops.base import Net, OnnxNet, Op, OpError, attribute, tensor
from trtdsl.types import FLOATS, DataType, Dim, Shape, TensorType, format_shape

_LETTERS = string.ascii_lowercase
_HINT = "for instance `bij,bjk->bik`: a letter for each axis of each input, and those of the output"


class Einsum(Op):
    """Products of the inputs' elements, summed over every axis that the output does not name, as torch.einsum.

    `...` stands for any further axes, which broadcast; a letter twice in one input takes the diagonal of two axes.
    Several inputs are multiplied from left to right.
    """

    kind = "einsum"
    example = '{op: einsum, in: [queries, keys], equation: "bhqd,bhkd->bhqk"}'
    example_inputs = "{queries: [1, 12, 64, 32], keys: [1, 12, 64, 32]}"
    x = tensor(FLOATS, variadic=True, help="the factors, in the equation's order")
    equation = attribute(
        Text(),
        help="a letter for each axis of each input and, behind `->`, of the output; by default letters used once",
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        plan = _Plan.of(self.equation, [entry.shape for entry in inputs])
        return TensorType(common_dtype(self.kind, inputs), tuple(plan.sizes[letter] for letter in plan.output))

    def _plan(self, net: Net | OnnxNet) -> _Plan:
        return _Plan.of(self.equation, [of_type(entry).shape for entry in net.input_types])

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        plan = self._plan(net)
        factors = [
            _Factor(x, letters, entry.shape)
            for x, letters, entry in zip(inputs, plan.inputs, map(of_type, net.input_types), strict=True)
        ]
        factors = [_on_diagonals(net, _without_ones(net, factor, plan)) for factor in factors]
        product, rest = factors[0], factors[1:]
        for position, factor in enumerate(rest):
            later = {letter for other in rest[position + 1 :] for letter in other.letters}
            product = _multiply(net, product, factor, {*plan.output, *later})
        product = _summed(net, product, set(plan.output))
        order = tuple(product.letters.index(letter) for letter in plan.output if letter in product.letters)
        if order != tuple(range(len(order))):
            product = product.with_axes(net.transpose(product.tensor, order), order)
        shape = tuple(plan.sizes[letter] for letter in plan.output)
        return product.tensor if product.shape == shape else net.reshape(product.tensor, product.shape, shape)

    def to_onnx(self, net: OnnxNet, *inputs: str) -> str:
        plan = self._plan(net)
        kept, names = [], []
        for x, letters, entry in zip(inputs, plan.inputs, map(of_type, net.input_types), strict=True):
            ones = _broadcast_axes(letters, entry.shape, plan)
            names.append(net.squeeze(x, ones) if ones else x)
            if net.dtype is DataType.BF16:
                names[-1] = net.cast(names[-1], DataType.FP32)  # ONNX's operator has no bf16
            kept.append("".join(letter for axis, letter in enumerate(letters) if axis not in ones))
        result = net.node("Einsum", *names, equation=f"{','.join(kept)}->{plan.output}")
        return net.cast(result, DataType.BF16) if net.dtype is DataType.BF16 else result


@dataclass(frozen=True)
class _Plan:
    """An equation in lower-case letters alone, and the size that each stands for."""

    inputs: tuple[str, ...]
    output: str
    sizes: dict[str, Dim]

    @classmethod
    def of(cls, equation: str, shapes: Sequence[Shape]) -> _Plan:
        """Work an equation out for inputs of these shapes. Raises OpError."""
        terms, output = _parse(equation, len(shapes))
        letters: dict[str, str] = {}
        hidden = [len(shape) - _named(term) for term, shape in zip(terms, shapes, strict=True) if "..." in term]
        dots = [f"...{index}" for index in range(max(hidden, default=0))]
        spelt = [_spell(term, shape, dots) for term, shape in zip(terms, shapes, strict=True)]
        sizes = _sizes(equation, spelt, shapes)
        wanted = _output(output, spelt, dots)
        for name in dict.fromkeys(name for names in (*spelt, wanted) for name in names):
            letters[name] = _LETTERS[len(letters)] if len(letters) < len(_LETTERS) else ""
        if "" in letters.values():
            raise OpError(f"{len(letters)} different axes, TensorRT has letters for {len(_LETTERS)}", at="equation")
        return cls(
            tuple("".join(letters[name] for name in names) for names in spelt),
            "".join(letters[name] for name in wanted),
            {letters[name]: size for name, size in sizes.items()},
        )


def _parse(equation: str, count: int) -> tuple[list[str], str | None]:
    """The terms of the inputs, and of the output where it is given."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    for term in (*terms, right):
        if not re.fullmatch(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*", term):
            raise OpError(f'"{equation}" is no equation', at="equation", hint=_HINT)
    if len(terms) != count:
        message = f'"{equation}" is of {len(terms)} input{"s" * (len(terms) != 1)}, there {_are(count)}'
        raise OpError(message, at="equation")
    twice = [letter for letter, uses in Counter(right.replace("...", "")).items() if uses > 1]
    if twice:
        raise OpError(f'the output of "{equation}" names {twice[0]} twice', at="equation")
    unknown = [letter for letter in right.replace("...", "") if letter not in left]
    if unknown:
        raise OpError(f'no input of "{equation}" has the axis {unknown[0]} of its output', at="equation")
    return terms, right if arrow else None


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _named(term: str) -> int:
    return len(term.replace("...", ""))


def _spell(term: str, shape: Shape, dots: Sequence[str]) -> tuple[str, ...]:
    """A name for each axis of an input; those of an ellipsis are aligned at its end."""
    hidden = len(shape) - _named(term)
    if hidden < 0 or (hidden and "..." not in term):
        axes = _named(term)
        message = f'"{term}" names {axes} ax{"i" if axes == 1 else "e"}s, the input is {format_shape(shape)}'
        raise OpError(message, at="equation")
    before, _, after = term.partition("...")
    return (*before, *dots[len(dots) - hidden :], *after)


def _sizes(equation: str, spelt: Sequence[Sequence[str]], shapes: Sequence[Shape]) -> dict[str, Dim]:
    """The size of each name; ones stretch to what others say."""
    sizes: dict[str, Dim] = {}
    for names, shape in zip(spelt, shapes, strict=True):
        for name, size in zip(names, shape, strict=True):
            known = sizes.setdefault(name, size)
            if known.is_one:
                sizes[name] = size
            elif not size.is_one and not size.matches(known):
                axis = "an axis of the ellipsis" if name.startswith(".") else name
                raise OpError(f'in "{equation}" {axis} is both {known} and {size}', at="in")
        _check_diagonals(equation, names, shape)
    return sizes


def _check_diagonals(equation: str, names: Sequence[str], shape: Shape) -> None:
    found: dict[str, Dim] = {}
    for name, size in zip(names, shape, strict=True):
        if not found.setdefault(name, size).matches(size):
            raise OpError(f'in "{equation}" {name} is both {found[name]} and {size} of one input', at="in")


def _output(output: str | None, spelt: Sequence[Sequence[str]], dots: Sequence[str]) -> tuple[str, ...]:
    """The names of the output: as given, or the ellipsis and all that are used once, capitals before small letters."""
    if output is not None:
        before, ellipsis, after = output.partition("...")
        return (*before, *(dots if ellipsis else ()), *after)
    uses = Counter(name for names in spelt for name in names)
    return (*dots, *sorted(name for name, count in uses.items() if count == 1 and name not in dots))


@dataclass(frozen=True)
class _Factor:
    """A tensor whose axes have letters."""

    tensor: Any
    letters: str
    shape: Shape

    def with_axes(self, tensor: Any, axes: Sequence[int]) -> _Factor:
        """Another tensor that has these of the axes."""
        return _Factor(tensor, "".join(self.letters[axis] for axis in axes), tuple(self.shape[axis] for axis in axes))


def _broadcast_axes(letters: str, shape: Shape, plan: _Plan) -> tuple[int, ...]:
    """The axes of size one that stretch, or that the output has no need of."""
    return tuple(
        axis
        for axis, (letter, size) in enumerate(zip(letters, shape, strict=True))
        if size.is_one and not (plan.sizes[letter].is_one and letter in plan.output)
    )


def _without_ones(net: Net, factor: _Factor, plan: _Plan) -> _Factor:
    """TensorRT broadcasts nothing here; a factor without an axis is the same for all of it."""
    ones = _broadcast_axes(factor.letters, factor.shape, plan)
    if not ones:
        return factor
    kept = [axis for axis in range(len(factor.shape)) if axis not in ones]
    shape = tuple(factor.shape[axis] for axis in kept)
    return factor.with_axes(net.reshape(factor.tensor, factor.shape, shape), kept)


def _on_diagonals(net: Net, factor: _Factor) -> _Factor:
    """A factor with each letter once: zero off the diagonal, it is summed over one of the two axes."""
    for letter, uses in Counter(factor.letters).items():
        for _ in range(uses - 1):
            factor = _on_diagonal(net, factor, letter)
    return factor


def _on_diagonal(net: Net, factor: _Factor, letter: str) -> _Factor:
    first, second = [axis for axis, other in enumerate(factor.letters) if other == letter][:2]
    rank = len(factor.shape)
    numbers = [count_along(net, rank, axis, factor.shape[axis]) for axis in (first, second)]
    zero = net.constant(0.0, shape=(1,) * rank)
    chosen = net.add_select(net.elementwise("EQUAL", *numbers), factor.tensor, zero).get_output(0)
    kept = [axis for axis in range(rank) if axis != second]
    return factor.with_axes(net.reduce("SUM", chosen, (second,), False), kept)


def _summed(net: Net, factor: _Factor, needed: set[str]) -> _Factor:
    """The sum over all axes but those whose letters are needed."""
    over = tuple(axis for axis, letter in enumerate(factor.letters) if letter not in needed)
    if not over:
        return factor
    kept = [axis for axis in range(len(factor.shape)) if axis not in over]
    return factor.with_axes(net.reduce("SUM", factor.tensor, over, False), kept)


def _multiply(net: Net, left: _Factor, right: _Factor, needed: set[str]) -> _Factor:
    """The product of two factors, summed over what neither the output nor a later factor needs."""
    left = _summed(net, left, needed | set(right.letters))
    right = _summed(net, right, needed | set(left.letters))
    if not left.letters or not right.letters:
        return _scaled(net, left, right) if right.letters else _scaled(net, right, left)
    sizes = dict(zip(left.letters + right.letters, left.shape + right.shape, strict=True))
    letters = "".join(letter for letter in sizes if letter in needed)
    equation = f"{left.letters},{right.letters}->{letters}"
    product = net.add_einsum([left.tensor, right.tensor], equation).get_output(0)
    return _Factor(product, letters, tuple(sizes[letter] for letter in letters))


def _scaled(net: Net, number: _Factor, factor: _Factor) -> _Factor:
    """A factor times a scalar."""
    ones = net.broadcast(number.tensor, (), len(factor.shape))
    return replace(factor, tensor=net.elementwise("PROD", ones, factor.tensor))
