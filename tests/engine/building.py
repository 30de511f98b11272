"""A small network in a folder, and builds of it with TensorRT-RTX."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import trtdsl
from trtdsl.build_options import BuildOptions
from trtdsl.engine import EngineCache, EngineFile, make_engine
from trtdsl.targets.runtime import Runtime

TEXT = """\
trtdsl: 1
name: small
dims: {N: [1, 2, 4]}
inputs: {x: [N, 6]}
weights: {"": w.safetensors, part: p.safetensors}
layers:
  - {op: linear, name: fc, out_features: 6}
  - {op: linear, name: part.fc, out_features: 6}
  - {op: tanh, name: last}
"""


def weights(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    numbers = np.random.default_rng(seed)
    return {
        "fc.weight": numbers.standard_normal((6, 6)).astype(np.float32),
        "fc.bias": np.zeros(6, np.float32),
        "spare": np.ones(3, np.float32),
    }


class Project:
    """A folder with `net.yaml` and its weights."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "net.yaml"
        self.runtime = runtime
        self.cache: EngineCache | None = EngineCache(folder / "store")
        self.write(TEXT)
        self.save(weights(), weights(1))

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def save(self, main: Mapping[str, Any], part: Mapping[str, Any] | None = None) -> None:
        save_file(dict(main), self.path.with_name("w.safetensors"))
        if part is not None:
            save_file(dict(part), self.path.with_name("p.safetensors"))

    @property
    def output(self) -> Path:
        return self.path.with_suffix(".engine")

    def build(self, output: Path | None = None, **arguments: Any) -> EngineFile:
        """Build with this project's store; `arguments` are trtdsl.load's, or build options."""
        described = {name: arguments.pop(name) for name in ("precision", "random_weights") if name in arguments}
        network = trtdsl.load(self.path, **described)
        made = {name: arguments.pop(name) for name in ("locked", "allowed") if name in arguments}
        options = arguments.pop("options", None) or network.options(arguments)
        return make_engine(
            network.typed,
            network.expanded,
            self.path,
            output or self.output,
            self.runtime,
            options,
            cache=self.cache,
            **made,
        )

    def key(self, **arguments: Any) -> str:
        """The key of the ingredients, without a build."""
        from trtdsl.engine.manifest import ingredients_but_weights

        described = {name: arguments.pop(name) for name in ("precision", "random_weights") if name in arguments}
        network = trtdsl.load(self.path, **described)
        options: BuildOptions = network.options(arguments)
        recipe = ingredients_but_weights(network.typed, network.expanded, self.runtime, options)
        return recipe.with_weights_of(network.typed).key


def is_whole(engine: Path) -> bool:
    """Whether an engine and its manifest belong together."""
    manifest = json.loads(engine.with_name(f"{engine.name}.json").read_text())
    digest: str = manifest["engine"]["sha256"]
    return hashlib.sha256(engine.read_bytes()).hexdigest() == digest
