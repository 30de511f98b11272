"""The report that a user pastes into an issue when trtdsl itself has failed."""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from importlib import metadata

from trtdsl.version import __version__

_PACKAGES = ("tensorrt-rtx", "tensorrt", "tensorrt-bindings", "numpy", "jsonschema", "PyYAML", "safetensors", "click")


def bug_report(error: BaseException) -> str:
    """Versions, machine, command and traceback of an unexpected exception."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    lines = [
        "This is a bug in trtdsl, not in your network. Please report it with all that follows.",
        "",
        f"trtdsl    {__version__}",
        f"python    {platform.python_version()} ({platform.python_implementation()})",
        f"platform  {platform.platform()}",
        f"packages  {', '.join(_installed()) or 'none'}",
        f"command   {shlex.join(['trtdsl', *sys.argv[1:]])}",
        "",
        trace.rstrip(),
    ]
    return "\n".join(lines)


def _installed() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
