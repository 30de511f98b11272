"""The start of the command line: `trtdsl --help` as a whole process, beside a Python that does nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15


def seconds(command: list[str]) -> float:
    """The median of several runs, after one that warms the disk cache."""
    times = []
    for _ in range(RUNS + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def main() -> None:
    empty = seconds([sys.executable, "-c", "pass"])
    for arguments in (["--help"], ["build", "--help"], ["--version"]):
        taken = seconds([sys.executable, "-m", "trtdsl", *arguments])
        print(f"trtdsl {' '.join(arguments):14} {taken * 1000:6.0f} ms   {taken / empty:4.1f} x an empty Python")


if __name__ == "__main__":
    main()
