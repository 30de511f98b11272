"""Images as tensors, checked against pixels that are known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from trtdsl.errors import RunError
from trtdsl.running import Pictures
from trtdsl.types import DataType, Dim, Sizes, TensorType

Image = pytest.importorskip("PIL.Image", reason="images as inputs need Pillow: pip install 'trtdsl[images]'")

RED, BLUE = (255, 0, 0), (0, 51, 102)
N = Dim.dynamic("N", Sizes(1, 2, 4))
H = Dim.dynamic("H", Sizes(1, 6, 8))


def tensor(*shape: int | Dim, dtype: DataType = DataType.FP32) -> TensorType:
    return TensorType(dtype, tuple(Dim.of(size) if isinstance(size, int) else size for size in shape))


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """Two rows of four pixels, the left half red and the right half blue."""
    pixels = np.array([[RED, RED, BLUE, BLUE]] * 2, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "flag.png")
    return tmp_path / "flag.png"


# Four pixels wide and two high, all red, as two by two; between bars there is one row of it.
RESIZED = {"stretch": [[RED, RED], [RED, RED]], "crop": [[RED, RED], [RED, RED]], "pad": [[RED, RED], [(0, 0, 0)] * 2]}


@pytest.mark.parametrize("resize", RESIZED)
def test_other_sizes(resize: str, tmp_path: Path) -> None:
    Image.new("RGB", (4, 2), RED).save(tmp_path / "red.png")
    array = Pictures(scale=1.0, resize=resize).read("x", tensor(1, 2, 2, 3), [tmp_path / "red.png"])
    np.testing.assert_allclose(sorted(array[0].tolist(), reverse=True), RESIZED[resize])


def test_cropping_takes_the_middle(tmp_path: Path) -> None:
    pixels = np.repeat(np.array([[10, 20, 30, 40, 50, 60]], np.uint8), 2, axis=0)
    Image.fromarray(pixels).save(tmp_path / "steps.png")
    array = Pictures(scale=1.0, resize="crop").read("x", tensor(1, 1, 2, 2), [tmp_path / "steps.png"])
    np.testing.assert_allclose(array[0, 0], [[30, 40], [30, 40]])


# What EXIF's orientation says of "row 0, column 0" (EXIF 2.32, 4.6.4), for stored rows [10, 20, 30] and [40, 50, 60].
ORIENTATIONS = {
    "none": (None, [[10, 20, 30], [40, 50, 60]]),
    "top left": (1, [[10, 20, 30], [40, 50, 60]]),
    "top right": (2, [[30, 20, 10], [60, 50, 40]]),
    "bottom right": (3, [[60, 50, 40], [30, 20, 10]]),
    "bottom left": (4, [[40, 50, 60], [10, 20, 30]]),
    "left top": (5, [[10, 40], [20, 50], [30, 60]]),
    "right top": (6, [[40, 10], [50, 20], [60, 30]]),
    "right bottom": (7, [[60, 30], [50, 20], [40, 10]]),
    "left bottom": (8, [[30, 60], [20, 50], [10, 40]]),
    "one there is not": (9, [[10, 20, 30], [40, 50, 60]]),
}


@pytest.mark.parametrize(("orientation", "upright"), ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_photographs_are_turned_upright(orientation: int | None, upright: list[list[int]], tmp_path: Path) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.array([[10, 20, 30], [40, 50, 60]], np.uint8)).save(tmp_path / "photo.png", exif=exif)
    wanted = tensor(1, len(upright), len(upright[0]), dtype=DataType.UINT8)
    np.testing.assert_array_equal(Pictures().read("x", wanted, [tmp_path / "photo.png"])[0], upright)


def test_metadata_that_are_damaged_turn_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (4, 2), RED).save(tmp_path / "photo.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert Pictures().read("x", tensor(3, 2, 4), [tmp_path / "photo.jpg"]).shape == (3, 2, 4)


def test_channels_may_come_the_other_way_round(flag: Path) -> None:
    pictures = Pictures(scale=1.0, mean=(1.0, 2.0, 3.0), order="bgr")
    array = pictures.read("x", tensor(1, 3, 2, 4), [flag])
    np.testing.assert_allclose(array[0, :, 0, 3], [102 - 1, 51 - 2, 0 - 3])
    opaque = Pictures(scale=1.0, order="bgr").read("x", tensor(1, 4, 2, 4), [flag])
    np.testing.assert_allclose(opaque[0, :, 0, 3], [102, 51, 0, 255])


def test_channels_come_first_and_lie_between_0_and_1(flag: Path) -> None:
    array = Pictures().read("x", tensor(N, 3, 2, 4), [flag])
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((1, 3, 2, 4), np.float32, True)
    np.testing.assert_allclose(array[0, :, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(array[0, :, 1, 3], [0, 0.2, 0.4])


def test_channels_come_last_where_the_shape_says_so(flag: Path) -> None:
    array = Pictures().read("x", tensor(1, 2, 4, 3), [flag])
    np.testing.assert_allclose(array[0, 1, 3], [0, 0.2, 0.4])


def test_no_batch(flag: Path) -> None:
    assert Pictures().read("x", tensor(3, 2, 4), [flag]).shape == (3, 2, 4)


def test_a_layout_settles_what_is_open(flag: Path) -> None:
    both = tensor(1, 3, 4, 3)
    assert Pictures().read("x", both, [flag])[0, 0].shape == (4, 3)
    as_last = Pictures(layout="nhwc").read("x", both, [flag])
    np.testing.assert_allclose(as_last[0, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(as_last[0, 2, 3], [0, 0.2, 0.4])


def test_mean_and_std_are_of_channels(flag: Path) -> None:
    pictures = Pictures(scale=1.0, mean=(55.0, 1.0, 2.0), std=(2.0, 5.0, 10.0))
    array = pictures.read("x", tensor(1, 3, 2, 4), [flag])
    np.testing.assert_allclose(array[0, :, 0, 0], [100, -0.2, -0.2])
    np.testing.assert_allclose(array[0, :, 0, 3], [-27.5, 10, 10])


def test_grey(flag: Path) -> None:
    array = Pictures(scale=1.0).read("x", tensor(1, 1, 2, 4), [flag])
    # 0.299 of red, in whole numbers.
    np.testing.assert_allclose(array[0, 0, 0, 0], 76)


def test_bytes_are_pixels_as_they_are(flag: Path) -> None:
    array = Pictures(scale=9.0).read("x", tensor(1, 2, 4, 3, dtype=DataType.UINT8), [flag])
    assert array.dtype == np.uint8
    assert array[0, 0, 3].tolist() == list(BLUE)


def test_they_are_resized_to_the_shape(flag: Path) -> None:
    array = Pictures().read("x", tensor(N, 3, H, 8), [flag])
    assert array.shape == (1, 3, 6, 8)
    np.testing.assert_allclose(array[0, :, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(array[0, :, 5, 7], [0, 0.2, 0.4])


def test_several_are_a_batch(flag: Path) -> None:
    assert Pictures().read("x", tensor(N, 3, 2, 4), [flag] * 3).shape == (3, 3, 2, 4)


WRONG = {
    "too many": (tensor(N, 3, 2, 4), 5, Pictures(), "x takes 1 to 4 images, got 5"),
    "too few": (tensor(4, 3, 2, 4), 1, Pictures(), "x takes 4 images, got 1"),
    "several without a batch": (tensor(3, 2, 4), 2, Pictures(), "x takes 1 images, got 2"),
    "no image": (tensor(N, 8), 1, Pictures(), r"x: fp32\[N, 8\] is no image"),
    "other channels": (tensor(N, 5, 2, 4), 1, Pictures(layout="nchw"), "is no image .* in the layout nchw"),
    "no deviation": (tensor(N, 3, 2, 4), 1, Pictures(std=(1.0, 0.0, 1.0)), "x: no pixels .* with a std of 1, 0, 1"),
    "a mean that is no number": (tensor(N, 3, 2, 4), 1, Pictures(mean=(float("nan"),)), "with a mean of nan"),
    "an infinite scale": (tensor(N, 3, 2, 4), 1, Pictures(scale=float("inf")), "with a scale of inf"),
    "as many means": (tensor(N, 3, 2, 4), 1, Pictures(mean=(1.0, 2.0)), "mean has 2 numbers for 3 channels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(case: str, flag: Path) -> None:
    wanted, count, pictures, message = WRONG[case]
    with pytest.raises(RunError, match=message):
        pictures.read("x", wanted, [flag] * count)


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no image")
    with pytest.raises(RunError, match=r"x\.png is no image"):
        Pictures().read("x", tensor(1, 3, 2, 4), [tmp_path / "x.png"])
    with pytest.raises(RunError, match=r"y\.png cannot be read: no such file"):
        Pictures().read("x", tensor(1, 3, 2, 4), [tmp_path / "y.png"])


@pytest.mark.parametrize(("dtype", "name"), [("uint16", "deep.png"), ("int32", "deep.tif"), ("float32", "deep.tif")])
def test_more_than_8_bits_are_not_cut_off(dtype: str, name: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 4), 1000, dtype)).save(tmp_path / name)
    with pytest.raises(RunError, match=rf"{name} has pixels of more than 8 bits"):
        Pictures().read("x", tensor(1, 1, 2, 4), [tmp_path / name])


def test_of_an_animation_the_first_picture(flag: Path) -> None:
    with Image.open(flag) as first:
        first.save(flag.with_suffix(".gif"), save_all=True, append_images=[Image.new("RGB", (4, 2))])
    array = Pictures(scale=1.0).read("x", tensor(1, 3, 2, 4), [flag.with_suffix(".gif")])
    np.testing.assert_allclose(array[0, :, 0, 0], RED)


@pytest.mark.parametrize(("most", "is_read"), [(8, True), (7, True), (3, False)], ids=["all", "warned of", "refused"])
def test_images_of_more_pixels_than_pillow_trusts(
    most: int, is_read: bool, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    if is_read:
        assert Pictures().read("x", tensor(1, 3, 2, 4), [flag]).shape == (1, 3, 2, 4)
        return
    with pytest.raises(RunError, match=r"flag\.png has more pixels than Pillow reads"):
        Pictures().read("x", tensor(1, 3, 2, 4), [flag])


def test_a_truncated_image(flag: Path) -> None:
    flag.write_bytes(flag.read_bytes()[:-30])
    with pytest.raises(RunError, match=r"flag\.png cannot be read"):
        Pictures().read("x", tensor(1, 3, 2, 4), [flag])


def test_without_pillow(flag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RunError, match="an image as an input needs PIL, which is not installed") as error:
        Pictures().read("x", tensor(1, 3, 2, 4), [flag])
    assert error.value.diagnostics[0].hint == "pip install 'trtdsl[images]'"
