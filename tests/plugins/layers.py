"""Takes layers of plugins from YAML up to the creators of a real registry; prints as JSON what came of each.

    python layers.py FOLDER [LIBRARY] < LAYERS

LAYERS is JSON: layers as YAML has them, by id. Printed is, by id, either what was made (`made`: name, version,
namespace, kind) or the errors (`errors`: code, message, text of the line from the place on, hint), and for creators of
the echo library what they were given.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorrt_bindings as trt

import trtdsl
from tests.plugins.standin import Network
from trtdsl.errors import Diagnostic, TrtdslError
from trtdsl.plugins.registry import register_own_plugins
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit


class Log(trt.ILogger):  # type: ignore[misc]
    """What TensorRT says at the level of errors."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.said: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.said.append(message)

    def take_errors(self) -> list[str]:
        said, self.said = self.said, []
        return said


def outcome(path: Path, layer: str, library: str | None, runtime: Runtime, log: Log) -> dict[str, Any]:
    """What comes of one layer."""
    plugins = f"plugins: {{libraries: [{library}]}}\n" if library else ""
    path.write_text(f"trtdsl: 1\ninputs: {{x: [2, 3, 8, 8]}}\n{plugins}layers:\n  - {layer}\n")
    network = Network(trt)
    log.take_errors()
    try:
        emit(trtdsl.load(path).typed, network, runtime, log, strongly_typed=False)
    except TrtdslError as error:
        return {"errors": [described(entry) for entry in error.diagnostics]}
    [made] = network.plugins
    return {"made": made.type.name, "given": given(library) if library else []}


def given(library: str) -> list[str]:
    """What the last creator of the echo library was given."""
    echo = ctypes.CDLL(library)
    if not hasattr(echo, "echoLast"):
        return []
    echo.echoLast.restype = ctypes.c_char_p
    lines: list[str] = echo.echoLast().decode().splitlines()
    return lines


def isolated(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a function gives in a process of its own: creators have been seen to end theirs."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(compute(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"ended": signal.Signals(os.WTERMSIG(status)).name}
    found: dict[str, Any] = json.loads(text) if text else {"ended": f"exit {os.WEXITSTATUS(status)}"}
    return found


def described(error: Diagnostic) -> dict[str, Any]:
    text = error.span.file.lines[error.span.line - 1][error.span.column - 1 :] if error.span else None
    return {"code": error.code, "message": error.message, "at": text, "hint": error.hint}


def main() -> None:
    folder, library = Path(sys.argv[1]), next(iter(sys.argv[2:]), None)
    log = Log()
    runtime = Runtime("tensorrt", tuple(int(part) for part in trt.__version__.split(".")), trt)
    with contextlib.suppress(TypeError):
        trt.Builder(log)  # makes the log the one that plugins speak to, even where no builder comes of it
    register_own_plugins(trt)
    results = {}
    for name, layer in json.load(sys.stdin).items():
        results[name] = isolated(lambda: outcome(folder / "net.yaml", layer, library, runtime, log))  # noqa: B023
    # TensorRT itself prints to the same stream.
    print(f"\n{json.dumps(results)}")


if __name__ == "__main__":
    main()
