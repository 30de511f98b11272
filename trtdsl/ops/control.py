"""Control flow: layers that run only where a condition holds, or round after round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from trtdsl.ops._axes import axis_of, of_type
from trtdsl.ops._control import LoopOutput, LoopOutputs, Names, Rounds, Scans
from trtdsl.ops.attributes import Bool, Maybe
from trtdsl.ops.base import ANY, Net, OnnxNet, Op, OpError, Policy, attribute, tensor
from trtdsl.types import INTEGERS, DataType, Dim, TensorType, symbols

Found = Mapping[str, tuple[TensorType, ...]]


class If(Op):
    """One of two groups of layers, by a condition that is known only when the engine runs.

    The condition is a bool of one element. The layers of both branches see the names around them; only those of the
    branch that is chosen run. The branches give tensors of the same shapes and types. An `else` that is left out, or
    empty, passes the second input on.
    """

    kind = "if"
    policy = Policy.TRANSPARENT
    example = "{op: if, in: [flag, x], then: [relu], else: [neg]}"
    example_inputs = "{x: [1, 8, 32, 32], flag: {shape: [], dtype: bool}}"
    bodies = ("then", "else")
    structure: ClassVar = {
        "in": "the condition, and the tensor that the first layer of each branch reads unless it says otherwise",
        "then": "the layers that run where the condition is true",
        "else": "those that run where it is false; default: none",
        "outputs": "a tensor that both branches have, a list of them, {port: tensor}, or {then: …, else: …} where they "
        "are called differently; default: the last of each branch",
    }
    condition = tensor(frozenset({DataType.BOOL}), help="one element")
    outputs = attribute(Names(), default=("",), help="the ports")

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.outputs

    def body_inputs(self, condition: TensorType) -> Mapping[str, tuple[TensorType, ...]]:
        _one_element(condition, "the condition", "in")
        return {"then": (), "else": ()}

    def body_results(
        self, found: Found, precision: DataType, condition: TensorType
    ) -> Mapping[str, tuple[DataType, ...]]:
        agreed = tuple(
            a.dtype if a.dtype is b.dtype else precision for a, b in zip(found["then"], found["else"], strict=True)
        )
        return {"then": agreed, "else": agreed}

    def infer_bodies(self, found: Found, condition: TensorType) -> tuple[TensorType, ...]:
        for index, (then, other) in enumerate(zip(found["then"], found["else"], strict=True)):
            if not _agree(then, other):
                what = f"output {self.outputs[index]}" if self.outputs[index] else "the output"
                message = f"{what} is {then} in `then`, and {other} in `else`"
                raise OpError(message, at=f"else:{index}", hint="both branches give the same shape and type")
        return found["then"]

    def to_tensorrt(self, net: Net, condition: Any) -> Any:
        flag = _scalar(net, condition, of_type(net.input_types[0]))
        conditional = net.conditional()
        conditional.set_condition(flag)
        entered: dict[str, Any] = {}

        def enter(name: str, outer: Any) -> Any:
            if name not in entered:
                entered[name] = conditional.add_input(outer).get_output(0)
            return entered[name]

        branches = [_apart(net, net.body(name, enter=enter)) for name in self.bodies]
        return tuple(conditional.add_output(a, b).get_output(0) for a, b in zip(*branches, strict=True))

    def to_onnx(self, net: OnnxNet, condition: str) -> tuple[str, ...]:
        graphs = {}
        for name in self.bodies:
            inner = net.inside()
            for result, type in zip(inner.layers(name), net.output_types, strict=True):
                inner.result(result, type)
            graphs[f"{name}_branch"] = inner.block
        return net.nodes("If", condition, outputs=len(self.outputs), **graphs)


class Loop(Op):
    """Layers that run round after round: a number of times, over the slices of a tensor, or as long as a bool is true.

    `state` names what is handed from each round to the next, with what it begins as, and keeps its shape and type;
    `next` says what becomes of it. `scan` gives each round one slice of a tensor, whose axis then tells the number of
    rounds. `while` is looked at after each round, so that there is at least one.
    """

    kind = "loop"
    policy = Policy.TRANSPARENT
    example = "{op: loop, count: 3, state: {h: x}, layers: [{op: relu, in: h}]}"
    bodies = ("layers",)
    structure: ClassVar = {
        "count": "the number of rounds: an integer, a dimension, or {tensor: …} of one int32",
        "while": "a bool of one element, made in each round: false ends the loop after that round",
        "state": "what is handed on, by its name inside: {name: the tensor it begins as}",
        "scan": "tensors of which each round sees a slice, by its name inside: a tensor, whose first axis is taken, or "
        "{tensor, dim, reverse}",
        "layers": "the layers of one round",
        "next": "what each state becomes: {name: tensor}; default, for a single state: the last layer's output",
        "outputs": "a state, whose last value comes out, {stack: tensor, dim, reverse} for those of all rounds, or "
        "several by port; default: the states",
    }
    tensors = tensor(ANY, help="what the states begin as, and what is scanned", variadic=True, optional=True)
    state = attribute(Names(), default=(), help="what is handed from round to round")
    scan = attribute(Scans(), default=(), help="what is given slice by slice")
    count = attribute(Maybe(Rounds()), default=None, help="the number of rounds")
    counted = attribute(Bool(), default=False, help="whether a tensor tells the number of rounds")
    conditional = attribute(Bool(), default=False, help="whether a tensor of each round tells if another follows")
    outputs = attribute(LoopOutputs(), default=(), help="what comes out")

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(output.port for output in self.outputs)

    def _begins(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of the inputs, or their types, those that states begin as."""
        return inputs[int(self.counted) : int(self.counted) + len(self.state)]

    def _scanned(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs[int(self.counted) + len(self.state) :]

    def _rounds(self, inputs: tuple[TensorType, ...]) -> Dim | None:
        """The number of rounds where it is a size. Raises OpError where the axes that are scanned differ."""
        rounds, teller = self.count, f"`count` is {self.count}"
        for scan, type in zip(self.scan, self._scanned(inputs), strict=True):
            size = type.shape[_axis_in(scan.dim, type.rank, "scan")]
            if self.counted:
                message = f"`{scan.name}` has {size} slices, so the number of rounds cannot come from a tensor"
                raise OpError(message, at="counted", hint="leave `count` out")
            if rounds is not None and not rounds.matches(size):
                at = "scan" if self.count is None else "count"
                hint = None if self.count is None else "leave `count` out: what is scanned tells it"
                raise OpError(f"{teller}, and `{scan.name}` has {size} slices", at=at, hint=hint)
            rounds, teller = size, f"`{scan.name}` has {size} slices"
        return rounds

    def body_inputs(self, *inputs: TensorType) -> Mapping[str, tuple[TensorType, ...]]:
        if self.counted:
            _one_element(inputs[0], "the number of rounds", "counted")
            if inputs[0].dtype not in INTEGERS:
                raise OpError(f"the number of rounds is {inputs[0]}, not an integer", at="counted")
        self._rounds(inputs)
        slices = (
            type.with_shape(type.shape[:axis] + type.shape[axis + 1 :])
            for scan, type in zip(self.scan, self._scanned(inputs), strict=True)
            for axis in (axis_of(scan.dim, type.rank),)
        )
        return {"layers": (*self._begins(inputs), *slices)}

    def _parts(self, results: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        """What comes out of a round: the condition (or None), the next states, and what is stacked."""
        first = int(self.conditional)
        last = first + len(self.state)
        return results[0] if self.conditional else None, results[first:last], results[last:]

    def body_results(
        self, found: Found, precision: DataType, *inputs: TensorType
    ) -> Mapping[str, tuple[DataType, ...]]:
        results = [entry.dtype for entry in found["layers"]]
        for index, begin in enumerate(self._begins(inputs)):
            results[index + int(self.conditional)] = begin.dtype
        return {"layers": tuple(results)}

    def infer_bodies(self, found: Found, *inputs: TensorType) -> tuple[TensorType, ...]:
        condition, states, stacked = self._parts(found["layers"])
        if condition is not None:
            _one_element(condition, "`while`", "layers:0")
            if condition.dtype is not DataType.BOOL:
                raise OpError(f"`while` is {condition}, not a bool", at="layers:0")
        begins = self._begins(inputs)
        for index, (name, begin, state) in enumerate(zip(self.state, begins, states, strict=True)):
            if not _agree(begin, state):
                message = f"state `{name}` begins as {begin}, and is {state} after a round"
                hint = "a state keeps its shape and type from round to round"
                raise OpError(message, at=f"layers:{index + int(self.conditional)}", hint=hint)
        rounds = self._rounds(inputs)
        return tuple(
            self._stacked(output, stacked[output.index], rounds) if output.is_stack else begins[output.index]
            for output in self.outputs
        )

    def _stacked(self, output: LoopOutput, type: TensorType, rounds: Dim | None) -> TensorType:
        if rounds is None or self.conditional:
            message = "how many rounds there will be is not known, so their values cannot be stacked"
            hint = "give a size as `count`, without `while`, or `scan` a tensor"
            raise OpError(message, at="outputs", hint=hint)
        if any(map(_hangs_on_data, type.shape)):
            raise OpError(f"{type} may have another shape in each round, and cannot be stacked", at="outputs")
        axis = _axis_in(output.dim, type.rank + 1, "outputs")
        return type.with_shape((*type.shape[:axis], rounds, *type.shape[axis:]))

    def to_tensorrt(self, net: Net, *inputs: Any) -> Any:
        types = tuple(map(of_type, net.input_types))
        rounds = self._rounds(types)
        count = None if rounds is None else net.size_scalar(rounds)
        if self.counted:
            count = _scalar(net, inputs[0], types[0])
            count = count if types[0].dtype is DataType.INT32 else net.cast(count, DataType.INT32)
        loop = net.loop()
        if count is not None:
            loop.add_trip_limit(count, net.trt.TripLimit.COUNT)
        # A condition may hang on all of a round, so that it is true before the first one.
        going = loop.add_recurrence(net.constant(True)) if self.conditional else None
        if going is not None:
            loop.add_trip_limit(going.get_output(0), net.trt.TripLimit.WHILE)
        states = [loop.add_recurrence(begin) for begin in self._begins(inputs)]
        slices = [
            loop.add_iterator(outer, axis_of(scan.dim, type.rank), scan.reverse).get_output(0)
            for scan, outer, type in zip(self.scan, self._scanned(inputs), self._scanned(types), strict=True)
        ]
        results = net.body("layers", (*(state.get_output(0) for state in states), *slices))
        condition, following, stacked = self._parts(results)
        if going is not None:
            going.set_input(1, condition)
        for state, value in zip(states, following, strict=True):
            state.set_input(1, value)
        return tuple(
            self._stack(net, loop, index, stacked[output.index], count)
            if output.is_stack
            else loop.add_loop_output(states[output.index].get_output(0), net.trt.LoopOutput.LAST_VALUE).get_output(0)
            for index, output in enumerate(self.outputs)
        )

    def _stack(self, net: Net, loop: Any, index: int, value: Any, count: Any) -> Any:
        output, type = self.outputs[index], net.output_types[index]
        axis = axis_of(output.dim, type.rank)
        # Without a scan, TensorRT-RTX's builder stacks forward along the first axis only.
        kind = "REVERSE" if output.reverse and self.scan else "CONCATENATE"
        made = loop.add_loop_output(value, getattr(net.trt.LoopOutput, kind), axis if self.scan else 0)
        made.set_input(1, count)
        stacked = made.get_output(0)
        if self.scan:
            return stacked
        shape = (type.shape[axis], *type.shape[:axis], *type.shape[axis + 1 :])
        if output.reverse:
            start = (shape[0] - 1, *(Dim.of(0) for _ in shape[1:]))
            stacked = net.slice(stacked, start, shape, (-1, *(1 for _ in shape[1:])))
        return net.transpose(stacked, _to_axis(axis, type.rank)) if axis else stacked

    def to_onnx(self, net: OnnxNet, *inputs: str) -> tuple[str, ...]:
        types = tuple(map(of_type, net.input_types))
        rounds = self._rounds(types)
        count = None if rounds is None else net.shape_tensor((rounds,))
        if self.counted:
            count = net.cast(inputs[0], DataType.INT64)
        inner = net.inside()
        number = inner.parameter("round", TensorType(DataType.INT64, ()))
        going = inner.parameter("going", TensorType(DataType.BOOL, ()))
        begins = self._begins(types)
        states = tuple(inner.parameter(name, type) for name, type in zip(self.state, begins, strict=True))
        slices = tuple(self._onnx_slices(inner, number, rounds, self._scanned(inputs), self._scanned(types)))
        condition, following, stacked = self._parts(inner.layers("layers", (*states, *slices)))
        inner.result(going if condition is None else condition, TensorType(DataType.BOOL, ()))
        for value, type in zip(following, begins, strict=True):
            inner.result(value, type)
        for output, type in zip(self.outputs, net.output_types, strict=True):
            if output.is_stack:
                axis = axis_of(output.dim, type.rank)
                inner.result(stacked[output.index], type.with_shape(type.shape[:axis] + type.shape[axis + 1 :]))
        stacks = sum(output.is_stack for output in self.outputs)
        made = net.nodes(
            "Loop",
            count,
            net.constant(True),
            *self._begins(inputs),
            outputs=len(states) + stacks,
            body=inner.block,
        )
        rest = iter(made[len(states) :])
        return tuple(
            self._onnx_stack(net, index, next(rest)) if output.is_stack else made[output.index]
            for index, output in enumerate(self.outputs)
        )

    def _onnx_slices(
        self, inner: OnnxNet, number: str, rounds: Dim | None, outer: tuple[str, ...], types: tuple[TensorType, ...]
    ) -> Iterator[str]:
        for scan, name, type in zip(self.scan, outer, types, strict=True):
            index = number
            if scan.reverse and rounds is not None:
                last = inner.squeeze(inner.shape_tensor((rounds - 1,)), (0,))
                index = inner.node("Sub", last, number)
            yield inner.node("Gather", name, index, axis=axis_of(scan.dim, type.rank))

    def _onnx_stack(self, net: OnnxNet, index: int, stacked: str) -> str:
        """What ONNX stacked along the first axis, as it is asked for."""
        output, type = self.outputs[index], net.output_types[index]
        if output.reverse:
            bounds = (net.constant([bound], DataType.INT64) for bound in (-1, -(2**31), 0, -1))
            stacked = net.node("Slice", stacked, *bounds)
        axis = axis_of(output.dim, type.rank)
        return net.transpose(stacked, _to_axis(axis, type.rank)) if axis else stacked


def _to_axis(axis: int, rank: int) -> tuple[int, ...]:
    """The permutation that moves the first axis to another place."""
    rest = list(range(1, rank))
    return (*rest[:axis], 0, *rest[axis:])


def _axis_in(dim: int, rank: int, at: str) -> int:
    try:
        return axis_of(dim, rank)
    except OpError as error:
        raise OpError(error.message, at=at, hint=error.hint) from None


def _one_element(type: TensorType, what: str, at: str) -> None:
    if type.rank > 1 or not all(dim.is_one for dim in type.shape):
        raise OpError(f"{what} is {type}, not of one element", at=at)


def _scalar(net: Net, x: Any, type: TensorType) -> Any:
    """A tensor of one element without axes, as TensorRT wants conditions and counts."""
    return net.reshape(x, type.shape, ()) if type.rank else x


def _apart(net: Net, tensors: tuple[Any, ...]) -> list[Any]:
    """The same tensors, each through a layer of its own from its second time on: TensorRT-RTX's builder wants that."""
    return [
        net.add_identity(tensor).get_output(0) if any(tensor is other for other in tensors[:index]) else tensor
        for index, tensor in enumerate(tensors)
    ]


def _agree(a: TensorType, b: TensorType) -> bool:
    """Whether two tensors may stand for each other; the typing pass sees to it that their float types are one."""
    same_type = a.dtype is b.dtype or (a.dtype.is_float and b.dtype.is_float)
    return same_type and a.rank == b.rank and all(map(_are_one, a.shape, b.shape))


def _are_one(a: Dim, b: Dim) -> bool:
    hang = _hangs_on_data(a) or _hangs_on_data(b)
    return a.expression == b.expression if hang else a.matches(b)


def _hangs_on_data(dim: Dim) -> bool:
    return any(symbol.is_data_dependent for symbol in symbols(dim.expression))
