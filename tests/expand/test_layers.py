"""What bodies of layers expand to: names, references, repeat, foreach, when, sequences and modules."""

from __future__ import annotations

import pytest

from tests.expand.expanding import expanded, layers, refused
from trtdsl.nodes import plain
from trtdsl.types import DataType, Dim, Sizes

# What stands under a name: the text, and the flat layers worked out by hand.
CASES: dict[str, tuple[str, list[str]]] = {
    "layers follow one another": (
        "layers: [relu, {op: conv, name: c, channels: 4}, relu]",
        ["relu = relu(x)", "c = conv(relu)", "relu_1 = relu(c)"],
    ),
    "an alias is the op itself": ("layers: [{op: convolution, channels: 4}]", ["convolution = conv(x)"]),
    "made-up names avoid given ones": (
        "layers: [relu, relu, {op: add, name: relu_1, in: [x, x]}, {op: relu, out: relu_2}, relu]",
        [
            "relu = relu(x)",
            "relu_3 = relu(relu)",
            "relu_1 = add(x, x)",
            "relu_4 = relu(relu_1) -> relu_2",
            "relu_5 = relu(relu_2)",
        ],
    ),
    "a name, a list, a mapping": (
        "layers: [{op: relu, name: a}, {op: relu, in: x}, {op: add, in: [a, x]}, {op: add, in: {b: a, a: x}}]",
        ["a = relu(x)", "relu = relu(x)", "add = add(a, x)", "add_1 = add(x, a)"],
    ),
    "inputs that may be left out": (
        "layers: [{op: attention, in: [x, x]}, {op: attention, in: [x, x, null]}, "
        "{op: attention, in: {q: x, k: x, mask: x}}]",
        ["attention = attention(x, x, -)", "attention_1 = attention(x, x, -)", "attention_2 = attention(x, x, x)"],
    ),
    "any number of inputs": (
        "layers: [{op: concat, in: [x, x, x]}, {op: concat, in: x}, {op: concat, in: {xs: [x, x]}}]",
        ["concat = concat(x, x, x)", "concat_1 = concat(x)", "concat_2 = concat(x, x)"],
    ),
    "no input": (
        "layers: [{op: constant, name: c}, relu, {op: add, in: [c, x]}]",
        ["c = constant()", "relu = relu(c)", "add = add(c, x)"],
    ),
    "ports": (
        "layers: [{op: split, name: s, parts: 3}, {op: add, in: [s:0, s:2]}, {op: top, name: t}, "
        "{op: relu, in: t:indices}]",
        [
            "s = split(x) -> s:0, s:1, s:2",
            "add = add(s:0, s:2)",
            "t = top(add) -> t:values, t:indices",
            "relu = relu(t:indices)",
        ],
    ),
    "one port needs no word": (
        "layers: [{op: split, name: s, parts: 1}, relu, {op: relu, in: s}]",
        ["s = split(x) -> s:0", "relu = relu(s:0)", "relu_1 = relu(s:0)"],
    ),
    "out renames": (
        "layers: [{op: relu, name: a, out: b}, {op: add, in: [a, b]}, {op: split, parts: 2, out: [l, r]}, "
        "{op: add, in: [l, r]}]",
        ["a = relu(x) -> b", "add = add(b, b)", "split = split(add) -> l, r", "add_1 = add(l, r)"],
    ),
    "repeat": (
        "layers: [{op: relu, name: r, repeat: 3}, {op: relu, in: r}, {op: relu, in: r.1}]",
        ["r.0 = relu(x)", "r.1 = relu(r.0)", "r.2 = relu(r.1)", "relu = relu(r.2)", "relu_1 = relu(r.1)"],
    ),
    "repeat without a name": ("layers: [{op: relu, repeat: 2}]", ["relu.0 = relu(x)", "relu.1 = relu(relu.0)"]),
    "repeat keeps further inputs": (
        "layers: [{op: relu, name: s}, {op: add, name: a, in: [x, s], repeat: 2}]",
        ["s = relu(x)", "a.0 = add(x, s)", "a.1 = add(a.0, s)"],
    ),
    "no repetition passes through": (
        "layers: [{op: relu, name: r, repeat: 0}, {op: add, in: [r, x]}]",
        ["add = add(x, x)"],
    ),
    "repeat and out": (
        "layers: [{op: relu, name: r, repeat: 2, out: y}, {op: relu, in: y}]",
        ["r.0 = relu(x)", "r.1 = relu(r.0) -> y", "relu = relu(y)"],
    ),
    "each repetition decides for itself": (
        "layers: [{op: relu, name: r, repeat: 3, index: k, when: $(k != 1)}]",
        ["r.0 = relu(x)", "r.2 = relu(r.0)"],
    ),
    "when": (
        "layers: [{op: relu, name: a, when: false}, {op: relu, name: b, when: true}, {op: add, in: [a, b]}]",
        ["b = relu(x)", "add = add(x, b)"],
    ),
    "when and out": ("layers: [{op: relu, out: y, when: false}, {op: relu, in: y}]", ["relu_1 = relu(x)"]),
    "a constant that is switched off": (
        "layers: [relu, {op: constant, name: c, when: false}, relu]",
        ["relu = relu(x)", "relu_1 = relu(relu)"],
    ),
    "foreach": (
        "layers: [{foreach: k, rows: [a, b], layers: [{op: relu, name: $k}]}, {op: add, in: [a, b]}]",
        ["a = relu(x)", "b = relu(a)", "add = add(a, b)"],
    ),
    "foreach over pairs": (
        "layers: [{foreach: [i, c], rows: '$(enumerate([8, 16]))', when: $(c > 8), layers: [{op: relu, name: r$i}]}]",
        ["r1 = relu(x)"],
    ),
    "foreach in foreach": (
        "layers: [{foreach: a, rows: [1, 2], layers: [{foreach: b, rows: $(range(a)), layers: [{op: relu, "
        "name: r$a$b}]}]}]",
        ["r10 = relu(x)", "r20 = relu(r10)", "r21 = relu(r20)"],
    ),
    "foreach opens no scope": (
        "layers: [{foreach: a, rows: [1, 2], layers: [relu]}]",
        ["relu = relu(x)", "relu_1 = relu(relu)"],
    ),
    "sequence": (
        'layers: [{op: sequence, name: s, layers: [{op: relu, name: "0"}, {op: add, in: ["0", x]}]}, '
        "{op: relu, in: s}, {op: relu, in: s.0}]",
        ["s.0 = relu(x)", "s.add = add(s.0, x)", "relu = relu(s.add)", "relu_1 = relu(s.0)"],
    ),
    "sequence without a name": (
        "layers: [{op: sequence, layers: [relu]}, relu]",
        ["sequence.relu = relu(x)", "relu = relu(sequence.relu)"],
    ),
    "sequence sees the names around it": (
        "layers: [{op: relu, name: a}, {op: sequence, name: s, in: x, layers: [{op: relu, name: b}, "
        "{op: sequence, layers: [{op: add, in: [a, b]}]}]}]",
        ["a = relu(x)", "s.b = relu(x)", "s.sequence.add = add(a, s.b)"],
    ),
    "sequence's own names come first": (
        "layers: [{op: relu, name: a}, {op: sequence, name: s, layers: [{op: relu, name: a}, {op: add, in: [a, x]}]}]",
        ["a = relu(x)", "s.a = relu(a)", "s.add = add(s.a, x)"],
    ),
    "an empty sequence": ("layers: [{op: sequence, name: s, layers: []}, {op: add, in: [s, x]}]", ["add = add(x, x)"]),
    "sequence repeated": (
        "layers: [{op: sequence, name: s, repeat: 2, layers: [{op: relu, name: r$i}]}, {op: add, in: [s, s.0.r0]}]",
        ["s.0.r0 = relu(x)", "s.1.r1 = relu(s.0.r0)", "add = add(s.1.r1, s.0.r0)"],
    ),
    "module": (
        "modules: {m: {layers: [{op: relu, name: r}, {op: add, in: [r, x]}]}}\n"
        "layers: [{op: m, name: a}, m, {op: relu, in: a.r}]",
        ["a.r = relu(x)", "a.add = add(a.r, x)", "m.r = relu(a.add)", "m.add = add(m.r, a.add)", "relu = relu(a.r)"],
    ),
    "module of two inputs": (
        "modules: {m: {inputs: [p, q], layers: [{op: relu, name: r}, {op: add, in: [r, q]}]}}\n"
        "layers: [{op: relu, name: a}, {op: m, in: {q: x, p: a}}]",
        ["a = relu(x)", "m.r = relu(a)", "m.add = add(m.r, x)"],
    ),
    "module that gives two things": (
        "modules: {m: {layers: [{op: relu, name: a}, {op: relu, name: b}], outputs: {first: a, second: b}}}\n"
        "layers: [{op: m, name: n}, {op: add, in: [n:first, n:second]}, {op: m, in: x, out: [p, q]}, "
        "{op: add, in: [p, q]}]",
        [
            "n.a = relu(x)",
            "n.b = relu(n.a)",
            "add = add(n.a, n.b)",
            "m.a = relu(x)",
            "m.b = relu(m.a)",
            "add_1 = add(m.a, m.b)",
        ],
    ),
    "module that gives an inner tensor": (
        "modules: {m: {layers: [{op: relu, name: a}, relu], outputs: a}}\nlayers: [m, relu]",
        ["m.a = relu(x)", "m.relu = relu(m.a)", "relu = relu(m.a)"],
    ),
    "module without inputs": (
        "modules: {m: {inputs: [], layers: [constant]}}\nlayers: [{op: m, name: n}, {op: add, in: [x, n]}]",
        ["n.constant = constant()", "add = add(x, n.constant)"],
    ),
    "module in a module": (
        "modules: {a: {layers: [{op: b, name: b}, "
        "{op: relu, in: b.r}]}, b: {layers: [{op: relu, name: r}, relu]}}\nlayers: [{op: a, name: a}]",
        ["a.b.r = relu(x)", "a.b.relu = relu(a.b.r)", "a.relu = relu(a.b.r)"],
    ),
    "module that stops using itself": (
        "modules: {m: {params: [n], layers: [relu, {op: m, name: d, n: $(n - 1), when: $(n > 0)}]}}\n"
        "layers: [{op: m, name: m, n: 2}]",
        ["m.relu = relu(x)", "m.d.relu = relu(m.relu)", "m.d.d.relu = relu(m.d.relu)"],
    ),
    "an op that is computed": (
        "params: {deep: true}\nmodules: {m: {layers: [relu]}}\n"
        "layers: [{op: $('m' if deep else 'relu')}, {op: $('add'), in: [x, x]}]",
        ["m.relu = relu(x)", "add = add(x, x)"],
    ),
    "whole numbers that name": (
        "layers: [{foreach: n, rows: [1, 2], layers: [{op: relu, name: $n}, {op: relu, name: $(n + 4), in: $n}]}, "
        "{op: add, in: [$(3 - 2), $(2 * 3)]}]",
        ["1 = relu(x)", "5 = relu(1)", "2 = relu(5)", "6 = relu(2)", "add = add(1, 6)"],
    ),
    "names of several parts": (
        "layers: [{op: relu, name: h.0.attn}, {op: relu, in: h.0.attn}]",
        ["h.0.attn = relu(x)", "relu = relu(h.0.attn)"],
    ),
}


