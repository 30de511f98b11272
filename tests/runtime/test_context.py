"""Contexts on stand-ins for CUDA and TensorRT: what they take, where it goes, and what is given back."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.runtime.standin import Cuda, Driver, Kind, Plan, device_of, loaded, runtime_for
from trtdsl.errors import RunError
from trtdsl.runtime import Context, DeviceArray, EngineTensor, dlpack
from trtdsl.runtime.arrays import view
from trtdsl.runtime.buffers import Buffer, pinned_array
from trtdsl.runtime.device import Memory
from trtdsl.runtime.loaded import Loaded
from trtdsl.types import DataType

X = np.array([-1.5, 2, 0.5], np.float32)
SHAPE = np.array([3, 5], np.int32)


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


def context_of(cuda: Cuda, **settings: Any) -> Context:
    return Context(loaded(Plan(cuda, **settings)))


def on_device(cuda: Cuda, array: Any) -> Any:
    """An array of another package's on the device: a bare object with `__cuda_array_interface__`."""
    return Foreign(cuda, np.asarray(array))


class Foreign:
    def __init__(self, cuda: Cuda, array: Any, **other: Any) -> None:
        self.array = array
        _, self.address = cuda.cudaMalloc(max(array.nbytes, 1))
        if array.nbytes:
            cuda.cudaMemcpyAsync(self.address, array.ctypes.data, array.nbytes, 4, 0)
        self.other = other

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        described = {"shape": self.array.shape, "typestr": self.array.dtype.str, "data": (self.address, False)}
        return {**described, "version": 3, **self.other}


class Lent:
    """An array of another package's with DLPack, on a device that it names; `owner` lives as long as what was lent."""

    def __init__(self, cuda: Cuda, array: Any, device: tuple[int, int]) -> None:
        self.source = Foreign(cuda, array)
        self.device = device
        self.streams: list[int | None] = []
        self.owners: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.streams.append(stream)
        owner = Memory(1, 1, lambda _: None)
        self.owners.append(weakref.ref(owner))
        array = self.source.array
        return dlpack.make(self.source.address, array.shape, array.dtype.name, self.device, owner)


