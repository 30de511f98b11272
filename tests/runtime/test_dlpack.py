"""DLPack's capsules beside those of numpy, which reads and makes them as well."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trtdsl.runtime import dlpack

DTYPES = ["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]


class Owner:
    def __init__(self, array: Any) -> None:
        self.array = array


class Lent:
    """What numpy asks for an array of ours on the host."""

    def __init__(self, owner: Owner, shape: tuple[int, ...], dtype: str) -> None:
        self.owner, self.shape, self.dtype = owner, shape, dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    def __dlpack__(self, **_: Any) -> Any:
        address = self.owner.array.ctypes.data
        return dlpack.make(address, self.shape, self.dtype, (dlpack.CPU, 0), self.owner)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (4,), (), (0, 5), (1, 1, 1)], ids=str)
def test_numpy_reads_what_is_made(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(int(np.prod(shape))) % 2).reshape(shape).astype(dtype)
    found = np.from_dlpack(Lent(Owner(array), shape, dtype))
    assert (found.dtype, found.shape) == (array.dtype, shape)
    np.testing.assert_array_equal(found, array)
    if array.size:
        assert found.ctypes.data == array.ctypes.data


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_numpy_makes_is_read(dtype: str) -> None:
    array = np.zeros((2, 3), dtype)
    found = dlpack.read(array.__dlpack__())
    assert (found.address, found.shape, found.dtype) == (array.ctypes.data, (2, 3), dtype)
    assert found.strides in (None, (3, 1))
    assert found.device == (dlpack.CPU, 0)


def test_where_an_array_begins_behind_its_memory() -> None:
    array = np.arange(4, dtype=np.float32)
    capsule = array.__dlpack__()
    dlpack._Managed.from_address(dlpack._get_pointer(capsule, b"dltensor")).tensor.byte_offset = 8
    assert dlpack.read(capsule).address == array.ctypes.data + 8


def test_strides_of_what_has_no_elements() -> None:
    assert dlpack.read(dlpack.make(0, (2, 0, 3), "int8", (dlpack.CPU, 0), None)).strides == (3, 3, 1)


TORCH = ["float32", "float16", "bfloat16", "float8_e4m3fn", "int64", "int32", "int8", "bool"]


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_reads_and_makes_the_same(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch's capsules: needs it")
    x = torch.zeros(2, 3).to(getattr(torch, name))
    found = dlpack.read(x.__dlpack__())
    assert (found.address, found.shape, found.dtype) == (x.data_ptr(), (2, 3), name)
    owner = Owner(SimpleNamespace(ctypes=SimpleNamespace(data=x.data_ptr())))
    again = torch.from_dlpack(Lent(owner, (2, 3), found.dtype))
    assert (again.dtype, again.data_ptr(), again.shape) == (x.dtype, x.data_ptr(), x.shape)


def test_gaps_and_beginnings_are_read() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    part = array[1:, ::2]
    found = dlpack.read(part.__dlpack__())
    assert (found.address, found.shape, found.strides) == (part.ctypes.data, (3, 3), (6, 2))


def test_a_type_that_no_engine_has_is_named() -> None:
    assert dlpack.read(np.zeros(1, np.complex64).__dlpack__()).dtype == "type 5 of 64"


def test_what_is_no_capsule() -> None:
    with pytest.raises(ValueError, match="PyCapsule"):
        dlpack.read(object())


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "left"])
def test_the_owner_lives_as_long_as_the_consumer_wants(is_taken: bool) -> None:
    owner = Owner(np.arange(3, dtype=np.float32))
    gone = weakref.ref(owner)
    lent = Lent(owner, (3,), "float32")
    held: Any = np.from_dlpack(lent) if is_taken else lent.__dlpack__()
    del owner, lent
    gc.collect()
    assert gone() is not None
    if is_taken:
        assert held.tolist() == [0, 1, 2]
    del held
    gc.collect()
    assert gone() is None


def test_bf16_has_a_code_of_its_own() -> None:
    array = np.zeros(2, np.uint16)
    capsule = dlpack.make(array.ctypes.data, (2,), "bfloat16", (dlpack.CPU, 0), array)
    assert dlpack.read(capsule).dtype == "bfloat16"
