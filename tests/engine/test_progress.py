from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from trtdsl.engine.progress import Interruption, is_under_way, make_monitor, run_interruptible
from trtdsl.errors import BuildInterrupted


def end_of_work() -> None:
    """Wait for work that was left behind: as long as it is there, a command that fails would end this process."""
    deadline = time.monotonic() + 30
    while is_under_way() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_under_way()


def test_gives_the_result_of_the_work() -> None:
    assert run_interruptible(lambda: 42, Interruption()) == 42
    assert not is_under_way()


def test_gives_the_failure_of_the_work() -> None:
    def fail() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        run_interruptible(fail, Interruption())


def test_ctrl_c_asks_the_work_to_stop_and_restores_the_handler() -> None:
    interruption = Interruption()
    handler = signal.getsignal(signal.SIGINT)

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 10
        while not interruption.requested and time.monotonic() < deadline:
            time.sleep(0.01)

    with pytest.raises(BuildInterrupted, match="no file was changed"):
        run_interruptible(work, interruption)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_does_not_wait_for_the_work() -> None:
    release = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work, Interruption())
    assert is_under_way()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "trtdsl-build")
    release.set()
    end_of_work()


def test_ctrl_c_stays_ignored_where_it_was() -> None:
    """Shells start what runs in the background so."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_interruptible(lambda: os.kill(os.getpid(), signal.SIGINT), Interruption()) is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_works_outside_the_main_thread() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run_interruptible(lambda: 1, Interruption())))
    thread.start()
    thread.join()
    assert results == [1]


class _Base:
    def __init__(self) -> None: ...


class Failing:
    """A reporter that fails in one of its methods."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.calls = 0

    def _called(self, method: str) -> None:
        self.calls += 1
        if method == self.method:
            raise LookupError(f"in {method}")

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        self._called("phase_start")

    def step_complete(self, phase: str, step: int) -> None:
        self._called("step_complete")

    def phase_finish(self, phase: str) -> None:
        self._called("phase_finish")


@pytest.mark.parametrize("method", ["phase_start", "step_complete", "phase_finish"])
def test_what_a_reporter_raises_stops_the_build_and_is_raised(method: str) -> None:
    interruption, reporter = Interruption(), Failing(method)
    monitor = make_monitor(SimpleNamespace(IProgressMonitor=_Base), reporter, interruption)
    went_on: list[bool] = []

    def work() -> None:
        monitor.phase_start("p", None, 2)
        monitor.step_complete("p", 0)
        monitor.phase_finish("p")
        went_on.append(monitor.step_complete("p", 1))

    with pytest.raises(LookupError, match=f"in {method}"):
        run_interruptible(work, interruption)
    assert went_on == [False]
    # A reporter that failed is left alone.
    assert reporter.calls == ["phase_start", "step_complete", "phase_finish"].index(method) + 1


def test_ctrl_c_ends_at_once_what_cannot_be_stopped() -> None:
    release = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work, Interruption(), stops=False)
    assert is_under_way()
    release.set()
    end_of_work()
