"""TensorRT's logger: collects what it says, so that errors and warnings can be traced to lines."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

from trtdsl.targets.runtime import Runtime

_DRIVER_NOISE = "catchCudaError"
_NUMBER = r"^\d+: "
_SECOND_LOGGER = "The logger passed into createInfer"


class BuildLog:
    """The messages of one build by severity. `logger` is what TensorRT is given."""

    def __init__(self, runtime: Runtime) -> None:
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self.warnings: list[str] = []
        self.logger = _logger_for(runtime, self)

    def hear(self, severity: str, message: str) -> None:
        """Take one message. May be called from TensorRT's own threads."""
        if severity in ("ERROR", "INTERNAL_ERROR"):
            with self._lock:
                self._errors.append(message.strip())
        # When a process has another builder alive, TensorRT says so, which is no news of this network.
        elif severity == "WARNING" and _SECOND_LOGGER not in message:
            self.warnings.append(message.strip())

    def take_errors(self) -> list[str]:
        """The error lines since the last call."""
        with self._lock:
            taken, self._errors = self._errors, []
        # Without a GPU every error is followed by one about the missing driver, which says nothing of the cause.
        told = [message for message in taken if _DRIVER_NOISE not in message] or taken
        # A builder of 8.6 says what failed, and that again with the place in its source: `… (what failed)`.
        plain = {f"({re.sub(_NUMBER, '', message)})" for message in told}
        return [message for message in told if not any(message.endswith(text) for text in plain)]


# TensorRT writes to the first logger that it was given as long as any of its objects lives: builds that overlap share
# one. None is ever freed, therefore; those whose log is gone wait for the next.
_UNUSED: dict[Any, list[Any]] = {}


def _logger_for(runtime: Runtime, log: BuildLog) -> Any:
    base = runtime.module.ILogger
    unused = _UNUSED.setdefault(base, [])
    logger = unused.pop() if unused else _logger_class(base)()
    logger.heard_by = weakref.ref(log)
    weakref.finalize(log, unused.append, logger).atexit = False
    return logger


@cache
def _logger_class(base: Any) -> Any:
    # The base class belongs to the TensorRT that is used, so the class can only be made once that is known.
    class Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.heard_by: Callable[[], BuildLog | None] = lambda: None

        def log(self, severity: Any, message: str) -> None:
            if (log := self.heard_by()) is not None:
                log.hear(severity.name, message)

    return Logger
