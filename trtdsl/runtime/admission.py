"""Whether an engine can run here, as far as its manifest tells: asked before TensorRT sees the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trtdsl.errors import Diagnostic, EngineFileError
from trtdsl.targets.runtime import Runtime

_GPU = re.compile(r"(?P<name>.*), compute capability (?P<capability>[\d.]+), CUDA driver \d+")


def admit(engine: Path, manifest: Mapping[str, Any], runtime: Runtime, capability: str) -> None:
    """Check that an engine was built for this TensorRT and for GPUs of this compute capability.

    Raises EngineFileError that says what differs, and how to build it for what is here.
    """
    problems = [*_other_runtime(manifest, runtime), *_other_gpu(manifest, capability)]
    hint = f"build it here: trtdsl build {manifest['source']['file']}"
    if problems:
        raise EngineFileError(
            [Diagnostic("engine-elsewhere", f"{engine} {problem}", None, hint) for problem in problems]
        )


def _other_runtime(manifest: Mapping[str, Any], runtime: Runtime) -> Iterator[str]:
    built_with = str(manifest["built_from"]["runtime"])
    if built_with == str(runtime):
        return
    name, _, version = built_with.rpartition(" ")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    is_newer = str(runtime).startswith(f"{name} ") and runtime.version >= numbers
    if not (manifest["built_from"]["options"].get("version_compatible") and is_newer):
        yield f"was built with {built_with}, and {runtime} is to run it"


def _other_gpu(manifest: Mapping[str, Any], capability: str) -> Iterator[str]:
    """What TensorRT-RTX builds says nothing of a GPU; it names those it was built for among its options."""
    options = manifest["built_from"]["options"]
    if targets := options.get("target"):
        if capability not in targets:
            yield f"was built for GPUs of compute capability {' and '.join(targets)}, and this one has {capability}"
        return
    found = _GPU.fullmatch(manifest["built_from"]["gpu"] or "")
    if found is None or found["capability"] == capability:
        return
    compatible = options.get("hardware_compatibility") == "ampere_plus" and int(capability.partition(".")[0]) >= 8
    if not compatible:
        name, built_for = found["name"], found["capability"]
        yield f"was built on a {name} of compute capability {built_for}, and this GPU has {capability}"
