"""Engine files that run: `trtdsl.Engine("net.engine")`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from trtdsl.build_options import BuildOptions
from trtdsl.engine import manifest as manifests
from trtdsl.engine.plugins import load_plugins
from trtdsl.errors import RunError
from trtdsl.runtime.admission import admit
from trtdsl.runtime.buffers import pinned_array
from trtdsl.runtime.context import Context
from trtdsl.runtime.device import Device
from trtdsl.runtime.loaded import Loaded, load
from trtdsl.runtime.pool import Pool
from trtdsl.runtime.tensors import EngineTensor
from trtdsl.targets.gpu import has_gpu
from trtdsl.targets.runtime import Runtime, find_runtime


class Engine:
    """An engine on a GPU, from its loading to its release; a `with` statement releases it at its end.

    All methods may be called from several threads at once: each run takes a context of its own, and TensorRT lets
    several contexts of one engine run at the same time.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        gpu: int = 0,
        runtime: str = "auto",
        plugins: Sequence[str | Path] = (),
        dla_core: int | None = None,
        max_contexts: int | None = None,
    ) -> None:
        """Load an engine file. Its manifest is checked first: that it is of this file, this TensorRT and this GPU.

        `gpu` is the index of the GPU among those that CUDA sees, `plugins` are places where the libraries of plugins
        may be that it needs, `dla_core` the one to run on instead of the one it was built for. `max_contexts` bounds
        how many runs take memory at the same time; others wait. Raises EngineFileError for an engine, a manifest or a
        library that is missing or another one than it was, RunError, RuntimeUnavailableError.
        """
        path = Path(path)
        manifest = manifests.read(path)
        plan = manifests.read_plan(path)
        manifests.verify_plan(path, plan, manifest)
        if not has_gpu():
            network = manifest["source"]["file"]
            hint = f"on a CPU, `trtdsl run {network} --reference` gives the network's outputs in fp32"
            raise RunError.of("gpu-missing", "an engine needs a GPU to run, and there is none here", hint=hint)
        device, found = Device.open(gpu), find_runtime(runtime)
        admit(path, manifest, found, device.capability)
        load_plugins(path, manifest, found, [Path(library) for library in plugins])
        options = manifest["built_from"]["options"]
        core = options.get("dla_core") if dla_core is None else dla_core
        host_code = bool(options.get("version_compatible"))
        self._start(load(found, plan, device, dla_core=core, host_code=host_code), max_contexts)
        self.manifest = manifest

    @classmethod
    def of_plan(cls, runtime: Runtime, plan: Any, options: BuildOptions, *, gpu: int = 0) -> Engine:
        """An engine that was just built here with some options, from its bytes. Raises RunError."""
        engine = cls.__new__(cls)
        core, host_code = options.dla_core, options.version_compatible
        engine._start(load(runtime, plan, Device.open(gpu), dla_core=core, host_code=host_code), None)
        return engine

    manifest: Mapping[str, Any] | None = None
    """What it was built from; None for one that comes from no file."""

    def _start(self, loaded: Loaded, max_contexts: int | None) -> None:
        self._loaded: Loaded | None = loaded
        self._pool = Pool(max_contexts)
        self._contexts: weakref.WeakSet[Context] = weakref.WeakSet()
        self._making = threading.Lock()

    @property
    def is_released(self) -> bool:
        """Whether it runs no more."""
        return self._loaded is None

    @property
    def gpu(self) -> int:
        """The index of the GPU. Raises RunError once released."""
        return self._there.device.index

    @property
    def inputs(self) -> Mapping[str, EngineTensor]:
        """What it takes, by name. Raises RunError once released."""
        return MappingProxyType({entry.name: entry for entry in self._there.inputs})

    @property
    def outputs(self) -> Mapping[str, EngineTensor]:
        """What it gives, by name. Raises RunError once released."""
        return MappingProxyType({entry.name: entry for entry in self._there.outputs})

    def run(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Mapping[str, Any] | None = None,
        on_device: bool = False,
        stream: Any = None,
        profile: int | None = None,
        graph: bool = False,
    ) -> dict[str, Any]:
        """The outputs for some inputs, by name.

        `inputs` are arrays of numpy, or of the GPU with `__dlpack__` or `__cuda_array_interface__`, which are read
        where they lie; all in the types of the engine, bf16 and fp8 also as bits. Outputs are arrays of numpy, with
        `on_device` DeviceArrays, and those in `outputs` are written into the arrays given there, of host or GPU.

        Without a `stream` all is done on return. With one (its number, or PyTorch's, CuPy's or PyCUDA's object) the run
        is put on it, and only outputs for the host are waited for; until it is done, arrays of the GPU have to stay as
        they are. `profile` picks one of the optimisation profiles, which the shapes do otherwise. `graph` captures the
        run as a CUDA graph at the first time and launches that from then on, for runs on the same memory: with
        `on_device` that is so in a context of one's own, not here.

        Raises RunError for names, types, shapes and memory that do not fit, with all that is wrong, and where CUDA or
        TensorRT fails.
        """
        shapes = tuple(getattr(inputs.get(entry.name), "shape", None) for entry in self._there.inputs)
        with self._pool.borrowed(self._make_context, shapes) as context:
            return context.run_and_part(
                inputs,
                outputs=outputs or {},
                on_device=on_device,
                stream=stream,
                profile=profile,
                graph=graph,
            )

    def context(self) -> Context:
        """A context for one thread, whose memory for outputs is the same in every run. Raises RunError."""
        return self._make_context()

    def pinned(self, shape: Sequence[int], dtype: str = "float32") -> np.ndarray[Any, Any]:
        """An array of numpy's, of zeros, in page-locked memory: as an input it is copied to the GPU straight away.

        It has to stay as it is until the run is done. Raises RunError.
        """
        return pinned_array(self._there.device, tuple(shape), dtype)

    def prepare(
        self,
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        contexts: int = 1,
        profile: int | None = None,
        graph: bool = False,
    ) -> None:
        """Make contexts for so many threads and run each once on zeros, so that later runs find all in place.

        Inputs without an entry in `shapes` have the usual shape of the first profile, or of `profile`. Raises RunError,
        also for engines that read shapes on the host, where zeros make no sense.
        """
        zeros = {}
        for entry in self._there.inputs:
            if entry.on_host:
                message = f"{entry.name} is a shape, and zeros are none: run the engine once instead"
                raise RunError.of("engine-use", message)
            usual = entry.profiles[profile or 0][1] if 0 <= (profile or 0) < len(entry.profiles) else ()
            zeros[entry.name] = np.zeros((shapes or {}).get(entry.name, usual), entry.dtype.storage)
        self._prepare(zeros, contexts, profile, graph)

    def _prepare(self, zeros: Mapping[str, Any], count: int, profile: int | None, graph: bool) -> None:
        """Hold all contexts at once, so that there are as many."""
        if count:
            with self._pool.borrowed(self._make_context) as context:
                context.run(zeros, profile=profile, graph=graph)
                self._prepare(zeros, count - 1, profile, graph)

    def release(self) -> None:
        """Give back all memory, after the runs that are under way. A second time does nothing."""
        with self._making:
            loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        self._pool.close()
        for context in list(self._contexts):
            context.release()
        with loaded.device.active():
            loaded.engine = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def _there(self) -> Loaded:
        if self._loaded is None:
            raise RunError.of("engine-use", "the engine was released before")
        return self._loaded

    def _make_context(self) -> Context:
        with self._making:
            context = Context(self._there)
            self._contexts.add(context)
        return context
