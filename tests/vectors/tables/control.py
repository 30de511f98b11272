"""Graphs inside nodes, and the recurrent networks, which are loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.vectors.document import Value
from tests.vectors.importer import Importer
from tests.vectors.node import Mapper, Node
from tests.vectors.reasons import Reason


def if_(node: Node) -> Any:
    """The branch that is taken, where all inputs take the same; else an `if`."""
    importer = node.importer
    graphs = {name: node.attribute(f"{name}_branch") for name in ("then", "else")}
    condition = node.values[0]
    if condition.feed is None:
        # It follows from sizes and parameters.
        graph = graphs["then" if bool(condition.array) else "else"]
        scope = dict(node.scope)
        importer.add_graph(graph, scope, set())
        return tuple(scope[entry.name] for entry in graph.output)
    branches: dict[str, Any] = {}
    results: dict[str, list[str]] = {}
    for name, graph in graphs.items():
        scope = dict(node.scope)
        with importer.body() as layers:
            importer.add_graph(graph, scope, set())
            # A branch has layers, and its results are theirs.
            results[name] = [node.layer("identity", importer.tensor(scope[entry.name])) for entry in graph.output]
        branches[name] = layers
    count = len(node.proto.output)
    outputs = {f"o{i}": {name: found[i] for name, found in results.items()} for i in range(count)}
    made = node.layer("if", node.x(0), **branches, outputs=outputs)
    return tuple(f"{made}:{port}" for port in outputs)


def loop(node: Node) -> tuple[str, ...]:
    """ONNX's Loop as a `loop` with a fixed count; its condition has to be the one that comes in."""
    graph = node.attribute("body")
    if not node.has(0) or (node.has(1) and not bool(node.known(1))):
        raise node.refuse(Reason.DATA_DEPENDENT, "a loop without a count, or without a round")
    count = int(node.known(0))
    numbers = np.arange(count, dtype=np.int32)
    entries = [entry.name for entry in graph.input]
    round_name, condition, states = entries[0], entries[1], entries[2:]
    extra = {condition: Value(np.asarray(True), True)}
    scans = {round_name: (node.importer.constant(numbers), numbers[0].astype(np.int64), 0, False)}
    begins = {name: node.values[index + 2] for index, name in enumerate(states)}
    outputs = [entry.name for entry in graph.output]
    return _loop(node, graph, extra, begins, scans, outputs[1 : 1 + len(states)], outputs[1 + len(states) :], {})


def scan(node: Node) -> tuple[str, ...]:
    graph = node.attribute("body")
    inputs = node.values
    is_batched = node.version < 9
    if is_batched:
        if node.has(0) or node.sizes(len(inputs) - 1)[0] != 1:
            raise node.refuse(Reason.NOT_OFFERED, "a loop over each sample of a batch")
        inputs = [_without_batch(node, index) for index in range(1, len(inputs))]
    scanned = node.attribute("num_scan_inputs")
    names = [entry.name for entry in graph.input]
    states = len(names) - scanned
    axes = node.attribute("scan_input_axes", [0] * scanned)
    back = node.attribute("scan_input_directions", [0] * scanned)
    scans = {}
    for index, name in enumerate(names[states:]):
        value, axis = inputs[states + index], axes[index]
        first = np.take(value.array, -1 if back[index] else 0, axis)
        scans[name] = (node.importer.tensor(value), first, axis, bool(back[index]))
    begins = dict(zip(names, inputs[:states], strict=False))
    outputs = [entry.name for entry in graph.output]
    stacks = {
        "dim": node.attribute("scan_output_axes", [0] * (len(outputs) - states)),
        "reverse": node.attribute("scan_output_directions", [0] * (len(outputs) - states)),
    }
    made = _loop(node, graph, {}, begins, scans, outputs[:states], outputs[states:], stacks)
    return tuple(node.layer("unsqueeze", x, dim=0) for x in made) if is_batched else made


def _without_batch(node: Node, index: int) -> Value:
    return Value(node.values[index].array[0], False, node.layer("squeeze", node.x(index), dim=0))


