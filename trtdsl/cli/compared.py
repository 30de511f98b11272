"""What an engine was built from beside what there is now, for people and for other programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtdsl.errors import TrtdslError

if TYPE_CHECKING:
    from trtdsl.engine.differences import Difference


@dataclass(frozen=True)
class Compared:
    """The differences, or the reason for which nothing was compared; `command` builds the engine anew."""

    differences: tuple[Difference, ...]
    not_compared: str | None
    command: str
    runtime_seen: bool = True

    @property
    def is_current(self) -> bool:
        """Whether a build would now take the same ingredients."""
        return self.not_compared is None and not self.differences

    def as_dict(self) -> dict[str, Any]:
        return {
            "differences": [entry.as_dict() for entry in self.differences],
            "not_compared": self.not_compared,
            "command": self.command,
        }

    def lines(self) -> Iterator[str]:
        """What people read."""
        if self.not_compared is not None:
            yield f"not compared with what there is now: {self.not_compared}"
            return
        if not self.differences:
            yield "nothing is different now" + ("" if self.runtime_seen else " (no TensorRT is here to compare)")
            return
        yield "different now:"
        for entry in self.differences:
            yield f"  {entry}" + ("" if entry.span is None else f" ({entry.span.file_and_line})")
        yield f"to build it anew: {self.command}"


def compare(engine: Path, manifest: Mapping[str, Any], network: Path | None) -> Compared:
    """An engine beside the network it came from, as that is now."""
    path = network or _source(engine, manifest)
    if path is None:
        names = manifest["source"]["path"]
        return Compared((), f"{names} is not there; say where it is: trtdsl info {engine} NETWORK", "")
    if manifest["given"] is None:
        return Compared((), "an older trtdsl built it, which did not keep what was given", f"trtdsl build {path}")
    from trtdsl.api import load
    from trtdsl.overrides import Overrides, option_words

    kept = dict(manifest["given"])
    options, target = kept.pop("options", {}), kept.pop("target", None)
    overrides = Overrides.read(kept, engine.parent)
    words = [overrides.as_options(), option_words(options), f"--target {target}" if target else ""]
    runtime = "rtx" if "RTX" in manifest["built_from"]["runtime"] else "tensorrt"
    words += [f"--runtime {runtime}", f"-o {shlex.quote(str(engine))}"]
    command = f"trtdsl build {shlex.quote(str(path))} " + " ".join(filter(None, words))
    try:
        loaded = load(path, **overrides.values)
        found = loaded.differences(manifest, runtime, options=options, target=target)
    except TrtdslError as error:
        return Compared((), "\n".join(map(str, error.diagnostics)), command)
    except ValueError as error:
        return Compared((), f"what the manifest says was given is wrong: {error}", command)
    return Compared(found, None, command, _has(runtime))


def _source(engine: Path, manifest: Mapping[str, Any]) -> Path | None:
    """The network's file: where it was beside the engine, else under its name where this process works."""
    source = manifest["source"]
    places = (engine.parent / source["path"], engine.parent / source["file"], Path(source["file"]))
    return next((path for path in places if path.is_file()), None)


def _has(runtime: str) -> bool:
    from trtdsl.errors import RuntimeUnavailableError
    from trtdsl.targets.runtime import find_runtime

    try:
        find_runtime(runtime)
    except RuntimeUnavailableError:
        return False
    return True
