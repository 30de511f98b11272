"""Train the network of networks/digits.yaml in plain numpy, and save its weights as PyTorch would name them.

    python examples/train_digits.py                  # some seconds; writes networks/digits.safetensors
    python examples/train_digits.py --evaluate       # only classify the held-out images

Every layer is a few lines that go forward and back. The weights are saved under the names and in the layouts that
torch.nn has for such layers, which are those that a YAML file takes for granted: it names the file and nothing else.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import digits_data
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import load_file, save_file

WEIGHTS = Path(__file__).parents[1] / "networks" / "digits.safetensors"
Array = np.ndarray


class Layer:
    """A step of the network. `parameters` are trained, `buffers` are not; both are saved under the layer's name."""

    def __init__(self, **parameters: Array) -> None:
        self.parameters = parameters
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def backward(self, gradient: Array) -> Array:
        """The loss's gradient in the input of the last forward, given that in its output."""
        raise NotImplementedError


class Conv(Layer):
    """3 x 3 convolution that keeps the size, without a bias; a batch norm follows."""

    def __init__(self, inputs: int, outputs: int, random: np.random.RandomState) -> None:
        spread = math.sqrt(2 / (inputs * 9))
        super().__init__(weight=random.normal(0, spread, (outputs, inputs, 3, 3)).astype(np.float32))

    def forward(self, x: Array, training: bool) -> Array:
        weight = self.parameters["weight"]
        count, _, height, width = x.shape
        self.columns = self._columns(x)
        y = self.columns @ weight.reshape(len(weight), -1).T
        return y.reshape(count, height, width, -1).transpose(0, 3, 1, 2)

    def backward(self, gradient: Array) -> Array:
        weight = self.parameters["weight"]
        count, outputs, height, width = gradient.shape
        rows = gradient.transpose(0, 2, 3, 1).reshape(-1, outputs)
        self.gradients["weight"] = (rows.T @ self.columns).reshape(weight.shape)
        # The input's gradient is the output's, convolved with the kernel turned around and its channels swapped.
        turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(weight.shape[1], -1)
        return (self._columns(gradient) @ turned.T).reshape(count, height, width, -1).transpose(0, 3, 1, 2)

    @staticmethod
    def _columns(x: Array) -> Array:
        """The 3 x 3 surroundings of every pixel: [count * height * width, channels * 9]."""
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
        return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9)


class BatchNorm(Layer):
    """Normalises each channel: by the batch while training, by running statistics afterwards."""

    epsilon, momentum = 1e-5, 0.1

    def __init__(self, channels: int) -> None:
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        super().__init__(weight=ones, bias=zeros)
        self.buffers = {"running_mean": zeros.copy(), "running_var": ones.copy()}

    def forward(self, x: Array, training: bool) -> Array:
        mean, variance = self.buffers["running_mean"], self.buffers["running_var"]
        if training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
            count = x[:, 0].size
            self._track("running_mean", mean)
            self._track("running_var", variance * count / (count - 1))
        self.scale = 1 / np.sqrt(variance + self.epsilon)
        self.normal = (x - _channels(mean)) * _channels(self.scale)
        return self.normal * _channels(self.parameters["weight"]) + _channels(self.parameters["bias"])

    def backward(self, gradient: Array) -> Array:
        self.gradients["weight"] = (gradient * self.normal).sum((0, 2, 3))
        self.gradients["bias"] = gradient.sum((0, 2, 3))
        count = gradient[:, 0].size
        along = _channels(self.gradients["bias"]) + self.normal * _channels(self.gradients["weight"])
        return (gradient - along / count) * _channels(self.scale * self.parameters["weight"])

    def _track(self, name: str, value: Array) -> None:
        self.buffers[name] += self.momentum * (value - self.buffers[name])


def _channels(values: Array) -> Array:
    return values[:, None, None]


class Relu(Layer):
    """Negative numbers become zero."""

    def forward(self, x: Array, training: bool) -> Array:
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient: Array) -> Array:
        return gradient * self.positive