class Gaps:
    """An array of the host with DLPack that is none of numpy's."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    def __dlpack__(self) -> Any:
        return np.zeros(6, np.float32)[::2].__dlpack__()


def elsewhere(cuda: Cuda, kind: Kind, gpu: int) -> Foreign:
    """An array of the device in memory that somebody else has, of some kind and on some GPU."""
    array = Foreign(cuda, X)
    cuda.elsewhere[array.address] = kind, gpu
    return array


# Each: where DLPack says that an array lies, and whether it goes through page-locked memory of the context's.
LENT = {
    "on the GPU": ((dlpack.CUDA, 0), False),
    "managed, by whichever GPU": ((dlpack.CUDA_MANAGED, 1), False),
    "on the host": ((dlpack.CPU, 0), True),
    "page-locked": ((dlpack.CUDA_HOST, 0), False),
}


@pytest.mark.parametrize(("place", "is_staged"), LENT.values(), ids=LENT)
def test_arrays_that_dlpack_lends(place: tuple[int, int], is_staged: bool, cuda: Cuda) -> None:
    x = Lent(cuda, X, place)
    with context_of(cuda) as context:
        for given, asked in ((7, 7), (0, 1)):
            bound = context.bind({"x": x}, stream=given, on_device=True)
            assert x.streams[-1] == (asked if place[0] in (dlpack.CUDA, dlpack.CUDA_MANAGED) else None)
            assert len(cuda.pinned) == is_staged
            bound.enqueue()
            np.testing.assert_array_equal(bound.outputs()["twice"].numpy(), [-3, 4, 1])
            assert x.owners[-1]() is not None
        del bound
    assert x.owners[-1]() is None


@pytest.mark.parametrize("place", [(dlpack.CUDA, 0), (dlpack.CPU, 0)], ids=["on the GPU", "on the host"])
def test_dlpack_lends_memory_for_outputs(place: tuple[int, int], cuda: Cuda) -> None:
    into = Lent(cuda, np.zeros(3, np.float32), place)
    with context_of(cuda) as context:
        bound = context.bind({"x": X}, outputs={"twice": into})
        gc.collect()
        # Nothing but what was lent keeps the memory: `into` itself may have other memory by now.
        assert into.owners[-1]() is not None
        bound.enqueue()
        assert bound.outputs()["twice"] is into
        assert [*(ctypes.c_float * 3).from_address(into.source.address)] == [-3, 4, 1]
        del bound
        context.run({"x": X})
        assert into.owners[-1]() is None


def test_managed_memory_is_any_gpus(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        x = elsewhere(cuda, Kind.cudaMemoryTypeManaged, 1)
        np.testing.assert_array_equal(context.run({"x": x})["twice"], [-3, 4, 1])


def test_a_context_does_not_keep_what_it_was_given(cuda: Cuda) -> None:
    x, into = X.copy(), np.zeros(3, np.float32)
    kept = weakref.ref(x), weakref.ref(into)
    with context_of(cuda) as context:
        context.run({"x": x}, outputs={"twice": into})
        bound = context.bind({"x": x}, outputs={"twice": into})
        del x, into
        assert all(array() is not None for array in kept)
        bound.enqueue()
        del bound
        y = X.copy()
        kept = (*kept, weakref.ref(y))
        context.run({"x": y})
        del y
        assert [array() for array in kept] == [None] * 3


def test_what_streams_and_events_are_made_as(cuda: Cuda) -> None:
    device = device_of(cuda)
    stream, mark, timer = device.create_stream(), device.create_event(), device.create_event(timing=True)
    assert cuda.flags == [cuda.cudaStreamNonBlocking, cuda.cudaEventDisableTiming, cuda.cudaEventDefault]
    for handle in (stream, mark, timer):
        handle.destroy()
    device.join(0, 1)  # the default stream under both its numbers
    assert (cuda.said, cuda.is_all_given_back) == ([], True)


def test_arrays_without_elements_have_an_address_too(cuda: Cuda) -> None:
    with context_of(cuda, profiles=((0, 2, 4),)) as context:
        nowhere = Foreign(cuda, X[:0], data=(None, False))
        for given in (X[:0], on_device(cuda, X[:0]), Lent(cuda, X[:0], (dlpack.CUDA, 0)), nowhere):
            assert context.run({"x": given})["twice"].shape == (0,)
            for into in (on_device(cuda, X[:0]), nowhere):
                assert context.run({"x": given}, outputs={"twice": into})["twice"] is into


def messages(error: pytest.ExceptionInfo[RunError]) -> list[str]:
    return [entry.message for entry in error.value.diagnostics]


def test_outputs_of_every_kind(cuda: Cuda) -> None:
    with context_of(cuda, has_host=True, has_positive=True) as context:
        outputs = context.run({"x": X, "shape": SHAPE})
        again = context.run({"x": -X, "shape": SHAPE + 1})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])
    np.testing.assert_array_equal(outputs["positive"], [2, 0.5])
    np.testing.assert_array_equal(outputs["count"], [3, 5])
    np.testing.assert_array_equal(again["twice"], [3, -4, -1])
    assert again["positive"].tolist() == [1.5]
    assert (outputs["count"].tolist(), again["count"].tolist()) == ([3, 5], [4, 6])
    assert cuda.is_all_given_back


@pytest.mark.parametrize(
    "given",
    [X, np.repeat(X, 2)[::2], X.astype(">f4"), X.reshape(1, 3)[0]],
    ids=["dense", "with gaps", "big-endian", "a view"],
)
def test_arrays_of_the_host(given: Any, cuda: Cuda) -> None:
    with context_of(cuda) as context:
        np.testing.assert_array_equal(context.run({"x": given})["twice"], [-3, 4, 1])


def test_memory_is_kept_and_grows(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        context.run({"x": X})
        held = dict(cuda.memory)
        for size in (3, 1, 2):
            context.run({"x": X[:size]})
        assert cuda.memory.keys() == held.keys()
        context.run({"x": np.ones(4, np.float32)})
        assert len(cuda.memory) == len(held)
    assert cuda.is_all_given_back


def test_tensorrt_is_told_only_what_has_changed(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        context.run({"x": X})
        context.execution.told.clear()
        context.run({"x": X + 1})
        assert context.execution.told == []
        context.run({"x": X[:2]})
        assert context.execution.told == ["shape of x"]


def test_an_array_of_the_device_is_read_where_it_lies(cuda: Cuda) -> None:
    x = on_device(cuda, X)
    with context_of(cuda) as context:
        before = len(cuda.memory)
        np.testing.assert_array_equal(context.run({"x": x})["twice"], [-3, 4, 1])
        assert context.execution.addresses["x"] == x.address
        assert len(cuda.memory) == before + 1


def test_outputs_that_stay_on_the_device(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        twice = context.run({"x": X}, on_device=True)["twice"]
        assert isinstance(twice, DeviceArray)
        np.testing.assert_array_equal(twice.numpy(), [-3, 4, 1])
        interface = twice.__cuda_array_interface__
        assert (interface["shape"], interface["typestr"], interface["stream"]) == ((3,), "<f4", None)
        # One engine's outputs are another one's inputs.
        np.testing.assert_array_equal(context.run({"x": twice})["twice"], [-6, 8, 2])


def test_an_array_is_handed_on_by_dlpack(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        twice = context.run({"x": X}, stream=7, on_device=True)["twice"]
        assert twice.__dlpack_device__() == (dlpack.CUDA, 0)
        cuda.said.clear()
        found = dlpack.read(twice.__dlpack__(stream=9, max_version=(1, 0)))
        assert (found.address, found.shape, found.dtype) == (twice.address, (3,), "float32")
        assert cuda.said == ["mark 7", "9 waits"]
        cuda.said.clear()
        for stream in (-1, 7):
            twice.__dlpack__(stream=stream)
        assert cuda.said == []
        twice.__dlpack__()
        assert cuda.said == ["mark 7", "1 waits"]  # the default stream, by its own number
        for wish in ({"copy": True}, {"dl_device": (dlpack.CPU, 0)}):
            with pytest.raises(BufferError, match="where they lie, or not at all"):
                twice.__dlpack__(**wish)


def test_what_was_handed_on_outlives_the_context(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        capsule = context.run({"x": X}, on_device=True)["twice"].__dlpack__()
        address = dlpack.read(capsule).address
    assert list(cuda.memory) == [address]
    del capsule
    assert cuda.is_all_given_back


def test_an_array_is_not_handed_on_after_the_next_run(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        twice = context.run({"x": X}, on_device=True)["twice"]
        context.run({"x": X})
        with pytest.raises(RunError, match="has run again, or was released, since"):
            twice.numpy()


@pytest.mark.parametrize("where", ["host", "device"])
def test_outputs_into_memory_that_is_given(where: str, cuda: Cuda) -> None:
    into = np.zeros(3, np.float32) if where == "host" else on_device(cuda, np.zeros(3, np.float32))
    with context_of(cuda) as context:
        assert context.run({"x": X}, outputs={"twice": into})["twice"] is into
    if where == "device":
        cuda.cudaMemcpyAsync(into.array.ctypes.data, into.address, 12, 4, 0)
    np.testing.assert_array_equal(into if where == "host" else into.array, [-3, 4, 1])


class Torch:
    cuda_stream = 7


class PyCuda:
    handle = 7


class CuPy:
    ptr = 7


class Protocol:
    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 7


class TorchDefault:
    cuda_stream = 0


def test_a_default_stream_is_one_too(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        cuda.said.clear()
        twice = context.run({"x": on_device(cuda, X)}, stream=TorchDefault(), on_device=True)["twice"]
        assert cuda.said == ["mark 0"]
        assert twice.__cuda_array_interface__["stream"] == 1


def test_elements_on_the_host_are_waited_for(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        twice = context.run({"x": on_device(cuda, X)}, stream=7, on_device=True)["twice"]
        cuda.said.clear()
        twice.numpy()
        assert cuda.said == ["finish 7"]
        twice = context.run({"x": X}, on_device=True)["twice"]
        cuda.said.clear()
        twice.numpy()
        DeviceArray.of(context.device, X, DataType.FP32)
        assert cuda.said == ["finish 1", "finish own"]


def test_a_graph_reads_the_memory_that_it_was_captured_with(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        arrays = [pinned_array(context.device, (3,), "float32") for _ in range(2)]
        for number, array in enumerate(arrays):
            assert array.tolist() == [0, 0, 0]
            array[:] = number
        for number, array in enumerate(arrays):
            np.testing.assert_array_equal(context.run({"x": array}, graph=True)["twice"], np.full(3, 2 * number))


def test_memory_that_is_too_small_goes_before_more_is_asked_for() -> None:
    freed: list[int] = []

    def allocate(size: int) -> Memory:
        assert freed == ([] if size == 8 else [8])
        return Memory(size, size, freed.append)

    buffer = Buffer(allocate)
    assert [buffer.reserve(size).size for size in (8, 4, 16)] == [8, 8, 16]


def test_all_calls_are_made_with_the_device_current(cuda: Cuda) -> None:
    driver, seen = Driver(), []

    class Watched(Plan):
        def create_execution_context(self) -> Any:
            seen.append(list(driver.stack))
            return super().create_execution_context()

    plan = Watched(cuda)
    with Context(Loaded(device_of(cuda, driver), runtime_for(plan).module, plan)) as context:
        execute = context.execution.execute_async_v3
        context.execution.execute_async_v3 = lambda stream: seen.append(list(driver.stack)) or execute(stream)
        context.run({"x": X})
        context.bind({"x": X}).enqueue()
    assert (seen, driver.stack) == ([[50]] * 3, [])


# Strides in elements that lie one behind the other all the same: of axes of one, and where there are no elements.
DENSE = {"one row": ((1, 3), (99, 1)), "one column": ((3, 1), (1, 99)), "no elements": ((2, 0), (5, 5))}


@pytest.mark.parametrize(("shape", "strides"), DENSE.values(), ids=DENSE)
def test_strides_that_say_nothing(shape: tuple[int, ...], strides: tuple[int, ...], cuda: Cuda) -> None:
    tensor = EngineTensor("x", DataType.FP32, shape, True, False)
    given = Foreign(cuda, np.zeros(shape, np.float32), strides=tuple(4 * stride for stride in strides))
    assert view(given, tensor, device_of(cuda), 0).shape == shape


@pytest.mark.parametrize("stream", [7, Torch(), PyCuda(), CuPy(), Protocol()], ids=lambda stream: type(stream).__name__)
def test_a_run_on_a_stream_is_not_waited_for(stream: Any, cuda: Cuda) -> None:
    with context_of(cuda) as context:
        cuda.said.clear()
        twice = context.run({"x": on_device(cuda, X)}, stream=stream, on_device=True)["twice"]
        assert cuda.said == ["mark 7"]
        assert twice.__cuda_array_interface__["stream"] == 7
        context.run({"x": on_device(cuda, X)}, on_device=True)
        assert cuda.said[1:] == ["own waits", "mark own", "finish own"]


def test_what_the_host_reads_is_waited_for(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        cuda.said.clear()
        context.run({"x": X}, stream=7)
        assert cuda.said == ["mark 7", "finish 7"]


def test_an_input_is_read_after_the_stream_that_writes_it(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        cuda.said.clear()
        context.run({"x": Foreign(cuda, X, stream=9)}, stream=7, on_device=True)
        assert cuda.said == ["mark 9", "7 waits", "mark 7"]


def test_an_output_is_written_after_the_stream_that_uses_its_memory(cuda: Cuda) -> None:
    into = Foreign(cuda, np.zeros(3, np.float32), stream=9)
    with context_of(cuda) as context:
        bound = context.bind({"x": on_device(cuda, X)}, outputs={"twice": into}, stream=7)
        for _ in range(2):
            cuda.said.clear()
            bound.enqueue()
            assert cuda.said == ["mark 9", "7 waits", "mark 7"]


def test_a_later_run_does_not_overwrite_what_an_earlier_one_still_reads(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        context.run({"x": X}, stream=7, on_device=True)
        cuda.said.clear()
        context.run({"x": X}, stream=7, on_device=True)
        assert cuda.said == ["finish a mark", "mark 7"]


def test_a_graph_is_captured_once(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        for factor in (1, 2, 3):
            outputs = context.run({"x": X * factor}, graph=True)
            np.testing.assert_array_equal(outputs["twice"], np.array([-3, 4, 1]) * factor)
        assert len(cuda.graphs) == 1
        # In the same memory: that for other shapes is gone.
        for x in (X[:2], -X):
            np.testing.assert_array_equal(context.run({"x": x}, graph=True)["twice"], 2 * x)
            assert len(cuda.graphs) == 1
        assert cuda.said.count("launch on own") == 5
    assert cuda.is_all_given_back


def test_what_a_graph_holds_was_run_before_and_waited_for(cuda: Cuda) -> None:
    plan, x = Plan(cuda), on_device(cuda, X)
    with Context(loaded(plan)) as context:
        cuda.said.clear()
        context.run({"x": x}, stream=7, on_device=True, graph=True)
        # Once to prepare, after what was on the stream, and once to be captured.
        assert (cuda.said, plan.runs) == (["finish 7", "finish own", "launch on 7", "mark 7"], 2)


def test_other_shapes_are_not_told_while_a_run_is_under_way(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        context.run({"x": on_device(cuda, X)}, stream=7, on_device=True)
        cuda.said.clear()
        context.run({"x": on_device(cuda, X[:2])}, stream=7, on_device=True)
        assert cuda.said == ["finish a mark", "mark 7"]


def test_a_bound_run_keeps_the_shapes_that_it_was_bound_with(cuda: Cuda) -> None:
    shape = SHAPE.copy()
    with context_of(cuda, has_host=True) as context:
        bound = context.bind({"x": X, "shape": shape})
        shape[:] = 0
        bound.enqueue()
        assert bound.outputs()["count"].tolist() == [3, 5]


def test_there_are_graphs_for_a_few_places(cuda: Cuda) -> None:
    places = [on_device(cuda, X + index) for index in range(6)]
    with context_of(cuda) as context:
        for x in (*places, *places):
            np.testing.assert_array_equal(context.run({"x": x}, graph=True)["twice"], x.array * 2)
        assert len(cuda.graphs) == 4
        # The one goes that was not launched for longest, which is none of these.
        kept = set(cuda.graphs)
        for x in (places[2], places[0], places[2]):
            context.run({"x": x}, graph=True)
        assert len(kept & set(cuda.graphs)) == 3


def test_a_bound_run_is_repeated_on_what_lies_there(cuda: Cuda) -> None:
    x = X.copy()
    with context_of(cuda) as context:
        bound = context.bind({"x": x})
        for factor in (1, 2):
            x[:] = X * factor
            bound.enqueue()
            np.testing.assert_array_equal(bound.outputs()["twice"], np.array([-3, 4, 1]) * factor)
        context.run({"x": X})
        with pytest.raises(RunError, match="has been given something else to run since"):
            bound.enqueue()


def test_a_bound_run_ends_where_another_fails(cuda: Cuda) -> None:
    with context_of(cuda) as context:
        bound = context.bind({"x": X})
        with pytest.raises(RunError, match="comes out as"):
            context.run({"x": X[:2]}, outputs={"twice": np.zeros(3, np.float32)})
        with pytest.raises(RunError, match="has been given something else to run since"):
            bound.enqueue()
        np.testing.assert_array_equal(context.run({"x": X})["twice"], [-3, 4, 1])


@pytest.mark.parametrize(("size", "profile"), [(1, 0), (2, 1), (8, 1), (9, 2), (16, 2)], ids=lambda value: str(value))
def test_shapes_choose_the_profile(size: int, profile: int, cuda: Cuda) -> None:
    with context_of(cuda, profiles=((1, 1, 1), (1, 4, 8), (1, 16, 16))) as context:
        context.run({"x": np.zeros(size, np.float32)})
        assert context.execution.active_optimization_profile == profile
        context.run({"x": np.zeros(size, np.float32)}, profile=2)
        assert context.execution.active_optimization_profile == 2


def wrong_inputs(cuda: Cuda) -> dict[str, tuple[Any, list[str]]]:
    wide = np.zeros((2, 2), np.float32)
    return {
        "a misspelt name": ({"X": X}, ["the engine has no input `X`", "the engine also takes x"]),
        "another type": ({"x": X.astype(np.float64)}, ["x takes float32 elements, not float64"]),
        "too large": ({"x": np.zeros(5, np.float32)}, ["x has the shape [5]; the engine takes [1] to [4]"]),
        "another rank": ({"x": wide}, ["x has the shape [2, 2]; the engine takes [1] to [4]"]),
        "no array": ({"x": [1.0, 2.0]}, ["x: a list is no array"]),
        "a type on the device": (
            {"x": on_device(cuda, X.astype(np.float16))},
            ["x takes float32 elements, not float16"],
        ),
        "gaps on the device": (
            {"x": Foreign(cuda, X, strides=(8,))},
            ["x has elements that do not lie one behind the other"],
        ),
        "a mask": ({"x": Foreign(cuda, X, mask=X)}, ["x has a mask, which no engine takes"]),
        "memory of another GPU": (
            {"x": elsewhere(cuda, Kind.cudaMemoryTypeDevice, 1)},
            ["x lies on GPU 1, and the engine runs on GPU 0"],
        ),
        "memory of another GPU, lent": (
            {"x": Lent(cuda, X, (dlpack.CUDA, 1))},
            ["x lies on GPU 1, and the engine runs on GPU 0"],
        ),
        "memory of no GPU of CUDA's": ({"x": Lent(cuda, X, (10, 0))}, ["x lies on a device that is no GPU of CUDA's"]),
        "gaps on the host, lent": ({"x": Gaps()}, ["x has elements that do not lie one behind the other"]),
        "memory of the host": (
            {"x": Foreign(cuda, X, data=(X.ctypes.data, False))},
            [f"x points to {X.ctypes.data:#x}, which is no memory of a GPU"],
        ),
    }


@pytest.mark.parametrize("case", wrong_inputs(Cuda()))
def test_wrong_inputs(case: str, cuda: Cuda) -> None:
    inputs, expected = wrong_inputs(cuda)[case]
    with context_of(cuda) as context:
        with pytest.raises(RunError) as error:
            context.run(inputs)
        assert messages(error) == expected
        assert {entry.code for entry in error.value.diagnostics} == {"input-value"}
        # It still runs.
        np.testing.assert_array_equal(context.run({"x": X})["twice"], [-3, 4, 1])


def test_memory_off_the_boundary_is_refused(cuda: Cuda) -> None:
    x = on_device(cuda, np.zeros(80, np.float32))
    x.other["data"] = (x.address + 16, False)
    x.other["shape"] = (3,)
    with context_of(cuda) as context, pytest.raises(RunError, match="TensorRT wants a multiple of 256 bytes"):
        context.run({"x": x})


def test_a_shape_on_the_device_is_refused(cuda: Cuda) -> None:
    with context_of(cuda, has_host=True) as context, pytest.raises(RunError, match="on the host, not on the GPU"):
        context.run({"x": X, "shape": on_device(cuda, SHAPE)})


WRONG_OUTPUTS = {
    "a name": ({"twise": np.zeros(3, np.float32)}, "the engine has no output `twise`"),
    "a shape": ({"twice": np.zeros(4, np.float32)}, r"twice comes out as \[3\], not \[4\]"),
    "a type": ({"twice": np.zeros(3, np.float16)}, "twice takes float32 elements, not float16"),
    "gaps": ({"twice": np.zeros(6, np.float32)[::2]}, "twice cannot be written to as one piece of memory"),
    "no writing": (
        {"twice": np.frombuffer(bytes(12), np.float32)},
        "twice cannot be written to as one piece of memory",
    ),
    "another order of bytes": ({"twice": np.zeros(3, ">f4")}, "twice cannot be written to as one piece of memory"),
    "a shape of the engine's": ({"count": np.zeros(2, np.int32)}, "the engine tells its size itself"),
    "a size of the data's": ({"positive": np.zeros(2, np.float32)}, "the engine tells its size itself"),
}


@pytest.mark.parametrize("case", WRONG_OUTPUTS)
def test_wrong_outputs(case: str, cuda: Cuda) -> None:
    outputs, message = WRONG_OUTPUTS[case]
    with (
        context_of(cuda, has_host=True, has_positive=True) as context,
        pytest.raises(RunError, match=message),
    ):
        context.run({"x": X, "shape": SHAPE}, outputs=outputs)


def test_a_graph_that_cannot_be_captured_leaves_nothing(cuda: Cuda) -> None:
    plan = Plan(cuda)
    with Context(loaded(plan)) as context:
        execute = context.execution.execute_async_v3
        context.execution.execute_async_v3 = lambda stream: cuda.captured is None and execute(stream)
        with pytest.raises(RunError, match="the engine did not run"):
            context.run({"x": X}, graph=True)
        assert cuda.captured is None
        np.testing.assert_array_equal(context.run({"x": X})["twice"], [-3, 4, 1])
    assert cuda.is_all_given_back


def test_no_graph_holds_what_the_data_decide(cuda: Cuda) -> None:
    with context_of(cuda, has_positive=True) as context, pytest.raises(RunError, match="cannot hold positive"):
        context.run({"x": X}, graph=True)


@pytest.mark.parametrize("stream", [True, -1, "7", object()], ids=["bool", "negative", "text", "object"])
def test_what_is_no_stream(stream: Any, cuda: Cuda) -> None:
    with context_of(cuda) as context, pytest.raises(RunError, match="a stream is its handle"):
        context.run({"x": X}, stream=stream)


@pytest.mark.parametrize("profile", [-1, 2])
def test_a_profile_that_is_not_there(profile: int, cuda: Cuda) -> None:
    with context_of(cuda, profiles=((1, 1, 1), (2, 4, 8))) as context:
        with pytest.raises(RunError, match=f"the engine has no profile {profile}: it has 0 to 1"):
            context.run({"x": X}, profile=profile)
        with pytest.raises(RunError, match=r"the engine takes \[1\] in profile 0"):
            context.run({"x": X}, profile=0)
        with pytest.raises(RunError, match=r"the engine takes \[1\] or \[2\] to \[8\]"):
            context.run({"x": np.zeros(9, np.float32)})


def test_a_context_is_one_threads(cuda: Cuda) -> None:
    context = context_of(cuda)
    with context._lock, pytest.raises(RunError, match="the context is running in another thread"):
        context.run({"x": X})


def test_a_released_context(cuda: Cuda) -> None:
    context = context_of(cuda)
    twice = context.run({"x": X}, on_device=True)["twice"]
    context.release()
    context.release()
    with pytest.raises(RunError, match="was released before"):
        context.run({"x": X})
    with pytest.raises(RunError, match="or was released, since"):
        twice.numpy()
    del twice
    assert cuda.is_all_given_back


def test_a_context_that_is_forgotten_gives_all_back(cuda: Cuda) -> None:
    context = context_of(cuda)
    context.run({"x": X}, graph=True)
    context.bind({"x": X})
    del context
    gc.collect()
    assert cuda.is_all_given_back


def test_no_memory(cuda: Cuda) -> None:
    cuda.limit = 8
    with context_of(cuda) as context, pytest.raises(RunError, match=r"CUDA: out of memory \(12 bytes of"):
        context.run({"x": X})
    assert cuda.is_all_given_back


def test_an_engine_that_fails(cuda: Cuda) -> None:
    with context_of(cuda, works=False) as context, pytest.raises(RunError, match="the engine did not run"):
        context.run({"x": X})


def test_bf16_is_bits_or_a_type_of_ml_dtypes() -> None:
    tensor = EngineTensor("x", DataType.BF16, (2,), True, False)
    for array in (np.zeros(2, ml_dtypes.bfloat16), np.zeros(2, np.uint16)):
        assert view(array, tensor, device_of(Cuda()), 0).nbytes == 4
    with pytest.raises(RunError, match="x takes bf16, or uint16 as its bits, not float32"):
        view(np.zeros(2, np.float32), tensor, device_of(Cuda()), 0)


def test_memory_is_given_back_when_nobody_has_it() -> None:
    freed: list[int] = []
    memory = Memory(4096, 8, freed.append)
    assert freed == []
    del memory
    assert freed == [4096]


def test_two_threads_have_two_contexts(cuda: Cuda) -> None:
    shared = loaded(Plan(cuda))
    found: dict[int, Any] = {}

    def work(index: int) -> None:
        with Context(shared) as context:
            found[index] = context.run({"x": X * index})["twice"]

    threads = [threading.Thread(target=work, args=(index,)) for index in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[2], 2 * found[1])