@pytest.mark.parametrize(("text", "flat"), CASES.values(), ids=CASES.keys())
def test_layers(text: str, flat: list[str]) -> None:
    assert layers(expanded(text)) == flat


def parameters(text: str) -> list[dict[str, object]]:
    return [{key: plain(node) for key, node in layer.parameters.items()} for layer in expanded(text).layers]


def test_parameters_are_evaluated() -> None:
    text = (
        "trtdsl: 1\nparams: {c: 4, w: key}\ndims: {N: [1, 2, 4], M: 5}\ninputs: {x: [N, 3]}\n"
        "layers:\n"
        "  - {op: conv, channels: $(c * 2), size: [$c, 3], weight: {key: $w.$c, file: a$$b}, bias: false}\n"
        "  - {op: constant, shape: [N, $(N * M), $M], value: [$(1 / 2), 2]}\n"
    )
    n = Dim.dynamic("N", Sizes(1, 2, 4))
    assert parameters(text) == [
        {"channels": 8, "size": [4, 3], "weight": {"key": "key.4", "file": "a$b"}, "bias": False},
        {"shape": ["N", n * 5, 5], "value": [0.5, 2]},
    ]


def test_a_module_sees_its_params_and_the_dimensions_only() -> None:
    module = (
        "modules: {m: {params: {a: , b: $(a + 1), c: $(b * M)}, layers: [{op: conv, channels: $c, size: [$a, $b]}]}}\n"
    )
    text = "trtdsl: 1\nparams: {a: 100}\ndims: {M: 5}\ninputs: {x: [M, 3]}\n" + module
    assert parameters(text + "layers: [{op: m, a: 1}]") == [{"channels": 10, "size": [1, 2]}]
    assert parameters(text + "layers: [{op: m, a: $a, b: 7}]") == [{"channels": 35, "size": [100, 7]}]
    assert parameters(text + "layers: [{op: m, a: 1, repeat: 2, b: $i}]") == [
        {"channels": 0, "size": [1, 0]},
        {"channels": 5, "size": [1, 1]},
    ]