class MaxPool(Layer):
    """The largest of every 2 x 2 pixels. Where several are, each gets the gradient; after a ReLU only zeros are."""

    def forward(self, x: Array, training: bool) -> Array:
        count, channels, height, width = x.shape
        self.shape = x.shape
        tiles = x.reshape(count, channels, height // 2, 2, width // 2, 2)
        y = tiles.max((3, 5), keepdims=True)
        self.largest = tiles == y
        return y[:, :, :, 0, :, 0]

    def backward(self, gradient: Array) -> Array:
        return (self.largest * gradient[:, :, :, None, :, None]).reshape(self.shape)


class Flatten(Layer):
    """All of an image in one row."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(self.shape)


class Linear(Layer):
    """A matrix, and a bias."""

    def __init__(self, inputs: int, outputs: int, random: np.random.RandomState) -> None:
        weight = random.normal(0, math.sqrt(1 / inputs), (outputs, inputs)).astype(np.float32)
        super().__init__(weight=weight, bias=np.zeros(outputs, np.float32))

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        return x @ self.parameters["weight"].T + self.parameters["bias"]

    def backward(self, gradient: Array) -> Array:
        self.gradients = {"weight": gradient.T @ self.x, "bias": gradient.sum(0)}
        return gradient @ self.parameters["weight"]


class Network:
    """The layers of networks/digits.yaml, under the names they have there."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.RandomState(seed)
        self.layers: dict[str, Layer] = {
            "conv1": Conv(1, 16, random),
            "bn1": BatchNorm(16),
            "relu1": Relu(),
            "conv2": Conv(16, 32, random),
            "bn2": BatchNorm(32),
            "relu2": Relu(),
            "pool2": MaxPool(),
            "conv3": Conv(32, 64, random),
            "bn3": BatchNorm(64),
            "relu3": Relu(),
            "pool3": MaxPool(),
            "flatten": Flatten(),
            "fc": Linear(64 * 2 * 2, 10, random),
        }

    def forward(self, images: Array, training: bool = False) -> Array:
        """The logits, [count, 10]."""
        x = images
        for layer in self.layers.values():
            x = layer.forward(x, training)
        return x

    def backward(self, gradient: Array) -> None:
        """Leave every layer's gradients in it, given the loss's gradient in the logits."""
        for layer in reversed(self.layers.values()):
            gradient = layer.backward(gradient)

    def accuracy(self, digits: digits_data.Digits) -> float:
        """The share of images whose largest logit is that of their label."""
        return float((self.forward(digits.images).argmax(1) == digits.labels).mean())

    def state(self) -> dict[str, Array]:
        """The arrays of all parameters and buffers by PyTorch's names, such as `conv1.weight`."""
        return {
            f"{name}.{key}": array
            for name, layer in self.layers.items()
            for key, array in (layer.parameters | layer.buffers).items()
        }

    def load(self, path: Path) -> None:
        """Take all parameters and buffers from a safetensors file."""
        stored = load_file(path)
        for name, array in self.state().items():
            array[...] = stored[name]


class Adam:
    """Adam with weight decay on what is multiplied (kernels and matrices), as in Loshchilov and Hutter 2019."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network, self.decay, self.steps = network, decay, 0
        self.moments: dict[str, tuple[Array, Array]] = {}

    def step(self, rate: float) -> None:
        """Move every parameter against its gradient."""
        self.steps += 1
        for name, parameter, gradient in self._parameters():
            if name not in self.moments:
                self.moments[name] = np.zeros_like(parameter), np.zeros_like(parameter)
            first, second = self.moments[name]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            mean, spread = first / (1 - 0.9**self.steps), second / (1 - 0.999**self.steps)
            if parameter.ndim > 1:
                parameter *= 1 - rate * self.decay
            parameter -= rate * mean / (np.sqrt(spread) + 1e-8)

    def _parameters(self) -> Iterator[tuple[str, Array, Array]]:
        for name, layer in self.network.layers.items():
            for key, parameter in layer.parameters.items():
                yield f"{name}.{key}", parameter, layer.gradients[key]


def loss_gradient(logits: Array, labels: Array, smoothing: float = 0.1) -> tuple[float, Array]:
    """Mean cross entropy against smoothed labels, and its gradient in the logits."""
    target = np.full(logits.shape, smoothing / logits.shape[1], np.float32)
    target[np.arange(len(labels)), labels] += 1 - smoothing
    shifted = logits - logits.max(1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -(target * log_probability).sum(1).mean()
    return float(loss), (np.exp(log_probability) - target) / len(labels)


def shifted(images: Array, random: np.random.RandomState) -> Array:
    """Each image moved by up to one pixel either way, so that the network does not learn places by heart."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    down, right = random.randint(0, 3, (2, len(images)))
    return windows[np.arange(len(images)), :, down, right]


def train(
    train_on: digits_data.Digits, held_out: digits_data.Digits, epochs: int, batch: int = 64, rate: float = 4e-3
) -> Network:
    """A network trained with a rate that falls along half a cosine. The held-out images are only reported on."""
    network, random = Network(), np.random.RandomState(1)
    optimiser = Adam(network, decay=0.05)
    steps = len(train_on.labels) // batch
    for epoch in range(epochs):
        order = random.permutation(len(train_on.labels))
        losses = []
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            logits = network.forward(shifted(train_on.images[chosen], random), training=True)
            loss, gradient = loss_gradient(logits, train_on.labels[chosen])
            network.backward(gradient)
            optimiser.step(rate * (1 + math.cos(math.pi * (epoch + step / steps) / epochs)) / 2)
            losses.append(loss)
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}, held out {network.accuracy(held_out):.2%}")
    return network


def main() -> None:
    """Train or evaluate, as the command line says."""
    parser = argparse.ArgumentParser(description="Train the network of networks/digits.yaml.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the file to write, or to evaluate")
    parser.add_argument("--evaluate", action="store_true", help="classify the held-out images, train nothing")
    arguments = parser.parse_args()
    train_on, held_out = digits_data.load()
    if arguments.evaluate:
        network = Network()
        network.load(arguments.weights)
    else:
        network = train(train_on, held_out, arguments.epochs)
        save_file(network.state(), arguments.weights)
    accuracy, count = network.accuracy(held_out), len(held_out.labels)
    print(f"{arguments.weights.name}: {round(accuracy * count)} of {count} held-out images right, {accuracy:.2%}")


if __name__ == "__main__":
    main()
