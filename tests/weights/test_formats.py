"""Files of weights, written by their own libraries (or by hand for .wts, after tensorrtx's description)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from trtdsl.errors import NetworkError
from trtdsl.types import DataType
from trtdsl.weights import Entry, open_weights
from trtdsl.weights.base import Array

ARRAYS: dict[str, Array] = {
    "conv1.weight": np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3),
    "conv1.bias": np.array([1.5, -2.0], np.float16),
    "table": np.array([[1, 2], [3, 4]], np.int64),
    "mask": np.array([True, False, True]),
    "scale": np.array(3.0),
    "empty": np.zeros((0, 4), np.float32),
}
WTS = """2
conv1.weight 4 3f800000 40000000 bf800000 3e000000
bn1.running_mean 1 7f800000
"""


def write(folder: Path, kind: str, arrays: dict[str, Array]) -> Path:
    """A file of that kind, as its own library writes it."""
    path = folder / ("arrays" if kind == "npy" else f"arrays.{kind.removesuffix('+deflate')}")
    if kind == "safetensors":
        save_file(arrays, path)
    elif kind == "npz":
        np.savez(path, **arrays)
    elif kind == "npz+deflate":
        np.savez_compressed(path, **arrays)
    else:
        path.mkdir()
        for key, array in arrays.items():
            np.save(path / f"{key}.npy", array)
    return path


def is_mapped(array: Array) -> bool:
    """Whether the elements lie in a mapped file."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


@pytest.mark.parametrize("kind", ["safetensors", "npz", "npz+deflate", "npy"])
def test_entries_equal_what_was_written(tmp_path: Path, kind: str) -> None:
    file = open_weights(write(tmp_path, kind, ARRAYS))
    assert sorted(file) == sorted(ARRAYS)
    for key, array in ARRAYS.items():
        entry = file[key]
        assert (entry.key, entry.shape, entry.count, entry.size) == (key, array.shape, array.size, array.nbytes)
        elements = entry.read()
        assert elements.dtype == array.dtype
        np.testing.assert_array_equal(elements, array)


@pytest.mark.parametrize(
    ("kind", "mapped"), [("safetensors", True), ("npz", True), ("npz+deflate", False), ("npy", True)]
)
def test_elements_are_mapped_where_the_format_allows(tmp_path: Path, kind: str, mapped: bool) -> None:
    # In an npz, the first member of a name of this length has its elements aligned.
    elements = open_weights(write(tmp_path, kind, {"ab": np.ones((2, 3), np.float32)}))["ab"].read()
    assert is_mapped(elements) == mapped
    assert elements.flags.writeable != mapped


def test_elements_outlive_the_file_object(tmp_path: Path) -> None:
    path = write(tmp_path, "safetensors", ARRAYS)
    elements = open_weights(path)["conv1.weight"].read()
    path.unlink()
    np.testing.assert_array_equal(elements, ARRAYS["conv1.weight"])


@pytest.mark.parametrize(
    ("dtype", "stored_as", "taken_as"),
    [
        ("float64", "fp64", DataType.FP32),
        ("float32", "fp32", DataType.FP32),
        ("float16", "fp16", DataType.FP16),
        ("int64", "int64", DataType.INT64),
        ("int32", "int32", DataType.INT32),
        ("int16", "int16", None),
        ("int8", "int8", DataType.INT8),
        ("uint16", "uint16", None),
        ("uint8", "uint8", DataType.UINT8),
        ("bool", "bool", DataType.BOOL),
    ],
)
@pytest.mark.parametrize("kind", ["safetensors", "npz", "npy"])
def test_element_types(tmp_path: Path, kind: str, dtype: str, stored_as: str, taken_as: DataType | None) -> None:
    entry = open_weights(write(tmp_path, kind, {"x": np.ones(3, dtype)}))["x"]
    assert (entry.stored_as, entry.dtype) == (stored_as, taken_as)


@pytest.mark.parametrize(
    ("dtype", "stored_as", "taken_as"),
    [
        (ml_dtypes.bfloat16, "bf16", DataType.BF16),
        (ml_dtypes.float8_e4m3fn, "fp8", DataType.FP8),
        (ml_dtypes.float8_e5m2, "fp8 (e5m2)", None),
    ],
)
def test_safetensors_hold_types_that_numpy_lacks(
    tmp_path: Path, dtype: Any, stored_as: str, taken_as: DataType | None
) -> None:
    array = np.array([1.0, -0.5, 3.0], dtype)
    save_file({"x": array}, tmp_path / "x.safetensors")
    entry = open_weights(tmp_path / "x.safetensors")["x"]
    assert (entry.stored_as, entry.dtype) == (stored_as, taken_as)
    np.testing.assert_array_equal(entry.read(), array.view(entry.read().dtype))


