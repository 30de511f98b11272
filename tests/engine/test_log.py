from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

from trtdsl.engine.log import BuildLog
from trtdsl.targets.runtime import Runtime


class _Logger:
    def __init__(self) -> None: ...


RUNTIME = Runtime("rtx", (1, 4), SimpleNamespace(ILogger=_Logger))


def test_keeps_errors_until_they_are_taken() -> None:
    log = BuildLog(RUNTIME)
    log.logger.log(SimpleNamespace(name="ERROR"), " first ")
    log.logger.log(SimpleNamespace(name="INTERNAL_ERROR"), "second")
    log.logger.log(SimpleNamespace(name="INFO"), "chatter")
    log.logger.log(SimpleNamespace(name="WARNING"), "careful")
    assert log.take_errors() == ["first", "second"]
    assert log.take_errors() == []
    assert log.warnings == ["careful"]


def test_drops_what_follows_every_error_without_a_gpu() -> None:
    log = BuildLog(RUNTIME)
    driver = "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime"
    log.hear("ERROR", "the cause")
    log.hear("ERROR", driver)
    assert log.take_errors() == ["the cause"]
    log.hear("ERROR", driver)
    assert log.take_errors() == [driver]


def test_what_is_said_twice_is_one_error() -> None:
    """As 8.6.1 says it on an H200."""
    log = BuildLog(RUNTIME)
    first = "10: Could not find any implementation for node conv."
    log.hear("ERROR", first)
    log.hear(
        "INTERNAL_ERROR",
        "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error "
        "(Could not find any implementation for node conv.)",
    )
    log.hear("ERROR", "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (another one)")
    assert log.take_errors() == [
        first,
        "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (another one)",
    ]


def test_loses_nothing_that_threads_say_while_others_listen() -> None:
    log = BuildLog(RUNTIME)
    threads = [threading.Thread(target=lambda: [log.hear("ERROR", "e") for _ in range(2000)]) for _ in range(4)]
    heard = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        heard += len(log.take_errors())
    assert heard + len(log.take_errors()) == 8000


def test_drops_what_tensorrt_says_of_other_builders() -> None:
    log = BuildLog(RUNTIME)
    log.hear("WARNING", "WARNING The logger passed into createInferBuilder differs from one already registered")
    assert log.warnings == []


def test_a_logger_outlives_its_log_and_waits_for_the_next() -> None:
    """TensorRT may write to it still: what it says then is heard by nobody, or by who comes next."""
    log = BuildLog(RUNTIME)
    logger = log.logger
    del log
    gc.collect()
    logger.log(SimpleNamespace(name="ERROR"), "late")
    following = [BuildLog(RUNTIME) for _ in range(8)]
    [heir] = [entry for entry in following if entry.logger is logger]
    logger.log(SimpleNamespace(name="ERROR"), "later")
    assert heir.take_errors() == ["later"]


def test_logs_that_live_at_the_same_time_share_no_logger() -> None:
    logs = [BuildLog(RUNTIME) for _ in range(8)]
    assert len({id(log.logger) for log in logs}) == 8
