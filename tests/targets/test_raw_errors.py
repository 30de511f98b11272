"""What is wrong with raw layers is an error with a place, and the names and values that are valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.targets.emitting import emitted, typed
from trtdsl.errors import BuildError, Diagnostic, NetworkError
from trtdsl.targets.runtime import Runtime

HEAD = "dims: {N: [1, 4, 8]}\ninputs: {x: [N, 8], y: [N, 8]}\nlayers:\n  - "
ERRORS = [
    ("{op: trt.sofmax}", [("unknown-op", "has no method add_sofmax", "did you mean `trt.softmax`?", "{op")]),
    (
        "{op: trt.softmax, axis: 1}",
        [("unknown-parameter", "add_softmax has no argument `axis`", "its arguments are input", "1")],
    ),
    (
        "{op: trt.softmax, axes: [1]}",
        [("unknown-parameter", "no argument `axes`", "it is an attribute of the layer: `set: {axes: …}`", "[1]")],
    ),
    (
        "{op: trt.softmax, set: {axis: 1}}",
        [("unknown-parameter", "ISoftMaxLayer has no attribute `axis`", "did you mean `axes`?", "1")],
    ),
    (
        "{op: trt.softmax, set: {axes: [2]}}",
        [("parameter-value", "the first tensor has 2 axes, there is no axis 2", None, "[2]")],
    ),
    ("{op: trt.softmax, set: {axes: last}}", [("parameter-value", "expected a list of axes", None, "last")]),
    ("{op: trt.softmax, set: {num_inputs: 1}}", [("unknown-parameter", "can only be read", "ISoftMaxLayer has", "1")]),
    ("{op: trt.softmax, set: {name: me}}", [("unknown-parameter", "not set by hand", "the layer's own `name`", "me")]),
    (
        "{op: trt.softmax, call: {set_axes: {}}}",
        [("unknown-parameter", "ISoftMaxLayer has no method `set_axes`", "ISoftMaxLayer has", "{}")],
    ),
    (
        "{op: trt.elementwise, in: [x, y]}",
        [("missing-parameter", "add_elementwise needs `op`, one of SUM", "`args: {op: …}`", "{op")],
    ),
    (
        "{op: trt.elementwise, in: [x], args: {op: sum}}",
        [
            ("parameter-value", "`op`: expected one of SUM", "did you mean `SUM`?", "sum"),
            ("inputs", "takes the tensors input1, input2, and `in` names 1", None, "x"),
        ],
    ),
    (
        "{op: trt.topk, args: {op: MAXIMUM}, k: two, axes: [1], index_type: int64}",
        [
            ("parameter-value", "`op`: expected one of MAX, MIN", "did you mean `MAX`?", "MAXIMUM"),
            ("parameter-value", '`k`: expected a whole number, got "two"', None, "two"),
            ("unknown-parameter", "no argument `index_type`", "did you mean `indices_type`?", "int64"),
        ],
    ),
    (
        "{op: trt.cast, to_type: float16}",
        [("parameter-value", "expected one of fp32, fp16, bf16", None, "float16")],
    ),
    (
        "{op: trt.slice, start: [0, 0], shape: [N, 4], stride: 1}",
        [
            ("parameter-value", "N differs from run to run", "as a tensor in `in`", "[N, 4]"),
            ("parameter-value", "`stride`: expected a list of whole numbers, got 1", None, "1"),
        ],
    ),
    ("{op: trt.assertion, message: 3}", [("parameter-value", "expected text, got 3", "put it in quotes", "3")]),
    (
        "{op: trt.lrn, window: 3.0, alpha: yes, beta: 1, k: null}",
        [
            ("parameter-value", "`window`: expected a whole number, got 3.0", None, "3.0"),
            ("parameter-value", '`alpha`: expected a number, got "yes"', None, "yes"),
            ("parameter-value", "`k`: expected a number, got nothing", None, "null"),
        ],
    ),
    (
        "{op: trt.shuffle, set: {first_transpose: [0, 0]}}",
        [("parameter-value", "expected the order of the axes", None, "[0, 0]")],
    ),
    (
        "{op: trt.select, in: [x, x, y], condition: in.7}",
        [("parameter-value", "there is no `in.7`: `in` names 3 tensors", None, "in.7")],
    ),
    (
        "{op: trt.select, in: [x, x, y], condition: x}",
        [("parameter-value", "expected a tensor: `in.0` is the first", None, "x}")],
    ),
    (
        "{op: trt.scale, mode: UNIFORM, weights: {scal: {values: [1]}}, outputs: {shape: [N, 8]}}",
        [("unknown-parameter", "add_scale takes no weights `scal`", "did you mean `scale`?", "{values")],
    ),
    (
        "{op: trt.constant, shape: [1], outputs: {shape: [1]}}",
        [("missing-parameter", "add_constant needs `weights`, a weight", "`weights: {weights: …}`", "{op")],
    ),
    (
        "{op: trt.scale, mode: UNIFORM, set: {scale: weights.w}}",
        [("parameter-value", "there is no `w` under `weights`", None, "weights.w")],
    ),
    (
        "{op: trt.softmax, outputs: {shape: [N, 4]}}",
        [
            (
                "tensorrt-type",
                "gives fp32[-1, 8], the layer declares fp32[N, 4]",
                "{shape: [N, 8], dtype: fp32}",
                "{shape",
            )
        ],
    ),
    (
        "{op: trt.shape}",
        [("tensorrt-type", "gives int64[2], the layer declares fp32[N, 8]", "{shape: [2], dtype: int64}", "{op")],
    ),
    (
        "{op: trt.topk, args: {op: MAX}, k: 2, axes: [1], outputs: {shape: [N, 2]}}",
        [
            (
                "tensorrt-type",
                "gives fp32[-1, 2], int32[-1, 2], the layer declares fp32[N, 2]",
                "`outputs: [{shape: [N, 2], dtype: fp32}, {shape: [N, 2], dtype: int32}]`",
                "{shape",
            )
        ],
    ),
    (
        "{op: trt.einsum, in: [x, y], equation: bi}",
        [("tensorrt-refused", "TensorRT refused trt.einsum (trt.einsum)", None, "{op")],
    ),
]


@pytest.mark.parametrize(("layer", "expected"), ERRORS, ids=[layer for layer, _ in ERRORS])
def test_errors_name_the_place_and_what_is_valid(
    layer: str, expected: list[tuple[str, str, str | None, str]], tmp_path: Path, rtx: Runtime
) -> None:
    graph = typed(tmp_path / "net.yaml", f"{HEAD}{layer}\n")
    with pytest.raises(BuildError) as caught:
        emitted(graph, rtx)
    found = list(caught.value.diagnostics)
    assert len(found) == len(expected), [str(one) for one in found]
    for code, message, hint, place in expected:
        [one] = [one for one in found if one.code == code and message in one.message]
        assert (one.hint is None) == (hint is None), one.hint
        assert hint is None or hint in (one.hint or "")
        assert text_at(one).startswith(place)


def text_at(diagnostic: Diagnostic) -> str:
    """What stands at the place of a diagnostic, to the end of its line."""
    span = diagnostic.span
    assert span is not None
    return span.file.text.splitlines()[span.line - 1][span.column - 1 :]


UNCHECKED = [
    ("{op: trt.loop}", "unknown-op", "a loop is written `op: loop`"),
    ("{op: trt.input}", "unknown-op", "the network's inputs stand under `inputs`"),
    ("{op: trt.plugin_v2}", "unknown-op", "a plugin is written `op: plugin`"),
    ("{op: trt.Softmax}", "unknown-op", None),
    ("{op: trt.fill, shape: [2], args: {op: LINSPACE}}", "shape", "`outputs: {shape: […], dtype: …}`"),
    ("{op: trt.softmax, outputs: {shape: [M]}}", "parameter-value", None),
    ("{op: trt.softmax, outputs: {dtype: float}}", "parameter-value", None),
    ("{op: trt.softmax, set: 3}", "parameter-value", None),
    ("{op: trt.scale, weights: {scale: {normal: 1}}}", "parameter-value", "`weights: {scale: {shape: […], …}}`"),
    ("{op: trt.scale, weights: {scale: {values: 1, key: a}}}", "parameter-value", None),
    ("{op: trt.scale, weights: {scale: {norml: 1}}}", "weight-value", "did you mean `normal`?"),
]


@pytest.mark.parametrize(("layer", "code", "hint"), UNCHECKED, ids=[layer for layer, _, _ in UNCHECKED])
def test_what_is_wrong_without_a_tensorrt(layer: str, code: str, hint: str | None, tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        typed(tmp_path / "net.yaml", f"{HEAD}{layer}\n")
    [found] = caught.value.diagnostics
    assert found.code == code, str(found)
    assert hint is None or found.hint == hint
