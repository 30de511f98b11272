"""Tuning of real networks by ONNX Runtime: what overflows in fp16 stays in fp32, and the file says so."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.errors import NetworkError, RunError
from trtdsl.running import Pictures
from trtdsl.tuning import Assignment, OnCpu, Trial
from trtdsl.types import DataType

pytest.importorskip("onnxruntime", reason="runs networks on a CPU: pip install 'trtdsl[onnx]'")

# In fp16, 300 squared is more than there is; the root brings it back.
NETWORK = """\
trtdsl: 1
inputs: {x: [1, 4, 6, 6]}
precision: fp32   # to be tuned
layers:
  - {op: conv, name: first, out_channels: 8, kernel_size: 3}
  - {op: relu, name: act}
  - {op: constant, name: hundreds, value: 300.0, dtype: fp32}
  - {op: mul, name: large, in: [act, hundreds]}
  - {op: mul, name: squared, in: [large, large]}
  - {op: sqrt, name: root}
  - {op: conv, name: last, out_channels: 4, kernel_size: 3}
"""
TUNED = NETWORK.replace(
    "precision: fp32   # to be tuned\n",
    "precision:   # to be tuned\n  default: fp16\n  layers:\n    squared: fp32\n    root: fp32\n",
)


class Heard:
    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def trial(self, number: int, assignment: Assignment, trial: Trial) -> None:
        self.trials.append(trial)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0)
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "data").mkdir()
    for index in range(2):
        np.save(tmp_path / "data" / f"{index}.npy", numbers.uniform(0, 4, (1, 4, 6, 6)).astype(np.float32))
    np.savez(
        tmp_path / "w.npz",
        **{
            "first.weight": numbers.uniform(0, 0.1, (8, 4, 3, 3)).astype(np.float32),
            "first.bias": np.zeros(8, np.float32),
            "last.weight": numbers.uniform(0, 0.001, (4, 8, 3, 3)).astype(np.float32),
            "last.bias": np.zeros(4, np.float32),
        },
    )
    return tmp_path


def tune(folder: Path, **arguments: Any) -> Any:
    network = trtdsl.load(folder / "net.yaml", weights=[folder / "w.npz"])
    return network.tune(folder / "data", **{"device": "cpu", "tolerance": 1e-2, **arguments})


def test_what_overflows_stays_wide_and_the_file_says_so(folder: Path) -> None:
    tuned = tune(folder)
    assert {name for name, dtype in tuned.assignment.items() if dtype is DataType.FP32} == {"squared", "root"}
    assert 0 < tuned.error < 1e-2
    assert (tuned.time, tuned.exhausted) == (None, False)
    assert (folder / "net.yaml").read_text() == TUNED
    # What was written is what was measured.
    network = trtdsl.load(folder / "net.yaml", weights=[folder / "w.npz"])
    x = np.load(folder / "data" / "0.npy")
    (way, _) = network.compare({"x": x}).ways
    assert way.worst <= tuned.error


def test_a_second_run_asks_nothing_anew(folder: Path) -> None:
    first, heard = tune(folder, write=False), Heard()
    assert (folder / "net.yaml").read_text() == NETWORK
    again = tune(folder, reporter=heard)
    assert (again.measured, again.known, len(heard.trials)) == (0, first.measured, first.measured)
    assert again.assignment == first.assignment
    assert (folder / "net.yaml").read_text() == TUNED
    # The types that now stand in the file are no part of what was measured.
    assert tune(folder).measured == 0


def test_a_run_that_was_stopped_goes_on(folder: Path) -> None:
    stopped = tune(folder, trials=2, write=False)
    assert (stopped.measured, stopped.exhausted) == (2, True)
    rest = tune(folder, write=False)
    whole = tune(folder, write=False, state=folder / "other.json")
    assert rest.measured == whole.measured - 2
    assert rest.assignment == whole.assignment


SCALED = NETWORK.replace("fp32   #", "{default: fp32, fallback: fp16}   #") + "quantization: net.scales\n"


def _write_scales(folder: Path, scale: float) -> None:
    (folder / "net.scales").write_text(f"trtdsl-scales: 1\nscales: {{x: {scale}, root: 1}}\n")


CHANGED: dict[str, Any] = {
    "another layer": lambda folder: (folder / "net.yaml").write_text(SCALED.replace("relu", "gelu")),
    "other scales": lambda folder: _write_scales(folder, 0.5),
    "other floats beside int8": lambda folder: (folder / "net.yaml").write_text(SCALED.replace(": fp16}", ": fp32}")),
    "other weights": lambda folder: np.savez(folder / "w.npz", **_doubled(folder / "w.npz")),
    "other data": lambda folder: (folder / "data" / "1.npy").unlink(),
    "a damaged file": lambda folder: (folder / "net.tune.json").write_text("{"),
}


def _doubled(path: Path) -> Mapping[str, Any]:
    with np.load(path) as file:
        return {name: file[name] * np.float32(2 if name == "last.weight" else 1) for name in file.files}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_trials_of_something_else_do_not_count(change: Any, folder: Path) -> None:
    _write_scales(folder, 0.25)
    (folder / "net.yaml").write_text(SCALED)
    assert tune(folder, write=False).measured == tune(folder, write=False).known > 0
    change(folder)
    again = tune(folder, write=False)
    assert again.known == 0
    assert again.measured > 0


def test_trials_of_images_that_became_other_tensors_do_not_count(folder: Path) -> None:
    tune(folder, write=False)
    assert tune(folder, write=False, pictures=Pictures(mean=(0.5,))).known == 0


def test_trials_that_were_measured_otherwise_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(folder, write=False)
    monkeypatch.setattr(OnCpu, "settings", {"optimization_level": 5})
    assert tune(folder, write=False).known == 0


def test_a_link_stays_a_link_to_a_file_of_the_same_permissions(folder: Path) -> None:
    file = folder / "net.yaml"
    file.chmod(0o640)
    (folder / "link.yaml").symlink_to("net.yaml")
    trtdsl.load(folder / "link.yaml", weights=folder / "w.npz").tune(folder / "data", device="cpu")
    assert (folder / "link.yaml").is_symlink()
    assert file.read_text() == TUNED
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text(NETWORK + "# more\n"),
        lambda file: file.write_bytes(b"\xff"),
        lambda file: file.unlink(),
    ],
    ids=["changed", "no text", "gone"],
)
def test_a_file_that_changes_meanwhile_is_left_alone(change: Any, folder: Path) -> None:
    class Changing(Heard):
        def trial(self, number: int, assignment: Assignment, trial: Trial) -> None:
            if not self.trials:
                change(folder / "net.yaml")
            super().trial(number, assignment, trial)

    network = trtdsl.load(folder / "net.yaml", weights=folder / "w.npz")
    with pytest.raises(RunError, match=r"net\.yaml .* while it was tuned"):
        network.tune(folder / "data", device="cpu", reporter=Changing())
    assert len(json.loads((folder / "net.tune.json").read_text())["trials"]) > 1


def test_what_layers_and_groups_say_themselves_is_left(folder: Path) -> None:
    text = NETWORK.replace("name: first,", "name: first, precision: fp32,")
    (folder / "net.yaml").write_text(text)
    tuned = tune(folder)
    assert "first" not in tuned.assignment
    (folder / "net.yaml").write_text(
        "trtdsl: 1\ninputs: {x: [1, 4, 6, 6]}\nlayers: [{op: relu, name: a, precision: fp32}]\n"
    )
    with pytest.raises(RunError, match="no layer is left to tune"):
        tune(folder)


def test_a_loose_tolerance_makes_all_narrow_that_is_finite(folder: Path) -> None:
    (folder / "net.yaml").write_text(NETWORK.replace("300.0", "1.0"))
    assert tune(folder, tolerance=0.5).measured == 1
    assert "precision: fp16   # to be tuned\n" in (folder / "net.yaml").read_text()


def test_a_tolerance_that_nothing_keeps_leaves_all_as_it_is(folder: Path) -> None:
    tuned = tune(folder, tolerance=1e-12)
    assert set(tuned.assignment.values()) == {DataType.FP32}
    assert tuned.error == 0
    assert (folder / "net.yaml").read_text() == NETWORK


def test_int8_only_where_there_are_scales(folder: Path) -> None:
    text = NETWORK.replace("300.0", "1.0") + "quantization: net.scales\n"
    (folder / "net.yaml").write_text(text)
    network = trtdsl.load(folder / "net.yaml", weights=[folder / "w.npz"])
    network.calibrate(folder / "data", folder / "net.scales", method="min-max")
    tuned = tune(folder, types=["fp16", "int8"], tolerance=0.1)
    assert {str(dtype) for name, dtype in tuned.assignment.items() if name in ("first", "last")} == {"int8"}
    assert {str(dtype) for name, dtype in tuned.assignment.items() if name not in ("first", "last")} == {"fp16"}
    graph = trtdsl.load(folder / "net.yaml", weights=[folder / "w.npz"]).graph
    assert {layer.name for layer in graph.layers if layer.quantized} == {"first", "last"}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a type that ONNX Runtime lacks": ({"types": ["bf16"]}, "cannot measure bf16"),
    "no GPU": ({"device": "gpu"}, "there is no GPU here"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_measured(
    arguments: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtdsl.tuning.judges.has_gpu", lambda: False)
    with pytest.raises(RunError, match=message):
        tune(folder, **arguments)


def test_a_precision_from_outside_is_refused(folder: Path) -> None:
    network = trtdsl.load(folder / "net.yaml", weights=[folder / "w.npz"], precision="fp16")
    with pytest.raises(RunError, match="has to stand there"):
        network.tune(folder / "data", device="cpu")


def test_wrong_words(folder: Path) -> None:
    with pytest.raises(ValueError, match="a device is cpu or gpu"):
        tune(folder, device="tpu")
    with pytest.raises((ValueError, NetworkError)):
        tune(folder, types=["fp17"])


def test_the_state_is_readable(folder: Path) -> None:
    tuned = tune(folder)
    kept = json.loads((folder / "net.tune.json").read_text())
    assert len(kept["trials"]) == tuned.measured
    assert {frozenset(entry) for entry in kept["trials"].values()} == {frozenset({"error", "ms", "layers"})}
