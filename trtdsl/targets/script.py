"""Typed Graph to a Python program of plain TensorRT calls that builds the same engine, for reading, diffing and tools.

The program has `load_network` and `load_config`, which Polygraphy looks for in scripts that define networks.
"""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, BinaryIO

import numpy as np

from trtdsl.build_options import BuildOptions
from trtdsl.graph import Graph
from trtdsl.targets.plugins import has_plugins
from trtdsl.targets.recorder import Calls, record_all
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.script_config import config_statements
from trtdsl.targets.stand_ins import written
from trtdsl.targets.weak_typing import WeakTyping, held_types
from trtdsl.types import DataType
from trtdsl.version import __version__
from trtdsl.weights import Weight
from trtdsl.weights.npz import write_npz

_WIDTH = 120
_INLINE, _INLINE_FLOATS = 16, 8
"""Elements up to which computed constants are written into the program: shapes and axes, and scalars."""
_WITHOUT_NUMPY_TYPE = frozenset({DataType.BF16, DataType.FP8, DataType.FP4, DataType.E8M0, DataType.INT4})

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Script:
    """A program, and the arrays of the file of weights beside it, by name: parameters are read when they are written.

    Elements are in the storage of their type; types that numpy lacks are bits.
    """

    text: str
    arrays: dict[str, Weight | Array]

    def write_arrays(self, file: BinaryIO) -> None:
        """Write them as an .npz file, one in memory at a time."""
        contents = self.arrays.items()
        write_npz(file, ((name, entry.array() if isinstance(entry, Weight) else entry) for name, entry in contents))


class _Stored:
    """Weights as entries of the file beside the program; small constants as they are."""

    def __init__(self) -> None:
        self.arrays: dict[str, Weight | Array] = {}
        self._parameters: dict[Any, str] = {}

    def weights(self, array: Array, dtype: DataType, label: str) -> str:
        if array.size <= (_INLINE_FLOATS if array.dtype.kind == "f" else _INLINE):
            numpy_type = "bool_" if array.dtype == bool else array.dtype.name
            return self._call(f"np.array({written(array.tolist())}, np.{numpy_type})", dtype)
        return self._call(self._store(label, array), dtype)

    def weights_of(self, weight: Weight, label: str) -> str:
        key = (weight.source, weight.shape, weight.dtype)
        if key not in self._parameters:
            self._parameters[key] = self._store(label, weight)
        return self._call(self._parameters[key], weight.dtype)

    def _store(self, label: str, content: Weight | Array) -> str:
        name, number = label, 1
        while name in self.arrays:
            number += 1
            name = f"{label} {number}"
        self.arrays[name] = content
        return f"stored[{name!r}]"

    def _call(self, array: str, dtype: DataType) -> str:
        if dtype in _WITHOUT_NUMPY_TYPE:
            return f"weights({array}, trt.DataType.{dtype.trt_name})"
        return f"weights({array})"


def write_script(graph: Graph, runtime: Runtime, options: BuildOptions, *, source: Path, weights: str) -> Script:
    """The program for a typed graph; `weights` names the file beside it.

    `source` is the file that the network came from. Raises BuildError for layers and options that the runtime is known
    to lack.
    """
    strongly_typed = options.strongly_typed or runtime.is_strongly_typed
    config = config_statements(graph, runtime, options, strongly_typed=strongly_typed)
    stored = _Stored()
    calls = list(record_all(graph, runtime, stored, strongly_typed=strongly_typed))
    layers = [line for entry in calls for line in _lines(entry, calls)]
    body = "\n".join(layers)
    needs = {name for name in ("np", "weights", "plugin") if re.search(rf"\b{name}[.(]", body)}
    if not strongly_typed:
        needs.add("typing")
    start = _start(graph, runtime, strongly_typed, weights if stored.arrays else None)
    sections = (
        _head(graph, runtime, source, needs),
        *(_helper(name, graph) for name in ("weights", "plugin") if name in needs),
        *([inspect.getsource(WeakTyping)] if "typing" in needs else []),
        f"{_LOAD_NETWORK}{_indented([*start, ''])}{body}\n    return builder, network\n",
        f"{_LOAD_CONFIG}{_indented(config)}    return config\n",
        _MAIN,
    )
    return Script("\n\n".join(sections), stored.arrays)