def test_the_index_reaches_into_sequences_but_not_into_modules() -> None:
    sequence = "{op: sequence, name: s, repeat: 2, layers: [{op: relu, slope: $i}]}"
    assert parameters(f"layers: [{sequence}]") == [{"slope": 0}, {"slope": 1}]
    (error,) = refused("modules: {m: {layers: [{op: relu, slope: $i}]}}\nlayers: [{op: m, repeat: 2}]")
    assert (error.code, error.message) == ("unknown-name", "nothing is called `i` here")


def test_precision_is_inherited_and_the_inner_word_wins() -> None:
    text = (
        "modules: {m: {layers: [relu, {op: relu, precision: fp32}]}}\n"
        "layers: [relu, {op: m, precision: fp16}, {op: sequence, precision: bf16, layers: [m, "
        "{op: m, precision: fp16}]}]"
    )
    layers = expanded(text).layers
    groups = [str(layer.group_precision or "none") for layer in layers]
    assert groups == ["none", "fp16", "fp16", "bf16", "bf16", "fp16", "fp16"]
    own = [str(layer.precision or "none") for layer in layers]
    assert own == ["none", "none", "fp32", "none", "fp32", "none", "fp32"]


def test_impl_is_kept() -> None:
    assert [layer.impl for layer in expanded("layers: [{op: relu, impl: native}, relu]").layers] == ["native", None]


