"""What an engine was built from: the file beside it that says so, and the key under which builds are cached."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine.files import sha256, sha256_of
from trtdsl.engine.git import commit_of
from trtdsl.errors import EngineFileError, reason_of
from trtdsl.graph import Graph
from trtdsl.implementation import chosen_plugins
from trtdsl.targets.gpu import current_gpu
from trtdsl.targets.plugins import UsedLibrary, used_libraries
from trtdsl.targets.runtime import Runtime
from trtdsl.version import __version__
from trtdsl.weights import Weight
from trtdsl.weights.sources import Stored

FORMAT = 2
SUFFIX = ".json"
TACTICS = ".tactics"
_NETWORKS = (".yaml", ".yml")


@dataclass(frozen=True)
class Ingredients:
    """All that can change an engine, as plain data.

    `spec` is a hash of the expanded network, `weights` has a hash of the bytes used of every file, `plugins` one of
    every library of plugins, with what is used of it, `code` one of trtdsl itself.
    """

    spec: str
    runtime: str
    gpu: str | None
    options: Mapping[str, Any]
    dims: Mapping[str, tuple[int, ...]]
    code: str
    plugins: tuple[Mapping[str, Any], ...] = ()
    weights: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "spec": self.spec,
            "weights": [dict(file) for file in self.weights],
            "plugins": [dict(library) for library in self.plugins],
            "runtime": self.runtime,
            "gpu": self.gpu,
            "options": dict(self.options),
            "dims": {name: list(sizes) for name, sizes in self.dims.items()},
            "trtdsl": {"version": __version__, "code": self.code},
        }

    @property
    def key(self) -> str:
        """The hash of all of it; before the weights are hashed, that of the recipe alone."""
        return sha256(json.dumps(self.as_dict(), sort_keys=True).encode())

    def with_weights_of(self, graph: Graph) -> Ingredients:
        """The same with the hashes of a graph's weights, which take a while: every byte is read."""
        return replace(self, weights=tuple(_weight_files(graph)))


def ingredients_but_weights(graph: Graph, spec: str, runtime: Runtime, options: BuildOptions) -> Ingredients:
    """What an engine of a typed graph is made of besides weights; `spec` is the expanded network as text."""
    return Ingredients(
        spec=sha256(spec.encode()),
        runtime=str(runtime),
        gpu=None if runtime.builds_without_gpu else current_gpu(),
        options=options.as_dict(),
        dims={name: tuple(dim.sizes) for name, dim in graph.dims.items()},
        code=_code_hash(),
        plugins=tuple(_plugin_library(library) for library in used_libraries(graph, runtime)),
    )


def _plugin_library(library: UsedLibrary) -> dict[str, Any]:
    """A library of plugins, whose place does not change an engine; TensorRT's own is told by the version of that."""
    plugins = [{"name": name, "version": version, "namespace": space} for name, version, space in library.plugins]
    if library.path is None:
        return {"library": None, "sha256": None, "plugins": plugins}
    return {"library": library.path.name, "sha256": sha256_of(library.path), "plugins": plugins}


def _weight_files(graph: Graph) -> list[dict[str, Any]]:
    """The files that weights come from, each with a hash of the entries used and of what they are used for."""
    used: dict[str, list[tuple[str, Weight]]] = defaultdict(list)
    for layer in graph.all_layers():
        for name, weight in layer.weights.items():
            file = str(weight.source.entry.path) if isinstance(weight.source, Stored) else ""
            used[file].append((f"{layer.name}.{name}", weight))
    files = []
    for path, weights in sorted(used.items()):
        digest = hashlib.sha256()
        for label, weight in weights:
            digest.update(f"{label} {weight.shape} {weight.dtype} {weight.source.fingerprint()}\n".encode())
        entry: dict[str, Any] = {"file": Path(path).name if path else "(in the network)", "weights": len(weights)}
        files.append({**entry, "sha256": digest.hexdigest()})
    return files


@cache
def _code_hash() -> str:
    """A hash of this package's files: what lowers a network is part of what decides an engine."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Request:
    """What an engine was asked for: the typed graph, the expanded network as text, the YAML file, what else was given.

    `given` has, as plain data, what was said beside the file; `allowed` patterns over layers that may have other types.
    """

    graph: Graph
    spec: str
    source: Path
    given: Mapping[str, Any]
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a build came to: hash and size of the engine, its types, its tactics, and the timing cache they are from."""

    sha256: str
    bytes: int
    precision: Mapping[str, Any]
    tactics: Mapping[str, str]
    timings: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Outcome:
        """The outcome that a manifest tells of."""
        engine = manifest["engine"]
        return cls(
            engine["sha256"], engine["bytes"], manifest["precision"], manifest["tactics"], manifest["timing_cache"]
        )


