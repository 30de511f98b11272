"""Networks with control flow, and what they compute, worked out with numpy.

`expected` gets the inputs and the weights (`layer.weight`) as fp32 arrays by name. `runs` are the inputs of each run:
shapes follow from `dims`, of which `points` has the sizes of each run; arrays given outright stand as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Control:
    """One network. `precisions` are those in which it is run beside the expectation.

    TensorRT-RTX's builder fails inside itself in those of `unbuilt`: it cannot do with casts of slices in front of a
    conditional.
    """

    id: str
    text: str
    shapes: Mapping[str, Sequence[int | str]]
    expected: Callable[[Arrays, Arrays], Mapping[str, Array]]
    points: Sequence[Mapping[str, int]] = ({},)
    given: Sequence[Mapping[str, Any]] = ({},)
    precisions: Sequence[str] = ("fp32", "fp16")
    unbuilt: Sequence[str] = ()

    def runs(self) -> Iterator[dict[str, Array]]:
        """The inputs of each run."""
        for sizes in self.points:
            for given in self.given:
                arrays = {}
                for name, shape in self.shapes.items():
                    seed = zlib.crc32(f"{self.id} {name} {sizes}".encode())
                    real = [sizes[size] if isinstance(size, str) else size for size in shape]
                    numbers = np.random.default_rng(seed).uniform(-1, 1, real).astype(np.float32)
                    # Few bits, so that fp16 holds them exactly.
                    arrays[name] = np.asarray(np.round(numbers * 64) / 64, np.float32)
                yield {**arrays, **{name: np.asarray(value) for name, value in given.items()}}


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def linear(weights: Arrays, name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


FLAGS: Sequence[Mapping[str, Any]] = ({"flag": True}, {"flag": False})
DYNAMIC: Sequence[Mapping[str, int]] = ({"N": 1, "T": 1}, {"N": 2, "T": 5}, {"N": 4, "T": 9})
DIMS = {"N": "[1, 2, 4]", "T": "[1, 5, 9]"}


IF = """\
inputs: {x: [2, 3], other: [2, 3], flag: {shape: [], dtype: bool}}
layers:
  - {op: exp, name: around, in: x}
  - op: if
    name: choose
    in: [flag, x]
    then:
      - relu
      - {op: add, name: y, in: [relu, around]}
    else:
      - {op: neg, name: y}
      - {op: mul, name: scaled, in: [y, other]}
    outputs: {y: {then: y, else: scaled}, first: y}
outputs: {y: choose:y, first: choose:first}
""".replace("      - relu\n", "      - {op: relu, name: relu}\n")


def expect_if(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    a = x["x"]
    then = relu(a) + np.exp(a)
    return {"y": then, "first": then} if x["flag"] else {"y": -a * x["other"], "first": -a}


PASSED = """\
inputs: {x: [N, 4], limit: [1]}
layers:
  - {op: reduce_max, name: largest, in: x}
  - {op: unsqueeze, name: top, dim: 0}
  - {op: greater, name: large, in: [top, limit]}
  - {op: if, name: tamed, in: [large, x], then: [tanh]}
outputs: {y: tamed}
"""


def expect_passed(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    return {"y": np.tanh(x["x"]) if x["x"].max() > x["limit"][0] else x["x"]}


RESHAPED = """\
inputs: {x: [N, T, 4], flag: {shape: [1], dtype: bool}}
layers:
  - op: if
    name: choose
    in: [flag, x]
    then:
      - {op: reshape, shape: ["$(N * T)", 4]}
      - {op: linear, name: fc, out_features: 6}
      - {op: reshape, shape: [N, T, 6]}
    else:
      - {op: linear, name: fc, out_features: 6}
