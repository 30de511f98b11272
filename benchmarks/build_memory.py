"""Peak memory of a ResNet-50 build with TensorRT-RTX, beside the same calls written by hand (by_hand.py)."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NETWORK = HERE.parent / "networks" / "resnet.yaml"
RUNS = 5
OURS = """
import sys, trtdsl
network = trtdsl.load(sys.argv[1], parameters={"depth": 50}, weights=[sys.argv[2]])
network.build(sys.argv[3], runtime="rtx", cache=False)
"""


def peak(command: list[str]) -> int:
    """The largest resident memory of a process in KiB, pages of mapped files included."""
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss


def main() -> None:
    from resnet50_weights import write

    with tempfile.TemporaryDirectory() as folder:
        weights, engine = f"{folder}/resnet50.safetensors", f"{folder}/resnet50.engine"
        write(Path(weights))
        commands = {
            "by hand": [sys.executable, str(HERE / "by_hand.py"), weights, engine],
            "trtdsl": [sys.executable, "-c", OURS, str(NETWORK), weights, engine],
        }
        peaks = {name: statistics.median(peak(command) for _ in range(RUNS)) for name, command in commands.items()}
        size = Path(weights).stat().st_size / 1024
    for name, kib in peaks.items():
        print(f"{name:8} {kib / 1024:8.1f} MiB")
    more = peaks["trtdsl"] - peaks["by hand"]
    print(
        f"trtdsl / by hand {peaks['trtdsl'] / peaks['by hand']:.3f}; difference {more / size:+.2f} x the weights file"
    )


if __name__ == "__main__":
    main()
