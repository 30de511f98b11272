"""Takes a layer of every creator of TensorRT's own from YAML to its fields and its plugin; prints JSON.

    python nvidia.py FOLDER

Printed is, for each creator: name, version, kind, fields (name, type, length), `checked` (the typed fields, or errors),
`mistakes` (what comes of a wrong name, type, length and range: the codes of the errors, or null where YAML said nothing
wrong), and `came` (what the creator made of the fields, in a process of its own).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorrt_bindings as trt
import yaml

import trtdsl
from tests.plugins.layers import Log, described, isolated, outcome
from trtdsl.errors import TrtdslError
from trtdsl.plugins.fields import FieldDeclaration, FieldType
from trtdsl.plugins.registry import Creator, Registry, register_own_plugins
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime

VALUES = Path(__file__).with_name("nvidia.yaml")
RUNTIME = Runtime("tensorrt", tuple(int(part) for part in trt.__version__.split(".")), trt)


def value_of(field: FieldDeclaration) -> Any:
    """Some value of a field."""
    kind = field.type or FieldType.INT32
    one = "a" if kind is FieldType.CHAR else 0.5 if kind.is_float else 1
    value: Any = one if field.length is None else [one] * field.length
    return value if field.type else {"type": str(kind), "value": value}


def fields_of(creator: Creator, values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A value for every field that a creator declares."""
    given = values.get(f"{creator.name} {creator.version}") or values.get(creator.name, {})
    found = {}
    for field in creator.fields():
        value = given.get(field.name, value_of(field))
        if field.type is not None and isinstance(value, dict):
            value = value["value"]
        elif field.type is None and not isinstance(value, dict):
            value = {"type": "fp32" if isinstance(value, float) else "int32", "value": value}
        found[field.name] = value
    return found


def mistakes(creator: Creator) -> Iterator[tuple[str, Any]]:
    """Fields with one mistake each: a wrong name, and of every field a wrong type, range and length if it has them."""
    declared = creator.fields()
    if not declared:
        yield "type", {"undeclared": 1}
        return
    yield "name", {f"{declared[0].name}_": 1}
    for field in declared:
        if field.type is None:
            yield "type", {field.name: 1}
            yield "range", {field.name: {"type": "int8", "value": 200}}
            continue
        yield "type", {field.name: {"type": "int8", "value": 1}}
        if field.type is not FieldType.CHAR:
            yield "type", {field.name: "text"}
            yield "range", {field.name: 1e300 if field.type.is_float else 2**40}
        if field.length is not None:
            yield "length", {field.name: [1] * (field.length + 1 if field.length < 100 else 1)}
            yield "length", {field.name: 1}


def layer(creator: Creator, fields: Any) -> str:
    """A layer as YAML."""
    plugin = {"op": "plugin", "plugin": creator.name, "version": creator.version, "fields": fields}
    return json.dumps(plugin)


def checked(path: Path, text: str) -> dict[str, Any]:
    """The call that a layer becomes, for which its fields are settled and no plugin is made; or the errors."""
    path.write_text(f"trtdsl: 1\ninputs: {{x: [2, 3, 8, 8]}}\nlayers:\n  - {text}\n")
    try:
        calls = list(record(trtdsl.load(path).typed, RUNTIME))
    except TrtdslError as error:
        return {"errors": [described(entry) for entry in error.diagnostics]}
    return {"call": calls[1].statements[0]}


def main() -> None:
    path = Path(sys.argv[1]) / "net.yaml"
    values = yaml.safe_load(VALUES.read_text())
    log = Log()
    register_own_plugins(trt)
    found = []
    for creator in Registry(trt, "").creators():
        fields = fields_of(creator, values)
        text = layer(creator, fields)
        wrong = [(kind, checked(path, layer(creator, given))) for kind, given in mistakes(creator)]
        found.append(
            {
                "name": creator.name,
                "version": creator.version,
                "kind": creator.kind,
                "fields": [[field.name, str(field.type) if field.type else None] for field in creator.fields()],
                "given": sorted(fields),
                "checked": checked(path, text),
                "mistakes": [[kind, [entry["code"] for entry in one.get("errors", ())]] for kind, one in wrong],
                "came": isolated(lambda: outcome(path, text, None, RUNTIME, log)),  # noqa: B023
            }
        )
    # TensorRT itself prints to the same stream.
    print(f"\n{json.dumps(found)}")


if __name__ == "__main__":
    main()