def _head(graph: Graph, runtime: Runtime, source: Path, needs: set[str]) -> str:
    title = _quotable(
        f"The network {graph.name} as calls of {runtime}, written by trtdsl {__version__} from {source.name}."
    )
    module = "tensorrt_rtx" if runtime.is_rtx else "tensorrt"
    if runtime.module is not None:
        module = runtime.module.__name__
    lines = [_HEAD.format(title=title), *(["import ctypes"] if "plugin" in needs else []), "import sys"]
    lines += ["from collections.abc import Collection"] if "typing" in needs else []
    lines += ["from pathlib import Path"]
    lines += ["from typing import Any"] if "typing" in needs else []
    lines += [""]
    lines += ["import numpy as np"] if needs & _HELPERS.keys() else []
    lines += [f"import {module} as trt", "", "LOGGER = trt.Logger(trt.Logger.WARNING)"]
    return "\n".join(lines) + "\n"


def _helper(name: str, graph: Graph) -> str:
    libraries = [str(use.path.resolve()) for use in graph.libraries]
    return _HELPERS[name].replace("{libraries}", written(libraries), 1)


def _start(graph: Graph, runtime: Runtime, strongly_typed: bool, weights: str | None) -> Iterator[str]:
    """What comes before the layers."""
    flags = "0"
    if not runtime.can_be_strongly_typed:
        flags = "1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)"
    elif strongly_typed:
        flags = "1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)"
    if has_plugins(graph):
        yield "load_plugins()"
    yield "builder = trt.Builder(LOGGER)"
    yield f"network = builder.create_network({flags})"
    yield f"network.name = {graph.name!r}"
    if weights is not None:
        yield f"with np.load(Path(__file__).with_name({weights!r}), allow_pickle=False) as file:"
        yield "    stored = dict(file)"
    if not strongly_typed:
        floats = [f"trt.DataType.{dtype.trt_name}" for dtype in held_types(graph, runtime)]
        yield f"typing = WeakTyping(trt, [{', '.join(floats)}])"


def _lines(calls: Calls, everything: list[Calls]) -> Iterator[str]:
    """The lines of one layer, input or output."""
    place = f"{Path(calls.span.file.name).name}:{calls.span.line}"
    comment = f"{calls.name} ({place}): {calls.what}"
    yield from wrap(comment, _WIDTH, initial_indent=f"{_INDENT}# ", subsequent_indent=f"{_INDENT}#     ")
    for statement in calls.statements:
        variable, _, call = statement.partition(" = ")
        if call.startswith("network.add_input(") and not _is_read(variable, statement, everything):
            statement = call
        yield from _wrapped(statement)
    yield ""


def _is_read(variable: str, made: str, everything: list[Calls]) -> bool:
    statements = (statement for calls in everything for statement in calls.statements if statement is not made)
    return any(variable in statement and variable in _names(statement) for statement in statements)


def _names(statement: str) -> set[str]:
    return {token.string for token in _tokens(statement) if token.type == tokenize.NAME}


def _tokens(statement: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(statement).readline)


def _wrapped(statement: str) -> Iterator[str]:
    """A statement as lines of bounded length, broken between the items inside its brackets."""
    indent, line = _INDENT, ""
    for piece in _pieces(statement):
        if line and len(indent) + len(line) + len(piece.rstrip()) > _WIDTH:
            yield indent + line.rstrip()
            indent, line = _INDENT * 2, ""
        line += piece
    yield indent + line


def _pieces(statement: str) -> Iterator[str]:
    """A statement in pieces between which a line may end: behind the spaces inside brackets."""
    depth, start = 0, 0
    for token in _tokens(statement):
        begin = token.start[1]
        if depth and statement[start:begin].endswith(" "):
            yield statement[start:begin]
            start = begin
        depth += (token.string in _OPENING) - (token.string in _CLOSING)
    yield statement[start:]


def _indented(lines: Iterable[str]) -> str:
    return "".join(f"{_INDENT}{line}\n" if line else "\n" for line in lines)


def _quotable(text: str) -> str:
    """Text for a docstring."""
    return text.replace("\\", "/").replace('"', "'")