def _loop(
    node: Node,
    graph: Any,
    extra: Mapping[str, Value],
    begins: Mapping[str, Value],
    scans: Mapping[str, tuple[str, Any, int, bool]],
    following: list[str],
    stacked: list[str],
    stacks: Mapping[str, list[int]],
) -> tuple[str, ...]:
    importer = node.importer
    scope = dict(node.scope) | dict(extra)
    inside = {name: f"{importer.prefix}s{importer.number()}" for name in (*begins, *scans)}
    scope |= {name: Value(value.array, False, inside[name]) for name, value in begins.items()}
    scope |= {name: Value(entry[1], False, inside[name]) for name, entry in scans.items()}
    state = {inside[name]: importer.tensor(value) for name, value in begins.items()}
    scan = {inside[name]: {"tensor": x, "dim": dim, "reverse": back} for name, (x, _, dim, back) in scans.items()}
    with importer.body() as layers:
        importer.add_graph(graph, scope, set())
        next_ = [node.layer("identity", importer.tensor(scope[name])) for name in following]
        stack = [node.layer("identity", importer.tensor(scope[name])) for name in stacked]
    outputs: dict[str, Any] = {f"o{i}": name for i, name in enumerate(state)}
    for index, name in enumerate(stack):
        outputs[f"o{len(state) + index}"] = {
            "stack": name,
            "dim": stacks["dim"][index] if stacks else 0,
            "reverse": bool(stacks["reverse"][index]) if stacks else False,
        }
    made = importer.layer(
        "loop",
        (),
        {
            "state": state,
            "scan": scan,
            "layers": layers,
            "next": dict(zip(state, next_, strict=True)),
            "outputs": outputs,
        },
    )
    return tuple(f"{made}:{port}" for port in outputs)


class _Recurrent:
    """One direction of an RNN, GRU or LSTM node: a loop over the steps of the sequence."""

    def __init__(self, node: Node, direction: int, *, reverse: bool) -> None:
        self.node = node
        self.importer: Importer = node.importer
        self.reverse = reverse
        self.hidden = int(node.attribute("hidden_size"))
        self.input_weight, self.state_weight = node.known(1)[direction], node.known(2)[direction]
        rows = self.input_weight.shape[0]
        bias = node.known(3)[direction] if node.has(3) else np.zeros(2 * rows, np.float32)
        self.input_bias, self.state_bias = bias[:rows], bias[rows:]
        self.direction = direction

    def linear(self, x: str, weight: Any, bias: Any) -> str:
        return self.node.layer("linear", x, out_features=weight.shape[0], weight=weight, bias=bias)

    def begin(self, index: int, batch: int) -> str:
        if self.node.has(index):
            picked = self.node.layer("gather", self.node.x(index), dim=0, indices=np.asarray(self.direction))
            return picked
        return self.importer.constant(np.zeros((batch, self.hidden), np.float32))

    def run(self, sequence: str, batch: int) -> tuple[str, list[str]]:
        """All steps' states, and the last ones."""
        prefix = f"{self.importer.prefix}s{self.importer.number()}"
        x = f"{prefix}x"
        states = {f"{prefix}h": self.begin(5, batch)}
        if self.node.op_type == "LSTM":
            states[f"{prefix}c"] = self.begin(6, batch)
        with self.importer.body() as layers:
            following = _STEPS[self.node.op_type](self, x, list(states))
        first = next(iter(states))
        made = self.importer.layer(
            "loop",
            (),
            {
                "state": states,
                "scan": {x: {"tensor": sequence, "dim": 0, "reverse": self.reverse}},
                "layers": layers,
                "next": dict(zip(states, following, strict=True)),
                "outputs": {
                    "all": {"stack": following[0], "dim": 0, "reverse": self.reverse},
                    "last": first,
                    **({"cell": f"{prefix}c"} if len(states) > 1 else {}),
                },
            },
        )
        return f"{made}:all", [f"{made}:last", *([f"{made}:cell"] if len(states) > 1 else [])]


def _rnn(cell: _Recurrent, x: str, states: list[str]) -> list[str]:
    fed = cell.linear(x, cell.input_weight, cell.input_bias)
    kept = cell.linear(states[0], cell.state_weight, cell.state_bias)
    return [cell.node.layer("tanh", cell.node.layer("add", fed, kept))]


