"""The network of networks/digits.yaml in numpy: its gradients, its training, and the weights in the repository."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples")
        return importlib.import_module("train_digits")


def test_split_is_settled(example: ModuleType) -> None:
    train, held_out = example.digits_data.load()
    assert train.images.shape == (1437, 1, 8, 8)
    assert held_out.images.shape == (360, 1, 8, 8)
    assert held_out.images.dtype == np.float32
    assert (held_out.images.min(), held_out.images.max()) == (0, 1)
    assert held_out.labels[:12].tolist() == [0, 7, 9, 5, 8, 1, 3, 3, 7, 0, 9, 4]


def test_gradients_are_the_slopes_of_the_loss(example: ModuleType) -> None:
    """Along a random direction through all parameters, against a difference quotient in double precision."""
    random = np.random.RandomState(3)
    network = example.Network()
    parameters = [
        (layer, key, random.normal(0, 1, array.shape))
        for layer in network.layers.values()
        for key, array in layer.parameters.items()
    ]
    for layer, key, _ in parameters:
        layer.parameters[key] = layer.parameters[key].astype(np.float64)
    images, labels = random.uniform(0, 1, (5, 1, 8, 8)), np.arange(5)

    def loss(distance: float) -> float:
        for layer, key, direction in parameters:
            layer.parameters[key] += distance * direction
        value = example.loss_gradient(network.forward(images, training=True), labels)[0]
        for layer, key, direction in parameters:
            layer.parameters[key] -= distance * direction
        return value

    logits = network.forward(images, training=True)
    network.backward(example.loss_gradient(logits, labels)[1])
    slope = sum((layer.gradients[key] * direction).sum() for layer, key, direction in parameters)
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-4)


def test_short_training_learns(tmp_path: Path) -> None:
    weights = tmp_path / "digits.safetensors"
    said = run("--epochs", "3", "--weights", str(weights))
    assert accuracy(said) > 90
    assert load_file(weights).keys() == load_file(ROOT / "networks" / "digits.safetensors").keys()


def test_committed_weights_are_as_good_as_the_network_says(example: ModuleType) -> None:
    said = run("--evaluate")
    assert "357 of 360" in said
    stated = (ROOT / "networks" / "digits.yaml").read_text()
    assert "of the 360 it never saw it reads 357 right, 99.17 %" in stated
    network = example.Network()
    assert f"{sum(a.size for layer in network.layers.values() for a in layer.parameters.values()):,}" in stated


def test_held_out_images_can_be_taken_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "held_out.npz"
    subprocess.run([sys.executable, ROOT / "examples" / "digits_data.py", target], check=True)
    with np.load(target) as arrays:
        assert arrays["images"].shape == (360, 1, 8, 8)
        assert arrays["labels"].shape == (360,)


def run(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / "train_digits.py"), *arguments]
    # Matrices this small are multiplied faster by one thread.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def accuracy(said: str) -> float:
    return float(said.strip().rpartition(" ")[2].rstrip("%"))
