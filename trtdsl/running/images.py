"""Image files as input tensors."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trtdsl.errors import RunError, needs_extra, reason_of
from trtdsl.types import DataType, Dim, TensorType

Array = np.ndarray[Any, Any]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes whose pixels are not 0 to 255. Pillow cuts them off there."""


RESIZE = ("stretch", "crop", "pad")
"""What `Pictures.resize` may be."""


@dataclass(frozen=True)
class Pictures:
    """How images become tensors: `(pixel * scale - mean) / std`, where a pixel is 0 to 255.

    `mean` and `std` are one number or one for each channel. Tensors of uint8 hold the pixels as they are. Without a
    `layout`, `nchw` or `nhwc`, the channels are the axis of 1, 3 or 4. `resize` says what becomes of other sizes: they
    are stretched, cropped (the largest part of the same proportions, around the middle) or padded (all of it, between
    bars of black); `order` is that of the channels, `rgb` or `bgr`.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str | None = None
    resize: str = "stretch"
    order: str = "rgb"

    def read(self, name: str, wanted: TensorType, paths: Sequence[Path]) -> Array:
        """The images in one tensor, each resized to the input's height and width (those at opt, where dynamic).

        Floats are fp32. Of several pictures in a file the first is taken; photographs are turned as their EXIF
        orientation says. Raises RunError.
        """
        with needs_extra("images", "an image as an input"):
            from PIL import Image, ImageOps, UnidentifiedImageError

        self._check_numbers(name)
        layout = self._layout(name, wanted)
        _check_count(name, wanted, len(paths))
        sizes = dict(zip(layout, wanted.shape[-3:], strict=True))
        mode = _MODES[sizes["c"].value]
        size = (sizes["w"].sizes.opt, sizes["h"].sizes.opt)
        tensors = []
        for path in paths:
            try:
                with warnings.catch_warnings():
                    # Pillow warns of large images and odd metadata, which do no harm.
                    warnings.simplefilter("ignore")
                    with Image.open(path) as image:
                        _check_mode(path, image.mode)
                        upright = ImageOps.exif_transpose(image).convert(mode)
                        pixels = np.asarray(self._resized(upright, size))
            except UnidentifiedImageError:
                raise RunError.of("input-value", f"{path} is no image") from None
            except Image.DecompressionBombError:
                raise RunError.of("input-value", f"{path} has more pixels than Pillow reads") from None
            except OSError as error:
                raise RunError.of("input-value", f"{path} cannot be read: {reason_of(error)}") from None
            except (SyntaxError, ValueError, EOFError, struct.error, IndexError) as error:
                # What Pillow's readers of single formats raise for damaged files.
                raise RunError.of("input-value", f"{path} cannot be read: {error}") from None
            numbers = self._numbers(name, self._ordered(pixels.reshape(*pixels.shape[:2], -1)), wanted.dtype)
            tensors.append(numbers.transpose(2, 0, 1) if layout == "chw" else numbers)
        return np.ascontiguousarray(np.stack(tensors) if wanted.rank == 4 else tensors[0])

    def _check_numbers(self, name: str) -> None:
        """Refuse what leaves no numbers of the pixels."""
        for option, numbers in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not np.isfinite(numbers).all() or (option == "std" and 0 in numbers):
                told = ", ".join(f"{number:g}" for number in numbers)
                raise RunError.of("input-value", f"{name}: no pixels can be told with a {option} of {told}")

    def _layout(self, name: str, wanted: TensorType) -> str:
        layouts = ("chw", "hwc") if self.layout is None else (self.layout[1:],)
        for layout in layouts if wanted.rank in (3, 4) else ():
            channels = wanted.shape[layout.index("c") - 3]
            if channels.is_static and channels.value in _MODES:
                return layout
        asked = f" in the layout {self.layout}" if self.layout else ""
        raise RunError.of("input-value", f"{name}: {wanted} is no image of 1, 3 or 4 channels{asked}")

    def _resized(self, image: Any, size: tuple[int, int]) -> Any:
        """An image of PIL's in a width and a height."""
        from PIL import Image, ImageOps

        bilinear = Image.Resampling.BILINEAR
        if self.resize == "crop":
            return ImageOps.fit(image, size, bilinear)
        return ImageOps.pad(image, size, bilinear) if self.resize == "pad" else image.resize(size, bilinear)

    def _ordered(self, pixels: Array) -> Array:
        """The channels in the order asked for; the fourth one, which says how opaque a pixel is, stays last."""
        if self.order == "rgb" or pixels.shape[-1] < 3:
            return pixels
        return pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]

    def _numbers(self, name: str, pixels: Array, dtype: DataType) -> Array:
        """The elements, of height, width and channels."""
        if dtype is DataType.UINT8:
            return pixels
        channels = pixels.shape[-1]
        for option, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                message = f"{name}: {option} has {len(numbers)} numbers for {channels} channels"
                raise RunError.of("input-value", message)
        scaled = pixels.astype(np.float32) * np.float32(self.scale)
        return (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)


def _check_mode(path: Path, mode: str) -> None:
    if mode in _WIDE_MODES:
        message = f"{path} has pixels of more than 8 bits (of Pillow's mode {mode}), and they are taken for 0 to 255"
        raise RunError.of("input-value", message, hint="convert it to 8 bits, or give an array: a .npy file")


def _check_count(name: str, wanted: TensorType, count: int) -> None:
    batch = wanted.shape[0] if wanted.rank == 4 else Dim.of(1)
    if not batch.sizes.min <= count <= batch.sizes.max:
        sizes = str(batch.value) if batch.is_static else f"{batch.sizes.min} to {batch.sizes.max}"
        raise RunError.of("input-value", f"{name} takes {sizes} images, got {count}")
