from __future__ import annotations

from typing import Any

import pytest

from trtdsl.ops import CATALOGUE, catalogue
from trtdsl.ops.attributes import Int
from trtdsl.ops.base import Op, attribute, weight

KINDS = sorted({op.kind: op for op in CATALOGUE.values()}.items())


class Plain(Op):
    """An op."""

    kind = "plain"


class Twin(Op):
    """Another op that answers to the first one's name."""

    kind = "twin"
    aliases = ("plain",)


class Named(Op):
    """An op whose parameter every layer has already."""

    kind = "named"
    name = attribute(Int(), help="a name")


class Biased(Op):
    """An op whose weight is called as a key of every layer."""

    kind = "biased"
    index = weight("a weight")


def test_aliases_name_the_same_op() -> None:
    assert CATALOGUE["upsample"] is CATALOGUE["resize"]
    assert CATALOGUE["conv_transpose"] is CATALOGUE["deconv"]


def test_the_catalogue_does_not_change() -> None:
    table: Any = CATALOGUE
    with pytest.raises(TypeError):
        table["plain"] = Plain


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="both Plain and Twin are called plain"):
        catalogue((Plain, Twin))


@pytest.mark.parametrize(("op", "key"), [(Named, "name"), (Biased, "index")])
def test_keys_of_layers_are_taken(op: type[Op], key: str) -> None:
    with pytest.raises(ValueError, match=f"declares the key `{key}`"):
        catalogue((op,))


@pytest.mark.parametrize("op", [op for _, op in KINDS], ids=[kind for kind, _ in KINDS])
def test_every_op_explains_itself(op: type[Op]) -> None:
    assert op.__doc__
    assert op.example
    assert all(parameter.help for parameter in op.attributes.values())
    assert all(parameter.help for parameter in op.weight_parameters.values())
