"""Builds networks of one Echo plugin whose fields are drawn at random, and holds what its creator got against them.

    python drive.py LIBRARY FOLDER ROUNDS

Python's collector runs between all steps of making a plugin, and what it frees is written over.
"""

from __future__ import annotations

import ctypes
import gc
import random
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt_bindings as trt

import trtdsl
from tests.plugins.standin import SILENCE, Network
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit

VERSION = tuple(int(part) for part in trt.__version__.split("."))
WIDE = VERSION[0] >= 10
LITTLE = "<"


class Collecting:
    """TensorRT's module, with the collector run before and after each thing that is made for a plugin."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if name not in ("PluginField", "PluginFieldCollection"):
            return found

        def make(*arguments: Any) -> Any:
            clear()
            made = found(*arguments)
            clear()
            return made

        return make


def clear() -> None:
    gc.collect()
    # Memory that was given back is most likely given out again for sizes like those of fields.
    for size in (1, 2, 4, 8, 16, 36, 72):
        np.full(size, 0x5A, np.uint8)


def drawn(source: random.Random) -> dict[str, tuple[str, int, int, bytes]]:
    """A YAML value for every field, with the type's number, the length and the bytes that the creator should get."""

    def packed(code: str, *values: float) -> bytes:
        return struct.pack(LITTLE + code * len(values), *values)

    [half] = struct.unpack("<e", struct.pack("<e", source.uniform(-1000, 1000)))
    double = source.uniform(-1e300, 1e300)
    tiny, small, whole = (source.randint(-(2**bits), 2**bits - 1) for bits in (7, 15, 31))
    four = [source.randint(-(2**31), 2**31 - 1) for _ in range(4)]
    many = [source.uniform(-1, 1) for _ in range(source.randint(0, 9))]
    text = "".join(source.choice("abc äß€🙂 ") for _ in range(source.randint(0, 12)))
    sizes = [source.randint(0, 2**31 - 1) for _ in range(source.randint(0, 8))]
    flag = source.random() < 0.5
    dims = struct.pack("<i4x8q" if WIDE else "<i8i", len(sizes), *sizes, *[0] * (8 - len(sizes)))
    number = {name: int(member) for name, member in trt.PluginFieldType.__members__.items()}
    fields = {
        "half": (repr(half), number["FLOAT16"], 1, packed("e", half)),
        "single": (repr(many), number["FLOAT32"], len(many), packed("f", *many)),
        "double": (repr(double), number["FLOAT64"], 1, packed("d", double)),
        "tiny": (str(tiny), number["INT8"], 1, packed("b", tiny)),
        "small": (str(small), number["INT16"], 1, packed("h", small)),
        "whole": ("true" if flag else str(whole), number["INT32"], 1, packed("i", 1 if flag else whole)),
        "four": (repr(four), number["INT32"], 4, packed("i", *four)),
        "text": (f'"{text}"', number["CHAR"], len(text.encode()), text.encode() + b"\0"),
        "dims": (repr(sizes), number["DIMS"], 1, dims),
    }
    if WIDE:
        large = source.randint(-(2**63), 2**63 - 1)
        fields["large"] = (str(large), number["INT64"], 1, packed("q", large))
    if source.random() < 0.3:
        del fields[source.choice(list(fields))]
    return fields


def main() -> None:
    library, folder, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    module = Collecting(trt)
    runtime = Runtime("tensorrt", VERSION, module)
    source = random.Random(5)
    echo: Any = None
    path = folder / "net.yaml"
    gc.freeze()
    for count in range(1, rounds + 1):
        fields = drawn(source)
        version = source.choice(["1", "2"]) if WIDE else "1"
        listed = list(fields.items())
        source.shuffle(listed)
        written = ", ".join(f"{name}: {text}" for name, (text, *_) in listed)
        path.write_text(
            f"trtdsl: 1\ninputs: {{x: [2, 3]}}\nplugins: {{libraries: [{library}]}}\nlayers:\n"
            f'  - {{op: plugin, plugin: Echo, version: "{version}", fields: {{{written}}}}}\n'
        )
        network = Network(module)
        emit(trtdsl.load(path).typed, network, runtime, SILENCE, strongly_typed=False)
        if echo is None:
            echo = ctypes.CDLL(str(library))
            echo.echoLast.restype = ctypes.c_char_p
        got = echo.echoLast().decode().splitlines()
        # The creator gets them in the order in which it declares them.
        expected = [f"{name} {kind} {length} {data.hex()}" for name, (_, kind, length, data) in fields.items()]
        assert [line.rstrip() for line in got] == [line.rstrip() for line in expected], (written, got, expected)
        assert echo.echoCreated() == count
        [layer] = network.plugins
        assert layer.type == (trt.LayerType.PLUGIN_V2 if version == "1" else trt.LayerType.PLUGIN_V3)
    print(f"{rounds} plugins were given what was written")


if __name__ == "__main__":
    main()
