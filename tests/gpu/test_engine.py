"""`trtdsl.Engine` on a GPU: whose memory it runs on, streams, graphs, profiles, threads, and what it leaves behind."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import EngineFileError, RunError

pytest.importorskip("cuda.bindings", reason="runs engines: needs cuda-bindings and a GPU")
from cuda.bindings import runtime as cuda
from foreign import Lent, Plain, check

from trtdsl.runtime.device import Memory

NETWORK = """\
trtdsl: 1
dims: {N: [1, 8, 64]}
inputs: {x: [N, 3, 16, 16]}
layers:
  - {op: conv, name: conv1, out_channels: 16, kernel_size: 3, padding: 1}
  - relu
  - {op: conv, name: conv2, out_channels: 16, kernel_size: 3, padding: 1}
  - relu
  - global_avg_pool
  - flatten
  - {op: linear, name: fc, out_features: 10}
outputs: {y: fc}
build: {profiles: [{N: 1}, {N: [1, 8, 16]}, {N: [16, 32, 64]}]}
"""
EXAMPLES = Path(__file__).parents[2] / "examples"
RUNS, THREADS, ROUNDS = 10_000, 4, 5
SMALL = 32 << 20
"""Bytes that CUDA and TensorRT may take for themselves at a first run, whatever is run."""


def inputs(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, 3, 16, 16), np.float32)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("engine") / "net.yaml"
    path.write_text(NETWORK)
    return trtdsl.load(path, random_weights=True)


@pytest.fixture(scope="module")
def built(network: Any, gpu: Any) -> Path:
    return network.build(runtime="tensorrt", options=gpu.options, cache=False).path


@pytest.fixture(scope="module")
def expected(network: Any) -> Any:
    return lambda x: network.run({"x": x}, reference=True)["y"]


@pytest.fixture
def engine(built: Path) -> Iterator[trtdsl.Engine]:
    with trtdsl.Engine(built, runtime="tensorrt") as engine:
        yield engine


def assert_close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("count", [1, 5, 16, 17, 64])
def test_arrays_of_numpy(count: int, engine: Any, expected: Any) -> None:
    x = inputs(count)
    assert_close(engine.run({"x": x})["y"], expected(x))


def test_profiles(engine: Any, expected: Any) -> None:
    tensor = engine.inputs["x"]
    assert [[shape[0] for shape in profile] for profile in tensor.profiles] == [[1, 1, 1], [1, 8, 16], [16, 32, 64]]
    with engine.context() as context:
        for count, profile in ((1, 0), (2, 1), (16, 1), (17, 2), (64, 2), (3, 1)):
            assert_close(context.run({"x": inputs(count)})["y"], expected(inputs(count)))
            assert context.execution.active_optimization_profile == profile
        assert_close(context.run({"x": inputs(1)}, profile=1)["y"], expected(inputs(1)))


def test_contexts_share_a_profile(engine: Any, expected: Any) -> None:
    contexts = [engine.context() for _ in range(3)]
    for _ in range(2):
        for seed, context in enumerate(contexts):
            assert_close(context.run({"x": inputs(8, seed)})["y"], expected(inputs(8, seed)))


OTHER_NETWORKS = {
    "fixed sizes": "inputs: {x: [2, 8]}\nlayers: [{op: linear, name: y, out_features: 4}]\n",
    "sizes of the data's": "inputs: {x: [2, 8]}\nlayers: [{op: linear, out_features: 4}, {op: non_zero, name: y}]\n",
}


@pytest.mark.parametrize("case", OTHER_NETWORKS)
def test_other_engines_have_many_contexts(case: str, gpu: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(f"trtdsl: 1\n{OTHER_NETWORKS[case]}")
    network = trtdsl.load(tmp_path / "net.yaml", random_weights=True)
    x = np.random.default_rng(0).standard_normal((2, 8), np.float32)
    wanted = network.run({"x": x}, reference=True)["y"]
    built = network.build(runtime="tensorrt", options=gpu.options, cache=False)
    with trtdsl.Engine(built.path, runtime="tensorrt") as engine:
        contexts = [engine.context() for _ in range(3)]
        for _ in range(2):
            for context in contexts:
                np.testing.assert_allclose(context.run({"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)
                on_gpu = context.run({"x": x}, on_device=True)["y"].numpy()
                np.testing.assert_allclose(on_gpu, wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(engine.run({"x": x}, on_device=True)["y"].numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Plain, Lent])
def test_arrays_of_others_are_used_where_they_lie(kind: Any, engine: Any, expected: Any) -> None:
    x, y = kind(inputs(8)), kind(np.zeros((8, 10), np.float32))
    with engine.context() as context:
        assert context.run({"x": x}, outputs={"y": y})["y"] is y
        assert context.execution.get_tensor_address("x") == x.address
        assert context.execution.get_tensor_address("y") == y.address
    assert_close(y.read(), expected(inputs(8)))


def test_outputs_stay_on_the_gpu(engine: Any, expected: Any) -> None:
    first = engine.run({"x": inputs(8)}, on_device=True)["y"]
    second = engine.run({"x": inputs(8, 1)}, on_device=True)["y"]
    assert_close(first.numpy(), expected(inputs(8)))
    assert_close(second.numpy(), expected(inputs(8, 1)))
    place = check(cuda.cudaPointerGetAttributes(first.address))
    assert place.type == cuda.cudaMemoryType.cudaMemoryTypeDevice
    with engine.context() as context:
        first = context.run({"x": inputs(8)}, on_device=True)["y"]
        address = first.address
        again = context.run({"x": inputs(8, 1)}, on_device=True)["y"]
        assert again.address == address
        with pytest.raises(RunError, match="has run again"):
            first.numpy()


def test_a_stream_of_others(engine: Any, expected: Any) -> None:
    stream = int(check(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking)))
    x, y = Plain(inputs(64)), Plain(np.zeros((64, 10), np.float32))
    with engine.context() as context:
        for seed in range(20):
            x.write(inputs(64, seed))
            context.run({"x": x}, outputs={"y": y}, stream=stream)
            check(cuda.cudaStreamSynchronize(stream))
            assert_close(y.read(), expected(inputs(64, seed)))
        # Without waiting: what comes later on the same stream comes later on the GPU.
        context.run({"x": inputs(64, 30)}, outputs={"y": y}, stream=stream)
        context.run({"x": inputs(64, 31)}, outputs={"y": y}, stream=stream)
        check(cuda.cudaStreamSynchronize(stream))
        assert_close(y.read(), expected(inputs(64, 31)))
        # The context's own stream waits for the other.
        outputs = context.run({"x": inputs(64, 32)}, stream=stream, on_device=True)
        assert_close(outputs["y"].numpy(), expected(inputs(64, 32)))
        assert_close(context.run({"x": inputs(64, 33)})["y"], expected(inputs(64, 33)))
    check(cuda.cudaStreamDestroy(stream))


def test_lenders_are_told_the_stream(engine: Any) -> None:
    x = Lent(inputs(8))
    engine.run({"x": x}, stream=0)
    assert x.asked == 1
    stream = int(check(cuda.cudaStreamCreate()))
    engine.run({"x": x}, stream=stream)
    assert x.asked == stream
    check(cuda.cudaStreamDestroy(stream))


@pytest.mark.parametrize("stream", [None, 0], ids=["own stream", "default stream"])
def test_graphs(stream: Any, engine: Any, expected: Any, gpu: Any) -> None:
    with engine.context() as context:
        for count in (8, 8, 16, 16, 8):
            for seed in range(3):
                x = inputs(count, seed)
                assert_close(context.run({"x": x}, graph=True, stream=stream)["y"], expected(x))
        x, y = Plain(inputs(8)), Plain(np.zeros((8, 10), np.float32))
        for seed in range(3):
            x.write(inputs(8, seed))
            context.run({"x": x}, outputs={"y": y}, graph=True, stream=stream)
            check(cuda.cudaDeviceSynchronize())
            assert_close(y.read(), expected(inputs(8, seed)))


def test_what_a_run_costs(engine: Any, gpu: Any) -> None:
    x, on_gpu = inputs(1), Plain(inputs(1))
    with engine.context() as context:
        ways = {
            "Engine.run": lambda: engine.run({"x": x}),
            "Context.run": lambda: context.run({"x": x}),
            "Context.run, graph": lambda: context.run({"x": x}, graph=True),
            "Context.run, GPU arrays": lambda: context.run({"x": on_gpu}, on_device=True),
        }
        for name, call in ways.items():
            for _ in range(20):
                call()
            started = time.perf_counter()
            for _ in range(500):
                call()
            gpu.note(f"engine  {name:24} {(time.perf_counter() - started) / 500 * 1e6:7.1f} us")
        for graph in (False, True):
            bound = context.bind({"x": on_gpu}, on_device=True, graph=graph)
            for count in (20, 500):
                started = time.perf_counter()
                for _ in range(count):
                    bound.enqueue()
                bound.outputs()
            gpu.note(f"engine  bound, graph={graph!s:12} {(time.perf_counter() - started) / 500 * 1e6:7.1f} us")


def used_by_host() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def held_by_trtdsl() -> int:
    """Bytes on the GPU and page-locked ones that trtdsl has not given back."""
    return sum(entry.size for entry in gc.get_objects() if isinstance(entry, Memory))


def used_by_process() -> int | None:
    """Bytes of the GPU that this process has, whatever others do meanwhile; None where NVML does not tell."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(0))
    except pynvml.NVMLError:
        return None
    return next((entry.usedGpuMemory for entry in found if entry.pid == os.getpid()), None)


