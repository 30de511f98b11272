"""An engine's ingredients beside those that a build would take now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtdsl.build_options import BuildOptions
from trtdsl.bundled_library import for_runtime
from trtdsl.engine.differences import Difference, differences
from trtdsl.engine.lock import places_of
from trtdsl.engine.manifest import ingredients_but_weights
from trtdsl.errors import RuntimeUnavailableError
from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime, find_runtime


def differences_now(
    manifest: Mapping[str, Any], graph: Graph, typed: Graph, spec: str, options: BuildOptions, choice: str
) -> tuple[Difference, ...]:
    """How what a manifest says differs from a network as it is now: an inferred graph, its typed one, its text.

    Where there is no TensorRT of the kind chosen, nothing is said of it, of the GPU and of plugins. Raises BuildError
    for libraries of plugins that do not load.
    """
    try:
        runtime = find_runtime(choice)
    except RuntimeUnavailableError:
        runtime = None
    if runtime is not None:
        typed = for_runtime(graph, typed, runtime)
    made_of = ingredients_but_weights(typed, spec, runtime or Runtime(choice, ()), options).with_weights_of(typed)
    unknown = () if runtime is not None else ("runtime", "gpu", "plugins")
    now = {key: value for key, value in made_of.as_dict().items() if key not in unknown}
    return differences(manifest, now, spec.splitlines(), places_of(graph))
