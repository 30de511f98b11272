"""What the state_dict of each published network holds, written from the published code and not from our YAML.

Each function gives the shape of every entry by its key, in the layouts of the implementation it names. The counts of
parameters, which test_references.py checks, were published with those implementations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

Shape = tuple[int, ...]
BUFFERS = ("running_mean", "running_var", "num_batches_tracked", ".attn.bias")
"""Ends of the keys that are no parameters; GPT-2's `h.0.attn.bias` is its causal mask."""


class StateDict(dict[str, Shape]):
    """Shapes by key, put together from the modules of torch.nn."""

    def conv(self, name: str, inputs: int, outputs: int, kernel: int, *, groups: int = 1, bias: bool = False) -> None:
        self[f"{name}.weight"] = (outputs, inputs // groups, kernel, kernel)
        self._bias(name, outputs, bias)

    def conv_transpose(self, name: str, inputs: int, outputs: int, kernel: int) -> None:
        self[f"{name}.weight"] = (inputs, outputs, kernel, kernel)
        self._bias(name, outputs)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self[f"{name}.weight"] = (outputs, inputs)
        self._bias(name, outputs)

    def conv1d(self, name: str, inputs: int, outputs: int) -> None:
        """The `Conv1D` of transformers: a linear layer whose matrix is stored the other way round."""
        self[f"{name}.weight"] = (inputs, outputs)
        self._bias(name, outputs)

    def layer_norm(self, name: str, features: int) -> None:
        self[f"{name}.weight"] = (features,)
        self._bias(name, features)

    def batch_norm(self, name: str, channels: int) -> None:
        self.layer_norm(name, channels)
        self[f"{name}.running_mean"] = self[f"{name}.running_var"] = (channels,)
        self[f"{name}.num_batches_tracked"] = ()

    def _bias(self, name: str, size: int, present: bool = True) -> None:
        if present:
            self[f"{name}.bias"] = (size,)

    def parameters(self) -> int:
        """The number of trained elements."""
        return sum(math.prod(shape) for key, shape in self.items() if not key.endswith(BUFFERS))


def resnet(depth: int, classes: int = 1000) -> StateDict:
    """`torchvision.models.resnet18` and its deeper siblings."""
    counts = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    expansion = 1 if depth < 50 else 4
    state = StateDict()
    state.conv("conv1", 3, 64, 7)
    state.batch_norm("bn1", 64)
    inputs = 64
    for layer, count in enumerate(counts, start=1):
        planes = 32 << layer
        for block in range(count):
            name = f"layer{layer}.{block}"
            kernels = ((3, planes), (3, planes)) if expansion == 1 else ((1, planes), (3, planes), (1, 4 * planes))
            channels = inputs
            for number, (kernel, outputs) in enumerate(kernels, start=1):
                state.conv(f"{name}.conv{number}", channels, outputs, kernel)
                state.batch_norm(f"{name}.bn{number}", outputs)
                channels = outputs
            if inputs != channels:
                state.conv(f"{name}.downsample.0", inputs, channels, 1)
                state.batch_norm(f"{name}.downsample.1", channels)
            inputs = channels
    state.linear("fc", inputs, classes)
    return state


def mobilenet_v2(classes: int = 1000) -> StateDict:
    """`torchvision.models.mobilenet_v2` at width 1."""
    state = StateDict()

    def conv_norm(conv: str, norm: str, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        state.conv(conv, inputs, outputs, kernel, groups=groups)
        state.batch_norm(norm, outputs)

    conv_norm("features.0.0", "features.0.1", 3, 32, 3)
    inputs, number = 32, 1
    blocks = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    for expansion, outputs, count in blocks:
        for _ in range(count):
            name, hidden, step = f"features.{number}.conv", inputs * expansion, 0
            if expansion > 1:
                conv_norm(f"{name}.0.0", f"{name}.0.1", inputs, hidden, 1)
                step = 1
            conv_norm(f"{name}.{step}.0", f"{name}.{step}.1", hidden, hidden, 3, groups=hidden)
            conv_norm(f"{name}.{step + 1}", f"{name}.{step + 2}", hidden, outputs, 1)
            inputs, number = outputs, number + 1
    conv_norm("features.18.0", "features.18.1", inputs, 1280, 1)
    state.linear("classifier.1", 1280, classes)
    return state


def cyclegan_generator(width: int = 64, blocks: int = 9, channels: int = 3) -> StateDict:
    """`ResnetGenerator` of junyanz/pytorch-CycleGAN-and-pix2pix with instance norm and no dropout.

    Its `nn.Sequential` counts paddings, norms and activations too; the norms have no entries.
    """
    state = StateDict()
    state.conv("model.1", channels, width, 7, bias=True)
    state.conv("model.4", width, 2 * width, 3, bias=True)
    state.conv("model.7", 2 * width, 4 * width, 3, bias=True)
    for number in range(10, 10 + blocks):
        for step in (1, 5):
            state.conv(f"model.{number}.conv_block.{step}", 4 * width, 4 * width, 3, bias=True)
    state.conv_transpose(f"model.{10 + blocks}", 4 * width, 2 * width, 3)
    state.conv_transpose(f"model.{13 + blocks}", 2 * width, width, 3)
    state.conv(f"model.{17 + blocks}", width, channels, 7, bias=True)
    return state


def unet(bilinear: bool = False, classes: int = 2, channels: int = 3, width: int = 64) -> StateDict:
    """`UNet` of milesial/Pytorch-UNet, whose width is 64."""
    state = StateDict()

    def double_conv(name: str, inputs: int, outputs: int, middle: int) -> None:
        state.conv(f"{name}.double_conv.0", inputs, middle, 3)
        state.batch_norm(f"{name}.double_conv.1", middle)
        state.conv(f"{name}.double_conv.3", middle, outputs, 3)
        state.batch_norm(f"{name}.double_conv.4", outputs)

    # Without a transposed convolution to halve the channels, the layers before it give half as many.
    halved = 2 if bilinear else 1
    depths = [width, 2 * width, 4 * width, 8 * width, 16 * width // halved]
    double_conv("inc", channels, width, width)
    for number in range(1, 5):
        double_conv(f"down{number}.maxpool_conv.1", depths[number - 1], depths[number], depths[number])
    for number in range(1, 5):
        inputs = 32 * width >> number
        outputs = inputs // 2 // halved if number < 4 else width
        if not bilinear:
            state.conv_transpose(f"up{number}.up", inputs, inputs // 2, 2)
        double_conv(f"up{number}.conv", inputs, outputs, inputs // 2 if bilinear else outputs)
    state.conv("outc.conv", width, classes, 1, bias=True)
    return state


def vit(width: int, depth: int, *, patch: int = 16, image: int = 224, classes: int = 1000) -> StateDict:
    """`timm.models.vision_transformer`: `vit_tiny_patch16_224` to `vit_large_patch16_224`."""
    state = StateDict(cls_token=(1, 1, width), pos_embed=(1, (image // patch) ** 2 + 1, width))
    state.conv("patch_embed.proj", 3, width, patch, bias=True)
    for number in range(depth):
        block = f"blocks.{number}"
        state.layer_norm(f"{block}.norm1", width)
        state.linear(f"{block}.attn.qkv", width, 3 * width)
        state.linear(f"{block}.attn.proj", width, width)
        state.layer_norm(f"{block}.norm2", width)
        state.linear(f"{block}.mlp.fc1", width, 4 * width)
        state.linear(f"{block}.mlp.fc2", 4 * width, width)
    state.layer_norm("norm", width)
    state.linear("head", width, classes)
    return state


def gpt2(width: int, depth: int, *, context: int = 1024, vocabulary: int = 50257) -> StateDict:
    """The published `gpt2` checkpoints: transformers' `GPT2Model`, its causal masks with it, the head being `wte`."""
    state = StateDict()
    state["wte.weight"] = (vocabulary, width)
    state["wpe.weight"] = (context, width)
    for number in range(depth):
        block = f"h.{number}"
        state.layer_norm(f"{block}.ln_1", width)
        state[f"{block}.attn.bias"] = (1, 1, context, context)
        state.conv1d(f"{block}.attn.c_attn", width, 3 * width)
        state.conv1d(f"{block}.attn.c_proj", width, width)
        state.layer_norm(f"{block}.ln_2", width)
        state.conv1d(f"{block}.mlp.c_fc", width, 4 * width)
        state.conv1d(f"{block}.mlp.c_proj", 4 * width, width)
    state.layer_norm("ln_f", width)
    return state


def unused(state: Iterable[str]) -> set[str]:
    """The keys that inference has no use for."""
    return {key for key in state if key.endswith(("num_batches_tracked", ".attn.bias"))}
