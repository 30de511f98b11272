"""From a typed graph to an engine file with its manifest, by the shortest way that is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.engine.builder import build
from trtdsl.engine.cache import EngineCache, is_current, place
from trtdsl.engine.files import sha256, write_atomically
from trtdsl.engine.progress import ProgressReporter
from trtdsl.errors import Diagnostic, Diagnostics
from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime


@dataclass(frozen=True)
class EngineFile:
    """An engine on disk. `reused` says that nothing had to be built; `warnings` what TensorRT warned of otherwise."""

    path: Path
    manifest: Mapping[str, Any]
    reused: bool
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def manifest_path(self) -> Path:
        return manifests.manifest_path(self.path)


def make_engine(
    graph: Graph,
    spec: str,
    source: Path,
    output: Path,
    runtime: Runtime,
    options: BuildOptions,
    *,
    cache: EngineCache | None = None,
    progress: ProgressReporter | None = None,
) -> EngineFile:
    """Write the engine of a typed graph to `output`, its manifest beside it.

    `spec` is the expanded network as text, `source` the file it came from. With a cache, an engine of the same
    ingredients is taken from `output` itself or from the store. Raises BuildError, BuildInterrupted, OSError.
    """
    made_of = manifests.ingredients(graph, spec, runtime, options)
    # Without knowing the GPU an engine from the store may have been tuned for another one.
    usable = cache if runtime.builds_without_gpu or made_of.gpu else None
    if usable is not None and (found := _reuse(made_of, graph, source, output, usable)):
        return found
    diagnostics = Diagnostics()
    plan = memoryview(build(graph, runtime, options, diagnostics, progress))
    write_atomically(output, plan)
    manifest = manifests.describe(graph, made_of, output, sha256(plan), plan.nbytes, source)
    manifests.write(manifest, output)
    if usable is not None:
        usable.store(made_of.key, output, manifest)
    return EngineFile(output, manifest, False, diagnostics.warnings)


def _reuse(
    made_of: manifests.Ingredients, graph: Graph, source: Path, output: Path, cache: EngineCache
) -> EngineFile | None:
    if not is_current(output, made_of.key):
        found = cache.find(made_of.key)
        if found is None:
            return None
        output.parent.mkdir(parents=True, exist_ok=True)
        engine = manifests.read(found)["engine"]
        place(found, output)
    else:
        engine = manifests.read(output)["engine"]
    # The manifest is written anew: the network's file may have another name or commit now.
    manifest = manifests.describe(graph, made_of, output, engine["sha256"], engine["bytes"], source)
    manifests.write(manifest, output)
    return EngineFile(output, manifest, reused=True)
