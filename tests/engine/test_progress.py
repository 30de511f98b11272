from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from trtdsl.engine.progress import Interruption, run_interruptible
from trtdsl.errors import BuildInterrupted


def test_gives_the_result_of_the_work() -> None:
    assert run_interruptible(lambda: 42, Interruption()) == 42


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
    release.set()


def test_works_outside_the_main_thread() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run_interruptible(lambda: 1, Interruption())))
    thread.start()
    thread.join()
    assert results == [1]
