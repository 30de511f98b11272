"""C++ out of plugin.yaml: it compiles without a warning, and says of fields and shapes what Python says."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from tests.library.probe import Probe, Refused
from trtdsl.errors import NetworkError
from trtdsl.library.generate import generate, header
from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.fields import Elements, FieldType
from trtdsl.plugins.reading import read_declaration

HARD = """\
plugin: Hard
help: Has all that a plugin can have.
fields:
  whole: {type: int64, default: -9223372036854775808}
  bounded: {type: int16, default: -3, minimum: -5, below: 9}
  tiny: {type: int8, default: 7}
  half: {type: fp16, default: 0.5, above: 0.25, maximum: 2}
  single: {type: fp32, default: .inf, minimum: -1.5}
  wide: {type: fp64, default: 0.1}
  pair: {type: int32, length: 2, default: [3, -4]}
  many: {type: int32, length: any, default: [5]}
  there: {type: fp32, length: 2, default: [1, 2], memory: device}
  word: {type: int8, choices: {low: -1, high: 1}, default: high}
  flag: {type: bool, default: true}
  title: {type: char, default: "ä\\"b"}
  sizes: {type: dims, default: [2, 3]}
inputs:
  x: {rank: [2, 3]}
  y: {optional: true}
  z: {optional: true}
outputs:
  a: {shape: "[x[0] * pair[0] + pair[1] // 3 + bounded % 4, max(min(x[0], x[1], 6), 1), (x[0] + 7) % 4 - -x[1]]"}
  b: {shape: "[x[0] if y == null else y[0], x[2] if len(x) > 2 else 1, abs(pair[1]), 3 if flag else int(wide * 30)]"}
  c: {shape: x, dtype: int64}
formats:
  - x: [fp16, linear]
    y: [int64, linear]
    z: [bf16, linear]
    a: [int8, linear]
    b: [int32, linear]
    c: [int64, linear]
requires:
  - {that: "x[0] * x[0] * x[0] <= 9223372036854775806", otherwise: cube}
  - {that: "x[0] < 3000000000 and (flag or not x[1])", otherwise: size}
  - {that: "-pair[1] // 3 == 1 and pair[1] // 3 == -2 and pair[1] % 3 == 2", otherwise: division}
  - {that: "y == null or len(y) > 1 and y[1] >= x[1] > 1", otherwise: optional}
  - {that: "whole + -1 < 0 and (x[1] if wide > 0.05 else x[0]) != 5", otherwise: choice}
  - {that: "len(many) == 0 or many[0] != x[0]", otherwise: many}
  - {that: "len(sizes) == 2 and sizes[1] == 3 and len(there) == 2 and len(pair) == 2", otherwise: lengths}
  - {that: "(flag == (whole < 1)) or x[0] < 4", otherwise: flags}
  - {that: "single > 3 or single * 2 <= x[1] and int(single) % 2 == 0", otherwise: floats}
"""


def declared(text: str, folder: Path) -> PluginDeclaration:
    (folder / "hard").mkdir(exist_ok=True)
    (folder / "hard" / "plugin.yaml").write_text(text)
    return read_declaration(folder / "hard" / "plugin.yaml")


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> PluginDeclaration:
    return declared(HARD, tmp_path_factory.mktemp("plugins"))


@pytest.fixture(scope="module")
def probe(hard: PluginDeclaration, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe([hard, *bundled_plugins().values()], tmp_path_factory.mktemp("generated"))


def test_the_struct_of_a_plugin(hard: PluginDeclaration) -> None:
    text = header(hard)
    assert "enum Word : int8_t { kWordLow = -1, kWordHigh = 1 };" in text
    members = text.split("struct Params {\n")[1].split("};")[0].split(";\n")
    assert [member.strip() for member in members if member.strip()] == [
        "int64_t whole", "int16_t bounded", "int8_t tiny", "uint16_t half", "float single", "double wide",
        "int32_t pair[2]", "Array<int32_t> many", "Array<float> there", "int8_t word", "int32_t flag",
        "Array<char> title", "Array<int64_t> sizes",
    ]  # fmt: skip


def test_defaults_are_stored_as_they_are(hard: PluginDeclaration, probe: Probe) -> None:
    _, stored = probe.make("Hard", [])
    parts = [
        struct.pack("<q", -(2**63)), struct.pack("<h", -3), b"\x07", struct.pack("<e", 0.5),
        struct.pack("<f", float("inf")), struct.pack("<d", 0.1), struct.pack("<2i", 3, -4), struct.pack("<i", 5),
        struct.pack("<2f", 1, 2), b"\x01", struct.pack("<i", 1), 'ä"b'.encode(), struct.pack("<2q", 2, 3),
    ]  # fmt: skip
    body = b"".join(struct.pack("<Q", len(part)) + part for part in parts)
    assert stored[-len(body) :] == body
    assert stored[-len(body) - 4 : -len(body)] == struct.pack("<i", len(hard.inputs))
    assert len(stored) == len(body) + 16


def test_what_engines_keep_is_read_back_or_refused(probe: Probe) -> None:
    _, stored = probe.make("Hard", [("many", FieldType.INT32, b"", 0), ("title", FieldType.CHAR, b"", 0)])
    assert probe.restore("Hard", stored) is None
    damaged = "what the engine holds of the plugin is damaged"
    assert {probe.restore("Hard", stored[:length]) for length in range(len(stored))} == {damaged}
    assert probe.restore("Hard", stored + b"x") == damaged
    assert probe.restore("Hard", b"x" + stored[1:]) == damaged
    assert probe.restore("Mish", stored) == "the engine was built with other fields than this library knows"
    assert probe.restore("Hard", stored[:12] + struct.pack("<i", 4) + stored[16:]) == damaged
    longer = stored[:16] + struct.pack("<Q", 2**63) + stored[24:]
    assert probe.restore("Hard", longer) == damaged
    flag = struct.pack("<Qi", 4, 1)
    assert stored.count(flag) == 1
    assert probe.restore("Hard", stored.replace(flag, struct.pack("<Qi", 4, 2))) == damaged


@pytest.mark.parametrize(
    ("field", "kind", "data", "length", "said"),
    [
        ("bounded", FieldType.INT16, struct.pack("<h", -5), 1, None),
        ("bounded", FieldType.INT16, struct.pack("<h", -6), 1, "bounded is out of range: -6"),
        ("bounded", FieldType.INT16, struct.pack("<h", 8), 1, None),
        ("bounded", FieldType.INT16, struct.pack("<h", 9), 1, "bounded is out of range: 9"),
        ("bounded", FieldType.INT8, b"\0", 1, "bounded has another type than int16"),
        ("half", FieldType.FP16, struct.pack("<e", 2), 1, None),
        ("half", FieldType.FP16, struct.pack("<e", 0.25), 1, "half is out of range: 0.25"),
        ("half", FieldType.FP16, struct.pack("<e", 2.002), 1, "half is out of range: 2.00195312"),
        ("half", FieldType.FP16, struct.pack("<e", 6e-8), 1, "half is out of range: 5.96046448e-08"),
        ("half", FieldType.FP16, struct.pack("<e", float("nan")), 1, "half is out of range: nan"),
        ("single", FieldType.FP32, struct.pack("<f", -1.5), 1, None),
        ("single", FieldType.FP32, struct.pack("<f", -1.75), 1, "single is out of range: -1.75"),
        ("single", None, struct.pack("<f", 0), 1, "single has another type than fp32"),
        ("word", FieldType.INT8, b"\xff", 1, None),
        ("word", FieldType.INT8, b"\0", 1, "word is out of range: 0"),
        ("flag", FieldType.INT32, struct.pack("<i", 0), 1, None),
        ("flag", FieldType.INT32, struct.pack("<i", -1), 1, "flag is out of range: -1"),
        ("pair", FieldType.INT32, struct.pack("<3i", 1, 2, 3), 3, "pair has 3 elements instead of 2"),
        ("many", FieldType.INT32, struct.pack("<3i", 1, 2, 3), 3, None),
        ("many", FieldType.INT32, b"", -1, "many has -1 elements"),
        ("many", FieldType.INT32, None, 1, "many has no data"),
        ("title", FieldType.CHAR, b"text", 4, None),
        ("Title", FieldType.CHAR, b"text", 4, "there is no field Title"),
        ("sizes", FieldType.DIMS, struct.pack("<3q", 1, 2, 3), 3, None),
    ],
)
def test_fields(probe: Probe, field: str, kind: FieldType | None, data: bytes, length: int, said: str | None) -> None:
    if said is None:
        _, stored = probe.make("Hard", [(field, kind, data, length)])
        assert data in stored
    else:
        with pytest.raises(Refused, match=said.replace("[", r"\[")):
            probe.make("Hard", [(field, kind, data, length)])


def drawn(declaration: PluginDeclaration, source: random.Random) -> dict[str, Elements]:
    """Values for fields, those that are lists of any length, required or drawn."""
    values: dict[str, Elements] = {}
    for field in declaration.fields:
        if not field.is_required and source.random() < 0.3:
            continue
        count = source.choice([0, 1, 3]) if field.length is None else field.length
        if field.choices:
            values[field.name] = (source.choice([*field.choices.values()]),)
        elif field.type is FieldType.BOOL:
            values[field.name] = (source.choice([0, 1]),)
        elif field.type in (FieldType.FP32, FieldType.FP64):
            values[field.name] = tuple(source.choice([0.5, 1.0, 1.53125, 2.0, 3.7]) for _ in range(count))
        elif field.type is FieldType.INT32:
            values[field.name] = tuple(source.choice([0, 1, 2, 5, 9]) for _ in range(count))
    return values


def agree(probe: Probe, declaration: PluginDeclaration, source: random.Random) -> bool:
    """Hold C++ against Python for values and shapes that are drawn; gives whether they take these."""
    values = drawn(declaration, source)
    given = sum(not entry.optional or source.random() < 0.5 for entry in declaration.inputs)
    largest = source.choice([3, 8, 3_000_000_000])
    shapes: list[list[int] | None] = []
    for entry in declaration.inputs:
        rank = source.choice(entry.ranks or (2, 4))
        alike = bool(shapes) and source.random() < 0.5
        drawn_shape = shapes[0] if alike else [source.choice([1, 2, 3, 5, largest]) for _ in range(rank)]
        shapes.append(drawn_shape if len(shapes) < given else None)
    named = {entry.name: shape for entry, shape in zip(declaration.inputs, shapes, strict=True)}
    variables = {**declaration.variables(values, {}), **named}
    expected = next((one.otherwise for one in declaration.requires if not one.that.value(variables)), None)
    params = probe.of(declaration.name, values)
    assert probe.check(declaration.name, params, shapes) == expected, (values, named)
    if expected is not None:
        return False
    for index, output in enumerate(declaration.outputs):
        assert probe.shape(declaration.name, params, index, shapes) == [*output.shape.value(variables)], (values, named)
    return True


@pytest.mark.parametrize("name", ["Hard", *bundled_plugins()])
def test_checks_and_shapes_are_those_of_python(probe: Probe, name: str) -> None:
    declaration = next(one for one in probe.declarations if one.name == name)
    source = random.Random(name)
    taken = [agree(probe, declaration, source) for _ in range(3000)]
    assert any(taken)
    assert not all(taken) or not declaration.requires


def test_inputs_that_are_not_as_they_have_to_be(probe: Probe) -> None:
    params = probe.of("InstanceNormPad", {})
    assert probe.check("InstanceNormPad", params, [None, None]) == "x is missing"
    assert probe.check("InstanceNormPad", params, [[1, 2, 3], None]) == "x has another number of axes than 4"
    assert probe.shape("InstanceNormPad", params, 0, [[1, 2, 3], None]) is None
    wrong = [[1, 2, 3, 4], [1, 2, 3]]
    assert probe.check("InstanceNormPad", params, wrong) == "residual has another number of axes than 4"
    params = probe.of("Mish", {})
    assert probe.shape("Mish", params, 0, [[]]) == []


def test_sources_that_stay_the_same_are_left_alone(hard: PluginDeclaration, tmp_path: Path) -> None:
    generate([hard], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert {path.relative_to(tmp_path).as_posix() for path in before} == {"hard/plugin.h", "hard.cpp", "plugins.cpp"}
    generate([hard], tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}


@pytest.mark.parametrize(
    ("shape", "that", "said"),
    [
        ("[x[0] if x[0] > 1 else 2]", "true", "sizes that are not known yet cannot be compared"),
        ("[x[0] + 0.5]", "true", "TensorRT computes sizes in whole numbers only"),
        ("[factor * 2]", "true", "factor * 2 is no whole number"),
        ("[x[-1]]", "true", "an index is a number, from 0 on"),
        ("[pair[2]]", "true", "pair has 2 elements"),
        ("[x[8]]", "true", "a tensor has at most 8 axes"),
        ("[pair[0] or 1]", "true", "pair[0] or 1 is a number in some cases; write `a if … else b`"),
        ("[x[0] + (x == null)]", "true", "x[0] + (x == null) is no arithmetic"),
        ("x", "there[0] > 1", "the elements of there are on the device"),
        ("x", "pair", "pair is neither true nor false"),
        ("x", "pair == pair", "pair == pair is no arithmetic"),
        ("x", "half > 1", "half is fp16, which formulas in C++ do not read"),
        ("x", "x[0] < 9223372036854775808", "9223372036854775808 is no number that C++ has"),
        ("x", "len(title) > 1", "title has no length"),
    ],
)
def test_what_has_no_form_in_cpp(tmp_path: Path, shape: str, that: str, said: str) -> None:
    text = f"""\
plugin: Hard
help: Has something that C++ has not.
fields:
  factor: {{type: fp32}}
  half: {{type: fp16}}
  pair: {{type: int32, length: 2}}
  there: {{type: fp32, length: 2, memory: device}}
  title: {{type: char}}
inputs: {{x: {{}}}}
outputs: {{y: {{shape: "{shape}"}}}}
formats: [[fp32, linear]]
requires: [{{that: "{that}", otherwise: no}}]
"""
    with pytest.raises(NetworkError) as caught:
        generate([declared(text, tmp_path)], tmp_path / "generated")
    [problem] = caught.value.diagnostics
    assert problem.code == "plugin-declaration"
    assert problem.message == f"Hard: {said}"
    assert problem.span.line == (10 if shape != "x" else 12)
    assert not (tmp_path / "generated").exists()


def test_what_plugins_cannot_have(tmp_path: Path) -> None:
    inputs = ", ".join(f"i{index}: {{optional: true}}" for index in range(17))
    text = f"""\
plugin: Hard
help: Has too much.
fields:
  sizes: {{type: dims, length: any}}
inputs: {{{inputs}}}
outputs: {{y: {{shape: i0}}}}
formats: [[fp32, linear]]
"""
    with pytest.raises(NetworkError) as caught:
        generate([declared(text, tmp_path)], tmp_path / "generated")
    assert [problem.message for problem in caught.value.diagnostics] == [
        "a plugin has at most 16 inputs, and Hard has 17",
        "`sizes`: a field of type dims has no length",
        "`y` has the element type of `i0`, which may be left out",
    ]
