"""Prints what a TensorRT's Python bindings declare, as JSON: run with the bindings on the path, needs no GPU.

Classes are given as {method or property: its signature, the longest of several}, enumerations as lists of members.
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
    return {
        "version": module.__version__,
        "classes": classes,
        "enumerations": enumerations,
        "signatures": _signatures(module),
        "plugins": _plugins(module) if hasattr(module.IPluginRegistry, "plugin_creator_list") else {},
    }


def _plugins(module: Any) -> dict[str, dict[str, str]]:
    """The fields of every creator that can be asked for by name and version, with their types."""
    module.init_libnvinfer_plugins(None, "")
    registry = module.get_plugin_registry()
    return {
        f"{creator.name} {creator.plugin_version}": {field.name: field.type.name for field in creator.field_names or ()}
        for creator in registry.plugin_creator_list
    }


def _signatures(module: Any) -> dict[str, dict[str, dict[str, str]]]:
    """The docstrings of all methods, and of what sets each attribute (nothing for those that can only be read)."""
    methods: dict[str, dict[str, str]] = {}
    attributes: dict[str, dict[str, str]] = {}
    for name, value in vars(module).items():
        if isinstance(value, type) and not hasattr(value, "__members__"):
            members = {member: getattr(value, member) for member in dir(value) if not member.startswith("_")}
            properties = {member: found for member, found in members.items() if isinstance(found, property)}
            attributes[name] = {key: (p.fset.__doc__ or "") if p.fset else "" for key, p in properties.items()}
            others = {member: found for member, found in members.items() if member not in properties}
            methods[name] = {key: found.__doc__ or "" for key, found in others.items() if callable(found)}
    return {"methods": methods, "attributes": attributes}


def _signature(member: object) -> str:
    lines = [line for line in (getattr(member, "__doc__", "") or "").splitlines() if "(self" in line]
    return max(lines, key=lambda line: line.count(": "), default="")


if __name__ == "__main__":
    print(json.dumps(describe(importlib.import_module(sys.argv[1]))))
