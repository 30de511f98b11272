"""Runs an engine once on the first GPU, with numpy arrays in and out: no streams, no reuse, no copies spared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from trtdsl.engine import manifest as manifests
from trtdsl.engine.log import BuildLog
from trtdsl.engine.plugins import load_plugins
from trtdsl.errors import RunError, suggest
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

Array = np.ndarray[Any, Any]
_TO_DEVICE = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
_TO_HOST = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost


def execute_file(
    runtime: Runtime, engine: Path, inputs: Mapping[str, Array], libraries: Sequence[Path] = ()
) -> dict[str, Array]:
    """The outputs of an engine file, with the plugins that its manifest names; `libraries` are places to find them.

    Raises EngineFileError for a file, a manifest or a library of plugins that is missing or another one, RunError.
    """
    manifest = manifests.read(engine)
    manifests.verify(engine, manifest)
    load_plugins(engine, manifest, runtime, libraries)
    return execute(runtime, engine.read_bytes(), inputs)


def execute(runtime: Runtime, plan: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a serialized engine. Raises RunError, with what TensorRT says of it."""
    log = BuildLog(runtime)
    loader = runtime.module.Runtime(log.logger)
    engine = loader.deserialize_cuda_engine(plan)
    if engine is None:
        raise RunError.of("engine-run", f"{runtime} does not load the engine: {'; '.join(log.take_errors())}")
    return run(runtime.module, engine, inputs, log)


def run(trt: Any, engine: Any, inputs: Mapping[str, Array], log: BuildLog | None = None) -> dict[str, Array]:
    """The outputs of an engine for these inputs, all in the storage of their types (bf16 as bits).

    `trt` is TensorRT's module; `log` heard what it said while the engine was loaded. Raises RunError for wrong names,
    types and shapes, and where CUDA or TensorRT fails, with what TensorRT says of it.
    """
    try:
        return _run(trt, engine, inputs)
    except RunError as error:
        if log is not None and (said := log.take_errors()):
            raise RunError.of("engine-run", f"{error.diagnostics[0].message}: {'; '.join(said)}") from None
        raise


