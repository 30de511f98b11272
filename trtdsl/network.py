"""Networks that passed every check, and all that can be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from trtdsl.bind import bind
from trtdsl.build_options import BuildOptions
from trtdsl.check_weights import check_weights
from trtdsl.errors import Diagnostic, Diagnostics, RunError
from trtdsl.expand import dump
from trtdsl.flat import FlatNetwork
from trtdsl.graph import Graph
from trtdsl.implementation import check_implementations
from trtdsl.infer import infer
from trtdsl.nodes import plain
from trtdsl.ops import CATALOGUE
from trtdsl.ops.attributes import DType
from trtdsl.outputs import check_outputs
from trtdsl.overrides import Overrides
from trtdsl.precision import assign_types
from trtdsl.profiles import check_profiles
from trtdsl.quantization import in_floats, settle_quantization
from trtdsl.source import Span
from trtdsl.types import PRECISIONS, QUANTIZED_PRECISIONS

if TYPE_CHECKING:
    from trtdsl.engine import EngineFile, ProgressReporter
    from trtdsl.engine.differences import Difference
    from trtdsl.running import Array, Comparison, Given, Pictures
    from trtdsl.runtime import Engine
    from trtdsl.targets.runtime import Runtime
    from trtdsl.tuning import Reporter, Tuned

PRECISION = DType(*PRECISIONS, *QUANTIZED_PRECISIONS)
"""What layers may compute in."""


@dataclass(frozen=True)
class Network:
    """A network that has passed every check.

    `flat` is the network as expanded, `graph` has shapes as well, and in `typed` the precision is explicit casts.
    `overrides` is what was said beside the file, which engines keep.
    """

    path: Path
    flat: FlatNetwork
    graph: Graph
    typed: Graph
    warnings: tuple[Diagnostic, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)

    @classmethod
    def of(
        cls, flat: FlatNetwork, *, random_weights: bool = False, check_finite: bool = False, quantized: bool = True
    ) -> Network:
        """A flat network with its weights and all shapes; the arguments are those of `load`. Raises NetworkError."""
        diagnostics = Diagnostics()
        graph = infer(bind(flat, CATALOGUE, diagnostics, random_weights=random_weights), diagnostics)
        graph = settle_quantization(graph, flat.quantization, diagnostics) if quantized else in_floats(graph)
        typed = assign_types(graph)
        check_implementations(graph, typed, diagnostics)
        check_weights(typed, diagnostics, finite=check_finite)
        network = cls(Path(flat.file.name), flat, graph, typed, diagnostics.warnings)
        network.options()  # what `build` asks for is about the network too
        return network

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
        check_profiles(options, self.graph.dims, diagnostics)
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
        gpu: int = 0,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        progress: ProgressReporter | None = None,
    ) -> dict[str, Array]:
        """The outputs for some inputs: of an engine on the GPU, or with `reference` in fp32 on a CPU.

        `inputs` are arrays, paths of .npy files, or paths of images, which `pictures` says how to read; inputs left
        out are random by `seed`, sizes left open at opt. The other arguments are those of `engine`. The reference is
        ONNX Runtime's, of the network as if every precision were fp32. bf16 outputs are given as fp32.
        Raises RunError, ExportError (a reference of what ONNX cannot say), and what `build` raises.
        """
        from trtdsl.running import as_numbers, make_inputs, run_in_fp32

        made = make_inputs(self.graph, inputs or {}, seed=seed, pictures=pictures)
        if reference:
            return run_in_fp32(self.graph, made)
        with self.engine(gpu=gpu, runtime=runtime, target=target, options=options, progress=progress) as engine:
            delivered = engine.run(made)
        types = {output.name: self.typed.types[output.tensor].dtype for output in self.typed.outputs}
        return {name: as_numbers(array, types[name]) for name, array in delivered.items()}

    def engine(
        self,
        *,
        gpu: int = 0,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        cache: bool = True,
        progress: ProgressReporter | None = None,
    ) -> Engine:
        """The network as an engine that runs, built or out of the store of earlier builds; no file is left behind.

        `gpu` is the index of the GPU to run on; the builder takes the first. The other arguments are those of `build`,
        which says what is raised; RunError besides, where there is no GPU.
        """
        from trtdsl.running.gpu import runner
        from trtdsl.runtime import Engine

        runner(runtime)
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.path.stem}.engine"
            made = self.build(path, runtime=runtime, target=target, options=options, cache=cache, progress=progress)
            return Engine(made.path, gpu=gpu, runtime=runtime)

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

    def calibrate(
        self,
        data: str | Path,
        output: str | Path | None = None,
        *,
        method: str = "entropy",
        percentile: float = 99.99,
        limit: int | None = None,
        pictures: Pictures | None = None,
        device: str = "cpu",
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        progress: ProgressReporter | None = None,
    ) -> tuple[Path, int]:
        """Write the scales that int8 and fp8 need, from what tensors hold over a folder of data.

        `data` is as `running.read_dataset` reads it, at most `limit` files of it, images as `pictures` says; `output`
        defaults to the network's path with `.scales`. `method` is `entropy`, `min-max` or `percentile`, which
        keeps so many of a hundred elements. The network runs in fp32, on a CPU by ONNX Runtime, or with the device
        `gpu` as an engine. Gives the file and how many scales it has. Raises RunError for data that do not fit, hold
        NaN or leave a tensor at zero or at numbers that have no scale, ExportError, OSError; ValueError for another
        `method`, `percentile` or `device`; on a GPU what `build` raises.
        """
        from trtdsl.calibration import calibrate, loader
        from trtdsl.engine.files import write_atomically
        from trtdsl.running import read_dataset
        from trtdsl.running.dataset import data_files

        path = Path(output) if output is not None else self.path.with_suffix(".scales")
        check_outputs([path], self.flat, self.graph, data=data_files(Path(data)), scales=False)
        graph = in_floats(self.graph)
        found = read_dataset(graph, Path(data), pictures=pictures, limit=limit)
        load = loader(device, runtime, self.options(options, target), progress)
        text = calibrate(graph, found, load, method=method, percentile=percentile)
        write_atomically(path, str(text).encode())
        return path, len(text.scales)

    def tune(
        self,
        data: str | Path,
        *,
        tolerance: float = 1e-2,
        types: Sequence[str] = ("fp16",),
        limit: int | None = None,
        pictures: Pictures | None = None,
        device: str = "gpu",
        trials: int = 40,
        state: str | Path | None = None,
        write: bool = True,
        runtime: str = "auto",
        target: str | None = None,
        options: Mapping[str, object] | None = None,
        progress: ProgressReporter | None = None,
        reporter: Reporter | None = None,
    ) -> Tuned:
        """Find the cheapest types that keep all outputs within a relative error of fp32, and write them into the file.

        `data` is as `running.read_dataset` reads it, at most `limit` files of it. Layers are tried in `types`, one
        after the other, but for those whose precision they themselves or a group around them say. The device `gpu`
        measures engines, their errors and their times; `cpu` lets ONNX Runtime say the errors alone. At most `trials`
        assignments are measured; `state` keeps them, by default the network's path with `.tune.json`, and a second run
        goes on from there. Without `write` the file stays as it is. Raises RunError for data that do not fit, and where
        there is nothing to tune or to measure it; ExportError; OSError; ValueError for another type or `device`; on a
        GPU what `build` raises.
        """
        from trtdsl.running import read_dataset
        from trtdsl.running.dataset import data_files
        from trtdsl.tuning import OnCpu, OnGpu, Subject, trials_of, tune

        kept = Path(state) if state is not None else self.path.with_suffix(".tune.json")
        check_outputs([kept], self.flat, self.graph, data=data_files(Path(data)))
        if "precision" in self.overrides.values:
            message = f"tuning writes types into {self.path}, so the precision it starts from has to stand there too"
            raise RunError.of("tune", message)
        if device not in ("cpu", "gpu"):
            raise ValueError(f"a device is cpu or gpu, not {device!r}")
        dtypes = [PRECISION.parse(name, {}) for name in types]
        graph, is_random = in_floats(self.graph), bool(self.overrides.values.get("random_weights"))
        found = read_dataset(graph, Path(data), pictures=pictures, limit=limit)
        chosen = self.options(options, target)
        judge = OnCpu(graph, found) if device == "cpu" else OnGpu(graph, found, runtime, chosen, progress)
        subject = Subject(
            self.flat,
            graph,
            lambda said: Network.of(replace(self.flat, precision=said), random_weights=is_random).graph,
        )
        known = trials_of(kept, subject, found, judge)
        tuned = tune(subject, judge, tolerance, dtypes=dtypes, trials=known, builds=trials, reporter=reporter)
        if write:
            tuned.write()
        return tuned

    def export_onnx(self, output: str | Path | None = None, *, external: bool | None = None) -> tuple[Path, ...]:
        """Write the network as an ONNX model; `output` defaults to the network's path with `.onnx`.

        `external` puts the weights beside the model, in `<output>.data`, or keeps them inside; by default they lie
        beside it from 64 MiB on. Gives the files written. Raises ExportError, OSError, RunError (no onnx is installed).
        """
        from trtdsl.export import export_onnx

        path = Path(output) if output is not None else self.path.with_suffix(".onnx")
        check_outputs([path], self.flat, self.graph)
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
        from trtdsl.export import export_script, script_weights
        from trtdsl.targets.runtime import describe_runtime

        path = Path(output) if output is not None else self.path.with_suffix(".py")
        check_outputs([path, script_weights(path)], self.flat, self.graph)
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
        locked: bool = False,
        progress: ProgressReporter | None = None,
    ) -> EngineFile:
        """Write the engine, its manifest and its timing cache; `output` defaults to the network's path with `.engine`.

        `runtime` is `auto`, `rtx` or `tensorrt`; `target` a compute capability to build for, such as `8.9` (RTX);
        `options` overrides entries of the `build:` section. Without `cache` an engine of the same ingredients is built
        again, and every tactic measured. A `locked` build comes to what the manifest at `output` says, by the same
        tactics, or fails. Raises BuildError (also where the engine computes in other types than asked),
        BuildInterrupted, RuntimeUnavailableError, NetworkError (wrong options), EngineFileError (nothing to be locked
        to).
        """
        from trtdsl.engine import EngineCache, make_engine
        from trtdsl.engine.manifest import files_of
        from trtdsl.targets.runtime import find_runtime

        path = Path(output) if output is not None else self.path.with_suffix(".engine")
        check_outputs(files_of(path), self.flat, self.graph)
        chosen, found, diagnostics = self.options(options, target), find_runtime(runtime), Diagnostics()
        graph = self.for_runtime(found, diagnostics)
        made = make_engine(
            graph,
            self.expanded,
            self.path,
            path,
            found,
            chosen,
            cache=EngineCache.default() if cache else None,
            progress=progress,
            given=self.overrides.kept_in(path.parent, options, target),
            allowed=self.flat.precision.allowed,
            locked=locked,
        )
        return replace(made, warnings=(*diagnostics.warnings, *made.warnings))

    def differences(
        self,
        manifest: Mapping[str, Any],
        runtime: str = "auto",
        *,
        options: Mapping[str, object] | None = None,
        target: str | None = None,
    ) -> tuple[Difference, ...]:
        """How what an engine's manifest says that it was built from differs from what a build would take now.

        Where there is no TensorRT of that kind, nothing is said of it, of the GPU and of plugins. Raises NetworkError
        (wrong options), BuildError (libraries of plugins that do not load).
        """
        from trtdsl.present import differences_now

        chosen = self.options(options, target)
        return differences_now(manifest, self.graph, self.typed, self.expanded, chosen, runtime)