_INDENT = "    "
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")

_HEAD = '''\
#!/usr/bin/env python3
"""{title}

Run with the name of a file it builds the engine and writes it there. `load_network` and `load_config` are what
Polygraphy calls in scripts that define networks and builder configs.
"""

from __future__ import annotations
'''

_HELPERS = {
    "weights": '''\
ARRAYS = []
"""TensorRT keeps pointers to elements, so arrays have to last until the engine is built."""


def weights(array, dtype=None):
    """The elements of an array for TensorRT; `dtype` is for the types of which numpy holds only the bits."""
    array = np.ascontiguousarray(array)
    ARRAYS.append(array)
    return trt.Weights(array) if dtype is None else trt.Weights(dtype, array.ctypes.data, array.size)
''',
    "plugin": '''\
LIBRARIES = {libraries}
"""Libraries of plugins; those of TensorRT's own are there without."""


def load_plugins():
    """Load the libraries, and have TensorRT register what is in those that leave this to it."""
    trt.init_libnvinfer_plugins(LOGGER, "")
    registry = trt.get_plugin_registry()
    for path in LIBRARIES:
        before = len(creators(registry))
        library = ctypes.CDLL(path)
        if len(creators(registry)) == before and (
            hasattr(library, "getCreators") or hasattr(library, "getPluginCreators")
        ):
            registry.load_library(path)


def creators(registry):
    """All that are registered; TensorRT 8.6 has another name for the list."""
    return registry.all_creators if hasattr(registry, "all_creators") else registry.plugin_creator_list


def plugin(name, version, namespace, fields, label):
    """A plugin out of TensorRT's registry; `fields` are (name, type, elements), in the creator's order."""
    registry = trt.get_plugin_registry()
    get_creator = registry.get_creator if hasattr(registry, "get_creator") else registry.get_plugin_creator
    creator = get_creator(name, version, namespace)
    if creator is None:
        sys.exit(f"no plugin {name} {version} is registered in the namespace {namespace!r}")
    # TensorRT keeps pointers to the elements until the plugin is made.
    arrays = [elements_of(kind, elements) for _, kind, elements in fields]
    made = []
    for (field, kind, elements), array in zip(fields, arrays, strict=True):
        made.append(trt.PluginField(field, array, getattr(trt.PluginFieldType, TYPES.get(kind, kind.upper()))))
        made[-1].size = len(elements.encode() if isinstance(elements, str) else elements)
    is_v3 = hasattr(trt, "IPluginCreatorV3One") and isinstance(creator, trt.IPluginCreatorV3One)
    phase = (trt.TensorRTPhase.BUILD,) if is_v3 else ()
    found = creator.create_plugin(label, trt.PluginFieldCollection(made), *phase)
    if found is None:
        sys.exit(f"the creator of {name} gave no plugin for {label}")
    return found


TYPES = {"fp16": "FLOAT16", "fp32": "FLOAT32", "fp64": "FLOAT64", "bool": "INT32"}


def elements_of(kind, elements):
    """The memory of a field: a text ends with NUL, Dims have sizes of 32 bits before TensorRT 10."""
    if kind == "char":
        return np.frombuffer(elements.encode() + b"\\0", np.int8)
    if kind == "dims":
        size = "i8" if hasattr(trt.DataType, "INT64") else "i4"
        dims = np.zeros(len(elements), np.dtype([("count", "i4"), ("sizes", size, 8)], align=True))
        for index, sizes in enumerate(elements):
            dims[index] = (len(sizes), tuple(sizes) + (0,) * (8 - len(sizes)))
        return dims.view(np.int8)
    return np.array(elements, TYPES.get(kind, kind).lower())
''',
}

_LOAD_NETWORK = '''\
def load_network():
    """The builder, and the network with all its layers."""
'''

_LOAD_CONFIG = '''\
def load_config(builder, network):
    """What the builder is told besides the network."""
'''

_MAIN = '''\
def main():
    """Build the engine."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} ENGINE")
    builder, network = load_network()
    plan = builder.build_serialized_network(network, load_config(builder, network))
    if plan is None:
        sys.exit("TensorRT built no engine")
    Path(sys.argv[1]).write_bytes(plan)


if __name__ == "__main__":
    main()
'''
