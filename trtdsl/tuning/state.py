"""What tuning has measured so far, kept in a file, so that it can be stopped and gone on with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trtdsl.engine.files import sha256, write_atomically
from trtdsl.errors import RunError, reason_of
from trtdsl.tuning.search import Assignment, Trial

_FORMAT = 1


class Trials:
    """The trials of one network, its data and its judge, by assignment. Writes its file after each."""

    def __init__(self, path: Path, ingredients: Mapping[str, Any]) -> None:
        """Read what a file has of the same ingredients; of others, or damaged, it counts for nothing."""
        self.path = path
        self._ingredients = json.loads(json.dumps(ingredients))
        self._trials: dict[str, dict[str, Any]] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["format"] == _FORMAT and kept["of"] == self._ingredients:
                self._trials = {key: dict(entry) for key, entry in kept["trials"].items() if _is_trial(entry)}
        self.found = len(self._trials)
        """How many trials the file had."""

    def get(self, assignment: Assignment) -> Trial | None:
        """The trial of an assignment, if it was measured."""
        entry = self._trials.get(_key(assignment))
        if entry is None:
            return None
        return Trial(math.inf if entry["error"] is None else entry["error"], entry["ms"])

    def add(self, assignment: Assignment, trial: Trial) -> None:
        """Keep a trial. Raises RunError where the file cannot be written."""
        counts: dict[str, int] = {}
        for dtype in assignment.values():
            counts[str(dtype)] = counts.get(str(dtype), 0) + 1
        error = trial.error if math.isfinite(trial.error) else None
        self._trials[_key(assignment)] = {"error": error, "ms": trial.time, "layers": counts}
        described = {"format": _FORMAT, "of": self._ingredients, "trials": self._trials}
        try:
            write_atomically(self.path, (json.dumps(described, indent=2) + "\n").encode())
        except OSError as error_:
            raise RunError.of("file", f"cannot write {self.path}: {reason_of(error_)}") from None


def _is_trial(entry: Any) -> bool:
    return isinstance(entry["error"], (float, int, type(None))) and isinstance(entry["ms"], (float, int, type(None)))


def _key(assignment: Assignment) -> str:
    return sha256(json.dumps({name: str(dtype) for name, dtype in sorted(assignment.items())}).encode())
