"""What is said of a network beside its file, as plain data: kept with engines, and said again to load it as it was."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtdsl.nodes import Node, plain
from trtdsl.weights.library import FileUse


@dataclass(frozen=True)
class Overrides:
    """The arguments of `load` that change a network, without those that leave it as its file says."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        parameters: Mapping[str, object] | None = None,
        dims: Mapping[str, object] | None = None,
        weights: str | Path | Sequence[str | Path] | None = None,
        random_weights: bool = False,
        precision: str | None = None,
        scales: str | Path | None = None,
        impl: str | None = None,
        plugins: Sequence[str | Path] = (),
    ) -> Overrides:
        files = [weights] if isinstance(weights, (str, Path)) else weights or ()
        values = {
            "parameters": _plain(parameters or {}),
            "dims": _plain(dims or {}),
            "weights": [str(file) for file in files],
            "random_weights": random_weights,
            "precision": precision,
            "scales": None if scales is None else str(scales),
            "impl": impl,
            "plugins": [str(library) for library in plugins],
        }
        return cls({name: value for name, value in values.items() if value})

    def kept_in(
        self, folder: Path, options: Mapping[str, object] | None = None, target: str | None = None
    ) -> dict[str, Any]:
        """Plain data in which the paths of files are relative to a folder, with what a build was told besides."""
        kept = self._with_paths(lambda path: Path(os.path.relpath(path, folder)).as_posix())
        if options:
            kept["options"] = {name: list(v) if isinstance(v, tuple) else v for name, v in options.items()}
        return kept if target is None else {**kept, "target": target}

    @classmethod
    def read(cls, kept: Mapping[str, Any], folder: Path) -> Overrides:
        """What `kept_in` gave, with paths that hold where this process works."""
        return cls(cls(kept)._with_paths(lambda path: str(folder / path)))

    def _with_paths(self, moved: Callable[[str | Path], str]) -> dict[str, Any]:
        values = dict(self.values)
        if "weights" in values:
            uses = [FileUse.parse(file) for file in values["weights"]]
            values["weights"] = [(f"{use.prefix}=" if use.prefix else "") + moved(use.path) for use in uses]
        if "scales" in values:
            values["scales"] = moved(values["scales"])
        if "plugins" in values:
            values["plugins"] = [moved(path) for path in values["plugins"]]
        return values

    def as_options(self) -> str:
        """The same as options of the command line."""
        words: list[str] = []
        for name, option in (("parameters", "--set"), ("dims", "--dim")):
            for key, value in self.values.get(name, {}).items():
                words += [option, f"{key}={_written(value, option)}"]
        for name, option in (("weights", "--weights"), ("plugins", "--plugins")):
            for value in self.values.get(name, ()):
                words += [option, value]
        for name in ("precision", "scales", "impl"):
            if name in self.values:
                words += [f"--{name}", self.values[name]]
        if self.values.get("random_weights"):
            words.append("--random-weights")
        return shlex.join(words)


def option_words(options: Mapping[str, Any]) -> str:
    """Build options as options of the command line."""
    return shlex.join(_alternating("--option", (f"{name}={json.dumps(value)}" for name, value in options.items())))


def _alternating(option: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _written(value: Any, option: str) -> str:
    if option == "--dim" and isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Values as JSON holds them; those from the command line are nodes of YAML."""
    return {name: json.loads(json.dumps(_bare(value))) for name, value in values.items()}


def _bare(value: object) -> Any:
    return plain(value) if isinstance(value, Node) else value