def test_a_layer_knows_its_lines_and_the_uses_that_led_there() -> None:
    text = "modules:\n  a: {layers: [relu]}\n  b: {layers: [a]}\nlayers:\n  - {op: b, name: first}\n"
    (layer,) = expanded(text).layers
    assert str(layer.origin.span) == "net.yaml:4:16"
    assert [(use.name, str(use.span)) for use in layer.origin.uses] == [("a", "net.yaml:5:16"), ("b", "net.yaml:7:5")]


def test_an_input_knows_its_place() -> None:
    first, second = expanded("layers: [relu, {op: attention, in: [x, x]}]").layers
    assert first.input_spans == (None,)
    assert [str(span) for span in second.input_spans] == ["net.yaml:3:37", "net.yaml:3:40", "None"]


# Each error once, with the part of its message or hint that tells.
WRONG: dict[str, tuple[str, list[str]]] = {
    "one mistake, one error": (
        "layers: [{op: relu, name: a, in: zzz}, {op: add, name: b, in: [a, x]}, {op: relu, in: b}, "
        "{op: add, in: [b, a]}]",
        ["no tensor is called `zzz` here"],
    ),
    "mistakes after a mistake are found": (
        "layers: [{op: relu, in: zzz}, {op: relu, slope: $zz}, {op: relu, when: $(1 + true)}, {op: add, in: [x]}]",
        ["`zzz` here", "`zz` here", "`+` needs numbers", "add takes 2 inputs, 1 is given"],
    ),
    "every wrong parameter": ("layers: [{op: conv, channels: $p, size: $q}]", ["`p` here", "`q` here"]),
    "what a module repeats": (
        "modules: {m: {layers: [{op: relu, in: zzz}]}}\nlayers: [m, {op: m, repeat: 5}]",
        ["no tensor is called `zzz` here"],
    ),
    "a name that was made up": ("layers: [relu, {op: add, in: [relu, x]}]", ["no tensor is called `relu` here"]),
    "a layer inside one without a name": (
        "layers: [{op: sequence, layers: [{op: relu, name: a}]}, {op: relu, in: sequence.a}]",
        ["no tensor is called `sequence.a` here"],
    ),
    "a name further down": ("layers: [{op: relu, in: b}, {op: relu, name: b}]", ["no tensor is called `b` here"]),
    "names outside a module": (
        "modules: {m: {layers: [{op: relu, in: a}]}}\nlayers: [{op: relu, name: a}, m]",
        ["no tensor is called `a` here"],
    ),
    "the network's input in a module": (
        "modules: {m: {inputs: [y], layers: [{op: relu, in: x}]}}\nlayers: [m]",
        ["no tensor is called `x` here"],
    ),
    "what a wrong layer would have given": (
        "layers: [{op: split, name: s, parts: $(0 - 1)}, {op: relu, in: s:5}, "
        "{op: relu, name: o, slope: $z, out: [p]}, {op: relu, in: p}]",
        ["split: `parts`: expected integer, at least 1, got -1", "`z` here"],
    ),
    "layers inside what is wrong": (
        "layers: [{op: sequence, name: s, repeat: $z, layers: [{op: relu, name: a}]}, {op: relu, in: s.0.a}]",
        ["`z` here"],
    ),
    "a param that is one of the network's": (
        "params: {width: 3}\nmodules: {m: {layers: [{op: relu, slope: $width}]}}\nlayers: [m]",
        ["nothing is called `width` here"],
    ),
    "a switched-off constant": (
        "layers: [{op: constant, name: c, when: false}, {op: relu, in: c}]",
        ["no tensor is called `c` here"],
    ),
    "an input's name inside a module": (
        "modules: {m: {inputs: [a], layers: [{op: relu, name: a}]}}\nlayers: [m]",
        ["`a` is an input's name already"],
    ),
}
HINTS = {
    "a name that was made up": "give the layer a `name`",
    "a layer inside one without a name": "give the layer a `name`",
    "a name further down": "it stands further down",
    "a param that is one of the network's": "a module sees its own params only: give it one called `width`",
    "a switched-off constant": "its `when` is false",
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    text, messages = WRONG[case]
    found = refused(text)
    assert len(found) == len(messages), [error.render() for error in found]
    for error, message in zip(found, messages, strict=True):
        assert message in error.message
    if case in HINTS:
        assert HINTS[case] in (found[0].hint or "")


def test_an_error_inside_a_module_names_its_use() -> None:
    (error,) = refused("modules:\n  m: {layers: [{op: relu, in: zzz}]}\nlayers:\n  - relu\n  - {op: m, name: a}\n")
    assert str(error.span) == "net.yaml:4:31"
    assert [f"{note.span}: {note.message}" for note in error.notes] == ["net.yaml:7:5: in `m`, used here"]


def test_the_caret_stands_inside_the_expression() -> None:
    for written, column in (("$(1 + zz)", 7), ('"$(1 + zz)"', 8), ("a$(1)b$zz", 8)):
        (error,) = refused(f"layers:\n  - op: relu\n    slope: {written}\n")
        assert error.span is not None
        assert (error.span.line, error.span.column - 11) == (5, column), written
        assert error.span.end_column - error.span.column == 2


def test_data_types_of_outputs_and_inputs() -> None:
    flat = expanded(
        "trtdsl: 1\ninputs: {x: {shape: [1], dtype: fp16}}\nlayers: [relu]\noutputs: {y: {tensor: x, dtype: int8}}"
    )
    assert flat.inputs[0].dtype is DataType.FP16
    assert flat.outputs[0].dtype is DataType.INT8
