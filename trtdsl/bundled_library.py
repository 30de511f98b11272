"""Networks as one TensorRT builds them: with the plugins of the compiled library that comes with trtdsl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trtdsl.errors import Diagnostics, layers_stay
from trtdsl.graph import Graph
from trtdsl.implementation import chooses_plugins, implement, leaves_open
from trtdsl.plugins.declaration import NAMESPACE
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.plugins.registry import PluginError
from trtdsl.plugins.use import PluginUse
from trtdsl.precision import assign_types
from trtdsl.quantization import without_missing_kernels
from trtdsl.targets.order import in_order_of_adding
from trtdsl.targets.plugins import BUILD_THE_LIBRARY, PluginSource, needs_bundled, registry_of
from trtdsl.targets.runtime import Runtime


def bundled_library(runtime: Runtime) -> LibraryUse | None:
    """The library that was compiled for a TensorRT; None where there is none, or the TensorRT takes no plugins."""
    if runtime.module is None or not runtime.has_method("add_plugin_v2"):
        return None
    from trtdsl.library import cached_library

    path = cached_library(runtime.version)
    return None if path is None else LibraryUse(path)


def for_runtime(graph: Graph, typed: Graph, runtime: Runtime, diagnostics: Diagnostics | None = None) -> Graph:
    """The typed graph as a TensorRT builds it: layers that may be plugins are, where the plugins are there.

    `graph` is the one that infer made, `typed` what typing made of it. The compiled library is among the libraries of
    the result if a layer needs it. Where it is not compiled, the network may name it itself, and whoever misses plugins
    that were asked for says how to get them; that others stay native `diagnostics` are told. Raises BuildError for
    libraries that do not load, and for quantised layers that this TensorRT cannot build.
    """
    if not runtime.has_all_quantized_kernels:
        fitting = without_missing_kernels(graph, str(runtime), diagnostics)
        if fitting is not graph:
            graph, typed = fitting, assign_types(fitting)
    if chooses_plugins(graph):
        is_there = _plugins_there(graph, runtime)
        typed = assign_types(implement(graph, typed, is_there))
        if diagnostics is not None and runtime.has_method("add_plugin_v2"):
            _tell_of_native(graph, is_there, runtime, diagnostics)
    typed = in_order_of_adding(typed)
    if not needs_bundled(typed) or (library := bundled_library(runtime)) is None:
        return typed
    return replace(typed, libraries=(library, *typed.libraries))


def _tell_of_native(graph: Graph, is_there: Callable[[str], bool], runtime: Runtime, diagnostics: Diagnostics) -> None:
    """Warn of layers that are not plugins only because these are not compiled."""
    native = [layer for layer in graph.all_layers() if leaves_open(layer) and not is_there(layer.op.by_plugin)]
    if not native:
        return
    names = ", ".join(dict.fromkeys(layer.op.by_plugin for layer in native))
    message = f"{layers_stay(len(native))} native, for {runtime} has no {names} of trtdsl's"
    diagnostics.warning("plugin-missing", message, native[0].origin.span, hint=BUILD_THE_LIBRARY)


def _plugins_there(graph: Graph, runtime: Runtime) -> Callable[[str], bool]:
    """What says which of trtdsl's plugins a TensorRT has; of one that is only described, all that it may have."""
    if not runtime.has_method("add_plugin_v2"):
        return lambda name: False
    if runtime.module is None:
        return lambda name: True
    library = bundled_library(runtime)
    libraries = (*(() if library is None else (library,)), *graph.libraries)
    source = PluginSource(runtime, registry_of(libraries, runtime))

    def is_there(name: str) -> bool:
        try:
            source.creator(PluginUse(name, namespace=NAMESPACE))
        except PluginError:
            return False
        return True

    return is_there
