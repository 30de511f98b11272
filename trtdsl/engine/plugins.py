"""The libraries of plugins that an engine needs: found by its manifest and loaded before it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trtdsl.engine.files import sha256_of
from trtdsl.errors import Diagnostic, EngineFileError
from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.plugins.declaration import NAMESPACE
from trtdsl.plugins.libraries import LibraryError, load_library
from trtdsl.plugins.registry import Registry, register_own_plugins
from trtdsl.targets.runtime import Runtime


def load_plugins(
    engine: Path, manifest: Mapping[str, Any], runtime: Runtime, libraries: Sequence[Path] = ()
) -> tuple[Path, ...]:
    """Load the libraries of plugins that an engine was built with, so that it can be deserialised; gives their paths.

    Each is looked for among `libraries`, where it was when the engine was built, and beside the engine. Raises
    EngineFileError that says which one is missing or another one than it was, and which plugins are not registered.
    """
    used = manifest["built_from"]["plugins"]
    if not used:
        return ()
    register_own_plugins(runtime.module)
    places = [*libraries, *map(Path, manifest["libraries"]), *engine.parent.glob("*.so*")]
    problems: list[Diagnostic] = []
    loaded = []
    for library in used:
        if library["library"] is None:
            continue
        try:
            path = _find(library, places)
            loaded.append(load_library(path, runtime.module, runtime.version, str(runtime)))
        except LibraryError as error:
            problems.append(Diagnostic("plugin-library", f"{engine}: {error.message}", hint=error.hint))
    if not problems:
        registered = {(one.name, one.version, one.namespace) for one in Registry(runtime.module, "").creators()}
        problems += _unregistered(engine, used, registered)
    if problems:
        raise EngineFileError(problems)
    return tuple(library.path for library in loaded)


def _find(library: Mapping[str, Any], places: Iterable[Path]) -> Path:
    """The file of a library of plugins. Raises LibraryError where none of that name is the same."""
    found = [path for path in places if path.name == library["library"] and path.is_file()]
    for path in found:
        if sha256_of(path) == library["sha256"]:
            return path
    names = ", ".join(plugin["name"] for plugin in library["plugins"])
    what = f"it needs {library['library']}" + (f" for {names}" if names else "")
    if found:
        raise LibraryError(
            f"{what}, and {found[0]} is not the one that it was built with (their hashes differ)",
            "build the engine again, or give the library that it was built with",
        )
    hint = "put it beside the engine, or say where it is: `--plugins`, or `plugins` of trtdsl.Engine"
    if any(plugin["name"] in bundled_plugins() and plugin["namespace"] == NAMESPACE for plugin in library["plugins"]):
        hint += "; it is trtdsl's own, which `trtdsl plugins build` compiles"
    raise LibraryError(f"{what}, which is not there", hint)


def _unregistered(
    engine: Path, used: Iterable[Mapping[str, Any]], registered: set[tuple[str, str, str]]
) -> Iterable[Diagnostic]:
    for library in used:
        for plugin in library["plugins"]:
            if (plugin["name"], plugin["version"], plugin["namespace"]) not in registered:
                where = library["library"] or "TensorRT's own library"
                message = (
                    f"{engine}: it needs the plugin {plugin['name']} {plugin['version']}, which {where} lacks here"
                )
                yield Diagnostic("plugin-missing", message)
