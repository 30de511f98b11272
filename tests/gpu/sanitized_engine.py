"""An engine of all bundled plugins, to be run under compute-sanitizer; it is built without, which is soon done.

    TRTDSL_PLUGINS=LIBRARY python tests/gpu/sanitized_engine.py build DIR
    compute-sanitizer --tool memcheck python tests/gpu/sanitized_engine.py run DIR

`run` says how far outputs are off, and fails where that is more than the tests allow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import device  # noqa: E402
import numpy as np  # noqa: E402
from plugin_blocks import BLOCKS, CHAIN, make_input, write_blocks  # noqa: E402

import trtdsl  # noqa: E402
from trtdsl.running import run_in_fp32  # noqa: E402

CHANNELS, SIZE = 24, (2, 31, 18)
TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3}
OPTIONS = {"tactic_sources": [], "tf32": False, "optimization_level": 0}


def build(folder: Path) -> None:
    library = Path(os.environ["TRTDSL_PLUGINS"])
    dims = "{{N: {}, H: {}, W: {}}}".format(*SIZE)
    names = [name for name in BLOCKS if name != CHAIN]
    x = make_input(0, CHANNELS, SIZE)
    for precision in TOLERANCES:
        network = trtdsl.load(
            write_blocks(CHANNELS, dims, folder, names), precision=precision, impl="auto", plugins=[library]
        )
        network.build(folder / f"{precision}.engine", runtime="tensorrt", options=OPTIONS, cache=False)
        wanted = run_in_fp32(network.graph, {"x": x.astype(np.float32)})
        np.savez(folder / f"{precision}.npz", x=x, **wanted)


def run(folder: Path) -> None:
    for precision, tolerance in TOLERANCES.items():
        wanted = dict(np.load(folder / f"{precision}.npz"))
        x = wanted.pop("x").astype(np.float32)
        with trtdsl.Engine(folder / f"{precision}.engine", runtime="tensorrt") as engine:
            outputs = engine.run({"x": x})
        errors = {name: device.relative_error(outputs[name], array) for name, array in wanted.items()}
        print(f"{precision}: {len(errors)} outputs, at most {max(errors.values()):.1e} off")
        assert max(errors.values()) <= tolerance, errors


if __name__ == "__main__":
    {"build": build, "run": run}[sys.argv[1]](Path(sys.argv[2]))