outputs: {y: choose}
"""


def expect_reshaped(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    return {"y": linear(w, "choose.then.fc" if x["flag"][0] else "choose.else.fc", x["x"])}


LSTM = """\
inputs: {x: [N, T, 8], h0: [N, 4], c0: [N, 4]}
layers:
  - op: loop
    name: lstm
    scan: {x_t: {tensor: x, dim: 1}}
    state: {h: h0, c: c0}
    layers:
      - {op: linear, name: ih, out_features: 16}
      - {op: linear, name: hh, in: h, out_features: 16}
      - {op: add, name: gates, in: [ih, hh]}
      - {op: split, in: gates, sections: 4, dim: 1, out: [i, f, g, o]}
      - {op: sigmoid, name: kept, in: f}
      - {op: mul, name: old, in: [kept, c]}
      - {op: sigmoid, name: taken, in: i}
      - {op: tanh, name: candidate, in: g}
      - {op: mul, name: new, in: [taken, candidate]}
      - {op: add, name: c_next, in: [old, new]}
      - {op: tanh, name: squashed, in: c_next}
      - {op: sigmoid, name: given, in: o}
      - {op: mul, name: h_next, in: [given, squashed]}
    next: {h: h_next, c: c_next}
    outputs: {all: {stack: h_next, dim: 1}, h: h, c: c}
outputs: {all: lstm:all, h: lstm:h, c: lstm:c}
"""


def expect_lstm(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h, c, every = x["h0"], x["c0"], []
    for t in range(x["x"].shape[1]):
        gates = linear(w, "lstm.ih", x["x"][:, t]) + linear(w, "lstm.hh", h)
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        every.append(h)
    return {"all": np.stack(every, axis=1), "h": h, "c": c}


GRU = """\
inputs: {x: [T, N, 8], h0: [N, 4]}
layers:
  - op: loop
    name: gru
    scan: {x_t: {tensor: x, reverse: true}}
    state: {h: h0}
    layers:
      - {op: linear, name: ih, out_features: 12}
      - {op: linear, name: hh, in: h, out_features: 12}
      - {op: split, in: ih, sections: 3, dim: 1, out: [ir, iz, in]}
      - {op: split, in: hh, sections: 3, dim: 1, out: [hr, hz, hn]}
      - {op: add, name: r_sum, in: [ir, hr]}
      - {op: sigmoid, name: r}
      - {op: add, name: z_sum, in: [iz, hz]}
      - {op: sigmoid, name: z}
      - {op: mul, name: forgotten, in: [r, hn]}
      - {op: add, name: n_sum, in: [in, forgotten]}
      - {op: tanh, name: n}
      - {op: sub, name: change, in: [h, n]}
      - {op: mul, name: kept, in: [z, change]}
      - {op: add, name: h_next, in: [n, kept]}
    outputs: {all: {stack: h_next, reverse: true}, h: h}
outputs: {all: gru:all, h: gru:h}
"""


def expect_gru(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h, every = x["h0"], []
    for slice_ in x["x"][::-1]:
        ir, iz, i_n = np.split(linear(w, "gru.ih", slice_), 3, axis=1)
        hr, hz, hn = np.split(linear(w, "gru.hh", h), 3, axis=1)
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        n = np.tanh(i_n + r * hn)
        h = (1 - z) * n + z * h
        every.append(h)
    return {"all": np.stack(every[::-1]), "h": h}


WHILE = """\
inputs: {x: [2, 3], limit: []}
layers:
  - op: loop
    name: doubling
    state: {h: x}
    while: small
    layers:
      - {op: add, name: twice, in: [h, h]}
      - {op: abs, name: sizes, in: twice}
      - {op: reduce_sum, name: total, in: sizes}
      - {op: less, name: small, in: [total, limit]}
    next: {h: twice}
outputs: {y: doubling}
"""


def expect_while(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h = 2 * x["x"]
    while np.abs(h).sum() < x["limit"]:
        h = 2 * h
    return {"y": h}


BOTH_LIMITS = WHILE.replace("    while: small\n", "    while: small\n    count: 3\n")


def expect_both_limits(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h = x["x"]
    for _ in range(3):
        h = 2 * h
        if np.abs(h).sum() >= x["limit"]:
            break
    return {"y": h}


COUNTED = """\
inputs: {x: [2, 3], n: {shape: [], dtype: int32}}
layers:
  - op: loop
    name: growing
    count: {tensor: n}
    state: {h: x}
    layers:
      - {op: add, name: twice, in: [h, h]}
outputs: {y: growing}
"""


def expect_counted(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    return {"y": x["x"] * 2.0 ** int(x["n"])}


STACKED = """\
inputs: {x: [N, 3], step: [N, 3], tokens: [T]}
layers:
  - op: loop
    name: walk
    count: T
    state: {h: x}
    layers:
      - {op: add, name: further, in: [h, step]}
    outputs:
      last: h
      rows: {stack: further}
      columns: {stack: further, dim: -1}
      back: {stack: further, dim: 1, reverse: true}