def describe(request: Request, recipe: str, made_of: Ingredients, engine: Path, outcome: Outcome) -> dict[str, Any]:
    """The manifest of an engine file; `recipe` is the key of its ingredients without the weights."""
    graph, source = request.graph, request.source
    timings = None if outcome.timings is None else {**outcome.timings, "file": tactics_path(engine).name}
    return {
        "format": FORMAT,
        "name": graph.name,
        "recipe": recipe,
        "key": made_of.key,
        "engine": {"file": engine.name, "sha256": outcome.sha256, "bytes": outcome.bytes},
        "source": {
            "file": source.name,
            "path": Path(os.path.relpath(source, engine.parent)).as_posix(),
            "git": commit_of(source),
        },
        "given": dict(request.given),
        "built_from": made_of.as_dict(),
        "inputs": {entry.name: _tensor(graph, entry.name) for entry in graph.inputs},
        "outputs": {output.name: _tensor(graph, output.tensor) for output in graph.outputs},
        "precision": dict(outcome.precision),
        "implementations": chosen_plugins(graph),
        "libraries": [str(use.path.resolve()) for use in graph.libraries],
        "timing_cache": timings,
        "tactics": dict(outcome.tactics),
        "network": request.spec.splitlines(),
    }


def _tensor(graph: Graph, name: str) -> dict[str, Any]:
    tensor = graph.types[name]
    sizes = ("min", "opt", "max")
    profile = {size: [dim.sizes[point] for dim in tensor.shape] for point, size in enumerate(sizes)}
    described: dict[str, Any] = {"dtype": str(tensor.dtype), "shape": [str(dim) for dim in tensor.shape]}
    return described if tensor.is_static else {**described, **profile}


def tactics_path(engine: Path) -> Path:
    """`net.engine` has the timing cache that it was built by in `net.engine.tactics`."""
    return engine.with_name(engine.name + TACTICS)


def manifest_path(engine: Path) -> Path:
    """`net.engine` has its manifest in `net.engine.json`."""
    return engine.with_name(engine.name + SUFFIX)


def files_of(engine: Path) -> tuple[Path, Path, Path]:
    """What a build may write: the engine, its manifest and its timing cache."""
    return engine, manifest_path(engine), tactics_path(engine)


def check_not_network(engine: Path) -> None:
    """Raise EngineFileError for the file of a network where that of an engine is asked for."""
    if engine.suffix in _NETWORKS:
        raise EngineFileError.of(
            "engine-missing",
            f"{engine} is the file of a network, not of an engine",
            hint=f"`trtdsl build {engine}` makes its engine; without one, `trtdsl explain {engine}` shows the TensorRT "
            f"calls that it becomes, and `trtdsl validate {engine}` checks it",
        )


