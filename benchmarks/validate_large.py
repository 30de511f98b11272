"""`trtdsl validate` of networks of 10,000 layers, as whole processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAYERS = 10_000
RUNS = 5
HEAD = "trtdsl: 1\nname: large\ndims: {N: [1, 8, 32]}\ninputs: {x: [N, 16, 32, 32]}\nlayers:\n"


def plain() -> str:
    """Convolutions with a name each and three kinds of parameters, then activations."""
    lines = []
    for i in range(LAYERS // 2):
        kernel = (1, 3, 5)[i % 3]
        window = f"kernel_size: {kernel}, padding: {kernel // 2}"
        lines.append(f"  - {{op: conv, name: conv{i}, out_channels: 16, {window}, bias: false}}")
        lines.append(f"  - {{op: relu, name: relu{i}}}")
    return HEAD + "\n".join(lines) + "\n"


def distinct() -> str:
    """The worst case for a memo: no two layers have the same parameters."""
    lines = [f"  - {{op: leaky_relu, name: layer{i}, negative_slope: {1 / (i + 2)}}}" for i in range(LAYERS)]
    return HEAD + "\n".join(lines) + "\n"


def modules() -> str:
    """Few lines that expand to as many layers."""
    conv = "{op: conv, name: conv, out_channels: 16, kernel_size: 3, padding: 1}"
    block = f"modules:\n  block:\n    layers:\n      - {conv}\n      - relu\n"
    return HEAD.replace("layers:\n", block + "layers:\n") + f"  - {{op: block, name: block, repeat: {LAYERS // 2}}}\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for make in (plain, distinct, modules):
            path = Path(folder) / f"{make.__name__}.yaml"
            path.write_text(make())
            seconds = []
            for _ in range(RUNS):
                begin = time.perf_counter()
                command = [sys.executable, "-m", "trtdsl", "validate", "--random-weights", str(path)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - begin)
            print(f"{make.__name__:10} {statistics.median(seconds):6.2f} s   (median of {RUNS}; {LAYERS:,} layers)")


if __name__ == "__main__":
    main()