outputs: {last: walk:last, rows: walk:rows, columns: walk:columns, back: walk:back, told: tokens}
"""


def expect_stacked(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    every = [x["x"] + (t + 1) * x["step"] for t in range(len(x["tokens"]))]
    return {
        "last": every[-1],
        "rows": np.stack(every),
        "columns": np.stack(every, axis=-1),
        "back": np.stack(every[::-1], axis=1),
        "told": x["tokens"],
    }


SWAPPED = """\
inputs: {a: [2], b: [2], offset: [2]}
layers:
  - op: loop
    name: fibonacci
    count: 6
    state: {older: a, newer: b, same: offset}
    layers:
      - {op: add, name: sum, in: [older, newer]}
    next: {older: newer, newer: sum, same: same}
outputs: {older: fibonacci:older, newer: fibonacci:newer, same: fibonacci:same}
"""


def expect_swapped(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    a, b = x["a"], x["b"]
    for _ in range(6):
        a, b = b, a + b
    return {"older": a, "newer": b, "same": x["offset"]}


NESTED = """\
inputs: {x: [N, T, 4], bias: [4]}
layers:
  - op: loop
    name: rows
    scan: {row: {tensor: x, dim: 1}}
    state: {total: bias}
    layers:
      - {op: reduce_mean, name: mean, in: row, dim: 0}
      - op: loop
        name: powers
        count: 3
        state: {p: mean}
        layers:
          - {op: mul, name: p_next, in: [p, mean]}
          - {op: add, name: shifted, in: [p_next, total]}
        next: {p: p_next}
        outputs: {last: p, trail: {stack: shifted, dim: 1}}
      - {op: reduce_max, name: peak, in: powers:trail, dim: 1}
      - {op: add, name: total_next, in: [total, powers:last]}
    next: {total: total_next}
    outputs: {total: total, peaks: {stack: peak}}
outputs: {total: rows:total, peaks: rows:peaks}
"""


def expect_nested(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    total, peaks = x["bias"], []
    for t in range(x["x"].shape[1]):
        mean = x["x"][:, t].mean(axis=0)
        powers = [mean**exponent for exponent in (2, 3, 4)]
        peaks.append(np.max([power + total for power in powers], axis=0))
        total = total + powers[-1]
    return {"total": total, "peaks": np.stack(peaks)}


CHOSEN = """\
inputs: {x: [T, 4], start: [4], zero: {shape: [1], dtype: int32}}
layers:
  - op: loop
    name: steps
    scan: {x_t: x}
    state: {h: start, i: zero}
    layers:
      - {op: add, name: i_next, in: i, other: 1}
      - {op: mod, name: odd, in: i, other: 2}
      - {op: equal, name: even, in: odd, other: 0}
      - op: if
        name: choose
        in: even
        then: [{op: add, name: y, in: [h, x_t]}]
        else: [{op: mul, name: y, in: [h, x_t]}]
        outputs: y
    next: {h: choose, i: i_next}
outputs: {h: steps:h, i: steps:i}
"""


def expect_chosen(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h = x["start"]
    for t, slice_ in enumerate(x["x"]):
        h = h * slice_ if t % 2 else h + slice_
    return {"h": h, "i": x["zero"] + len(x["x"])}


MODULES = """\
params: {depth: 2, extra: false}
inputs: {x: [N, 4], y: [N, 4]}
modules:
  block:
    params: [slope]
    inputs: [x]
    layers:
      - {op: linear, name: fc, out_features: 4, bias: false}
      - {op: leaky_relu, name: act, negative_slope: $slope}
      - {op: add, in: [act, x]}
  rounds:
    inputs: [x, y]
    layers:
      - op: loop
        name: again
        count: 2
        state: {h: x}
        layers:
          - {op: block, name: deep, repeat: 2, slope: 0.5}
          - foreach: k
            rows: [1, 2]
            layers: [{op: add, name: plus$k, in: [deep, y]}]
          - {op: add, name: both, in: [plus1, plus2]}
          - {op: tanh, when: false}
layers:
  - {op: rounds, name: r, in: [x, y]}