def test_safetensors_metadata_is_no_tensor(tmp_path: Path) -> None:
    save_file({"x": np.ones(1)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert list(open_weights(tmp_path / "x.safetensors")) == ["x"]


def test_unaligned_elements_are_copied(tmp_path: Path) -> None:
    # A header of odd length, which the format allows, puts fp32 elements at odd addresses.
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (1 - len(header) % 2)
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.5, -2.5))
    elements = open_weights(path)["x"].read()
    assert elements.flags.aligned
    assert elements.tolist() == [1.5, -2.5]


@pytest.mark.parametrize("kind", ["npz", "npz+deflate", "npy"])
def test_fortran_order_and_big_endian(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(6).reshape(2, 3)
    arrays = {"fortran": np.asfortranarray(numbers, np.float32), "big": numbers.astype(">f4")}
    file = open_weights(write(tmp_path, kind, arrays))
    for key in arrays:
        assert file[key].dtype is DataType.FP32
        np.testing.assert_array_equal(file[key].read(), numbers)


def test_folders_give_keys(tmp_path: Path) -> None:
    (tmp_path / "layer1").mkdir()
    np.save(tmp_path / "layer1" / "conv.weight.npy", np.ones(2))
    np.save(tmp_path / "fc.bias.npy", np.zeros(3))
    (tmp_path / "readme.txt").write_text("no array")
    assert list(open_weights(tmp_path)) == ["fc.bias", "layer1.conv.weight"]


def test_wts(tmp_path: Path) -> None:
    path = tmp_path / "net.wts"
    path.write_text(WTS)
    file = open_weights(path)
    assert list(file) == ["conv1.weight", "bn1.running_mean"]
    weight = file["conv1.weight"]
    assert (weight.shape, weight.count, weight.stored_as, weight.size) == (None, 4, "fp32", 16)
    # By hand: 3f800000 is 1, 40000000 is 2, bf800000 is -1, 3e000000 is 2^-3.
    assert weight.read().tolist() == [1.0, 2.0, -1.0, 0.125]
    assert file["bn1.running_mean"].read().tolist() == [float("inf")]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("w 3  3f800000 0 40000000", id="short words"),
        pytest.param("w 3  3f800000 00000000 40000000 \r", id="trailing blanks"),
        pytest.param("w 3 3F800000  0000000 40000000", id="as long as three full words"),
    ],
)
def test_wts_as_others_write_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "net.wts"
    path.write_bytes(f"1\n{line}\n\n".encode())
    assert open_weights(path)["w"].read().tolist() == [1.0, 0.0, 2.0]


def test_wts_without_numbers(tmp_path: Path) -> None:
    (tmp_path / "net.wts").write_text("1\nw 0\n")
    assert open_weights(tmp_path / "net.wts")["w"].read().tolist() == []


