"""`trtdsl.Engine` on stand-ins for CUDA and TensorRT: loading, what is checked first, threads, and release."""

from __future__ import annotations

import gc
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from tests.runtime.standin import Cuda, Driver, Plan, device_of, runtime_for
from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.engine.files import sha256
from trtdsl.errors import EngineFileError, RunError
from trtdsl.runtime import engine as module
from trtdsl.runtime.admission import admit
from trtdsl.runtime.device import Device
from trtdsl.runtime.loaded import RunLog

X = np.array([-1.5, 2, 0.5], np.float32)
H200 = "NVIDIA H200, compute capability 9.0, CUDA driver 13000"

Load = Callable[..., trtdsl.Engine]


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


def write(folder: Path, **changed: Any) -> Path:
    """An engine file with a manifest that says what is usual, and what is changed."""
    path = folder / "net.engine"
    path.write_bytes(b"an engine")
    built_from = {
        "spec": "",
        "weights": [],
        "plugins": [],
        "runtime": "TensorRT 10.15",
        "gpu": H200,
        "options": {},
        "dims": {},
        "trtdsl": {"version": "0", "code": ""},
    }
    built_from.update(changed)
    manifest = {
        "format": 1,
        "name": "net",
        "recipe": "",
        "key": "",
        "engine": {"file": "net.engine", "sha256": sha256(b"an engine"), "bytes": 9},
        "source": {"file": "net.yaml", "git": None},
        "built_from": built_from,
        "inputs": {},
        "outputs": {},
        "precision": {"layers": {}, "others": {}, "verified": False},
        "implementations": {},
        "libraries": [],
    }
    (folder / "net.engine.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture
def load(cuda: Cuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Loads an engine file on the stand-ins; `plan` settles what the engine does."""

    def load(
        path: Path | None = None, plan: Plan | None = None, says: str = "", cores: int = 0, **arguments: Any
    ) -> trtdsl.Engine:
        made = runtime_for(None if says else plan or Plan(cuda), says, cores=cores)
        monkeypatch.setattr(module, "find_runtime", lambda choice: made)
        return trtdsl.Engine(path or write(tmp_path), **arguments)

    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, cuda, Driver())))
    return load


def test_an_engine_runs_until_it_is_released(load: Load, cuda: Cuda) -> None:
    with load() as engine:
        assert (list(engine.inputs), list(engine.outputs), engine.gpu) == (["x"], ["twice"], 0)
        assert engine.manifest is not None
        assert engine.manifest["name"] == "net"
        np.testing.assert_array_equal(engine.run({"x": X})["twice"], [-3, 4, 1])
        assert not engine.is_released
        loaded = engine._there
    assert engine.is_released
    assert loaded.engine is None
    assert cuda.is_all_given_back


def test_an_engine_that_nobody_has_gives_all_back(load: Load, cuda: Cuda) -> None:
    """At once, not when Python looks for cycles: the GPU's memory is none of what that goes by."""
    engine = load()
    gc.disable()
    try:
        engine.run({"x": X})
        del engine
        assert cuda.is_all_given_back
    finally:
        gc.enable()


def test_a_released_engine_says_so(load: Load) -> None:
    engine = load()
    context = engine.context()
    engine.release()
    engine.release()
    for use in (lambda: engine.run({"x": X}), lambda: engine.inputs, engine.context, lambda: context.run({"x": X})):
        with pytest.raises(RunError, match="released before"):
            use()


def test_a_file_that_is_not_there(load: Load, tmp_path: Path) -> None:
    with pytest.raises(EngineFileError, match="there is no engine"):
        load(tmp_path / "none.engine")


def test_another_file_than_the_manifests(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(b"another engine")
    with pytest.raises(EngineFileError, match="their hashes differ"):
        load(path)


ELSEWHERE: dict[str, tuple[dict[str, Any], str | None]] = {
    "as here": ({}, None),
    "another version": ({"runtime": "TensorRT 10.7"}, "was built with TensorRT 10.7, and TensorRT 10.15 is to run it"),
    "RTX": ({"runtime": "TensorRT-RTX 1.7", "gpu": None}, "was built with TensorRT-RTX 1.7, and"),
    "for later versions": ({"runtime": "TensorRT 10.7", "options": {"version_compatible": True}}, None),
    "from a later version": (
        {"runtime": "TensorRT 10.16", "options": {"version_compatible": True}},
        "was built with TensorRT 10.16",
    ),
    "another kind of GPU": (
        {"gpu": "NVIDIA L4, compute capability 8.9, CUDA driver 12080"},
        "was built on a NVIDIA L4 of compute capability 8.9, and this GPU has 9.0",
    ),
    "a GPU like it": ({"gpu": "NVIDIA H100, compute capability 9.0, CUDA driver 12080"}, None),
    "for all from Ampere on": (
        {
            "gpu": "NVIDIA L4, compute capability 8.9, CUDA driver 12080",
            "options": {"hardware_compatibility": "ampere_plus"},
        },
        None,
    ),
    "for other GPUs": (
        {"gpu": None, "options": {"target": ["8.6", "8.9"]}},
        "was built for GPUs of compute capability 8.6 and 8.9, and this one has 9.0",
    ),
    "for this GPU too": ({"gpu": None, "options": {"target": ["8.9", "9.0"]}}, None),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_the_manifest_tells_where_an_engine_runs(case: str, load: Load, tmp_path: Path) -> None:
    changed, message = ELSEWHERE[case]
    path = write(tmp_path, **changed)
    if message is None:
        load(path).release()
        return
    with pytest.raises(EngineFileError) as error:
        load(path)
    [found] = error.value.diagnostics
    assert found.code == "engine-elsewhere"
    assert message in found.message
    assert found.hint == "build it here: trtdsl build net.yaml"


def test_all_that_differs_is_said_at_once(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path, runtime="TensorRT 8.6.1", gpu="NVIDIA L4, compute capability 8.9, CUDA driver 12080")
    with pytest.raises(EngineFileError) as error:
        load(path)
    assert len(error.value.diagnostics) == 2


def test_a_plugin_that_is_missing(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trtdsl.engine import plugins

    monkeypatch.setattr(plugins, "register_own_plugins", lambda trt: None)
    used = {"library": "libmore.so", "sha256": "0", "plugins": [{"name": "More", "version": "1", "namespace": ""}]}
    with pytest.raises(EngineFileError, match=r"it needs libmore\.so for More, which is not there"):
        load(write(tmp_path, plugins=[used]))


def test_what_tensorrt_does_not_load(load: Load) -> None:
    with pytest.raises(RunError, match=r"TensorRT 10\.15 does not load the engine: version tag does not match"):
        load(says="version tag does not match")


def test_there_is_no_dla_core(load: Load, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the engine is for DLA core 1; TensorRT 10\.15 finds no DLA core here"):
        load(write(tmp_path, options={"dla_core": 1}))


@pytest.mark.parametrize(("gpus", "there"), [(1, "GPU 0 only"), (4, "GPUs 0 to 3")])
def test_there_is_no_such_gpu(gpus: int, there: str) -> None:
    with pytest.raises(RunError, match=f"there is no GPU 4: there is {there}"):
        Device(4, Cuda(gpus), Driver())


def test_there_is_no_gpu(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_gpu", lambda: False)
    with pytest.raises(RunError, match="an engine needs a GPU to run") as error:
        load()
    hint = "on a CPU, `trtdsl run net.yaml --reference` gives the network's outputs in fp32"
    assert error.value.diagnostics[0].hint == hint


def test_arrays_of_the_gpu_are_not_written_by_later_runs(load: Load, cuda: Cuda) -> None:
    with load() as engine:
        kept = [engine.run({"x": X * factor}, on_device=True)["twice"] for factor in (1, 2, 3)]
        for factor, array in enumerate(kept, 1):
            np.testing.assert_array_equal(array.numpy(), np.array([-3, 4, 1]) * factor)
    np.testing.assert_array_equal(kept[0].numpy(), [-3, 4, 1])  # it has the memory for itself
    assert len(cuda.memory) == 3
    kept.clear()
    del array
    assert cuda.is_all_given_back


def test_pinned_arrays_are_copied_straight_away(load: Load, cuda: Cuda) -> None:
    with load() as engine:
        engine.run({"x": X})
        held = len(cuda.pinned)
        x = engine.pinned((3,))
        assert x.tolist() == [0, 0, 0]
        x[:] = X
        np.testing.assert_array_equal(engine.run({"x": x})["twice"], [-3, 4, 1])
        assert len(cuda.pinned) == held + 1
    del x
    assert cuda.is_all_given_back


def test_prepare_makes_contexts_that_find_all_in_place(load: Load, cuda: Cuda) -> None:
    plan = Plan(cuda)
    with load(plan=plan) as engine:
        engine.prepare({"x": (4,)}, contexts=3)
        assert plan.contexts == 3
        held = dict(cuda.memory)
        engine.run({"x": X})
        assert (plan.contexts, cuda.memory) == (3, held)
        engine.prepare()
        assert plan.contexts == 3


def test_zeros_are_no_shape(load: Load, cuda: Cuda) -> None:
    with load(plan=Plan(cuda, has_host=True)) as engine, pytest.raises(RunError, match="shape is a shape, and zeros"):
        engine.prepare()


def test_a_run_takes_a_context_that_has_run_on_such_shapes(load: Load, cuda: Cuda) -> None:
    with load() as engine:
        engine.prepare({"x": (4,)}, contexts=2)
        first, second = engine._pool._free
        for size, context in ((2, first), (3, second)):
            context.run({"x": np.zeros(size, np.float32)})
            context.execution.told.clear()
        for size in (2, 3, 2, 3):
            engine.run({"x": np.zeros(size, np.float32)})
        assert (first.execution.told, second.execution.told) == ([], [])


def at_once(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Slow(Plan):
    """An engine whose contexts are made slowly, so that threads get in each other's way."""

    def create_execution_context(self) -> Any:
        time.sleep(0.01)
        return super().create_execution_context()


@pytest.mark.parametrize(("limit", "most"), [(None, 8), (2, 2), (1, 1)])
def test_threads(limit: int | None, most: int, load: Load, cuda: Cuda) -> None:
    plan, wrong = Slow(cuda), []

    def work(index: int) -> None:
        for number in range(50):
            x = X * index + number
            if not np.array_equal(engine.run({"x": x})["twice"], 2 * x):
                wrong.append(index)

    with load(plan=plan, max_contexts=limit) as engine:
        at_once(8, work)
        assert wrong == []
        assert 1 <= plan.contexts <= most
    assert cuda.is_all_given_back


def test_a_run_that_failed_does_not_keep_an_engine_from_its_release(load: Load, cuda: Cuda) -> None:
    with load() as engine:
        engine.prepare(contexts=2)
        contexts = [engine.context() for _ in range(2)]
        for context in contexts:
            context.run({"x": X}, stream=7, on_device=True)
        cuda.fails_from_now_on = True
    assert all(context.is_released for context in contexts)
    assert cuda.is_all_given_back


def test_threads_that_come_too_late(load: Load, cuda: Cuda) -> None:
    engine = load(max_contexts=1)
    refused = []

    def work(index: int) -> None:
        try:
            while True:
                engine.run({"x": X})
        except RunError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    engine.release()
    for thread in threads:
        thread.join(10)
    assert len(refused) == 4
    assert all("released before" in message for message in refused)
    assert cuda.is_all_given_back


def test_a_context_that_cannot_be_made_counts_as_none(load: Load, cuda: Cuda) -> None:
    plan = Plan(cuda, has_context=False)
    with load(plan=plan, max_contexts=1) as engine:
        for _ in range(2):
            with pytest.raises(RunError, match="TensorRT gives the engine no context to run in"):
                engine.run({"x": X})
        plan.has_context = True
        np.testing.assert_array_equal(engine.run({"x": X})["twice"], [-3, 4, 1])


PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
SNIPPETS = [
    text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "torch" not in text
]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_documentation_runs(
    number: int, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says of PyTorch is run in tests/gpu."""
    monkeypatch.chdir(tmp_path)
    load().release()  # which writes net.engine
    exec("import trtdsl\n" + SNIPPETS[number].replace('["y"]', '["twice"]'), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == ["[2. 2. 2.]", "[4. 4. 4.]"][number]


# Whether code for the host is allowed, and the DLA core, by the options that an engine was built with.
LOADED: dict[str, tuple[dict[str, Any], tuple[bool, int | None]]] = {
    "as usual": ({}, (False, None)),
    "for later versions": ({"version_compatible": True}, (True, None)),
    "for a DLA core": ({"dla_core": 1}, (False, 1)),
}


@pytest.mark.parametrize(("options", "expected"), LOADED.values(), ids=LOADED)
def test_how_tensorrt_loads_an_engine(
    options: dict[str, Any], expected: tuple[bool, int | None], load: Load, cuda: Cuda, tmp_path: Path
) -> None:
    from_file, from_bytes = Plan(cuda), Plan(cuda)
    load(write(tmp_path, options=options), from_file, cores=2).release()
    trtdsl.Engine.of_plan(runtime_for(from_bytes, cores=2), b"an engine", BuildOptions(**options)).release()
    assert (from_file.loaded_with, from_bytes.loaded_with) == (expected, expected)


def test_another_dla_core_than_it_was_built_for(load: Load, cuda: Cuda, tmp_path: Path) -> None:
    plan = Plan(cuda)
    load(write(tmp_path, options={"dla_core": 1}), plan, cores=2, dla_core=0).release()
    assert plan.loaded_with == (False, 0)


def test_an_engine_out_of_bytes(load: Load, cuda: Cuda) -> None:
    with trtdsl.Engine.of_plan(runtime_for(Plan(cuda)), b"an engine", BuildOptions()) as engine:
        assert engine.manifest is None
        np.testing.assert_array_equal(engine.run({"x": X})["twice"], [-3, 4, 1])
    assert cuda.is_all_given_back


def test_what_tensorrt_says_of_a_failure(cuda: Cuda, load: Load) -> None:
    engine = trtdsl.Engine.of_plan(runtime_for(Plan(cuda, works=False)), b"", BuildOptions())
    log = engine._there.log
    assert log is not None
    log.hear("ERROR", "misaligned address")
    with pytest.raises(RunError, match="the engine did not run: misaligned address"):
        engine.run({"x": X})


def test_what_tensorrt_said_is_no_part_of_other_errors(cuda: Cuda, load: Load) -> None:
    engine = load()
    log = engine._there.log
    assert log is not None
    log.hear("ERROR", "misaligned address")
    with pytest.raises(RunError, match=r"the engine also takes x$"):
        engine.run({})


# An engine for all GPUs from Ampere (8.0) on, which was built on one of 8.9.
AMPERE = {"7.5": False, "8.0": True, "9.0": True, "12.0": True}


@pytest.mark.parametrize(("capability", "runs"), AMPERE.items())
def test_engines_for_all_from_ampere_on(capability: str, runs: bool, tmp_path: Path, cuda: Cuda) -> None:
    gpu = "NVIDIA L4, compute capability 8.9, CUDA driver 12080"
    path = write(tmp_path, gpu=gpu, options={"hardware_compatibility": "ampere_plus"})
    with nullcontext() if runs else pytest.raises(EngineFileError, match=f"and this GPU has {capability}"):
        admit(path, manifests.read(path), runtime_for(Plan(cuda)), capability)


def test_what_tensorrt_says_does_not_pile_up(cuda: Cuda) -> None:
    log = RunLog(runtime_for(Plan(cuda)))
    for number in range(1000):
        log.hear("WARNING", "the default stream is slow")
        log.hear("ERROR", f"error {number}")
    assert log.warnings == []
    assert log.take_errors() == [f"error {number}" for number in range(980, 1000)]


def test_calls_are_made_in_the_context_that_was_there(cuda: Cuda) -> None:
    """Somebody else's context of the same GPU, as PyCUDA makes them, is used; of another GPU it is not."""
    own = Driver(current=70)
    device = Device(0, cuda, own)
    assert own.retained == []
    own.stack.clear()
    with device.active():
        assert own.stack == [70]
    assert own.stack == []
    other = Driver(current=71)
    device = Device(0, cuda, other)
    assert other.retained == [0]
    with device.active():
        assert other.stack == [71, 50]
    assert other.stack == [71]
    del device
    assert other.retained == []


def test_the_compute_capability(cuda: Cuda) -> None:
    assert device_of(cuda).capability == "9.0"
