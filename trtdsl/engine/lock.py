"""Builds that have to come to what a manifest says: `--locked`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trtdsl.engine import manifest as manifests
from trtdsl.engine.builder import Built, Tactics
from trtdsl.engine.differences import Difference, differences, tactic_differences
from trtdsl.engine.files import sha256
from trtdsl.engine.manifest import Ingredients, Outcome, Request
from trtdsl.errors import BuildError, Diagnostic, EngineFileError, reason_of
from trtdsl.graph import Graph
from trtdsl.source import Span


class Lock:
    """The manifest of an engine, which need not be there, and the timing cache beside it."""

    def __init__(self, engine: Path) -> None:
        """Read the manifest. Raises EngineFileError without one."""
        self.engine = engine
        self.path = manifests.manifest_path(engine)
        if not self.path.exists():
            message = f"a locked build comes to what {self.path} says, and there is no such file"
            hint = "an unlocked build makes one; keep it, and the timing cache beside it"
            raise EngineFileError.of("manifest-missing", message, hint=hint)
        self.manifest = manifests.read(engine)

    def check_ingredients(self, made_of: Ingredients, request: Request) -> None:
        """Raise BuildError with every ingredient that is another one than the lock's."""
        found = differences(self.manifest, made_of.as_dict(), request.spec.splitlines(), places_of(request.graph))
        self._refuse(found, "an unlocked build makes a new lock")

    def tactics(self) -> Tactics:
        """The tactics to build by. Raises BuildError where the timing cache of the lock is missing or another one."""
        kept: Mapping[str, Any] | None = self.manifest["timing_cache"]
        chosen: Mapping[str, str] = self.manifest["tactics"]
        if kept is None:
            return Tactics(locked=True, chosen=chosen)
        path = manifests.tactics_path(self.engine)
        try:
            timings = path.read_bytes()
        except OSError as error:
            raise self._error(f"its timing cache {path} cannot be read: {reason_of(error)}") from None
        if sha256(timings) != kept["sha256"]:
            raise self._error(f"{path} is not the timing cache that it speaks of (their hashes differ)")
        return Tactics(timings, locked=True, chosen=chosen)

    def check_tactics(self, outcome: Outcome, built: Built, *, measures: bool) -> None:
        """Raise BuildError with every layer of the engine that a new build made by another tactic.

        `measures` says whether there is anything to choose.
        """
        untold = self.manifest["precision"]["why"] or outcome.precision["why"]
        if measures and untold:
            raise self._error(f"the tactics of the engine, now or then, are not known: {untold}")
        hint = "the engine was not written"
        if built.begun_anew:
            hint += f"; the lock's timing cache is not used: {built.begun_anew}"
        self._refuse(tactic_differences(self.manifest["tactics"], outcome.tactics), hint)

    def _refuse(self, found: Iterable[Difference], hint: str) -> None:
        refused = [Diagnostic("locked", f"{self.path}: {entry}", entry.span, hint) for entry in found]
        if refused:
            raise BuildError(refused)

    def _error(self, message: str) -> BuildError:
        return BuildError.of("locked", f"{self.path}: {message}")


def places_of(graph: Graph) -> dict[str, Span]:
    """Where the layers of a network stand in YAML."""
    return {layer.name: layer.origin.span for layer in graph.all_layers()}