def npz_with(member: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(member, content)
    return stream.getvalue()


def npy_of_shape(shape: tuple[int, ...]) -> bytes:
    """A file that says it has that shape, and holds one fp32 number."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(4)


def npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def safetensors(**header: Any) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"", "not a complete safetensors file"),
        ("a.safetensors", b"\xff" * 64, "not a complete safetensors file"),
        (
            "a.safetensors",
            safetensors(x={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}),
            "not a complete safetensors file",
        ),
        (
            "a.safetensors",
            safetensors(x={"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}),
            "not a complete safetensors file",
        ),
        ("a.npz", b"PK", "not a complete npz file"),
        ("a.npz", b"", "not a complete npz file"),
        ("a.npz", npz_with("x.npy", npy(np.ones(100)))[:-40], "not a complete npz file"),
        ("a.npz", npz_with("x.npy", npy(np.ones(100))[:-8]), '"x" cannot be read (it ends early)'),
        ("a.npz", npz_with("x.npy", b"text"), '"x" cannot be read'),
        ("a.npz", npz_with("x.npy", npy_of_shape((-1,))), '"x" cannot be read ((-1,) is not a shape)'),
        ("a.npz", npz_with("x.npy", npy_of_shape((True,))), '"x" cannot be read ((True,) is not a shape)'),
        ("a.npz", npz_with("x.npy", npy_of_shape((0, 2**62))), "is larger than memory can be"),
        ("a.npz", npz_with("x.npy", npy_of_shape((2**40,)), zipfile.ZIP_DEFLATED), "it ends early"),
        ("a.npz", npz_with("x.npy", b"\x93NUMPY\x01\x00\x05\x00{'a':"), "the header is damaged"),
        ("a.npz", npz_with("x.npy", npy(np.array([{}, []], object))), "pickled Python objects"),
        ("a.wts", b"", "an empty file"),
        ("a.wts", b"conv1.weight 1 3f800000\n", "the first line of a .wts file is the number of weights"),
        ("a.wts", b"9" * 5000, "the first line of a .wts file is the number of weights"),
        ("a.wts", b"2\nw 1 3f800000\n", "2 weights announced, 1 found"),
        ("a.wts", b"1\nw 2 3f800000\n", 'line 2: "w" announces 2 numbers and has another number of them'),
        ("a.wts", b"1\nw\n", "line 2: a key and a count were expected"),
        ("a.wts", b"1\nw one 3f800000\n", "line 2: a key and a count were expected"),
        ("a.wts", b"2\nw 1 3f800000\nw 1 3f800000\n", 'line 3: "w" was there before'),
        ("a.wts", b"1\nw 1 -1\n", "line 2: the 1 words are not fp32 in hexadecimal"),
        ("a.wts", b"1\nw 1 3f8000000\n", "line 2: the 1 words are not fp32 in hexadecimal"),
        ("a.wts", b"1\nw 1 3f80000g\n", "line 2: the 1 words are not fp32 in hexadecimal"),
        ("a.wts", b"1\nw 1 \xff\xff\xff\xff\xff\xff\xff\xff\n", "line 2: the 1 words are not fp32 in hexadecimal"),
        ("a.wts", b"1\nw 2 3f8000003 f800000\n", "line 2: the 2 words are not fp32 in hexadecimal"),
        ("a.pt", b"anything", ".pt files are pickled Python, which is never loaded"),
        ("a.pth", b"anything", ".pth files are pickled Python, which is never loaded"),
        ("a.bin", b"anything", ".bin files are pickled Python, which is never loaded"),
        ("a.npy", npy(np.ones(1)), "a single array"),
        ("a.onnx", b"anything", "weights are not read from .onnx files"),
        ("a", b"anything", "weights are not read from such files"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NetworkError) as caught:
        read_all(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "weight-file"
    assert message in diagnostic.message
    assert str(path) in diagnostic.message


def read_all(path: Path) -> list[Entry]:
    entries = list(open_weights(path).values())
    for entry in entries:
        entry.read()
    return entries


def test_corrupt_deflated_member(tmp_path: Path) -> None:
    path = write(tmp_path, "npz+deflate", {"x": np.arange(1000)})
    content = bytearray(path.read_bytes())
    content[600] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(NetworkError, match='"x" cannot be read'):
        read_all(path)


def test_truncated_npy(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(np.ones(100))[:-8])
    with pytest.raises(NetworkError, match=r"x\.npy: not a complete \.npy file \(it ends early\)"):
        read_all(tmp_path)


def test_a_key_twice_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a.b.npy", np.ones(1))
    np.save(tmp_path / "a" / "b.npy", np.ones(1))
    with pytest.raises(NetworkError, match=r'"a\.b" is there twice'):
        open_weights(tmp_path)


def test_a_key_twice_in_an_npz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("x", npy(np.ones(1)))
        archive.writestr("x.npy", npy(np.zeros(1)))
    with pytest.raises(NetworkError, match='"x" is there twice'):
        open_weights(tmp_path / "w.npz")


def test_a_damaged_npy_leaves_the_others_readable(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(1))
    (tmp_path / "b.npy").write_bytes(npy_of_shape((-1,)))
    file = open_weights(tmp_path)
    assert file["a"].read().tolist() == [1.0]
    with pytest.raises(NetworkError, match=r"b\.npy: not a complete \.npy file \(\(-1,\) is not a shape\)"):
        _ = file["b"]


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no such file"):
        open_weights(tmp_path / "gone.safetensors")
    with pytest.raises(NetworkError, match=r"no \.npy file in this folder"):
        open_weights(tmp_path)


def test_the_conversion_hint_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.pth").touch()
    with pytest.raises(NetworkError) as caught:
        open_weights(tmp_path / "model.pth")
    hint = caught.value.diagnostics[0].hint or ""
    assert "model.pth" in hint
    assert "model.safetensors" in hint
    assert "weights_only=True" in hint
