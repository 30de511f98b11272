"""Networks of one op, from the tables in `cases/`: what the tests of ops build, infer and compare.

A table has `dims` (min, opt, max) and `cases`. A case has

- `id`, and `op`: the layer as it stands in YAML;
- `inputs`: a name and a type for each, such as `fp32[N, 3, 8, 8]`; those beyond what the op reads are there for their
  dimensions. Behind the type may stand which numbers the op
  wants: `positive` (0.5 to 1.5), `unit` (-0.9 to 0.9), `within 1.3` (-1.3 to 1.3), `below 10` (whole numbers from 0),
  `signed 10` (whole numbers from -10 to 10, but not 0), `distinct` (whole numbers, none of them twice),
  `above 1` (1.5 to 4), `halves` (-4 to 4 in steps of 0.5), `special` (some of them NaN and infinite) or
  `places 10 along 1` (whole numbers from 0 that differ along an axis) or
  `boxes 12` (rows of x1, y1, x2, y2 from 0 to 12, where there are five after a 0 or 1);
  `null` in place of a type leaves an optional input out;
- `weights`, for those whose shape the op leaves open or that want other numbers: `fp32[10, 4]`, `positive`, or both;
  a number or list in the layer itself is taken as it is;
- `precision`: one, or a list that makes a case of each (fp32 by default); `explicit: true` makes it the layer's own;
- `check`, for outputs that differ from run to run: what holds of them, a list of expressions over `y`, the output, `np`
  and the dims; all others have
- `torch`: what PyTorch computes, over the names of inputs, weights and dims. `F` is torch.nn.functional; `same(x,
  kernel, stride)` pads as `padding: same` does. An op of several outputs gives a tuple.

Nothing here needs TensorRT but what takes a `Runtime`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trtdsl.errors import Diagnostics
from trtdsl.graph import Graph, GraphInput, GraphOutput, Layer
from trtdsl.infer import infer, infer_layer
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import Op, OpError
from trtdsl.precision import assign_types
from trtdsl.source import Origin, SourceFile, Span
from trtdsl.types import DataType, Dim, Sizes, TensorType
from trtdsl.weights import Weight
from trtdsl.weights.sources import Inline

CASES = Path(__file__).parent / "cases"
POINTS = ("min", "opt", "max")

Array = np.ndarray[Any, Any]
Dims = Mapping[str, Dim]


@dataclass(frozen=True)
class Values:
    """An array to make: its type where the case says one, and which numbers it holds."""

    type: TensorType | None
    numbers: str = ""

    @classmethod
    def parse(cls, text: str, dims: Dims) -> Values:
        match = re.fullmatch(
            r"(?:(\w+)(\[.*\]))?\s*"
            r"(|positive|unit|within [\d.]+|(?:below|signed|boxes) \d+|above 1|halves|special|distinct"
            r"|places \d+ along \d)",
            text,
        )
        assert match, f"not a type: {text}"
        dtype, shape, numbers = match.groups()
        return cls(parse_type(dtype + shape, dims) if dtype else None, numbers)

    def make(self, seed: str, shape: Sequence[int], dtype: DataType) -> Array:
        """Numbers that the seed decides; floats are fp32 that fp16 and bf16 hold exactly."""
        generator = np.random.default_rng(zlib.crc32(seed.encode()))
        if dtype is DataType.BOOL:
            return generator.random(shape) < 0.5
        if self.numbers.startswith("places"):
            bound, axis = map(int, re.findall(r"\d+", self.numbers))
            return _places(generator, shape, bound, axis).astype(dtype.storage)
        if not dtype.is_float or self.numbers.startswith(("below", "signed", "distinct")):
            return self._whole(generator, shape).astype("float32" if dtype.is_float else dtype.storage)
        if self.numbers == "special":
            return generator.choice(np.array([np.nan, np.inf, -np.inf, 0, 1, -2], np.float32), shape)
        if self.numbers == "halves":
            return (generator.integers(-8, 9, shape) / 2).astype(np.float32)
        if self.numbers == "above 1":
            numbers = generator.uniform(1.5, 4, shape)
        elif self.numbers == "positive":
            numbers = generator.uniform(0.5, 1.5, shape)
        elif self.numbers == "unit":
            numbers = generator.uniform(-0.9, 0.9, shape)
        elif self.numbers.startswith("within"):
            bound = float(self.numbers.removeprefix("within "))
            numbers = generator.uniform(-bound, bound, shape)
        elif self.numbers.startswith("boxes"):
            numbers = _boxes(generator, shape, int(self.numbers.removeprefix("boxes ")))
        else:
            # Sums of many inputs stay near 1.
            inputs = np.prod(shape[1:]) if len(shape) > 1 else 1
            numbers = generator.normal(size=shape) * (float(inputs) ** -0.5 if seed.startswith("weight") else 1.0)
        coarse = np.asarray(numbers, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return coarse.view(np.float32)

    def _whole(self, generator: np.random.Generator, shape: Sequence[int]) -> Array:
        kind, _, bound = (self.numbers or "below 8").partition(" ")
        if kind == "signed":
            return generator.integers(1, int(bound) + 1, shape) * generator.choice([-1, 1], shape)
        if kind == "distinct":
            count = int(np.prod(shape))
            return (generator.permutation(count) - count // 2).reshape(shape)
        return generator.integers(0, int(bound), shape)


def _places(generator: np.random.Generator, shape: Sequence[int], bound: int, axis: int) -> Array:
    """Whole numbers below a bound, none of them twice along an axis."""
    beside = [size for position, size in enumerate(shape) if position != axis]
    rows = generator.permuted(np.broadcast_to(np.arange(bound), (*beside, bound)), axis=-1)
    return np.moveaxis(rows[..., : shape[axis]], -1, axis)


def _boxes(generator: np.random.Generator, shape: Sequence[int], limit: int) -> Array:
    """Corners in order, at least an eighth of the limit apart; the first of five columns is a batch index."""
    first = generator.uniform(0, 0.75 * limit, (*shape[:-1], 2))
    second = first + generator.uniform(0.125 * limit, 0.25 * limit, first.shape)
    indices = generator.integers(0, 2, (*shape[:-1], shape[-1] - 4))
    return np.concatenate([indices, first, second], axis=-1)


@dataclass(frozen=True)
class Case:
    """One use of an op."""

    id: str
    layer: Mapping[str, Any]
    inputs: Mapping[str, Values]
    dims: Dims
    weights: Mapping[str, Values] = field(default_factory=dict)
    precision: DataType = DataType.FP32
    explicit: bool = False
    torch: str = ""
    check: tuple[str, ...] = ()
    omitted: tuple[int, ...] = ()
    """Positions of optional inputs that are left out before others that are not."""

    @property
    def is_dynamic(self) -> bool:
        return any(not self.input_type(name).is_static for name in self.inputs)

    @property
    def op(self) -> Op:
        return make_op(self.layer, self.dims, self.weights)

    @property
    def read(self) -> tuple[str | None, ...]:
        """The inputs that the op reads."""
        declared = CATALOGUE[self.layer["op"]].inputs
        is_variadic = bool(declared) and declared[-1].variadic
        names: list[str | None] = list(self.inputs)
        for position in self.omitted:
            names.insert(position, None)
        return tuple(names[: None if is_variadic else len(declared)])

    def at(self, point: str) -> Case:
        """The case with every dimension fixed at its `min`, `opt` or `max`."""
        fixed = {name: Dim.of(getattr(dim.sizes, point)) for name, dim in self.dims.items()}
        inputs = {
            name: Values(_at(self.input_type(name), point), values.numbers) for name, values in self.inputs.items()
        }
        return replace(self, inputs=inputs, dims=fixed)

    def failures(self, output: Array, point: str) -> list[str]:
        """What should hold of the output and does not, with the dimensions at `min`, `opt` or `max`."""
        sizes = {name: getattr(dim.sizes, point) for name, dim in self.dims.items()}
        return [check for check in self.check if not eval(check, {"np": np, "y": output, **sizes})]

    def input_type(self, name: str) -> TensorType:
        declared = self.inputs[name].type
        assert declared is not None, f"input {name} has no type"
        return declared

    def input_arrays(self, point: str = "opt") -> dict[str, Array]:
        """Numbers for the inputs, with every dimension at `min`, `opt` or `max`."""
        return {
            name: values.make(f"input {name}", _sizes(self.input_type(name), point), self.input_type(name).dtype)
            for name, values in self.inputs.items()
        }

    def weight_arrays(self) -> dict[str, Array]:
        """The weights, floats in fp32."""
        op = self.op
        shapes = op.weight_shapes(*(self.input_type(name) if name else None for name in self.read))
        return {name: self._weight_array(name, shapes.get(name)) for name in op.weights}

    def _weight_array(self, name: str, shape: tuple[int, ...] | None) -> Array:
        if name in inline_weights(self.layer):
            return inline_weights(self.layer)[name]
        values = self.weights.get(name, Values(None, "positive" if name.endswith("var") else ""))
        if values.type is not None:
            return values.make(f"weight {name}", _sizes(values.type, "opt"), values.type.dtype)
        assert shape is not None, f"the case has to say the shape of {name}"
        return values.make(f"weight {name}", shape, DataType.FP32)

    def graph(self) -> Graph:
        """The typed graph, ready to emit. Raises NetworkError where infer refuses the case."""
        return assign_types(self.untyped())

    def untyped(self, impl: str = "native") -> Graph:
        """The graph as infer leaves it. Raises NetworkError where it refuses the case."""
        op = self.op
        span = _span(self.id)
        outputs = tuple(f"{op.kind}:{port}" if port else op.kind for port in op.output_names)
        layer = Layer(
            name=op.kind,
            op=op,
            inputs=self.read,
            outputs=outputs,
            origin=Origin(span),
            weights={name: _weight(array) for name, array in self.weight_arrays().items()},
            precision=self.precision,
            explicit=self.explicit,
            impl=impl,
        )
        graph = Graph(
            name="case",
            inputs=tuple(GraphInput(name, self.input_type(name), span) for name in self.inputs),
            layers=(layer,),
            outputs=tuple(GraphOutput(f"out {name}", name, None, span) for name in outputs),
            dims=self.dims,
        )
        return infer(graph, Diagnostics())


def cases(pattern: str = "*") -> Iterator[Case]:
    """The cases of all tables, or of those whose name matches a pattern."""
    for path in sorted(CASES.glob(f"{pattern}.yaml")):
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        dims = parse_dims(table.get("dims", {}))
        for row in table["cases"]:
            yield from _rows(path.stem, row, dims)


def _rows(family: str, row: Mapping[str, Any], dims: Dims) -> Iterator[Case]:
    unknown = set(row) - {"id", "op", "inputs", "weights", "precision", "explicit", "torch", "check"}
    assert not unknown, f"{row['id']}: unknown keys {unknown}"
    assert ("torch" in row) != ("check" in row), f"{row['id']}: needs `torch` or `check`"
    layer = {"op": row["op"]} if isinstance(row["op"], str) else row["op"]
    precisions = row.get("precision", "fp32")
    precisions = precisions if isinstance(precisions, list) else [precisions]
    inputs = row.get("inputs", {})
    for precision in precisions:
        yield Case(
            id=f"{family}-{row['id']}" + (f"-{precision}" if len(precisions) > 1 else ""),
            layer=layer,
            inputs={name: Values.parse(text, dims) for name, text in inputs.items() if text is not None},
            dims=dims,
            weights={name: Values.parse(text, dims) for name, text in row.get("weights", {}).items()},
            precision=DataType(precision),
            explicit=row.get("explicit", False),
            torch=row.get("torch", ""),
            check=tuple(row.get("check", ())),
            omitted=tuple(position for position, text in enumerate(inputs.values()) if text is None),
        )


def parse_dims(table: Mapping[str, Sequence[int]]) -> dict[str, Dim]:
    return {name: Dim.dynamic(name, Sizes(*sizes)) for name, sizes in table.items()}


def parse_type(text: str, dims: Dims) -> TensorType:
    """A type from `fp32[N, 3, 8]`."""
    dtype, _, shape = text.rstrip("]").partition("[")
    sizes = [size.strip() for size in shape.split(",") if size.strip()]
    return TensorType(DataType(dtype), tuple(dims[size] if size in dims else Dim.of(int(size)) for size in sizes))


def make_op(layer: Mapping[str, Any], dims: Dims, weights: Mapping[str, object] | None = None) -> Op:
    """The op of a layer as it stands in YAML. `weights` names those that are there besides the op's own defaults."""
    parameters = dict(layer)
    op_class = CATALOGUE[parameters.pop("op")]
    switches = {name: parameters.pop(name) for name in op_class.weight_parameters if name in parameters}
    switches |= dict.fromkeys(weights or (), True)
    values = {name: op_class.attributes[name].type.parse(value, dims) for name, value in parameters.items()}
    default = op_class(values).weights
    present = [name for name in op_class.weight_parameters if switches.get(name, name in default) is not False]
    return op_class(values, present)


