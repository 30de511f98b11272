"""From a typed graph to an engine file with its manifest, by the shortest way that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.engine.builder import Built, Tactics, build_by_tactics
from trtdsl.engine.cache import EngineCache, has_recipe, is_current
from trtdsl.engine.files import Staged, check_places, sha256, sha256_of
from trtdsl.engine.inspection import Inspection, inspect
from trtdsl.engine.lock import Lock
from trtdsl.engine.manifest import Ingredients, Outcome, Request
from trtdsl.engine.progress import ProgressReporter
from trtdsl.engine.verification import asked_only, verify_precision
from trtdsl.errors import Diagnostic, Diagnostics, EngineFileError
from trtdsl.graph import Graph
from trtdsl.targets.gpu import has_gpu
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
    given: Mapping[str, Any] | None = None,
    allowed: tuple[str, ...] = (),
    locked: bool = False,
) -> EngineFile:
    """Write the engine of a typed graph to `output`, beside it its manifest and the timing cache it was built by.

    `spec` is the expanded network as text, `source` the file it came from, `given` what the manifest says was given
    beside that, `allowed` patterns over layers that may compute in another type than asked. With a cache, an engine of
    the same ingredients is taken from `output` itself or from the store, and a build starts from the tactics of the
    last one. A `locked` build comes to what the manifest at `output` says, or fails and writes nothing.

    Raises BuildError (also where the engine computes in other types than asked), BuildInterrupted, EngineFileError (no
    manifest to be locked to), OSError.
    """
    lock = Lock(output) if locked else None
    request = Request(graph, spec, source, given or {}, allowed)
    recipe = manifests.ingredients_but_weights(graph, spec, runtime, options)
    # Without knowing the GPU an engine from the store may have been tuned for another one.
    usable = cache if runtime.builds_without_gpu or recipe.gpu else None
    maker = _Maker(request, recipe, output)
    with ThreadPoolExecutor(1) as pool:
        # Hashing weights takes as long as reading them. It runs beside the build, unless it may save the build.
        hashing = pool.submit(recipe.with_weights_of, graph)
        if lock is not None:
            lock.check_ingredients(hashing.result(), request)
            # What the store has was not made by the lock's tactics.
            if is_current(output, hashing.result().key):
                return EngineFile(output, lock.manifest, reused=True)
        elif usable is not None and maker.may_reuse(usable) and (found := maker.reuse(hashing.result(), usable)):
            return found
        check_places(*manifests.files_of(output))
        diagnostics = Diagnostics()
        tactics = lock.tactics() if lock is not None else maker.known_tactics() if cache is not None else None
        built = build_by_tactics(graph, runtime, options, diagnostics, progress, tactics)
        plan = memoryview(built.plan)
        digest = pool.submit(sha256, plan)
        outcome = maker.outcome(built, runtime, options, digest.result)
        if lock is not None:
            lock.check_tactics(outcome, built, measures=runtime.has_timing_cache)
        with Staged() as staged:
            staged.write(output, plan)
            if built.timings is not None:
                staged.write(manifests.tactics_path(output), built.timings)
            made_of = hashing.result()
            manifest = maker.describe(made_of, outcome)
            staged.write(manifests.manifest_path(output), manifests.encode(manifest))
            staged.commit()
    if usable is not None:
        usable.store(recipe.key, made_of.key, output, manifest)
    return EngineFile(output, manifest, False, diagnostics.warnings)


@dataclass(frozen=True)
class _Maker:
    request: Request
    recipe: Ingredients
    output: Path

    def may_reuse(self, cache: EngineCache) -> bool:
        """Whether there is an engine of the same recipe, so that its weights are worth a look."""
        return has_recipe(self.output, self.recipe.key) or cache.has_recipe(self.recipe.key)

    def reuse(self, made_of: Ingredients, cache: EngineCache) -> EngineFile | None:
        """The engine of these ingredients, if the output is one already or the store has it."""
        found = self.output if is_current(self.output, made_of.key) else cache.find(self.recipe.key, made_of.key)
        try:
            return None if found is None else self._of(found, made_of)
        except (EngineFileError, OSError):
            if found is None or found == self.output or found.exists():
                raise
            return None  # another process has just trimmed the store

    def _of(self, found: Path, made_of: Ingredients) -> EngineFile:
        """The engine that stands there, brought to the output with a manifest of its own."""
        outcome = Outcome.of(manifests.read(found))
        if not _has_timings(found, outcome):
            outcome = replace(outcome, timings=None)
        # The manifest is made anew: the network's file may have another name or commit now.
        manifest = self.describe(made_of, outcome)
        path, text = manifests.manifest_path(self.output), manifests.encode(manifest)
        if found != self.output or path.read_bytes() != text:
            with Staged() as staged:
                if found != self.output:
                    staged.link(found, self.output)
                    if outcome.timings is not None:
                        staged.link(manifests.tactics_path(found), manifests.tactics_path(self.output))
                staged.write(path, text)
                staged.commit()
        return EngineFile(self.output, manifest, reused=True)

    def known_tactics(self) -> Tactics:
        """What the last build of this output measured; TensorRT takes of it what still fits."""
        try:
            return Tactics(manifests.tactics_path(self.output).read_bytes())
        except OSError:
            return Tactics()

    def outcome(self, built: Built, runtime: Runtime, options: BuildOptions, digest: Callable[[], str]) -> Outcome:
        """What the build came to. Raises BuildError where the engine computes in other types than asked."""
        plan = memoryview(built.plan)
        inspection = _inspected(plan, runtime, options)
        graph, allowed = self.request.graph, self.request.allowed
        if isinstance(inspection, str):
            report, tactics = asked_only(graph, inspection, allowed), {}
        else:
            report, tactics = verify_precision(graph, inspection, allowed), inspection.tactics
        report.check()
        timings = None
        if built.timings is not None:
            timings = {"sha256": sha256(built.timings), "bytes": len(built.timings)}
        return Outcome(digest(), plan.nbytes, report.as_dict(), tactics, timings)

    def describe(self, made_of: Ingredients, outcome: Outcome) -> dict[str, Any]:
        """The manifest."""
        return manifests.describe(self.request, self.recipe.key, made_of, self.output, outcome)


def _inspected(plan: memoryview, runtime: Runtime, options: BuildOptions) -> Inspection | str:
    """What an engine says of itself, or the reason for which nothing asks it."""
    if options.profiling_verbosity != "detailed":
        return f"`profiling_verbosity: {options.profiling_verbosity}` leaves out what the inspector would tell"
    if not has_gpu():
        name = "TensorRT-RTX" if runtime.is_rtx else "TensorRT"
        return f"{name} built it without a GPU, and an engine tells its types only where it can run"
    try:
        return inspect(runtime, plan, host_code=options.version_compatible)
    except EngineFileError as error:
        return "; ".join(entry.message for entry in error.diagnostics)


def _has_timings(engine: Path, outcome: Outcome) -> bool:
    """Whether the timing cache that an engine was built by lies beside it."""
    try:
        return outcome.timings is not None and (sha256_of(manifests.tactics_path(engine)) == outcome.timings["sha256"])
    except OSError:
        return False
