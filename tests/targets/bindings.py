"""Prints what a TensorRT's Python bindings declare, as JSON: run with the bindings on the path, needs no GPU.

Classes are given as {method or property: first line of its signature}, enumerations as lists of members.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def describe(module: Any) -> dict[str, Any]:
    """Every public class of the module."""
    classes: dict[str, Any] = {}
    enumerations: dict[str, list[str]] = {}
    for name, value in vars(module).items():
        if not isinstance(value, type) or name.startswith("_"):
            continue
        if hasattr(value, "__members__"):
            enumerations[name] = list(value.__members__)
        else:
            members = (member for member in dir(value) if not member.startswith("_"))
            classes[name] = {member: _signature(getattr(value, member)) for member in members}
    return {"version": module.__version__, "classes": classes, "enumerations": enumerations}


def _signature(member: object) -> str:
    lines = [line for line in (getattr(member, "__doc__", "") or "").splitlines() if "(self" in line]
    return lines[0] if lines else ""


if __name__ == "__main__":
    print(json.dumps(describe(importlib.import_module(sys.argv[1]))))
