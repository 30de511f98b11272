"""The plugins of one network: found, their fields settled, and made, by a TensorRT or by what is declared of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, Diagnostic, used_at
from trtdsl.graph import Graph
from trtdsl.ops.base import OpError, Policy
from trtdsl.ops.plugin import PluginLayer, field_errors
from trtdsl.plugins.bundled import find_bundled
from trtdsl.plugins.declaration import NAMESPACE, V2, V3
from trtdsl.plugins.fields import Field
from trtdsl.plugins.given import FieldProblems, GivenField, guess_fields, read_given, settle_fields
from trtdsl.plugins.libraries import LibraryError, LibraryUse, LoadedLibrary, load_library
from trtdsl.plugins.registry import Creator, PluginError, Registry, register_own_plugins
from trtdsl.plugins.use import PluginUse
from trtdsl.targets.runtime import Runtime

if TYPE_CHECKING:
    from trtdsl.targets.network import LayerNet

BUILD_THE_LIBRARY = "`trtdsl plugins build` compiles it for the TensorRT that is installed"


@dataclass(frozen=True)
class SettledPlugin:
    """A plugin with all that is known of it before it is made. `creator` is None where no TensorRT is at hand."""

    name: str
    version: str
    namespace: str
    is_v3: bool
    fields: tuple[Field, ...]
    creator: Creator | None

    @property
    def is_bundled(self) -> bool:
        return self.namespace == NAMESPACE


@dataclass(frozen=True)
class PluginSource:
    """What finds plugins: with a registry all that are registered, without one those that are declared.

    Where none is made, those that come with trtdsl need not be there: all is known that is written down of them.
    """

    runtime: Runtime
    registry: Registry | None = None
    makes: bool = True

    def settle(self, use: PluginUse, given: Mapping[str, object] | Sequence[GivenField]) -> SettledPlugin:
        """The plugin that is asked for, with typed fields. Raises OpError."""
        fields = read_given(given) if isinstance(given, Mapping) else tuple(given)
        declaration = find_bundled(use)
        try:
            is_known = declaration is not None and not self.makes
            creator = None if self.registry is None or is_known else self.creator(use)
            if declaration is not None:
                settled = settle_fields(fields, declaration.fields, declaration.name, by_us=True)
            elif creator is not None:
                settled = settle_fields(fields, creator.fields(), str(creator))
            else:
                settled = guess_fields(fields)
        except FieldProblems as error:
            raise field_errors(error) from None
        except PluginError as error:
            raise OpError(error.message, at=error.at, hint=error.hint, code="plugin-missing") from None
        if creator is not None:
            return SettledPlugin(creator.name, creator.version, creator.namespace, creator.is_v3, settled, creator)
        namespace = use.namespace or (NAMESPACE if declaration is not None else "")
        version = use.version or (self._default_version if declaration is not None else "1")
        is_v3 = declaration is not None and version == V3
        return SettledPlugin(use.name, version, namespace, is_v3, settled, None)

    def creator(self, use: PluginUse) -> Creator:
        """The creator that is asked for. Raises PluginError."""
        assert self.registry is not None, "no TensorRT is at hand"
        takes_v2, takes_v3 = self.runtime.has_method("add_plugin_v2"), self.runtime.has_method("add_plugin_v3")
        if find_bundled(use) is not None:
            use = PluginUse(use.name, use.version or self._default_version, NAMESPACE)
            if all(creator.namespace != NAMESPACE for creator in self.registry.creators()):
                message = f"{use.name} is in trtdsl's own library of plugins, which is not loaded"
                raise PluginError(message, hint=BUILD_THE_LIBRARY)
        return self.registry.find(use, takes_v2=takes_v2, takes_v3=takes_v3)

    @property
    def _default_version(self) -> str:
        """The version of bundled plugins that networks of this TensorRT take."""
        return V3 if self.runtime.has_method("add_plugin_v3") else V2


def has_plugins(graph: Graph) -> bool:
    """Whether a layer of a network is a plugin, or is built of one."""
    return any(layer.op.plugin_uses for layer in graph.all_layers())


def needs_bundled(graph: Graph) -> bool:
    """Whether a layer of a network asks for a plugin that comes with trtdsl."""
    return any(find_bundled(use) for layer in graph.all_layers() for use in layer.op.plugin_uses)


def plugins_of(graph: Graph, runtime: Runtime, *, makes: bool = True) -> PluginSource:
    """Where the plugins of a network come from; loads its libraries where a TensorRT is at hand that takes any.

    `makes` says whether plugins are made, or only written down. Raises BuildError with the libraries that do not load.
    """
    if runtime.module is None or not runtime.has_method("add_plugin_v2") or not has_plugins(graph):
        return PluginSource(runtime)
    return PluginSource(runtime, registry_of(graph.libraries, runtime), makes)


def registry_of(libraries: Sequence[LibraryUse], runtime: Runtime) -> Registry:
    """The registry of a TensorRT that is at hand, with its own plugins and those of libraries. Raises BuildError."""
    return Registry(runtime.module, str(runtime), load_libraries(libraries, runtime))


def refuse_undeclared_plugins(graph: Graph, runtime: Runtime) -> None:
    """Refuse plugins where nothing is there to say what fields they have. Raises BuildError with the first's place."""
    for layer in graph.all_layers():
        if runtime.module is None and isinstance(layer.op, PluginLayer) and layer.op.declaration is None:
            message = (
                f"{layer.name} is the plugin {layer.op.plugin}, whose fields only {runtime} itself knows, which is not "
                "installed"
            )
            raise BuildError([Diagnostic("runtime-missing", message, layer.origin.span, notes=used_at(layer.origin))])


