"""The Python interface: `trtdsl.load("net.yaml").build()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trtdsl.bind import bind
from trtdsl.build_options import BuildOptions
from trtdsl.check_weights import check_weights
from trtdsl.errors import Diagnostic, Diagnostics
from trtdsl.expand import dump, expand, override_nodes
from trtdsl.flat import FlatNetwork, FlatPrecision
from trtdsl.graph import Graph
from trtdsl.implementation import check_implementations
from trtdsl.includes import read_document
from trtdsl.infer import infer
from trtdsl.nodes import plain
from trtdsl.ops import CATALOGUE
from trtdsl.ops.attributes import DType
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.precision import assign_types
from trtdsl.reader import open_source
from trtdsl.schema import check
from trtdsl.source import Span
from trtdsl.types import PRECISIONS, DataType
from trtdsl.weights.library import FileUse

if TYPE_CHECKING:
    from trtdsl.engine import EngineFile, ProgressReporter
    from trtdsl.running import Array, Comparison, Given, Pictures
    from trtdsl.targets.runtime import Runtime


def load(
    path: str | Path,
    *,
    parameters: Mapping[str, object] | None = None,
    dims: Mapping[str, object] | None = None,
    weights: str | Path | Sequence[str | Path] | None = None,
    random_weights: bool = False,
    precision: str | None = None,
    impl: str | None = None,
    plugins: Sequence[str | Path] = (),
    check_finite: bool = False,
) -> Network:
    """Read, check and expand a network, find its weights and infer all shapes. Needs no TensorRT.

    `parameters` overrides params as `--set` does (`{"classes": 10}`, `{"cfg.depth": 2}`); `dims` gives declared
    dimensions other sizes, one or (min, opt, max) (`{"N": 4, "H": (64, 256, 1024)}`); `weights` replaces the files that
    the network names: one or several, each `FILE` or `PREFIX=FILE`; `random_weights` makes all weights up; `precision`
    replaces the default one, not what is asked for single layers, and so does `impl`; `plugins` are libraries of
    plugins besides those that the network names; `check_finite` refuses weights with NaN or infinity.

    Raises NetworkError with everything the first failing stage found, and ValueError for a wrong `precision`.
    """
    flat = flatten(
        path, parameters=parameters, dims=dims, weights=weights, precision=precision, impl=impl, plugins=plugins
    )
    return complete(flat, random_weights=random_weights, check_finite=check_finite)


def flatten(
    path: str | Path,
    *,
    parameters: Mapping[str, object] | None = None,
    dims: Mapping[str, object] | None = None,
    weights: str | Path | Sequence[str | Path] | None = None,
    precision: str | None = None,
    impl: str | None = None,
    plugins: Sequence[str | Path] = (),
) -> FlatNetwork:
    """Read, check and expand a network, and no more: weights need not be there. The arguments are those of `load`.

    Raises NetworkError with everything the first failing stage found.
    """
    diagnostics = Diagnostics()
    document = read_document(open_source(Path(path)), diagnostics)
    check(document, CATALOGUE, diagnostics)
    params = override_nodes(parameters or {}, "parameters", diagnostics)
    sizes = override_nodes(dims or {}, "dims", diagnostics)
    flat = expand(document, CATALOGUE, diagnostics, params=params, dims=sizes)
    if precision is not None:
        flat = replace(flat, precision=FlatPrecision(_precision(precision), flat.precision.patterns))
    if impl is not None:
        flat = replace(flat, impl=impl)
    if weights is not None:
        files = [weights] if isinstance(weights, (str, Path)) else weights
        flat = replace(flat, weights=tuple(map(FileUse.parse, files)))
    return replace(flat, libraries=(*flat.libraries, *(LibraryUse(Path(library)) for library in plugins)))


def complete(flat: FlatNetwork, *, random_weights: bool = False, check_finite: bool = False) -> Network:
    """Find a flat network's weights and infer all shapes: what `load` does after `flatten`. Raises NetworkError."""
    diagnostics = Diagnostics()
    graph = bind(flat, CATALOGUE, diagnostics, random_weights=random_weights)
    graph = infer(graph, diagnostics)
    typed = assign_types(graph)
    check_implementations(graph, typed, diagnostics)
    check_weights(typed, diagnostics, finite=check_finite)
    return Network(Path(flat.file.name), flat, graph, typed, diagnostics.warnings)


def _precision(name: str) -> DataType:
    return DType(*PRECISIONS).parse(name, {})