def encode(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest's file."""
    return (json.dumps(manifest, indent=2) + "\n").encode()


def read(engine: Path) -> dict[str, Any]:
    """The manifest of an engine, one of an older format as if it were of this one with less to say.

    Raises EngineFileError when there is none or it is not one.
    """
    path = manifest_path(engine)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not engine.exists():
            raise EngineFileError.of("engine-missing", f"there is no engine {engine}") from None
        check_not_network(engine)
        raise EngineFileError.of(
            "manifest-missing",
            f"{engine} has no manifest: there is no {path.name} beside it",
            hint="engines that trtdsl builds have one; keep both files together",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise EngineFileError.of("manifest-damaged", f"{path} cannot be read: {reason}") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise EngineFileError.of(
            "manifest-format",
            f"{path} is a manifest of format {version}; this trtdsl knows those up to {FORMAT}",
            hint="a later trtdsl wrote it: install that, or build the engine again",
        )
    if version == 1:
        manifest = _from_first(manifest)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not _fits(manifest, _LAYOUT):
        raise EngineFileError.of("manifest-damaged", f"{path} is not a manifest of format {FORMAT}")
    return manifest


def _from_first(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 1, which knew neither what the inspector says nor the network itself."""
    unknown = {"why": "an older trtdsl built it", "found": {}, "differs": {}, "unverified": {}, "unquantized": {}}
    later: dict[str, Any] = {"given": None, "timing_cache": None, "tactics": {}, "network": []}
    for key in ("precision", "source"):
        if not isinstance(manifest.get(key), dict):
            return manifest
    source = {"path": manifest["source"].get("file"), **manifest["source"]}
    return {**later, **manifest, "format": FORMAT, "precision": {**unknown, **manifest["precision"]}, "source": source}


@dataclass(frozen=True)
class _Some:
    """A mapping that has no keys but these, and need not have them."""

    keys: Mapping[str, Any]


_GIVEN: Mapping[str, Any] = {
    "parameters": dict,
    "dims": dict,
    "weights": [str],
    "random_weights": bool,
    "precision": str,
    "scales": str,
    "impl": str,
    "plugins": [str],
    "options": dict,
    "target": object,
}
_TENSORS = {str: {"dtype": str, "shape": [str]}}
_LAYOUT: Mapping[Any, Any] = {
    "name": str,
    "recipe": str,
    "key": str,
    "engine": {"file": str, "sha256": str, "bytes": int},
    "source": {"file": str, "path": str, "git": (None, {"commit": str, "modified": bool})},
    "given": (None, _Some(_GIVEN)),
    "built_from": {
        "spec": str,
        "weights": [{"file": str, "weights": int, "sha256": str}],
        "plugins": [{"library": (None, str), "sha256": (None, str), "plugins": [{"name": str, "version": str}]}],
        "runtime": str,
        "gpu": (None, str),
        "options": dict,
        "dims": {str: [int]},
        "trtdsl": {"version": str, "code": str},
    },
    "inputs": _TENSORS,
    "outputs": _TENSORS,
    "precision": {
        "layers": {str: int},
        "others": {str: str},
        "verified": bool,
        "why": (None, str),
        "found": {str: int},
        "differs": {str: {"asked": str, "found": str, "why": str}},
        "unverified": {str: [str]},
        "unquantized": {str: str},
    },
    "implementations": {str: {"plugin": (None, str)}},
    "libraries": [str],
    "timing_cache": (None, {"file": str, "sha256": str}),
    "tactics": {str: str},
    "network": [str],
}
"""What has to be in a manifest for others to read it without a second look.

A tuple is one of several, a list has any number of one, and so has a mapping with the key `str`.
"""


def _fits(value: object, layout: Any) -> bool:
    if layout is None or isinstance(layout, type):
        return value is None if layout is None else isinstance(value, layout)
    if isinstance(layout, _Some):
        return isinstance(value, dict) and all(
            key in layout.keys and _fits(item, layout.keys[key]) for key, item in value.items()
        )
    if isinstance(layout, tuple):
        return any(_fits(value, one) for one in layout)
    if isinstance(layout, list):
        return isinstance(value, list) and all(_fits(item, layout[0]) for item in value)
    if not isinstance(value, dict):
        return False
    if str in layout:
        return all(_fits(item, layout[str]) for item in value.values())
    return all(key in value and _fits(value[key], inner) for key, inner in layout.items())


def verify(engine: Path, manifest: Mapping[str, Any]) -> None:
    """Check that an engine file is the one its manifest speaks of. Raises EngineFileError."""
    try:
        actual = sha256_of(engine)
    except OSError as error:
        raise _unreadable(engine, error) from None
    _check_hash(engine, actual, manifest)


def read_plan(engine: Path) -> bytes:
    """The bytes of an engine file. Raises EngineFileError."""
    try:
        return engine.read_bytes()
    except OSError as error:
        raise _unreadable(engine, error) from None


def verify_plan(engine: Path, plan: bytes, manifest: Mapping[str, Any]) -> None:
    """As `verify`, for the bytes that were read: another build may replace the file meanwhile."""
    _check_hash(engine, sha256(plan), manifest)


def _unreadable(engine: Path, error: OSError) -> EngineFileError:
    return EngineFileError.of("engine-missing", f"{engine} cannot be read: {reason_of(error)}")


def _check_hash(engine: Path, actual: str, manifest: Mapping[str, Any]) -> None:
    if actual != manifest["engine"]["sha256"]:
        raise EngineFileError.of(
            "engine-differs",
            f"{engine} is not the engine its manifest speaks of (their hashes differ)",
            hint=f"build it again: trtdsl build {manifest['source']['file']}",
        )
