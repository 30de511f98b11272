"""Progress of a build, from TensorRT's IProgressMonitor to whoever shows it, and the way to stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, TypeVar

from trtdsl.errors import BuildInterrupted

T = TypeVar("T")
_THREAD = "trtdsl-build"


class ProgressReporter(Protocol):
    """Shows phases of a build. Called from TensorRT's threads, one call at a time."""

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins, inside `parent` if that is given."""
        ...

    def step_complete(self, phase: str, step: int) -> None: ...

    def phase_finish(self, phase: str) -> None: ...


class Interruption:
    """Whether a build is to stop: the user asked, or its progress could not be shown."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.failure: BaseException | None = None
        """What a reporter raised. TensorRT's bindings would print it and go on."""

    def request(self) -> None:
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()


def make_monitor(trt: Any, reporter: ProgressReporter | None, interruption: Interruption) -> Any:
    """An IProgressMonitor that reports phases and ends the build at the next step once that was asked for."""
    lock = threading.Lock()

    def report(method: str, *arguments: Any) -> None:
        if reporter is None:
            return
        with lock:
            try:
                if interruption.failure is None:
                    getattr(reporter, method)(*arguments)
            except BaseException as error:
                interruption.failure = error

    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            report("phase_start", phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            report("step_complete", phase_name, step)
            return interruption.failure is None and not interruption.requested

        def phase_finish(self, phase_name: str) -> None:
            report("phase_finish", phase_name)

    return Monitor()


def run_interruptible(work: Callable[[], T], interruption: Interruption, *, stops: bool = True) -> T:
    """Run a long call of TensorRT in a thread, so that Ctrl-C is noticed while it runs.

    The first Ctrl-C asks the monitor to stop at the next step, a second one raises KeyboardInterrupt at once; so does
    the first when nothing `stops` the work. Raises BuildInterrupted when the work ended after it was asked to, and what
    a reporter of its progress raised.

    After KeyboardInterrupt the work goes on, as `is_under_way` says.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target, name=_THREAD, daemon=True)
    with _ctrl_c(interruption, stops):
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    if interruption.requested:
        raise BuildInterrupted.of("interrupted", "the build was stopped; no file was changed")
    if interruption.failure is not None:
        raise interruption.failure
    if failure:
        raise failure[0]
    return outcome[0]


def is_under_way() -> bool:
    """Whether work that was run interruptibly still is.

    Python must not shut down then: TensorRT, whose threads call its logger, would bring the process down with an abort.
    """
    # `is_alive` is not to be asked: Python up to 3.12 takes a thread for dead whose `join` was interrupted.
    return any(thread.name == _THREAD for thread in threading.enumerate())


@contextmanager
def _ctrl_c(interruption: Interruption, stops: bool) -> Iterator[None]:
    """Turn SIGINT into a request while the context lasts.

    Where nobody may do so (outside the main thread) or nobody wants it (in the background, where shells let it be
    ignored), it is left alone.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interruption.requested or not stops:
            raise KeyboardInterrupt
        interruption.request()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