@dataclass(frozen=True)
class Network:
    """A network that has passed every check.

    `flat` is the network as expanded, `graph` has shapes as well, and in `typed` the precision is explicit casts.
    """

    path: Path
    flat: FlatNetwork
    graph: Graph
    typed: Graph
    warnings: tuple[Diagnostic, ...] = ()

    @cached_property
    def expanded(self) -> str:
        """The flat network as YAML that builds to the same thing."""
        return dump(self.flat, CATALOGUE)

    def options(self, overrides: Mapping[str, object] | None = None, target: str | None = None) -> BuildOptions:
        """The `build:` section, with some options given another value. Raises NetworkError for wrong ones."""
        diagnostics = Diagnostics()
        values: dict[str, tuple[object, Span | None]] = {}
        if self.flat.build is not None:
            values = {key.value: (plain(node), node.span) for key, node in self.flat.build}
        values |= {name: (value, None) for name, value in (overrides or {}).items()}
        if target is not None:
            values["target"] = (target, None)
        options = BuildOptions.parse(values, diagnostics)
        diagnostics.end_stage()
        return options

    def for_runtime(self, runtime: Runtime, diagnostics: Diagnostics | None = None) -> Graph:
        """The typed graph as a TensorRT builds it, with plugins where `impl` asks for them and they are there.

        `diagnostics` are told where they are not. Raises BuildError for libraries of plugins that do not load.
        """
        from trtdsl.bundled_library import for_runtime

        return for_runtime(self.graph, self.typed, runtime, diagnostics)

    def run(
        self,
        inputs: Mapping[str, Given] | None = None,
        *,
        reference: bool = False,
        seed: int = 0,
        pictures: Pictures | None = None,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        progress: ProgressReporter | None = None,
    ) -> dict[str, Array]:
        """The outputs for some inputs: of an engine on the GPU, or with `reference` in fp32 on a CPU.

        `inputs` are arrays, paths of .npy files, or paths of images, which `pictures` says how to read; inputs left
        out are random by `seed`, sizes left open at opt. The other arguments are those of `build`. The reference is
        ONNX Runtime's, of the network as if every precision were fp32. bf16 outputs are given as fp32.
        Raises RunError, ExportError (a reference of what ONNX cannot say), and what `build` raises.
        """
        from trtdsl.running import as_numbers, make_inputs, run_in_fp32

        made = make_inputs(self.graph, inputs or {}, seed=seed, pictures=pictures)
        if reference:
            return run_in_fp32(self.graph, made)
        from trtdsl.running.gpu import runner

        chosen = self.options(options, target)
        found = runner(runtime)
        delivered = found.run(self.for_runtime(found.runtime), chosen, made, progress)
        types = {output.name: self.typed.types[output.tensor].dtype for output in self.typed.outputs}
        return {name: as_numbers(array, types[name]) for name, array in delivered.items()}

    def compare(
        self,
        inputs: Mapping[str, Given] | None = None,
        *,
        layers: bool = False,
        seed: int = 0,
        pictures: Pictures | None = None,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        progress: ProgressReporter | None = None,
    ) -> Comparison:
        """How far the network is, in its own types, from the same in fp32: as ONNX, and as an engine on the GPU.

        What cannot run here is in the result with the reason. `layers` compares the tensors of all layers, not only
        the outputs, by an engine and a model that deliver them all. The arguments are those of `run`, which says what
        is raised.
        """
        from trtdsl.running import Comparer, make_inputs, with_every_layer
        from trtdsl.running.gpu import compare_engine

        made = make_inputs(self.graph, inputs or {}, seed=seed, pictures=pictures)
        chosen = self.options(options, target)
        comparer = Comparer(with_every_layer(self.graph) if layers else self.graph, made)
        ways = (comparer.onnx_form(), compare_engine(comparer, runtime, chosen, progress))
        return comparer.result(ways)

    def export_onnx(self, output: str | Path | None = None, *, external: bool | None = None) -> tuple[Path, ...]:
        """Write the network as an ONNX model; `output` defaults to the network's path with `.onnx`.

        `external` puts the weights beside the model, in `<output>.data`, or keeps them inside; by default they lie
        beside it from 64 MiB on. Gives the files written. Raises ExportError, OSError, RunError (no onnx is installed).
        """
        from trtdsl.export import export_onnx

        path = Path(output) if output is not None else self.path.with_suffix(".onnx")
        return export_onnx(self.typed, path, external=external)

    def export_script(
        self,
        output: str | Path | None = None,
        *,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> tuple[Path, ...]:
        """Write the network as a Python program of plain TensorRT calls; `output` defaults to the path with `.py`.

        `runtime` is as for `build`, of the version that is installed, else the latest known, or one with its version
        (`tensorrt-8.6`), which need not be. Gives the files written. Raises BuildError (the runtime cannot do it),
        NetworkError (wrong options), OSError; ValueError for another `runtime`.
        """
        from trtdsl.export import export_script
        from trtdsl.targets.runtime import describe_runtime

        path = Path(output) if output is not None else self.path.with_suffix(".py")
        chosen = self.options(options, target)
        described = describe_runtime(runtime)
        return export_script(self.for_runtime(described), path, described, chosen, self.path)

    def build(
        self,
        output: str | Path | None = None,
        *,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        cache: bool = True,
        progress: ProgressReporter | None = None,
    ) -> EngineFile:
        """Write the engine and its manifest; `output` defaults to the network's path with `.engine`.

        `runtime` is `auto`, `rtx` or `tensorrt`; `target` a compute capability to build for, such as `8.9` (RTX);
        `options` overrides entries of the `build:` section. Without `cache` an engine of the same ingredients is built
        again. Raises BuildError, BuildInterrupted, RuntimeUnavailableError, NetworkError (wrong options).
        """
        from trtdsl.engine import EngineCache, make_engine
        from trtdsl.targets.runtime import find_runtime

        chosen, found, diagnostics = self.options(options, target), find_runtime(runtime), Diagnostics()
        graph = self.for_runtime(found, diagnostics)
        made = make_engine(
            graph,
            self.expanded,
            self.path,
            Path(output) if output is not None else self.path.with_suffix(".engine"),
            found,
            chosen,
            cache=EngineCache.default() if cache else None,
            progress=progress,
        )
        return replace(made, warnings=(*diagnostics.warnings, *made.warnings))
