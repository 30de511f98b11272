"""Streams of other packages."""

from __future__ import annotations

from typing import Any

from trtdsl.errors import RunError

_ATTRIBUTES = ("cuda_stream", "ptr", "handle")
"""Where PyTorch, CuPy and PyCUDA keep the handle."""


def stream_handle(stream: Any) -> int:
    """The number of a stream: a number itself, or of PyTorch, CuPy, PyCUDA, or with `__cuda_stream__`.

    Raises RunError for anything else.
    """
    protocol = getattr(stream, "__cuda_stream__", None)
    if protocol is not None:
        _, handle = protocol() if callable(protocol) else protocol
        return int(handle)
    for name in _ATTRIBUTES:
        if (handle := getattr(stream, name, None)) is not None:
            return int(handle)
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    message = f"a stream is its handle, or an object of PyTorch, CuPy or PyCUDA, not {type(stream).__name__}"
    raise RunError.of("input-value", message)
