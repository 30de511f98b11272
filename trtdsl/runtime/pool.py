"""Contexts that wait for somebody to run them, shared by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trtdsl.errors import RunError
from trtdsl.runtime.context import Context


class Pool:
    """Contexts of one engine, made when all others are taken, up to `limit`; beyond it whoever asks waits."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._condition = threading.Condition()
        self._free: list[Context] = []
        self._count = 0
        self._is_closed = False

    @contextmanager
    def borrowed(self, make: Callable[[], Context], shapes: tuple[Any, ...] | None = None) -> Iterator[Context]:
        """A context for one run: one that ran on these shapes last if any is free, else what `make` gives.

        Raises RunError once closed.
        """
        context = self._take(make, shapes)
        try:
            yield context
        finally:
            with self._condition:
                self._free.append(context)
                self._condition.notify()

    def _take(self, make: Callable[[], Context], shapes: tuple[Any, ...] | None) -> Context:
        with self._condition:
            while True:
                if self._is_closed:
                    raise RunError.of("engine-use", "the engine was released before")
                if self._free:
                    return self._free.pop(self._best(shapes))
                if self._limit is None or self._count < self._limit:
                    self._count += 1
                    break
                self._condition.wait()
        try:
            return make()
        except BaseException:
            with self._condition:
                self._count -= 1
                self._condition.notify()
            raise

    def _best(self, shapes: tuple[Any, ...] | None) -> int:
        """The latest of those that ran on the same shapes, else the latest of all."""
        same = [index for index, context in enumerate(self._free) if context.shapes == shapes]
        return same[-1] if same else len(self._free) - 1

    def close(self) -> None:
        """Release all contexts, those that are running as soon as they are done."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
            while self._count:
                if self._free:
                    self._free.pop().release()
                    self._count -= 1
                else:
                    self._condition.wait()