@pytest.mark.parametrize("graph", [False, True], ids=["plain", "graph"])
def test_threads_do_not_grow(graph: bool, engine: Any, expected: Any, gpu: Any) -> None:
    """10,000 runs from four threads, of several sizes, each compared with the same run before."""
    counts = (1, 8, 16, 33)
    given = {count: inputs(count) for count in counts}
    wanted = {count: expected(given[count]) for count in counts}
    failures: list[str] = []

    def work(number: int, runs: int) -> None:
        count = counts[number % len(counts)]
        for _ in range(runs):
            y = engine.run({"x": given[count]}, graph=graph)["y"]
            if not np.allclose(y, wanted[count], atol=1e-4 * np.abs(wanted[count]).max(), rtol=0):
                failures.append(f"{count}: {np.abs(y - wanted[count]).max()}")
                return

    def at_once(runs: int) -> None:
        threads = [threading.Thread(target=work, args=(number, runs)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    device = engine._there.device
    engine.prepare({"x": (64, 3, 16, 16)}, contexts=THREADS)
    at_once(100)
    before = held_by_trtdsl(), used_by_process(), used_by_host()
    free = [device.free_memory]
    started = time.perf_counter()
    for _ in range(ROUNDS):
        at_once(RUNS // THREADS // ROUNDS)
        free.append(device.free_memory)
    seconds = time.perf_counter() - started
    after = held_by_trtdsl(), used_by_process(), used_by_host()
    assert failures == []
    # Others may use the GPU at the same time; what leaks here leaks in every round.
    lost = min(a - b for a, b in pairwise(free))
    rate = f"{RUNS} runs, {THREADS} threads, graph={graph}: {RUNS / seconds:.0f}/s"
    gpu.note(f"engine  {rate}; before, after: {before}, {after} B; least lost in a round: {lost:+} B")
    assert after[:2] == before[:2]
    assert lost <= 0
    assert after[2] - before[2] < 4 << 20


def test_all_is_given_back(built: Path, engine: Any, gpu: Any) -> None:
    engine.run({"x": inputs(64)})
    held, used = held_by_trtdsl(), []
    for _ in range(5):
        with trtdsl.Engine(built, runtime="tensorrt") as other:
            other.prepare({"x": (64, 3, 16, 16)}, contexts=3)
            kept = other.run({"x": inputs(64)}, on_device=True)["y"]
            assert held_by_trtdsl() > held
        kept.numpy()
        del kept
        assert held_by_trtdsl() == held
        used.append(used_by_process())
    gpu.note(f"engine  used by the process after each of five loads: {used} B")
    assert used[-1] is None or used[-1] - used[0] < SMALL


def test_one_context_serves_all_threads_in_turn(built: Path, expected: Any) -> None:
    with trtdsl.Engine(built, runtime="tensorrt", max_contexts=1) as engine:
        found: dict[int, Any] = {}

        def work(seed: int) -> None:
            for _ in range(20):
                found[seed] = engine.run({"x": inputs(4, seed)})["y"]

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for seed in range(4):
        assert_close(found[seed], expected(inputs(4, seed)))


def wrong() -> dict[str, tuple[Any, str]]:
    x = inputs(4)
    return {
        "a name": ({"image": x}, "the engine has no input `image`"),
        "none": ({}, "the engine also takes x"),
        "a type": ({"x": x.astype(np.float16)}, "x takes float32 elements, not float16"),
        "too many": ({"x": inputs(65)}, "x has the shape [65, 3, 16, 16]; the engine takes [1, 3, 16, 16] or "),
        "a rank": ({"x": x[0]}, "x has the shape [3, 16, 16]"),
        "a type on the GPU": ({"x": Plain(x.astype(np.int32))}, "x takes float32 elements, not int32"),
        "a pointer": ({"x": Plain(x, data=(4096, False))}, "x points to 0x1000, which is no memory of a GPU"),
        "off the boundary": ({"x": Plain(x, data=(Plain(x).address + 4, False))}, "wants a multiple of 256 bytes"),
        "gaps": ({"x": Plain(x, strides=(1, 2, 3, 4))}, "do not lie one behind the other"),
    }


@pytest.mark.parametrize("case", list(wrong()) if Path("/dev/nvidiactl").exists() else [])
def test_wrong_inputs_are_refused(case: str, engine: Any, expected: Any) -> None:
    given, message = wrong()[case]
    with pytest.raises(RunError) as error:
        engine.run(given)
    assert message in str(error.value)
    assert_close(engine.run({"x": inputs(4)})["y"], expected(inputs(4)))


def test_a_released_engine(built: Path) -> None:
    engine = trtdsl.Engine(built, runtime="tensorrt")
    context = engine.context()
    engine.release()
    for call in (engine.run, context.run):
        with pytest.raises(RunError, match="was released before"):
            call({"x": inputs(1)})


def test_another_gpu(built: Path, expected: Any) -> None:
    if check(cuda.cudaGetDeviceCount()) < 2:
        pytest.skip("one GPU is here: an engine on a second one was NOT run")
    with trtdsl.Engine(built, runtime="tensorrt") as here, trtdsl.Engine(built, gpu=1, runtime="tensorrt") as there:
        for seed in range(3):
            x = inputs(8, seed)
            for engine in (there, here):
                assert_close(engine.run({"x": x})["y"], expected(x))
                assert_close(engine.run({"x": x}, graph=True)["y"], expected(x))
        outputs = [engine.run({"x": x}, on_device=True)["y"] for engine in (here, there)]
        assert [output.__dlpack_device__()[1] for output in outputs] == [0, 1]
        for output in outputs:
            assert_close(output.numpy(), expected(x))
        x_here = here.run({"x": x}, on_device=True)["y"]
        with pytest.raises(RunError, match="GPU 0"):
            there.run({"x": inputs(8)}, outputs={"y": x_here})
        with ThreadPoolExecutor(2) as pool:
            every = pool.map(lambda engine: [engine.run({"x": x})["y"] for _ in range(50)], (here, there))
            for output in chain.from_iterable(every):
                assert_close(output, expected(x))
    assert check(cuda.cudaGetDevice()) == 0


def test_no_such_gpu(built: Path) -> None:
    with pytest.raises(RunError, match="there is no GPU 99"):
        trtdsl.Engine(built, gpu=99)


def test_the_manifest_is_checked_first(built: Path, tmp_path: Path) -> None:
    other, manifest = tmp_path / "other.engine", tmp_path / "other.engine.json"
    other.write_bytes(built.read_bytes())
    with pytest.raises(EngineFileError, match="has no manifest"):
        trtdsl.Engine(other)
    content = json.loads(built.with_name(built.name + ".json").read_text())
    content["built_from"]["runtime"] = "TensorRT 8.5.3"
    manifest.write_text(json.dumps(content))
    with pytest.raises(EngineFileError, match=r"was built with TensorRT 8\.5\.3, and TensorRT 8\.6"):
        trtdsl.Engine(other, runtime="tensorrt")
    other.write_bytes(built.read_bytes()[:-1])
    with pytest.raises(EngineFileError, match="their hashes differ"):
        trtdsl.Engine(other)


def test_no_dla_core(network: Any, gpu: Any) -> None:
    with pytest.raises(trtdsl.TrtdslError, match="dla_core: 0 is not there: this device has no DLA core"):
        network.build(runtime="tensorrt", options={**gpu.options, "dla_core": 0, "gpu_fallback": True}, cache=False)


def run_example(name: str, *options: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, options)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, gpu: Any) -> Path:
    output = tmp_path_factory.mktemp("digits") / "digits.engine"
    network = trtdsl.load(EXAMPLES.parent / "networks" / "digits.yaml")
    return network.build(output, runtime="tensorrt", options=gpu.options, cache=False).path


def test_the_pycuda_example(digits: Path, gpu: Any) -> None:
    pytest.importorskip("pycuda", reason="runs an engine on PyCUDA's arrays: needs PyCUDA")
    said = run_example("pycuda_arrays.py", digits)
    gpu.note(f"pycuda_arrays.py: {said.splitlines()[1]}")
    assert "logits: fp32[32, 10], the same from numpy: True" in said


def test_the_classification_example(digits: Path, tmp_path: Path, gpu: Any) -> None:
    image = pytest.importorskip("PIL.Image", reason="classifies an image: needs Pillow")
    from digits_data import load

    held_out = load()[1]
    ink = image.fromarray((held_out.images[0, 0] * 255).astype("uint8")).resize((1600, 1200), image.Resampling.BICUBIC)
    image.fromarray(255 - np.asarray(ink)).save(tmp_path / "photo.png")
    said = run_example("classify.py", tmp_path / "photo.png", "--model", digits, "--loops", "100")
    gpu.note(f"classify.py: {said.splitlines()[1]}")
    assert said.splitlines()[2].split()[-2:] == ["class", str(held_out.labels[0])]