def load_libraries(libraries: Sequence[LibraryUse], runtime: Runtime) -> tuple[LoadedLibrary, ...]:
    """Load libraries of plugins, behind TensorRT's own. Raises BuildError with all that do not load."""
    register_own_plugins(runtime.module)
    loaded, failed = [], []
    for use in libraries:
        try:
            loaded.append(load_library(use.path, runtime.module, runtime.version, str(runtime)))
        except LibraryError as error:
            failed.append(Diagnostic("plugin-library", error.message, use.span, error.hint))
    if failed:
        raise BuildError(failed)
    return tuple(loaded)


@dataclass(frozen=True)
class UsedLibrary:
    """A library of plugins, None for TensorRT's own, and the plugins out of it that a network uses."""

    path: Path | None
    plugins: tuple[tuple[str, str, str], ...]


def used_libraries(graph: Graph, runtime: Runtime) -> tuple[UsedLibrary, ...]:
    """The libraries of a network and what it uses of each: (name, version, namespace).

    Plugins that are not there are left out; whoever emits the network says what is wrong. Raises BuildError.
    """
    registry = (source := plugins_of(graph, runtime)).registry
    if registry is None:
        return ()
    used: dict[str | None, set[tuple[str, str, str]]] = {library.path.name: set() for library in registry.libraries}
    for use in dict.fromkeys(use for layer in graph.all_layers() for use in layer.op.plugin_uses):
        try:
            creator = source.creator(use)
        except PluginError:
            continue
        used.setdefault(creator.library, set()).add((creator.name, creator.version, creator.namespace))
    paths = {library.path.name: library.path for library in registry.libraries}
    return tuple(UsedLibrary(paths.get(name or ""), tuple(sorted(plugins))) for name, plugins in used.items())


def make(plugin: SettledPlugin, label: str) -> Any:
    """The plugin itself. Raises OpError, CreatorRefused."""
    assert plugin.creator is not None, f"nothing makes {plugin.name}"
    try:
        return plugin.creator.create(label, plugin.fields)
    except PluginError as error:
        raise OpError(error.message, at=error.at, hint=error.hint, code="plugin-field") from None


def add(
    net: LayerNet,
    use: PluginUse,
    inputs: Sequence[Any],
    fields: Mapping[str, object] | Sequence[GivenField],
    shape_inputs: Sequence[int],
) -> Any:
    """Add the layer of a plugin to a network. Raises OpError, CreatorRefused."""
    op = net.layer.op
    if not net.has("add_plugin_v2"):
        what = op.kind if op.built_on else net.layer.name
        raise OpError(f"{net.runtime} has no plugins, and {what} is the plugin {use.name}", code="plugin-missing")
    source = net.state.plugins or PluginSource(net.runtime)
    settled = source.settle(use, fields)
    plugin = net.state.api.plugin(settled, net.layer.name)
    others = [tensor for index, tensor in enumerate(inputs) if index not in shape_inputs]
    shapes = [inputs[index] for index in shape_inputs]
    if settled.is_v3:
        layer = net.add_plugin_v3(others, shapes, plugin)
    elif shapes:
        message = f"{use.name} {settled.version} is a V2 plugin, which has no shape inputs"
        raise OpError(message, at="shape_inputs")
    else:
        layer = net.add_plugin_v2(others, plugin)
    net.plugins.append(layer)
    return layer


def constraints(net: LayerNet, layer: Any) -> tuple[list[Any] | None, Any]:
    """The types of the outputs of a plugin in a weakly typed network, as far as they are known, and its precision.

    One that takes tensors as they come has no precision, and the types that YAML declares.
    """
    as_given = net.layer.op.precision_policy() is Policy.AS_GIVEN and not net.layer.explicit
    precision = None if as_given else net.state.api.data_type(net.dtype)
    if layer is not net.added[-1]:
        return None, precision
    return [net.state.api.data_type(entry.dtype) for entry in net.output_types], precision
