"""From a typed graph to an engine file with its manifest, by the shortest way that is right."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.engine.builder import build
from trtdsl.engine.cache import EngineCache, has_recipe, is_current
from trtdsl.engine.files import Staged, check_places, sha256
from trtdsl.engine.manifest import Ingredients
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
    recipe = manifests.ingredients_but_weights(graph, spec, runtime, options)
    # Without knowing the GPU an engine from the store may have been tuned for another one.
    usable = cache if runtime.builds_without_gpu or recipe.gpu else None
    maker = _Maker(graph, recipe, source, output)
    with ThreadPoolExecutor(1) as pool:
        # Hashing weights takes as long as reading them. It runs beside the build, unless it may save the build.
        hashing = pool.submit(recipe.with_weights_of, graph)
        if usable is not None and maker.may_reuse(usable) and (found := maker.reuse(hashing.result(), usable)):
            return found
        check_places(output, manifests.manifest_path(output))
        diagnostics = Diagnostics()
        plan = memoryview(build(graph, runtime, options, diagnostics, progress))
        digest = pool.submit(sha256, plan)
        with Staged() as staged:
            staged.write(output, plan)
            made_of = hashing.result()
            manifest = maker.describe(made_of, digest.result(), plan.nbytes)
            staged.write(manifests.manifest_path(output), manifests.encode(manifest))
            staged.commit()
    if usable is not None:
        usable.store(recipe.key, made_of.key, output, manifest)
    return EngineFile(output, manifest, False, diagnostics.warnings)


@dataclass(frozen=True)
class _Maker:
    graph: Graph
    recipe: Ingredients
    source: Path
    output: Path

    def may_reuse(self, cache: EngineCache) -> bool:
        """Whether there is an engine of the same recipe, so that its weights are worth a look."""
        return has_recipe(self.output, self.recipe.key) or cache.has_recipe(self.recipe.key)

    def reuse(self, made_of: Ingredients, cache: EngineCache) -> EngineFile | None:
        """The engine of these ingredients, if the output is one already or the store has it."""
        found = self.output if is_current(self.output, made_of.key) else cache.find(self.recipe.key, made_of.key)
        if found is None:
            return None
        engine = manifests.read(found)["engine"]
        # The manifest is made anew: the network's file may have another name or commit now.
        manifest = self.describe(made_of, engine["sha256"], engine["bytes"])
        path, text = manifests.manifest_path(self.output), manifests.encode(manifest)
        if found != self.output or path.read_bytes() != text:
            with Staged() as staged:
                if found != self.output:
                    staged.link(found, self.output)
                staged.write(path, text)
                staged.commit()
        return EngineFile(self.output, manifest, reused=True)

    def describe(self, made_of: Ingredients, digest: str, size: int) -> dict[str, Any]:
        """The manifest."""
        return manifests.describe(self.graph, self.recipe.key, made_of, self.output, digest, size, self.source)
