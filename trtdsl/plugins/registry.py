"""TensorRT's registry of plugin creators: one face for 8.6, 10 and 11, for V2 and V3 creators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from trtdsl.errors import suggest
from trtdsl.plugins.fields import MAX_DIMS, Field, FieldDeclaration, FieldType
from trtdsl.plugins.libraries import LoadedLibrary, creators_of
from trtdsl.plugins.use import PluginUse


class PluginError(Exception):
    """Why there is no such plugin; `at` is the parameter of the layer that is to blame."""

    def __init__(self, message: str, *, at: str = "plugin", hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.at, self.hint = message, at, hint


class CreatorRefused(Exception):
    """A creator gave no plugin."""


@dataclass(frozen=True)
class Creator:
    """One creator. `library` is what it came with, where that is known."""

    name: str
    version: str
    namespace: str
    is_v3: bool
    library: str | None
    handle: Any
    trt: Any

    def __str__(self) -> str:
        prefix = f"{self.namespace}::" if self.namespace else ""
        return f"{prefix}{self.name} {self.version}"

    @property
    def kind(self) -> str:
        return "V3" if self.is_v3 else "V2"

    def fields(self) -> tuple[FieldDeclaration, ...]:
        """What it declares of its fields.

        TensorRT has no word for lists: creators declare the length 1, or 0, whatever they take, so only what is longer
        counts. Of the values that a field seems to have there, none is ever looked at: they are left-over memory.
        """
        # Asked once: one of TensorRT 8.6's creators lists its fields once more each time.
        known, key = _known_fields(self.trt), (self.name, self.version, self.namespace)
        if key not in known:
            found = {field.name: _declared(field) for field in self.handle.field_names or ()}
            known[key] = tuple(found.values())
        return known[key]

    def create(self, label: str, fields: Sequence[Field]) -> Any:
        """The plugin. Raises CreatorRefused, PluginError for types of fields that this TensorRT lacks."""
        # TensorRT keeps pointers to the elements until the plugin is made.
        trt = self.trt
        arrays = [_array(trt, field) for field in fields]
        collection = trt.PluginFieldCollection(
            [_field(trt, field, array) for field, array in zip(fields, arrays, strict=True)]
        )
        arguments = (trt.TensorRTPhase.BUILD,) if self.is_v3 else ()
        log = _plugin_log(trt)
        log.take()
        plugin = self.handle.create_plugin(label, collection, *arguments)
        del arrays
        if plugin is None:
            given = ", ".join(f"{field.name}: {field.type}[{field.count}]" for field in fields) or "none"
            raise CreatorRefused(
                ": ".join([f"the creator of {self} gave no plugin for the fields {given}", *log.take()])
            )
        return plugin


class Registry:
    """The creators that are registered in this process."""

    def __init__(self, trt: Any, label: str, libraries: Sequence[LoadedLibrary] = ()) -> None:
        """`trt` is TensorRT's module, `label` what messages call it."""
        self.trt, self.label, self.libraries = trt, label, tuple(libraries)
        self._origin = {key: library.path.name for library in libraries for key in library.creators}
        self._handle = trt.get_plugin_registry()
        self._v3 = getattr(trt, "IPluginCreatorV3One", None)
        self._quick = getattr(trt, "IPluginCreatorV3Quick", None)

    def creators(self) -> tuple[Creator, ...]:
        """All creators, by name, namespace and version."""
        found = (self._creator(handle) for handle in creators_of(self._handle) if not self._is_quick(handle))
        return tuple(sorted(found, key=lambda one: (one.name.lower(), one.namespace, _order(one.version))))

    def find(self, use: PluginUse, *, takes_v2: bool = True, takes_v3: bool = True) -> Creator:
        """The creator that is asked for, among those whose plugins the network takes. Raises PluginError."""
        everyone = self.creators()
        found = [creator for creator in everyone if creator.name == use.name]
        if not found:
            raise self._unknown(use, everyone)
        found = self._in_namespace(use, found)
        versions = ", ".join(dict.fromkeys(creator.version for creator in found))
        if use.version is not None:
            found = [creator for creator in found if creator.version == use.version]
            if not found:
                message = f"{self.label} has no {use}"
                raise PluginError(message, at="version", hint=f"versions of {use.name} are {versions}")
        usable = [creator for creator in found if (takes_v3 if creator.is_v3 else takes_v2)]
        if not usable:
            message = f"{self.label} takes no {found[-1].kind} plugins, and {use} is one"
            raise PluginError(message, at="version", hint=f"versions of {use.name} are {versions}")
        return max(usable, key=lambda creator: _order(creator.version))

    def _is_quick(self, handle: Any) -> bool:
        """Whether a creator makes plugins for a mode of building that is none of ours."""
        return self._quick is not None and isinstance(handle, self._quick)

    def _creator(self, handle: Any) -> Creator:
        name, version, namespace = handle.name, handle.plugin_version, handle.plugin_namespace
        is_v3 = self._v3 is not None and isinstance(handle, self._v3)
        return Creator(name, version, namespace, is_v3, self._origin.get((name, version, namespace)), handle, self.trt)

    def _in_namespace(self, use: PluginUse, found: list[Creator]) -> list[Creator]:
        namespaces = list(dict.fromkeys(creator.namespace for creator in found))
        wanted = use.namespace
        if wanted is None:
            # TensorRT's own word for "no namespace" comes first.
            if len(namespaces) > 1 and "" not in namespaces:
                raise PluginError(
                    f"{use.name} is in the namespaces {', '.join(namespaces)}",
                    hint=f"say which: `namespace: {namespaces[0]}`",
                )
            wanted = "" if "" in namespaces else namespaces[0]
        if wanted not in namespaces:
            known = ", ".join(f'"{namespace}"' for namespace in namespaces)
            message = f'{self.label} has no {use.name} in the namespace "{wanted}"'
            raise PluginError(message, at="namespace", hint=f"its namespaces are {known}")
        return [creator for creator in found if creator.namespace == wanted]

    def _unknown(self, use: PluginUse, everyone: Sequence[Creator]) -> PluginError:
        hint = suggest(use.name, {creator.name for creator in everyone})
        loaded = ", ".join(library.path.name for library in self.libraries)
        libraries = f"libraries loaded: {loaded}" if loaded else "no library is loaded"
        return PluginError(
            f"no plugin `{use.name}` is among the {len(everyone)} that are registered ({self.label}; {libraries})",
            hint=hint or "name its library: `plugins: {libraries: [libmine.so]}`; `trtdsl plugins` lists what is there",
        )


