"""What a network is read from is not written over, whatever writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.calling import run

NET = """\
trtdsl: 1
include: parts/all.yaml
inputs: {x: [1, 2]}
precision: int8
weights:
  a: net.weights.npz
  fc: folder
quantization: net.scales
layers:
  - {op: linear, name: a.one, out_features: 2}
  - {op: linear, name: fc, out_features: 2, bias: false}
  - {op: linear, name: last, out_features: 2, bias: false, weight: {file: own.npz, key: w}}
"""
TEXTS = {
    "net.yaml": NET,
    "net.scales": "trtdsl-scales: 1\nscales: {x: 0.1, a.one: 0.1, fc: 0.1}\n",
    "parts/all.yaml": "trtdsl: 1\ninclude: more.yaml\n",
    "parts/more.yaml": "trtdsl: 1\nparams: {unused: 1}\n",
}
EYE = np.eye(2, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("parts", "folder", "data/more"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    np.savez("net.weights.npz", **{"one.weight": EYE, "one.bias": EYE[0]})
    np.save("folder/weight.npy", EYE)
    np.savez("own.npz", w=EYE)
    for name in ("0", "more/1"):
        np.save(f"data/{name}.npy", np.ones((1, 2), np.float32))
    return tmp_path


def held(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BUILD, EXPAND, RUN = ("build", "net.yaml"), ("expand", "net.yaml"), ("run", "net.yaml", "--reference")
CALIBRATE = ("calibrate", "net.yaml", "--data", "data")
TUNE = ("tune", "net.yaml", "--data", "data", "--device", "cpu")
# Each: the command with what it is to write, and the file that would be lost.
REFUSED = {
    "the engine over weights": ((*BUILD, "-o", "own.npz"), "own.npz"),
    "the engine over weights in a folder": ((*BUILD, "-o", "folder/weight.npy"), "folder/weight.npy"),
    "the engine over scales": ((*BUILD, "-o", "net.scales"), "net.scales"),
    "the engine over other scales": ((*BUILD, "--scales", "my.scales", "-o", "my.scales"), "my.scales"),
    "the engine over an included file": ((*BUILD, "-o", "parts/all.yaml"), "parts/all.yaml"),
    "the engine over what that includes": ((*BUILD, "-o", "./parts/../parts/more.yaml"), "parts/more.yaml"),
    "scales over weights": ((*CALIBRATE, "-o", "net.weights.npz"), "net.weights.npz"),
    "scales over data": ((*CALIBRATE, "--limit", "1", "-o", "data/more/1.npy"), "data/more/1.npy"),
    "trials over data": ((*TUNE, "--state", "data/0.npy"), "data/0.npy"),
    "trials over scales": ((*TUNE, "--state", "net.scales"), "net.scales"),
    "an expanded network over weights": ((*EXPAND, "-o", "net.weights.npz"), "net.weights.npz"),
    "outputs over weights": ((*RUN, "--output", "own.npz"), "own.npz"),
    "a model over weights": (("export", "onnx", "net.yaml", "-o", "own.npz"), "own.npz"),
    "a script's weights over the network's": (("export", "script", "net.yaml"), "net.weights.npz"),
}


@pytest.mark.parametrize(("command", "lost"), REFUSED.values(), ids=REFUSED)
def test_what_is_read_stays(command: tuple[str, ...], lost: str, folder: Path) -> None:
    (folder / "my.scales").write_text(TEXTS["net.scales"])
    before = held(folder)
    refused = run(*command)
    assert refused.exit_code == 1, refused.stderr
    [message] = [line for line in refused.stderr.splitlines() if line.startswith("error")]
    path = Path(message.removeprefix("error[file]: ").removesuffix(" would be read and then written over"))
    assert path.resolve() == folder / lost
    assert held(folder) == before


# Each: a command, and a file that it writes all the same.
WRITTEN = {
    "scales that the network names": (CALIBRATE, "net.scales"),
    "scales beside data": ((*CALIBRATE, "-o", "data/net.scales"), "data/net.scales"),
    "what lies beside weights": (("export", "onnx", "net.yaml", "-o", "folder/net.onnx"), "folder/net.onnx"),
    "outputs": ((*RUN, "--output", "out.npz"), "out.npz"),
    "an expanded network": ((*EXPAND, "-o", "parts/flat.yaml"), "parts/flat.yaml"),
}


@pytest.mark.parametrize(("command", "file"), WRITTEN.values(), ids=WRITTEN)
def test_what_may_be_written(command: tuple[str, ...], file: str, folder: Path) -> None:
    for _ in range(2):
        before = held(folder)
        assert run(*command).exit_code == 0, run(*command).stderr
        after = held(folder)
        assert {path for path in after if after[path] != before.get(path)} <= {folder / file}
        assert folder / file in after
