#!/usr/bin/env python3
"""The precisions that networks ask for and those that TensorRT's inspector finds, for every network in networks/.

    python benchmarks/precision_table.py [NAME…] [--precision fp16] [--open]

Builds each network in fp32, fp16 and int8, with made-up weights and, for int8, scales of made-up data. Sizes are fixed
(one image, 256 x 256 where they are free, 64 tokens): of layers whose sizes are open, 8.6.1's inspector tells no
formats, so that `--open` shows less. Columns: layers that compute; those found in the type asked for; those in another,
which would be an error; those that the inspector does not show, of which most lie in Myelin nodes. Needs a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from all_networks import NETWORKS, load

from trtdsl.errors import TrtdslError

SIZES: Mapping[str, object] = {"N": 1, "H": 256, "W": 256, "T": 64}
OPTIONS: Mapping[str, object] = {"tactic_sources": [], "optimization_level": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--precision", action="append", help="fp32, fp16 and int8, unless told otherwise")
    parser.add_argument("--open", action="store_true", help="leave the sizes open as the files do")
    chosen = parser.parse_args()
    failed = False
    print(f"{'network':20} {'':5} {'asked':24} {'found':24} {'other':>6} {'hidden':>6}  most hidden by")
    with tempfile.TemporaryDirectory() as folder:
        for precision in chosen.precision or ["fp32", "fp16", "int8"]:
            for name in chosen.names:
                began = time.monotonic()
                try:
                    network = load(name, precision, Path(folder), None if chosen.open else SIZES)
                    built = network.build(Path(folder) / "net.engine", runtime="tensorrt", options=OPTIONS, cache=False)
                except TrtdslError as error:
                    failed = True
                    print(f"{name:20} {precision:5} NOT BUILT: {error}", flush=True)
                    continue
                row = _row(built.manifest["precision"])
                print(f"{name:20} {precision:5} {row}  ({time.monotonic() - began:.0f} s)", flush=True)
    if failed:
        sys.exit(1)


def _row(found: Mapping[str, Any]) -> str:
    if found["why"] is not None:
        return f"nothing found: {found['why']}"
    hidden = sum(map(len, found["unverified"].values()))
    reasons: Counter[str] = Counter()
    for why, names in found["unverified"].items():
        reasons["Myelin" if "ForeignNode" in why or "Myelin" in why else why[:40]] += len(names)
    most = ", ".join(f"{why} {count}" for why, count in reasons.most_common(1))
    return f"{_counts(found['layers']):24} {_counts(found['found']):24} {len(found['differs']):6} {hidden:6}  {most}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{dtype} {count}" for dtype, count in sorted(counts.items()))


if __name__ == "__main__":
    main()