def inline_weights(layer: Mapping[str, Any]) -> dict[str, Array]:
    """The weights that a layer gives as numbers or lists, as fp32, int64 or bool."""
    declared = CATALOGUE[layer["op"]].weight_parameters
    given = {name: value for name, value in layer.items() if name in declared and not isinstance(value, (bool, str))}
    return {name: _narrow(np.asarray(value)) for name, value in given.items()}


def _narrow(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def infer_types(layer: Mapping[str, Any], *inputs: str, dims: Mapping[str, Sequence[int]] | None = None) -> list[str]:
    """What infer says of a layer, as text: `fp32[N, 8, 4, 4]` for each output. Raises OpError."""
    declared = parse_dims(dims or {})
    op = make_op(layer, declared)
    types = tuple(parse_type(text, declared) for text in inputs)
    names = tuple(f"input {number}" for number in range(1, len(types) + 1))
    weights = {name: _weight(array) for name, array in inline_weights(layer).items()}
    used = Layer(op.kind, op, names, op.output_names, Origin(_span(op.kind)), weights)
    outputs = infer_layer(used, types)
    op.weight_shapes(*types)
    return [str(output) for output in outputs]


def parse_layer(text: str) -> Mapping[str, Any]:
    """A layer from YAML: `{op: elu, alpha: 0.5}`, or only the name of the op."""
    layer = yaml.safe_load(text)
    return {"op": layer} if isinstance(layer, str) else layer


def refusal(layer: Mapping[str, Any], *inputs: str, dims: Mapping[str, Sequence[int]] | None = None) -> OpError:
    """The error by which infer refuses a layer."""
    try:
        outputs = infer_types(layer, *inputs, dims=dims)
    except OpError as error:
        return error
    raise AssertionError(f"{layer} is taken, it gives {outputs}")


def blame(error: OpError) -> str:
    """What an op says, after the parameter it says it of."""
    return f"{error.at}: {error.message}" if error.at else error.message


@cache
def _span(name: str) -> Span:
    return Span(SourceFile(f"{name}.yaml", ""), 1, 1, 1, 1)


def _weight(array: Array) -> Weight:
    dtype = DataType.FP32 if array.dtype == np.float32 else DataType(array.dtype.name)
    source = Inline(array, dtype)
    return Weight(source, source.shape, dtype)


def _at(declared: TensorType, point: str) -> TensorType:
    return declared.with_shape(_sizes(declared, point))


def _sizes(declared: TensorType, point: str) -> tuple[int, ...]:
    return tuple(getattr(dim.sizes, point) for dim in declared.shape)
