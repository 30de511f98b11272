"""Every example runs; train_digits.py, digits_data.py and pycuda_arrays.py have their own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trtdsl
from trtdsl.targets.gpu import has_gpu

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_build_from_python(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds an engine: needs `pip install -e '.[rtx]'`")
    engine = tmp_path / "digits.engine"
    command = [sys.executable, EXAMPLES / "build_from_python.py", engine]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "fc           linear       fp32[N, 10]" in said
    assert engine.stat().st_size > 10_000


def photograph(folder: Path) -> tuple[Path, int]:
    """The first held-out digit as ink on paper, photographed: 1600 x 1200 pixels, unevenly lit; and what it is."""
    image = pytest.importorskip("PIL.Image", reason="reads images: pip install 'trtdsl[images]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        held_out = importlib.import_module("digits_data").load()[1]
    ink = image.fromarray((held_out.images[0, 0] * 255).astype("uint8")).resize((1600, 1200), image.Resampling.BICUBIC)
    light = np.linspace(225, 255, 1600)[np.newaxis]
    pixels = light - np.asarray(ink, np.float32) * light / 255
    image.fromarray(pixels.astype("uint8")).convert("RGB").save(folder / "photo.jpg")
    return folder / "photo.jpg", int(held_out.labels[0])


def classify(*options: object) -> list[str]:
    command = [sys.executable, EXAMPLES / "classify.py", *map(str, options)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_classify(tmp_path: Path) -> None:
    photo, label = photograph(tmp_path)
    lines = classify(photo, "--cpu", "--loops", 3)
    assert lines[0] == f"{photo}: 1600 x 1200 pixels"
    assert lines[1].startswith("3 loops of ONNX Runtime in fp32: ")
    assert len(lines) == 7
    place, share, _, _, name = lines[2].split()
    assert (place, name) == ("1.", str(label))
    assert float(share) > 50


def test_classify_with_the_numbers_of_imagenet(tmp_path: Path) -> None:
    photo, _ = photograph(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {index}" for index in range(1000)))
    model = EXAMPLES.parent / "networks" / "mobilenet_v2.yaml"
    numbers = ["--mean", "123.675,116.28,103.53", "--scale", "0.01712,0.01751,0.01743", "--resize", "crop"]
    options = ["--random-weights", *numbers, "--labels", tmp_path / "labels.txt", "--top", 3, "--loops", 1, "--cpu"]
    lines = classify(photo, "--model", model, *options)
    assert len(lines) == 5
    assert all(" thing " in line for line in lines[2:])


def test_classify_says_where_there_is_no_gpu(tmp_path: Path) -> None:
    if has_gpu():
        pytest.skip("is about machines without a GPU")
    photo, _ = photograph(tmp_path)
    command = [sys.executable, EXAMPLES / "classify.py", photo]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "error[gpu-missing]: an engine needs a GPU to run" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.png"], "No such file or directory: 'none.png'"),
        (["x.png", "--labels", "none.txt"], "No such file or directory: 'none.txt'"),
        (["x.png", "--scale", "0"], "argument --scale: invalid"),
        (["x.png", "--loops", "0"], "argument --loops: invalid"),
    ],
    ids=["no image", "no labels", "a scale of nothing", "no loops"],
)
def test_classify_refuses(options: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "classify.py", *options], capture_output=True, text=True)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_custom_block() -> None:
    network = trtdsl.load(EXAMPLES / "custom_block.yaml", random_weights=True, parameters={"blocks": 2})
    names = [layer.name for layer in network.graph.layers]
    assert "narrow.1.attention.squeeze" in names
    assert "shrink.add" not in names
    assert [layer.name for layer in network.typed.layers if layer.op.kind == "linear"] == ["classifier"]


@pytest.mark.parametrize("length", [1, 17])
def test_bert(length: int) -> None:
    network = trtdsl.load(EXAMPLES / "bert.yaml", random_weights=True, dims={"N": 2, "T": length})
    types = network.graph.types
    outputs = {output.name: str(types[output.tensor]) for output in network.graph.outputs}
    assert outputs == {"last_hidden_state": f"fp32[2, {length}, 512]", "pooler_output": "fp32[2, 512]"}


def test_bert_has_the_keys_of_transformers() -> None:
    network = trtdsl.load(EXAMPLES / "bert.yaml", random_weights=True, parameters={"depth": 1})
    layers = {layer.name: layer for layer in network.typed.layers}
    block = "attention.self.query attention.self.key attention.self.value attention.output.dense "
    block += "attention.output.LayerNorm intermediate.dense output.dense output.LayerNorm"
    kept = {f"encoder.layer.0.{part}" for part in block.split()} | {"embeddings.LayerNorm", "pooler.dense"}
    assert {name for name, layer in layers.items() if "bias" in layer.weights} == kept
    assert str(layers["pooler.dense"].weights["weight"].dtype) == "fp32"
    assert str(layers["encoder.layer.0.output.dense"].weights["weight"].dtype) == "fp16"


def test_all_are_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()} - {"README.md"}
    assert {name for name in files if f"[{name}]({name})" not in listed} == set()
