"""A small catalogue, so that tests of the language do not hang on the real ops."""

from __future__ import annotations

from trtdsl.ops import catalogue
from trtdsl.ops.attributes import Bool, Choice, DimList, Float, Int, Ints, Maybe
from trtdsl.ops.base import Op, attribute, tensor
from trtdsl.ops.base import weight as weight_of


class Conv(Op):
    """Slides a kernel.

    More of it.
    """

    kind = "conv"
    aliases = ("convolution",)
    x = tensor(help="the image")
    channels = attribute(Int(minimum=1), help="how many come out")
    size = attribute(Ints(minimum=1), default=(3,), help="of the kernel")
    mode = attribute(Choice("zeros", "reflect"), default="zeros", help="beyond the edge")
    weight = weight_of("the kernel")
    bias = weight_of("added", optional=True)


class Relu(Op):
    """Cuts off what is negative."""

    kind = "relu"
    x = tensor()
    slope = attribute(Float(), default=0.0, help="of what is negative")


class Add(Op):
    """The sum of two."""

    kind = "add"
    a = tensor()
    b = tensor()


class Attention(Op):
    """Has an input that may be left out."""

    kind = "attention"
    q = tensor()
    k = tensor()
    mask = tensor(optional=True)


class Concat(Op):
    """One behind the other."""

    kind = "concat"
    xs = tensor(variadic=True)


class Split(Op):
    """Parts."""

    kind = "split"
    x = tensor()
    parts = attribute(Int(minimum=1), help="how many")

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(str(number) for number in range(self.parts))


class Top(Op):
    """The largest, and where they are."""

    kind = "top"
    x = tensor()
    output_names = ("values", "indices")


class Constant(Op):
    """Made from nothing."""

    kind = "constant"
    shape = attribute(DimList(), default=(), help="of the constant")
    trained = attribute(Maybe(Bool()), default=None, help="whether it was trained")
    value = weight_of("the elements")


TOYS = catalogue((Conv, Relu, Add, Attention, Concat, Split, Top, Constant))