outputs: {z: r}
"""


def expect_modules(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h = x["x"]
    for _ in range(2):
        for block in ("r.again.deep.0", "r.again.deep.1"):
            fc = h @ w[f"{block}.fc.weight"].T
            h = np.where(fc > 0, fc, 0.5 * fc) + h
        h = 2 * (h + x["y"])
    return {"z": h}


MIXED = """\
precision: {default: fp16, layers: {"*.wide": fp32}}
inputs: {x: [T, 4], h0: {shape: [4], dtype: fp16}, flag: {shape: [], dtype: bool}}
layers:
  - op: loop
    name: steps
    scan: {x_t: x}
    state: {h: h0}
    layers:
      - {op: linear, name: wide, in: x_t, out_features: 4}
      - {op: add, name: h_next, in: [wide, h], precision: fp32}
    outputs: {all: {stack: h_next}, last: h}
  - op: if
    name: choose
    in: [flag, steps:all]
    then: [{op: relu, name: y}]
    else: [{op: neg, name: y, precision: fp32}]
outputs: {y: choose, last: steps:last}
"""


def expect_mixed(x: Arrays, w: Arrays) -> Mapping[str, Array]:
    h, every = x["h0"], []
    for slice_ in x["x"]:
        h = linear(w, "steps.wide", slice_) + h
        every.append(h)
    y = np.stack(every)
    return {"y": relu(y) if x["flag"] else -y, "last": h}


CASES = (
    Control("if", IF, {"x": [2, 3], "other": [2, 3]}, expect_if, given=FLAGS),
    Control(
        "if-passed",
        PASSED,
        {"x": ["N", 4]},
        expect_passed,
        DYNAMIC,
        ({"limit": np.float32([-2])}, {"limit": np.float32([2])}),
    ),
    Control(
        "if-reshaped",
        RESHAPED,
        {"x": ["N", "T", 4]},
        expect_reshaped,
        DYNAMIC,
        ({"flag": [True]}, {"flag": [False]}),
    ),
    Control("lstm", LSTM, {"x": ["N", "T", 8], "h0": ["N", 4], "c0": ["N", 4]}, expect_lstm, DYNAMIC),
    Control("gru-reversed", GRU, {"x": ["T", "N", 8], "h0": ["N", 4]}, expect_gru, DYNAMIC),
    Control("while", WHILE, {"x": [2, 3]}, expect_while, given=[{"limit": np.float32(v)} for v in (0.125, 90)]),
    Control(
        "while-and-count",
        BOTH_LIMITS,
        {"x": [2, 3]},
        expect_both_limits,
        given=[{"limit": np.float32(v)} for v in (0.125, 9, 1000)],
    ),
    Control("counted", COUNTED, {"x": [2, 3]}, expect_counted, given=[{"n": np.int32(n)} for n in (0, 1, 7)]),
    Control("stacked", STACKED, {"x": ["N", 3], "step": ["N", 3], "tokens": ["T"]}, expect_stacked, DYNAMIC),
    Control("swapped", SWAPPED, {"a": [2], "b": [2], "offset": [2]}, expect_swapped),
    Control("loop-in-loop", NESTED, {"x": ["N", "T", 4], "bias": [4]}, expect_nested, DYNAMIC),
    Control(
        "if-in-loop",
        CHOSEN,
        {"x": ["T", 4], "start": [4]},
        expect_chosen,
        DYNAMIC,
        ({"zero": np.int32([0])},),
        unbuilt=("fp16", "bf16"),
    ),
    Control("modules", MODULES, {"x": ["N", 4], "y": ["N", 4]}, expect_modules, DYNAMIC),
    Control("mixed", MIXED, {"x": ["T", 4], "h0": [4]}, expect_mixed, DYNAMIC, FLAGS, precisions=("fp32",)),
)


def network_text(case: Control) -> str:
    """The whole file of a case, with the dimensions that its inputs have."""
    used = {size for shape in case.shapes.values() for size in shape if isinstance(size, str)}
    dims = ", ".join(f"{name}: {sizes}" for name, sizes in DIMS.items() if name in used)
    return f"trtdsl: 1\ndims: {{{dims}}}\n{case.text}" if dims else f"trtdsl: 1\n{case.text}"
