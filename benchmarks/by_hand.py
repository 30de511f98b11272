"""ResNet-50 as people write it without trtdsl: the baseline for memory. `python by_hand.py WEIGHTS ENGINE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt_rtx as trt
from safetensors.numpy import load_file


class ResNet50:
    """Fills a network, one method per kind of layer."""

    def __init__(self, network: Any, weights: dict[str, np.ndarray]) -> None:
        self.network = network
        self.weights = weights
        self.kept: list[np.ndarray] = []

    def keep(self, array: np.ndarray) -> np.ndarray:
        self.kept.append(array)
        return array

    def conv(self, x: Any, name: str, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> Any:
        kernels = self.weights[f"{name}.weight"]
        layer = self.network.add_convolution_nd(x, channels, (kernel, kernel), trt.Weights(kernels), trt.Weights())
        layer.stride_nd, layer.padding_nd = (stride, stride), (padding, padding)
        return layer.get_output(0)

    def batch_norm(self, x: Any, name: str) -> Any:
        weight, bias, mean, variance = (
            self.weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = self.keep(weight / np.sqrt(variance + np.float32(1e-5)))
        shift = self.keep(bias - mean * scale)
        return self.network.add_scale(x, trt.ScaleMode.CHANNEL, trt.Weights(shift), trt.Weights(scale)).get_output(0)

    def relu(self, x: Any) -> Any:
        return self.network.add_activation(x, trt.ActivationType.RELU).get_output(0)

    def block(self, x: Any, name: str, channels: int, stride: int, project: bool) -> Any:
        y = self.relu(self.batch_norm(self.conv(x, f"{name}.conv1", channels, 1), f"{name}.bn1"))
        y = self.relu(self.batch_norm(self.conv(y, f"{name}.conv2", channels, 3, stride, 1), f"{name}.bn2"))
        y = self.batch_norm(self.conv(y, f"{name}.conv3", channels * 4, 1), f"{name}.bn3")
        if project:
            x = self.conv(x, f"{name}.downsample.0", channels * 4, 1, stride)
            x = self.batch_norm(x, f"{name}.downsample.1")
        return self.relu(self.network.add_elementwise(y, x, trt.ElementWiseOperation.SUM).get_output(0))

    def build(self, image: Any) -> Any:
        x = self.relu(self.batch_norm(self.conv(image, "conv1", 64, 7, 2, 3), "bn1"))
        pool = self.network.add_pooling_nd(x, trt.PoolingType.MAX, (3, 3))
        pool.stride_nd, pool.padding_nd = (2, 2), (1, 1)
        x = pool.get_output(0)
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for i in range(blocks):
                stride = 2 if stage and i == 0 else 1
                x = self.block(x, f"layer{stage + 1}.{i}", 64 * 2**stage, stride, i == 0)
        x = self.network.add_reduce(x, trt.ReduceOperation.AVG, 0b1100, False).get_output(0)
        weight = self.weights["fc.weight"]
        constant = self.network.add_constant(weight.shape, trt.Weights(weight)).get_output(0)
        plain, transposed = trt.MatrixOperation.NONE, trt.MatrixOperation.TRANSPOSE
        x = self.network.add_matrix_multiply(x, plain, constant, transposed).get_output(0)
        bias = self.network.add_constant((1, 1000), trt.Weights(self.weights["fc.bias"])).get_output(0)
        return self.network.add_elementwise(x, bias, trt.ElementWiseOperation.SUM).get_output(0)


def main() -> None:
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    image = network.add_input("image", trt.float32, (-1, 3, 224, 224))
    model = ResNet50(network, load_file(sys.argv[1]))
    network.mark_output(model.build(image))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 3, 224, 224), (8, 3, 224, 224), (32, 3, 224, 224))
    config.add_optimization_profile(profile)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    plan = builder.build_serialized_network(network, config)
    Path(sys.argv[2]).write_bytes(plan)


if __name__ == "__main__":
    main()
