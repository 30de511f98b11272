"""Real YAML, any catalogue of ops, and the network that TensorRT-RTX makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtdsl.bind import bind
from trtdsl.engine.log import BuildLog
from trtdsl.errors import Diagnostics
from trtdsl.expand import expand
from trtdsl.graph import Graph
from trtdsl.includes import read_document
from trtdsl.infer import infer
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import Op
from trtdsl.precision import assign_types
from trtdsl.reader import open_source
from trtdsl.schema import check
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.tensorrt import emit


def typed(path: Path, text: str, catalogue: Mapping[str, type[Op]] = CATALOGUE) -> Graph:
    """The typed graph of a network with made-up weights, whose text is written to `path`."""
    path.write_text(f"trtdsl: 1\n{text}")
    diagnostics = Diagnostics()
    document = read_document(open_source(path), diagnostics)
    check(document, catalogue, diagnostics)
    flat = expand(document, catalogue, diagnostics)
    return assign_types(infer(bind(flat, catalogue, diagnostics, random_weights=True), diagnostics))


@dataclass
class Emitted:
    """An INetworkDefinition, and what has to outlive it."""

    network: Any
    log: BuildLog
    alive: tuple[Any, ...]

    @property
    def layers(self) -> list[Any]:
        return [self.network.get_layer(index) for index in range(self.network.num_layers)]

    @property
    def inputs(self) -> list[str]:
        return [self.network.get_input(index).name for index in range(self.network.num_inputs)]

    @property
    def outputs(self) -> list[str]:
        return [self.network.get_output(index).name for index in range(self.network.num_outputs)]


def emitted(graph: Graph, runtime: Runtime, wrapper: Any = None) -> Emitted:
    """The network of a graph; `wrapper` may stand in front of it to see the calls."""
    log = BuildLog(runtime)
    builder = runtime.module.Builder(log.logger)
    network = builder.create_network(runtime.network_flags(strongly_typed=True))
    alive = emit(graph, wrapper(network) if wrapper else network, runtime, log, strongly_typed=True)
    return Emitted(network, log, (builder, alive))