def register_own_plugins(trt: Any) -> None:
    """Have TensorRT's own plugins register themselves, which may be asked for again."""
    trt.init_libnvinfer_plugins(_plugin_log(trt), "")


@cache
def _known_fields(trt: Any) -> dict[tuple[str, str, str], tuple[FieldDeclaration, ...]]:
    """What the creators that are registered with a TensorRT have said of their fields, as long as the process runs."""
    return {}


@cache
def _plugin_log(trt: Any) -> Any:
    """What TensorRT's own plugins report errors to. Their library keeps a pointer to it as long as the process runs."""

    class PluginLog(trt.ILogger):  # type: ignore[misc]
        """Keeps errors until they are taken."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def take(self) -> list[str]:
            """The errors since the last call."""
            errors, self.errors = self.errors, []
            return errors

    return PluginLog()


def _order(version: str) -> tuple[int, str]:
    """Versions in their order: numbers by size, before them whatever is no number."""
    return (int(version), version) if version.isdigit() else (-1, version)


_TYPES = {kind.trt_name: kind for kind in reversed(FieldType)}
"""The types by TensorRT's names for them: INT32 is int32, which is declared before bool."""


def _declared(field: Any) -> FieldDeclaration:
    length = field.size if field.size > 1 else None
    return FieldDeclaration(field.name, _TYPES.get(field.type.name), length, is_list=True)


def _array(trt: Any, field: Field) -> Any:
    """The memory of a field's elements."""
    import numpy as np

    if isinstance(field.elements, str):
        # A creator may count the characters or look for the NUL: it finds both.
        return np.frombuffer(field.elements.encode() + b"\0", np.int8)
    if field.type is FieldType.DIMS:
        return (
            np.concatenate([_dims(trt, sizes) for sizes in _sizes(field)]) if field.elements else np.zeros(0, np.int8)
        )
    storage = "int32" if field.type is FieldType.BOOL else _STORAGE.get(field.type, str(field.type))
    return np.array(field.elements, storage)


_STORAGE = {FieldType.FP16: "float16", FieldType.FP32: "float32", FieldType.FP64: "float64"}


def _sizes(field: Field) -> Iterator[tuple[int, ...]]:
    for sizes in field.elements:
        assert isinstance(sizes, tuple)
        yield sizes


def _dims(trt: Any, sizes: tuple[int, ...]) -> Any:
    """TensorRT's Dims in bytes: their sizes are of 32 bits before TensorRT 10."""
    import numpy as np

    width = "i8" if hasattr(trt.DataType, "INT64") else "i4"
    layout = np.dtype([("count", "i4"), ("sizes", width, MAX_DIMS)], align=True)
    dims = np.zeros(1, layout)
    dims["count"] = len(sizes)
    dims["sizes"][0, : len(sizes)] = sizes
    return dims.view(np.int8)


def _field(trt: Any, field: Field, array: Any) -> Any:
    kind = getattr(trt.PluginFieldType, field.type.trt_name, None)
    if kind is None:
        raise PluginError(f"`{field.name}`: fields of this TensorRT are never {field.type}", at=f"fields.{field.name}")
    made = trt.PluginField(field.name, array, kind)
    made.size = field.count
    return made
