"""A context: what one thread runs an engine in, with the memory it takes for that, kept from run to run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import numpy as np

from trtdsl.errors import Diagnostic, RunError, suggest
from trtdsl.runtime.arrays import View, view
from trtdsl.runtime.bound_run import BoundRun
from trtdsl.runtime.buffers import Buffers
from trtdsl.runtime.device import Handle
from trtdsl.runtime.feeds import Feed, elements_of
from trtdsl.runtime.loaded import Loaded
from trtdsl.runtime.streams import stream_handle
from trtdsl.runtime.takers import DataSized, Delivery, Given, HostShape, OnDevice, OnHost, Taker
from trtdsl.runtime.tensors import EngineTensor, choose_profile

_GRAPHS = 4
"""Graphs that a context keeps, one for each set of addresses that it ran on."""


class Context:
    """Runs an engine, one run at a time: a second thread that comes meanwhile gets a RunError.

    Device arrays that it gives are its own memory, which its next run writes again.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Raises RunError where TensorRT gives the engine no context, for want of memory mostly."""
        self.loaded = loaded
        self.device = loaded.device
        self._lock = threading.Lock()
        self._buffers = Buffers(loaded.device)
        self._round = 0
        self._settings: tuple[int, tuple[tuple[int, ...], ...], tuple[bytes, ...]] | None = None
        self._host_values: dict[str, np.ndarray[Any, Any]] = {}
        self._attached: dict[str, int] = {}
        self._graphs: dict[tuple[int, ...], Handle] = {}
        self._under_way: int | None = None
        self._bound: BoundRun | None = None
        self._asked: list[Taker] = []  # TensorRT keeps pointers to what it asks for memory
        self.is_released = False
        with self.device.active(), loaded.explained():
            self.execution = loaded.engine.create_execution_context()
            if self.execution is None:
                raise RunError.of("engine-run", "TensorRT gives the engine no context to run in")
            self._stream = self.device.create_stream()
            self._done = self.device.create_event()

    def run(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Mapping[str, Any] | None = None,
        on_device: bool = False,
        stream: Any = None,
        profile: int | None = None,
        graph: bool = False,
    ) -> dict[str, Any]:
        """The outputs for some inputs, by name; the arguments are those of `Engine.run`. Raises RunError."""
        with self._entered():
            bound = self._bind(inputs, outputs or {}, on_device, stream, profile, graph)
            self._bound = None
            self._enqueue(bound)
            return self._deliver(bound)

    def run_and_part(self, inputs: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
        """The same, where device arrays keep their memory for themselves: the next run takes other memory."""
        with self._entered():
            bound = self._bind(inputs, **arguments)
            self._bound = None
            self._enqueue(bound)
            outputs = self._deliver(bound, lasting=True)
            for entry in self.loaded.outputs if bound.on_device else ():
                self._buffers.on_device(entry.name).give_away()
            return outputs

    def bind(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Mapping[str, Any] | None = None,
        on_device: bool = False,
        stream: Any = None,
        profile: int | None = None,
        graph: bool = False,
    ) -> BoundRun:
        """A run that can be repeated without looking at its arguments again, for tight loops. Raises RunError."""
        with self._entered():
            return self._bind(inputs, outputs or {}, on_device, stream, profile, graph)

    def repeat(self, bound: BoundRun) -> None:
        """Put a bound run on its stream once more. Raises RunError once the context has been given another."""
        with self._entered():
            self._check_bound(bound)
            self._enqueue(bound)

    def deliver(self, bound: BoundRun) -> dict[str, Any]:
        """The outputs of the last run of a bound run. Raises RunError once the context has been given another."""
        with self._entered():
            self._check_bound(bound)
            return self._deliver(bound)

    def release(self) -> None:
        """Give back all that it has, after the run that is under way. It runs no more."""
        with self._lock:
            if self.is_released:
                return
            self.is_released = True
            self._round += 1
            with self.device.active():
                with suppress(RunError):  # that a run failed is told where it is waited for
                    self._settle()
                self._drop_graphs()
                self._done.destroy()
                self._stream.destroy()
                if self._bound is not None:
                    self._bound.forget()
                self._bound = self.execution = None
                self._asked.clear()
                self._buffers = Buffers(self.device)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...] | None:
        """The shapes of the last run's inputs, which another on the same is quicker with."""
        return None if self._settings is None else self._settings[1]

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            message = "the context is running in another thread"
            raise RunError.of("engine-use", message, hint="give each thread a context of its own, or use `Engine.run`")
        try:
            if self.is_released:
                raise RunError.of("engine-use", "the engine or the context was released before")
            with self.device.active(), self.loaded.explained():
                yield
        finally:
            self._lock.release()

    def _check_bound(self, bound: BoundRun) -> None:
        if bound is not self._bound:
            raise RunError.of("engine-use", "the context has been given something else to run since")

    def _bind(
        self,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        on_device: bool,
        stream: Any,
        profile: int | None,
        graph: bool,
    ) -> BoundRun:
        handle = self._stream.value if stream is None else stream_handle(stream)
        views = self._views(inputs, handle)
        targets = self._targets(outputs, handle)
        shapes = {name: entry.shape for name, entry in views.items()}
        chosen = choose_profile(self.loaded.inputs, shapes, profile)
        # From here on things change, so that what was bound before can no more be repeated.
        self._bound = None
        self._round += 1
        if self._under_way is not None and self._under_way != handle:
            self.device.wait(handle, self._done)
        self._set_shapes(chosen, views, handle)
        feeds = [Feed(entry, views[entry.name], self._buffers) for entry in self.loaded.inputs if not entry.on_host]
        takers = [self._taker(entry, on_device, outputs, targets) for entry in self.loaded.outputs]
        if graph and (unfit := [taker.tensor.name for taker in takers if not taker.has_settled_size]):
            message = f"a CUDA graph cannot hold {', '.join(unfit)}, whose size the data decide"
            raise RunError.of("input-value", message)
        self._attach(feeds, takers)
        self._asked = [taker for taker in takers if not taker.has_settled_size]
        self._bound = BoundRun(self, handle, stream is None, on_device, feeds, takers, graph)
        return self._bound

    def _views(self, inputs: Mapping[str, Any], stream: int) -> dict[str, View]:
        """The inputs where they lie. Raises RunError with all that is wrong with them."""
        wanted = {entry.name: entry for entry in self.loaded.inputs}
        found = list(_unknown(inputs, wanted, "input"))
        if missing := [name for name in wanted if name not in inputs]:
            found.append(Diagnostic("input-value", f"the engine also takes {', '.join(missing)}"))
        return self._viewed({name: inputs[name] for name in wanted if name in inputs}, wanted, stream, "input", found)

    def _targets(self, outputs: Mapping[str, Any], stream: int) -> dict[str, View]:
        known = {entry.name: entry for entry in self.loaded.outputs}
        found = list(_unknown(outputs, known, "output"))
        for name, value in outputs.items():
            if isinstance(value, np.ndarray) and not _is_writable(value):
                found.append(Diagnostic("input-value", f"{name} cannot be written to as one piece of memory"))
        given = {name: value for name, value in outputs.items() if name in known}
        return self._viewed(given, known, stream, "output", found)

    def _viewed(
        self,
        given: Mapping[str, Any],
        tensors: Mapping[str, EngineTensor],
        stream: int,
        what: str,
        found: list[Diagnostic],
    ) -> dict[str, View]:
        views = {}
        for name, value in given.items():
            try:
                views[name] = view(value, tensors[name], self.device, stream, what)
            except RunError as error:
                found += error.diagnostics
        if found:
            raise RunError(found)
        return views

    def _set_shapes(self, profile: int, views: Mapping[str, View], stream: int) -> None:
        """Tell TensorRT the shapes, unless they are those of the last run."""
        hosts = {entry.name: elements_of(views[entry.name], entry.dtype.storage) for entry in self._on_host}
        shapes = tuple(views[entry.name].shape for entry in self.loaded.inputs)
        settings = (profile, shapes, tuple(values.tobytes() for values in hosts.values()))
        if settings == self._settings:
            return
        self._settle()
        self._drop_graphs()
        self._settings = None
        if self.execution.active_optimization_profile != profile:
            if not self.execution.set_optimization_profile_async(profile, stream):
                raise RunError.of("engine-run", f"TensorRT does not change to profile {profile}")
            self._attached.clear()
        for entry, shape in zip(self.loaded.inputs, shapes, strict=True):
            if not self.execution.set_input_shape(entry.name, shape):
                raise RunError.of("engine-run", f"TensorRT does not take the shape {[*shape]} of {entry.name}")
        self._host_values = {name: np.array(values) for name, values in hosts.items()}
        for name, values in self._host_values.items():
            self._checked_address(name, self.execution.set_tensor_address(name, values.ctypes.data))
        self._infer_shapes()
        self._settings = settings

    @property
    def _on_host(self) -> list[EngineTensor]:
        return [entry for entry in self.loaded.inputs if entry.on_host]

    def _infer_shapes(self) -> None:
        try:
            missing = self.execution.infer_shapes()
        except RuntimeError as error:
            raise RunError.of("engine-run", f"TensorRT finds no shapes for these inputs: {error}") from None
        if missing:
            raise RunError.of("engine-run", f"the engine does not know the shape of {', '.join(missing)}")

    def _taker(
        self, tensor: EngineTensor, on_device: bool, outputs: Mapping[str, Any], targets: Mapping[str, View]
    ) -> Taker:
        """Where an output goes. Raises RunError for memory of the user's that does not fit it."""
        shape = tuple(self.execution.get_tensor_shape(tensor.name))
        given = targets.get(tensor.name)
        if given is not None and (-1 in shape or tensor.on_host):
            raise RunError.of("input-value", f"{tensor.name} cannot be given memory: the engine tells its size itself")
        if given is not None and given.shape != shape:
            raise RunError.of("input-value", f"{tensor.name} comes out as {[*shape]}, not {[*given.shape]}")
        if tensor.on_host:
            return HostShape(tensor, shape)
        if -1 in shape:
            return DataSized(tensor, self.loaded.allocator_type, self._buffers, on_device=on_device)
        if given is None:
            return OnDevice(tensor, shape, self._buffers) if on_device else OnHost(tensor, shape, self._buffers)
        if given.on_device:
            return Given(tensor, given, outputs[tensor.name], self._buffers)
        return OnHost(tensor, shape, self._buffers, given, outputs[tensor.name])

    def _attach(self, feeds: list[Feed], takers: list[Taker]) -> None:
        """Tell TensorRT the addresses that have changed."""
        for feed in feeds:
            if self._attached.get(feed.name) != feed.address:
                self._checked_address(feed.name, self.execution.set_tensor_address(feed.name, feed.address))
                self._attached[feed.name] = feed.address
        for taker in takers:
            name = taker.tensor.name
            if not taker.has_settled_size or self._attached.get(name) != taker.address:
                self._checked_address(name, taker.attach(self.execution))
                self._attached[name] = taker.address

    def _checked_address(self, name: str, is_taken: bool) -> None:
        if not is_taken:
            raise RunError.of("engine-run", f"TensorRT does not take the memory of {name}")

    def _enqueue(self, bound: BoundRun) -> None:
        if self._under_way is not None and any(feed.is_staged for feed in bound.feeds):
            self._settle()
        for feed in bound.feeds:
            feed.fill()
        for after in (*(feed.after for feed in bound.feeds), *(taker.after for taker in bound.takers)):
            if after is not None:
                self.device.join(bound.stream, after)
        self._under_way = bound.stream
        try:
            if bound.graph:
                self._launch(bound)
            else:
                bound.put(bound.stream)
        finally:
            # What failed half-way may have put something on the stream as well.
            self.device.record(self._done, bound.stream)

    def _launch(self, bound: BoundRun) -> None:
        """Put a run on its stream as a graph, which is captured when it is first asked for."""
        graph = self._graphs.pop(bound.places, None)
        if graph is None:
            # TensorRT prepares in the first run with some shapes what no graph could hold.
            self.device.finish(bound.stream)
            own = self._stream.value
            bound.put(own)
            self.device.finish(own)
            if len(self._graphs) >= _GRAPHS:
                self._graphs.pop(next(iter(self._graphs))).destroy()
            graph = self.device.capture(own, lambda: bound.put(own))
        self._graphs[bound.places] = graph
        self.device.launch(graph, bound.stream)

    def execute(self, stream: int) -> None:
        """Have TensorRT put its part on a stream."""
        if not self.execution.execute_async_v3(stream):
            raise RunError.of("engine-run", "the engine did not run")

    def _deliver(self, bound: BoundRun, *, lasting: bool = False) -> dict[str, Any]:
        if bound.is_waited_for or any(taker.is_for_host for taker in bound.takers):
            self.device.finish(bound.stream)
            self._under_way = None
        at = self._round
        stream = bound.stream if self._under_way is not None else None
        delivery = Delivery(stream, lambda: lasting or self._round == at)
        return {taker.tensor.name: taker.result(delivery) for taker in bound.takers}

    def _settle(self) -> None:
        """Wait for the run that is under way."""
        if self._under_way is not None:
            self.device.finish_event(self._done)
            self._under_way = None

    def _drop_graphs(self) -> None:
        for graph in self._graphs.values():
            graph.destroy()
        self._graphs.clear()


def _is_writable(array: np.ndarray[Any, Any]) -> bool:
    return array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative


def _unknown(given: Mapping[str, Any], known: Mapping[str, EngineTensor], what: str) -> Iterator[Diagnostic]:
    for name in given:
        if name not in known:
            hint = suggest(name, known) or (f"it has {', '.join(known)}" if known else None)
            yield Diagnostic("input-value", f"the engine has no {what} `{name}`", hint=hint)
