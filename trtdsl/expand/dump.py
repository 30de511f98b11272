"""A flat network as YAML that reads and expands to the same network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtdsl.expand.written import Place, control_fields
from trtdsl.flat import FlatLayer, FlatNetwork, FlatQuantization, walk
from trtdsl.nodes import Node, plain
from trtdsl.ops.base import Op
from trtdsl.types import DataType, Dim, Symbol

# Every reader of YAML 1.1 or 1.2 takes these for text.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./:-]*[A-Za-z0-9_]|[A-Za-z_]")
_NOT_TEXT = re.compile(r"(?i)null|true|false|yes|no|on|off")
_UNPRINTABLE = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]")


def dump(flat: FlatNetwork, catalogue: Mapping[str, type[Op]], base: Path | None = None) -> str:
    """The network as text, to be kept in the folder `base`, to which its paths are made relative.

    `base` defaults to the folder of the network's own file.
    """
    folder = flat.file.directory if base is None else base
    return "".join(f"{line}\n" for line in _lines(flat, catalogue, folder))


def _lines(flat: FlatNetwork, catalogue: Mapping[str, type[Op]], base: Path) -> Iterator[str]:
    yield "trtdsl: 1"
    for key, text in (("name", flat.name), ("description", flat.description)):
        if text:
            yield f"{key}: {_yaml(_escaped(text))}"
    if flat.dims:
        yield f"dims: {_yaml({name: _dim_sizes(dim) for name, dim in flat.dims.items()})}"
    yield "inputs:"
    for entry in flat.inputs:
        shape = [_size(dim) for dim in entry.shape]
        yield f"  {_yaml(entry.name)}: {_yaml({'shape': shape, 'dtype': entry.dtype.value})}"
    yield from _settings(flat, base)
    yield "layers:" if flat.layers else "layers: []"
    writer, top = _Writer(catalogue, base), Place.top(flat)
    for layer in flat.layers:
        yield f"  - {_yaml(writer.layer(layer, top))}"
    yield "outputs:"
    for output in flat.outputs:
        dtype = {"dtype": output.dtype.value} if output.dtype else {}
        yield f"  {_yaml(output.name)}: {_yaml({'tensor': output.tensor, **dtype} if dtype else output.tensor)}"


def _settings(flat: FlatNetwork, base: Path) -> Iterator[str]:
    """What is said of the whole network; what is so anyway is left out."""
    if flat.weights:
        yield f"weights: {_yaml(_weights(flat, base))}"
    if flat.libraries:
        yield f"plugins: {_yaml({'libraries': _libraries(flat, base)})}"
    if flat.impl != "native":
        yield f"impl: {flat.impl}"
    precision = _precision(flat)
    if precision != DataType.FP32.value:
        yield f"precision: {_yaml(precision)}"
    if flat.quantization is not None:
        yield f"quantization: {_yaml(_quantization(flat.quantization, base))}"
    if flat.build is not None:
        yield f"build: {_yaml(_escaped(plain(flat.build)))}"


@dataclass(frozen=True)
class _Writer:
    """Writes layers, wherever they stand."""

    catalogue: Mapping[str, type[Op]]
    base: Path

    def layer(self, layer: FlatLayer, place: Place) -> dict[str, Any]:
        fields: dict[str, Any] = {"op": layer.op, "name": place.name(layer.name)}
        if layer.outputs != _default_outputs(layer):
            names = [place.name(name) for name in layer.outputs]
            fields["out"] = names[0] if len(names) == 1 else names
        if layer.bodies:
            return {**fields, **control_fields(layer, place, self.layer, _escaped)}
        return {**fields, **_fields(layer, place, self.catalogue[layer.op], self.base)}


def _fields(layer: FlatLayer, place: Place, op: type[Op], base: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if layer.inputs or op.is_open:
        names = [None if name is None else place.reference(name) for name in layer.inputs]
        fields["in"] = names[0] if len(names) == 1 and names[0] is not None else names
    for key, node in layer.parameters.items():
        value = _escaped(plain(node))
        if op.is_open and key == "weights" and isinstance(value, dict):
            value = {name: _relocated(entry, node, base) for name, entry in value.items()}
        fields[key] = _relocated(value, node, base) if key in op.weight_parameters else value
    if layer.precision is not None:
        fields["precision"] = layer.precision.value
    if layer.impl is not None:
        fields["impl"] = layer.impl
    return fields


def _default_outputs(layer: FlatLayer) -> tuple[str, ...]:
    """The outputs, if they are named as without `out`; else nothing."""
    default = all(name == layer.name or name.startswith(f"{layer.name}:") for name in layer.outputs)
    return layer.outputs if default else ()


def _relocated(value: Any, node: Node, base: Path) -> Any:
    """A weight whose file is named relative to `base`."""
    if isinstance(value, dict) and isinstance(value.get("file"), str):
        folder = node.span.file.directory
        return {**value, "file": _relative(folder / value["file"], folder, base)}
    return value


def _relative(path: Path, folder: Path, base: Path) -> str:
    """A path, named in a file of `folder`, as it is to be written in `base`; one in full stays as it is."""
    if not path.is_relative_to(folder):
        return path.as_posix()
    return Path(os.path.relpath(path, base)).as_posix()


def _weights(flat: FlatNetwork, base: Path) -> Any:
    files: dict[str, list[str]] = {}
    for entry in flat.weights:
        folder = Path() if entry.span is None else entry.span.file.directory
        files.setdefault(entry.prefix, []).append(_escaped(_relative(entry.path, folder, base)))
    if set(files) == {""}:
        return files[""]
    return {prefix: paths[0] if len(paths) == 1 else paths for prefix, paths in files.items()}


def _libraries(flat: FlatNetwork, base: Path) -> list[str]:
    folders = (Path() if use.span is None else use.span.file.directory for use in flat.libraries)
    pairs = zip(flat.libraries, folders, strict=True)
    return [_escaped(_relative(use.path, folder, base)) for use, folder in pairs]


def _precision(flat: FlatNetwork) -> Any:
    patterns = {pattern: dtype.value for pattern, dtype, _ in flat.precision.patterns}
    for layer in walk(flat.layers):
        # Control flow is a group itself, whose own word would count for more than what its layers are given here.
        asked = layer.group_precision if not layer.bodies else layer.precision or layer.group_precision
        if asked is not None:
            # Groups are gone, and they count for more than patterns: the last one does, so the name goes to the end.
            patterns.pop(layer.name, None)
            patterns[layer.name] = asked.value
    fallback = flat.precision.fallback and flat.precision.fallback.value
    parts = {"fallback": fallback, "layers": patterns, "allow": list(flat.precision.allowed)}
    said = {key: part for key, part in parts.items() if part}
    return {"default": flat.precision.default.value, **said} if said else flat.precision.default.value


def _quantization(quantization: FlatQuantization, base: Path) -> Any:
    folders = (Path() if use.span is None else use.span.file.directory for use in quantization.files)
    pairs = zip(quantization.files, folders, strict=True)
    files = [_escaped(_relative(use.path, folder, base)) for use, folder in pairs]
    tensors = {name: value for name, value, _ in quantization.tensors}
    return {key: part for key, part in (("scales", files), ("tensors", tensors)) if part}


def _dim_sizes(dim: Dim) -> Any:
    return dim.value if dim.is_static else list(dim.sizes)


def _size(dim: Dim) -> Any:
    """A size in a shape, where a declared dimension stands by its bare name."""
    return str(dim) if isinstance(dim.expression, Symbol) else dim


def _escaped(value: Any) -> Any:
    """The same value with every dollar in text doubled, and dimensions as expressions."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Dim):
        return value
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return value


def _yaml(value: Any) -> str:
    """One value on one line."""
    if isinstance(value, Dim):
        return str(value) if value.is_static else _quoted(f"$({value})")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(str(key))}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return str(value) if isinstance(value, int) else _text(str(value))


def _text(text: str) -> str:
    plain_text = _PLAIN.fullmatch(text) and ": " not in text and not _NOT_TEXT.fullmatch(text)
    return text if plain_text else _quoted(text)


def _quoted(text: str) -> str:
    escape = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\U{ord(match.group()):08x}", escape)


def _float(value: float) -> str:
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 takes `1e-05` for text; `1.0e-05` is a number everywhere.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