def _gru(cell: _Recurrent, x: str, states: list[str]) -> list[str]:
    node, hidden = cell.node, cell.hidden
    fed = node.layer("split", cell.linear(x, cell.input_weight, cell.input_bias), sections=3, dim=-1)
    gates = 2 * hidden
    kept = node.layer(
        "split", cell.linear(states[0], cell.state_weight[:gates], cell.state_bias[:gates]), sections=2, dim=-1
    )
    update, reset = (node.layer("sigmoid", node.layer("add", f"{fed}:{gate}", f"{kept}:{gate}")) for gate in (0, 1))
    if node.attribute("linear_before_reset", 0):
        inner = cell.linear(states[0], cell.state_weight[gates:], cell.state_bias[gates:])
        inner = node.layer("mul", reset, inner)
    else:
        inner = cell.linear(node.layer("mul", reset, states[0]), cell.state_weight[gates:], cell.state_bias[gates:])
    fresh = node.layer("tanh", node.layer("add", f"{fed}:2", inner))
    # fresh + update * (state - fresh)
    return [node.layer("add", fresh, node.layer("mul", update, node.layer("sub", states[0], fresh)))]


def _lstm(cell: _Recurrent, x: str, states: list[str]) -> list[str]:
    node, hidden = cell.node, cell.hidden
    fed = cell.linear(x, cell.input_weight, cell.input_bias)
    kept = cell.linear(states[0], cell.state_weight, cell.state_bias)
    gates = node.layer("split", node.layer("add", fed, kept), sections=4, dim=-1)
    peepholes = node.known(7)[cell.direction].reshape(3, hidden) if node.has(7) else None

    def gate(position: int, looks_at: str, peephole: int) -> str:
        entry = f"{gates}:{position}"
        if peepholes is not None:
            entry = node.layer("add", entry, node.layer("mul", looks_at, other=peepholes[peephole]))
        return node.layer("sigmoid", entry)

    # Input, output, forget, cell; the peepholes are those of input, output, forget.
    enter, forget = gate(0, states[1], 0), gate(2, states[1], 2)
    fresh = node.layer("tanh", f"{gates}:3")
    memory = node.layer("add", node.layer("mul", forget, states[1]), node.layer("mul", enter, fresh))
    return [node.layer("mul", gate(1, memory, 1), node.layer("tanh", memory)), memory]


_STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def recurrent(node: Node) -> tuple[str | None, ...]:
    batch_first = bool(node.attribute("layout", 0))
    sequence = node.layer("transpose", node.x(), dim0=0, dim1=1) if batch_first else node.x()
    batch = node.sizes()[0 if batch_first else 1]
    steps = node.sizes()[1 if batch_first else 0]
    if node.has(4) and any(length != steps for length in node.ints(4)):
        raise node.refuse(Reason.NOT_OFFERED, "sequences of several lengths")
    way = node.attribute("direction", "forward")
    ways = [way == "reverse"] if way != "bidirectional" else [False, True]
    found = [_Recurrent(node, index, reverse=reverse).run(sequence, batch) for index, reverse in enumerate(ways)]
    every = node.layer("concat", *(node.layer("unsqueeze", steps, dim=1) for steps, _ in found), dim=1)
    lasts = [
        node.layer("concat", *(node.layer("unsqueeze", state, dim=0) for state in states), dim=0)
        for states in zip(*(states for _, states in found), strict=True)
    ]
    if batch_first:
        every = node.layer("permute", every, dims=[2, 0, 1, 3])
        lasts = [node.layer("transpose", last, dim0=0, dim1=1) for last in lasts]
    return (every, *lasts)


