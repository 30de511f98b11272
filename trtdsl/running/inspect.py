"""What an engine file tells of its layers, with the plugins that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trtdsl.engine import manifest as manifests
from trtdsl.engine.inspection import Inspection, inspect
from trtdsl.engine.plugins import load_plugins
from trtdsl.errors import RunError
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.targets.gpu import has_gpu
from trtdsl.targets.plugins import load_libraries
from trtdsl.targets.runtime import find_runtime


def inspect_engine(engine: Path, choice: str = "auto", libraries: Sequence[Path] = ()) -> Inspection:
    """The inspector's records of an engine file, which needs no manifest unless that names plugins.

    Raises EngineFileError, RunError without a GPU, RuntimeUnavailableError, BuildError for libraries that do not load.
    """
    plan = manifests.read_plan(engine)
    manifests.check_not_network(engine)
    if not has_gpu():
        raise RunError.of(
            "gpu-missing",
            "an engine tells of its layers only where it can run, and there is no GPU here",
            hint=f"`trtdsl info {engine}` has what was found when it was built",
        )
    runtime = find_runtime(choice)
    host_code = False
    if manifests.manifest_path(engine).exists():
        manifest = manifests.read(engine)
        # Code is run of an engine alone that is known to be the one that was built.
        manifests.verify_plan(engine, plan, manifest)
        host_code = bool(manifest["built_from"]["options"].get("version_compatible"))
        load_plugins(engine, manifest, runtime, libraries)
    elif libraries:
        load_libraries([LibraryUse(path) for path in libraries], runtime)
    return inspect(runtime, plan, host_code=host_code)
