"""PyTorch's side of the comparison: models with the weight names that `networks/` uses.

ResNet, MobileNetV2 and GPT-2 are torchvision's and transformers' own; the three others are written after the sources
that their YAML files name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class Case:
    """A model, the inputs it is given, and the parameters with which its YAML file describes the same."""

    network: str
    model: Callable[[], nn.Module]
    inputs: Mapping[str, torch.Tensor]
    parameters: Mapping[str, object] = field(default_factory=dict)
    prefix: str = ""
    """What stands before the weights' names in the model and not in the checkpoint."""


class GeneratorBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.conv_block = nn.Sequential(*half, nn.ReLU(), *other)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Generator(nn.Module):
    """CycleGAN's ResNet generator."""

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for scale in (1, 2):
            down = nn.Conv2d(width * scale, width * scale * 2, 3, stride=2, padding=1)
            layers += [down, nn.InstanceNorm2d(width * scale * 2), nn.ReLU()]
        layers += [GeneratorBlock(width * 4) for _ in range(blocks)]
        for scale in (2, 1):
            up = nn.ConvTranspose2d(width * scale * 2, width * scale, 3, stride=2, padding=1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(width * scale), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class DoubleConv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        first = [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        second = [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.double_conv = nn.Sequential(*first, *second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(before, after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, after, 2, stride=2)
        self.conv = DoubleConv(before, after)

    def forward(self, below: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.cat([skip, self.up(below)], 1))


class UNet(nn.Module):
    """U-Net with padded convolutions, two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = DoubleConv(3, 64)
        self.down1, self.down2, self.down3 = Down(64, 128), Down(128, 256), Down(256, 512)
        self.down4 = Down(512, 1024)
        self.up1, self.up2, self.up3, self.up4 = Up(1024, 512), Up(512, 256), Up(256, 128), Up(128, 64)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(64, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        y = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            y = up(y, skips.pop())
        return self.outc.conv(y)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, count, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """ViT with a class token, of the base size."""

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, 16, stride=16)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(image), -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class LogitsOf(nn.Module):
    """transformers' GPT-2 as tokens to logits."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.inner = GPT2LMHeadModel(GPT2Config())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.inner(tokens).logits


def cases() -> dict[str, Case]:
    """Every network with its inputs, by name."""
    import torchvision

    generator = torch.Generator().manual_seed(0)

    def image(*shape: int) -> dict[str, torch.Tensor]:
        return {"image": torch.randn(*shape, generator=generator)}

    tokens = torch.randint(0, 50257, (2, 64), generator=generator)
    vision = torchvision.models
    return {
        "resnet18": Case("resnet", vision.resnet18, image(4, 3, 224, 224), {"depth": 18}),
        "resnet34": Case("resnet", vision.resnet34, image(4, 3, 224, 224), {"depth": 34}),
        "resnet50": Case("resnet", vision.resnet50, image(4, 3, 224, 224), {"depth": 50}),
        "resnet101": Case("resnet", vision.resnet101, image(4, 3, 224, 224), {"depth": 101}),
        "mobilenet_v2": Case("mobilenet_v2", vision.mobilenet_v2, image(4, 3, 224, 224)),
        "cyclegan_generator": Case("cyclegan_generator", Generator, image(1, 3, 256, 320)),
        "unet": Case("unet", UNet, image(1, 3, 128, 192)),
        "vit": Case("vit", VisionTransformer, image(2, 3, 224, 224)),
        "gpt2": Case("gpt2", LogitsOf, {"tokens": tokens}, prefix="inner.transformer."),
    }


def settle(model: nn.Module) -> nn.Module:
    """The model for inference, its batch norms with statistics as training leaves them, so that they count."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            # Around 0.4, as trained residual networks have them: at 1, a hundred layers outgrow fp16.
            module.weight.data.copy_(torch.rand(module.num_features, generator=generator) * 0.4 + 0.2)
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
    return model.eval()