def _run(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    with prepared(trt, engine, inputs) as run:
        run.enqueue()
        return run.outputs()


@contextmanager
def prepared(trt: Any, engine: Any, inputs: Mapping[str, Array]) -> Iterator[PreparedRun]:
    """A run with the inputs on the device and memory for the outputs, as long as the context lasts. Raises RunError."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    wanted = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    _check_names(inputs, wanted)
    context = engine.create_execution_context()
    if context is None:
        raise RunError.of("engine-run", "TensorRT gives the engine no context to run in")
    with _Memory() as memory, _stream() as stream:
        for name in wanted:
            _give(engine, context, name, np.asarray(inputs[name]), memory)
        if missing := context.infer_shapes():
            raise RunError.of("engine-run", f"the engine does not know the shape of {', '.join(missing)}")
        takers = {name: _Taker(trt, engine, context, name, memory) for name in names if name not in wanted}
        yield PreparedRun(context, stream, takers)


@dataclass(frozen=True)
class PreparedRun:
    """A context of TensorRT's that has all it needs to run, and a stream to run on, which is not the default one."""

    context: Any
    stream: int
    takers: Mapping[str, _Taker]

    def enqueue(self) -> None:
        """Put a run on the stream. Raises RunError."""
        if not self.context.execute_async_v3(self.stream):
            raise RunError.of("engine-run", "the engine did not run")

    def outputs(self) -> dict[str, Array]:
        """What the last run gave, once the stream is done. Raises RunError."""
        _checked(cuda.cudaStreamSynchronize(self.stream))
        return {name: taker.array() for name, taker in self.takers.items()}


def _check_names(inputs: Mapping[str, Array], wanted: list[str]) -> None:
    for name in inputs:
        if name not in wanted:
            raise RunError.of("input-value", f"the engine has no input `{name}`", hint=suggest(name, wanted))
    if missing := [name for name in wanted if name not in inputs]:
        raise RunError.of("input-value", f"the engine also takes {', '.join(missing)}")


def _give(engine: Any, context: Any, name: str, array: Array, memory: _Memory) -> None:
    """Copy an input to the device, and tell its shape."""
    if array.dtype != storage(engine, name):
        raise RunError.of("input-value", f"{name} takes {storage(engine, name)} elements, not {array.dtype}")
    array = np.ascontiguousarray(array).reshape(array.shape)
    if not context.set_input_shape(name, array.shape):
        low, _, high = ([*shape] for shape in engine.get_tensor_profile_shape(name, 0))
        limits = f"{low}" if low == high else f"{low} to {high}"
        raise RunError.of("input-value", f"{name} has the shape {list(array.shape)}; the engine takes {limits}")
    # A shape that the engine computes with lies on the host as well as any other input does on the device.
    address = array.ctypes.data if _is_on_host(engine, name) else memory.allocate(array.nbytes)
    if _is_on_host(engine, name):
        memory.keep(array)
    else:
        _checked(cuda.cudaMemcpy(address, array.ctypes.data, array.nbytes, _TO_DEVICE))
    if not context.set_tensor_address(name, address):
        raise RunError.of("engine-run", f"TensorRT does not take the memory of {name}")


def _is_on_host(engine: Any, name: str) -> bool:
    return bool(engine.get_tensor_location(name).name == "HOST")


class _Taker:
    """The memory of one output: of the size that the inputs decide, or allocated once its data has decided it."""

    def __init__(self, trt: Any, engine: Any, context: Any, name: str, memory: _Memory) -> None:
        self._storage = storage(engine, name)
        self._shape = tuple(context.get_tensor_shape(name))
        self._allocator: Any = None
        if -1 in self._shape:
            self._allocator = _make_allocator(trt, memory)
            taken = context.set_output_allocator(name, self._allocator)
        elif _is_on_host(engine, name):
            self._host = np.empty(self._shape, self._storage)
            taken = context.set_tensor_address(name, self._host.ctypes.data)
        else:
            self._address = memory.allocate(np.empty(self._shape, self._storage).nbytes)
            taken = context.set_tensor_address(name, self._address)
        self._is_on_host = _is_on_host(engine, name)
        if not taken:
            raise RunError.of("engine-run", f"TensorRT does not take the memory of {name}")

    def array(self) -> Array:
        """The output, after the run."""
        if self._allocator is not None:
            self._shape, self._address = self._allocator.shape, self._allocator.address
        elif self._is_on_host:
            return self._host
        array = np.empty(self._shape, self._storage)
        if array.nbytes:
            _checked(cuda.cudaMemcpy(array.ctypes.data, self._address, array.nbytes, _TO_HOST))
        return array


def _make_allocator(trt: Any, memory: _Memory) -> Any:
    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.address = 0
            self.shape: tuple[int, ...] = ()

        def reallocate_output(self, name: str, old: int, size: int, alignment: int) -> int:
            self.address = memory.allocate(size)
            return self.address

        def reallocate_output_async(self, name: str, old: int, size: int, alignment: int, stream: int) -> int:
            return self.reallocate_output(name, old, size, alignment)

        def notify_shape(self, name: str, shape: Any) -> None:
            self.shape = tuple(shape)

    return Allocator()


class _Memory:
    """Memory of the device, all given back at the end."""

    def __init__(self) -> None:
        self._pointers: list[int] = []
        self._kept: list[Array] = []

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        for pointer in self._pointers:
            cuda.cudaFree(pointer)

    def allocate(self, size: int) -> int:
        pointer = int(_checked(cuda.cudaMalloc(max(size, 1))))
        self._pointers.append(pointer)
        return pointer

    def keep(self, array: Array) -> None:
        """Let an array of the host live as long."""
        self._kept.append(array)


@contextmanager
def _stream() -> Iterator[int]:
    stream = _checked(cuda.cudaStreamCreate())
    try:
        yield int(stream)
    finally:
        cuda.cudaStreamDestroy(stream)


def storage(engine: Any, name: str) -> str:
    """The numpy type that holds an element of a tensor."""
    # TensorRT 8.6's own `nptype` asks numpy for names that it no longer has.
    trt_name = engine.get_tensor_dtype(name).name
    return next(dtype.storage for dtype in DataType if dtype.trt_name == trt_name)


def _checked(result: tuple[Any, ...]) -> Any:
    status, *values = result
    if status != cuda.cudaError_t.cudaSuccess:
        raise RunError.of("engine-run", f"CUDA: {cuda.cudaGetErrorString(status)[1].decode()}")
    return values[0] if values else None
