"""trtdsl's share of a ResNet-50 build: everything but TensorRT itself, by stage.

    python benchmarks/build_share.py [rtx|tensorrt] [RUNS]

A build is a process of its own, from its start to its end, so that imports count. TensorRT's part is the import of its
module and what its builder does; the calls that fill the network count as ours. `by hand` is by_hand.py, the same
network written against TensorRT-RTX.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
NETWORK = HERE.parent / "networks" / "resnet.yaml"


def child(runtime: str, weights: str, engine: str, started: float) -> None:
    """Build once and print the seconds of each part."""
    parts = {"start of Python": time.time() - started}
    clock = time.perf_counter
    begin = clock()
    import trtdsl.api
    from trtdsl.engine import builder, files, manifest
    from trtdsl.targets.runtime import find_runtime

    parts["imports"] = clock() - begin
    begin = clock()
    trt = find_runtime(runtime).module
    parts["TensorRT: import"] = clock() - begin
    inner: dict[str, float] = {}

    def timed(owner: object, name: str, label: str) -> None:
        function = getattr(owner, name)

        def wrapper(*arguments: object, **keywords: object) -> object:
            begin = clock()
            result = function(*arguments, **keywords)
            inner[label] = inner.get(label, 0.0) + clock() - begin
            return result

        setattr(owner, name, wrapper)

    timed(trt.Builder, "__init__", "TensorRT: builder")
    timed(trt.Builder, "build_serialized_network", "TensorRT: build")
    # Whoever comes first pays for CUDA's start; here it is the question which GPU there is.
    timed(manifest, "current_gpu", "TensorRT: CUDA's start")
    timed(builder, "emit", "filling the network")
    timed(files.Staged, "write", "writing the engine")
    begin = clock()
    network = trtdsl.load(NETWORK, parameters={"depth": 50}, weights=[weights])
    parts["read to typed graph"] = clock() - begin
    begin = clock()
    network.build(engine, runtime=runtime, cache=False, options={"tactic_sources": []} if runtime != "rtx" else {})
    parts["the rest"] = clock() - begin - sum(inner.values())
    print(json.dumps({**parts, **inner, "total": time.time() - started}))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5], float(sys.argv[5]))
        return
    from resnet50_weights import write

    runtime = sys.argv[1] if len(sys.argv) > 1 else "rtx"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory() as folder:
        weights, engine = f"{folder}/resnet50.safetensors", f"{folder}/resnet50.engine"
        write(Path(weights))
        runs, by_hand = [], []
        for number in range(count + 1):
            command = [sys.executable, __file__, "--child", runtime, weights, engine]
            done = subprocess.run([*command, str(time.time())], check=True, stdout=subprocess.PIPE, text=True)
            began = time.perf_counter()
            if runtime == "rtx":
                subprocess.run([sys.executable, str(HERE / "by_hand.py"), weights, engine], check=True)
            if number:  # the first round warms the disk cache
                runs.append(json.loads(done.stdout))
                by_hand.append(time.perf_counter() - began)
    report(runs, by_hand if runtime == "rtx" else [])


def report(runs: list[dict[str, float]], by_hand: list[float]) -> None:
    total = statistics.median(run["total"] for run in runs)
    for part in (name for name in runs[0] if name != "total"):
        seconds = statistics.median(run[part] for run in runs)
        print(f"{part:22} {seconds * 1000:8.1f} ms {seconds / total:7.1%}")
    ours = [sum(seconds for part, seconds in run.items() if not part.startswith(("TensorRT", "total"))) for run in runs]
    print(f"{'total':22} {total * 1000:8.1f} ms")
    print(f"{'ours':22} {statistics.median(ours) * 1000:8.1f} ms {statistics.median(ours) / total:7.1%}")
    if by_hand:
        print(f"{'by hand, in all':22} {statistics.median(by_hand) * 1000:8.1f} ms")
    print(f"medians of {len(runs)} runs")


if __name__ == "__main__":
    main()