def flex_attention(node: Node) -> str:
    """Attention whose scores and weights go through graphs of their own."""
    query, key, value = (node.x(index) for index in range(3))
    heads, key_heads = node.channels(0), node.channels(1)
    arrays = [node.values[index].array for index in range(2)]
    if heads != key_heads:
        order = np.repeat(np.arange(key_heads, dtype=np.int32), heads // key_heads)
        key, value = (node.layer("gather", x, dim=1, indices=order) for x in (key, value))
        arrays[1] = np.repeat(arrays[1], heads // key_heads, 1)
    scale = node.attribute("scale") or 1 / np.sqrt(node.channels(0, -1))
    scores = node.layer("matmul", node.layer("mul", query, other=float(scale)), key, transpose_b=True)
    array = (arrays[0] @ np.swapaxes(arrays[1], -1, -2) * scale).astype(np.float32)
    scores = _modified(node, "score_mod", scores, array)
    weights = _modified(node, "prob_mod", node.layer("softmax", scores, dim=-1), array)
    return node.layer("matmul", weights, value)


def _modified(node: Node, attribute: str, x: str, array: Any) -> str:
    graph = node.attribute(attribute)
    if graph is None:
        return x
    scope = dict(node.scope) | {graph.input[0].name: Value(array, False, x)}
    node.importer.add_graph(graph, scope, set())
    return node.importer.tensor(scope[graph.output[0].name])


def linear_attention(node: Node) -> tuple[str, str]:
    """A state of keys times values that every step decays, corrects, adds to and reads."""
    query_heads, heads = node.attribute("q_num_heads"), node.attribute("kv_num_heads")
    batch, length, _ = node.sizes(0)
    key_size, value_size = node.sizes(0)[2] // query_heads, node.sizes(2)[2] // heads
    rule = node.attribute("update_rule", "gated_delta")
    scale = node.attribute("scale", 0.0) or 1 / np.sqrt(key_size)
    importer, prefix = node.importer, f"{node.importer.prefix}s{node.importer.number()}"

    def split(index: int, count: int) -> str:
        """[batch, length, heads, size]"""
        return node.layer("reshape", node.x(index), shape=[batch, length, count, node.sizes(index)[2] // count])

    scans = {f"{prefix}{name}": split(index, count) for index, (name, count) in enumerate(
        (("q", query_heads), ("k", heads), ("v", heads))
    )}  # fmt: skip
    if "gated" in rule:
        scans[f"{prefix}g"] = split(4, heads)
    if "delta" in rule:
        scans[f"{prefix}b"] = split(5, node.sizes(5)[2])
    # In fp32, whatever comes in.
    begin = importer.constant(np.zeros((batch, heads, key_size, value_size), np.float32))
    if node.has(3):
        begin = node.layer("cast", node.x(3), dtype="fp32")
    importer.document.sums_in_fp32 = True
    state = f"{prefix}s"
    with importer.body() as layers:
        kept = state
        if "gated" in rule:
            kept = node.layer("mul", kept, _column(node, node.layer("exp", f"{prefix}g")))
        value = _row(node, f"{prefix}v")
        if "delta" in rule:
            found = node.layer("matmul", _row(node, f"{prefix}k"), kept)
            value = node.layer("mul", node.layer("sub", value, found), _column(node, f"{prefix}b"))
        following = node.layer("add", kept, node.layer("matmul", _column(node, f"{prefix}k"), value))
        read = following
        if query_heads != heads:
            order = np.repeat(np.arange(heads, dtype=np.int32), query_heads // heads)
            read = node.layer("gather", following, dim=1, indices=order)
        found = node.layer("matmul", _row(node, f"{prefix}q"), read)
        out = node.layer("mul", node.layer("squeeze", found, dim=2), other=float(scale))
    made = importer.layer(
        "loop",
        (),
        {
            "state": {state: begin},
            "scan": {name: {"tensor": x, "dim": 1} for name, x in scans.items()},
            "layers": layers,
            "next": {state: following},
            "outputs": {"all": {"stack": out, "dim": 1}, "last": state},
        },
    )
    return node.layer("flatten", f"{made}:all", start_dim=2), f"{made}:last"


def _row(node: Node, x: str) -> str:
    return node.layer("unsqueeze", x, dim=2)


def _column(node: Node, x: str) -> str:
    return node.layer("unsqueeze", x, dim=3)


OPERATORS: Mapping[str, Mapper] = {
    "FlexAttention": flex_attention,
    "GRU": recurrent,
    "If": if_,
    "LSTM": recurrent,
    "LinearAttention": linear_attention,
    "Loop": loop,
    "RNN": recurrent,
    "Scan": scan,
}
