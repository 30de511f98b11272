"""From what the YAML says of a weight, or from its default key, to the source of its elements."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trtdsl.errors import Diagnostics, used_at
from trtdsl.nodes import Node
from trtdsl.source import Origin, Span
from trtdsl.types import DataType, format_shape
from trtdsl.weights.arrays import is_convertible
from trtdsl.weights.base import Weight
from trtdsl.weights.entries import Entry
from trtdsl.weights.library import WeightLibrary
from trtdsl.weights.overrides import Lookup, OverrideError, read_override
from trtdsl.weights.sources import Initialiser, Inline, Stored, can_take
from trtdsl.weights.trained import Trained, TrainedError, read_trained


@dataclass(frozen=True)
class Request:
    """A weight that a layer needs. `override` is what the YAML says of it, if anything.

    `floats` says that the layer computes with it, so that integers would be a mistake. `initial` is what fills it when
    weights are made up; None stands for random numbers.
    """

    layer: str
    name: str
    override: Node | None
    origin: Origin
    floats: bool
    initial: float | None
    key: str = ""
    """What stands behind the layer's name in a file; empty where it is `name`."""

    @property
    def label(self) -> str:
        """The weight's full name, which also seeds its initialiser."""
        return f"{self.layer}.{self.name}"

    @property
    def span(self) -> Span:
        """Where the YAML speaks of the weight, or of the layer."""
        return self.override.span if self.override else self.origin.span


class WeightResolver:
    """Turns requests into weights; what cannot be had is reported, all of it."""

    def __init__(self, library: WeightLibrary, diagnostics: Diagnostics, *, random_weights: bool = False) -> None:
        self._library = library
        self._diagnostics = diagnostics
        self._random = random_weights
        self._homeless: list[Request] = []

    def resolve(self, request: Request) -> Weight | None:
        """The weight, or None when what was wrong is reported."""
        try:
            return self._resolve(request)
        except OverrideError as error:
            self._report("weight-value", request, f"{request.label}: {error.message}", error.span, error.hint)
            return None

    def trained(self, layer: str, origin: Origin) -> Trained:
        """The scales that quantisers of a layer left in its weights files."""
        name, paths = self._library.scope(layer)

        def find(key: str) -> Entry | None:
            found = self._library.find(f"{name}.{key}" if name else key, paths, origin.span)
            return found[0] if found else None

        try:
            return read_trained(find)
        except TrainedError as error:
            self._diagnostics.error("scale-value", f"{layer}: {error}", origin.span, notes=used_at(origin))
            return Trained()

    def finish(self) -> None:
        """Report the weights that no file is named for; one error for all of them."""
        if not self._homeless:
            return
        first = self._homeless[0]
        others = f" and {len(self._homeless) - 1} more" if len(self._homeless) > 1 else ""
        self._report(
            "no-weights",
            first,
            f"no weights file is named for {first.label}{others}",
            hint="name one (`weights: file.safetensors`, `--weights FILE`), or try without: `--random-weights`",
        )

    def _resolve(self, request: Request) -> Weight | None:
        given = read_override(request.override, request.label)
        if isinstance(given, Inline):
            return self._inline(request, given)
        if isinstance(given, Initialiser):
            return _weight(given)
        if self._random:
            return _weight(_random_source(request))
        name, paths = self._library.scope(request.layer)
        if given.file is not None:
            paths = (request.span.file.directory / given.file,)
        if not paths:
            self._homeless.append(request)
            return None
        own = request.key or request.name
        key = given.key or (f"{name}.{own}" if name else own)
        entry = self._entry(request, key, paths)
        return None if entry is None else self._stored(request, given, entry)

    def _entry(self, request: Request, key: str, paths: tuple[Path, ...]) -> Entry | None:
        found = self._library.find(key, paths, request.span)
        if found is None:
            return None
        if len(found) == 1:
            return found[0]
        if found:
            files = " and ".join(str(entry.path) for entry in found)
            first = os.path.relpath(found[0].path, request.span.file.directory)
            message = f'{request.label}: "{key}" is in {files}'
            hint = f"say which: `{request.name}: {{file: {first}}}`, or `weights: {{prefix: file}}`"
            self._report("weight-ambiguous", request, message, hint=hint)
            return None
        files = " or ".join(path.name for path in paths)
        message = f'{request.layer} needs "{key}", not found in {files}'
        self._report("weight-missing", request, message, hint=self._library.similar(key, paths))
        return None

    def _stored(self, request: Request, lookup: Lookup, entry: Entry) -> Weight | None:
        dtype = lookup.dtype or entry.dtype
        what = f'"{entry.key}" in {entry.path.name}'
        if dtype is None or (lookup.dtype and not can_take(entry, lookup.dtype)):
            wanted = f"cannot be taken as {dtype}" if dtype else "which no layer takes"
            hint = "if these are the bits of bf16, say so: `{dtype: bf16}`" if can_take(entry, DataType.BF16) else None
            self._report("weight-dtype", request, f"{request.label}: {what} is {entry.stored_as}, {wanted}", hint=hint)
            return None
        if request.floats and not is_convertible(dtype, DataType.FP32):
            message = f"{request.label} takes floats, {what} is {entry.stored_as}"
            hint = f"to convert: `{request.name}: {{dtype: fp32}}`" if can_take(entry, DataType.FP32) else None
            self._report("weight-dtype", request, message, hint=hint)
            return None
        return _weight(Stored(entry, dtype, _axes(request, lookup.transpose, entry)))

    def _inline(self, request: Request, source: Inline) -> Weight | None:
        if request.floats and source.dtype is DataType.BOOL:
            self._report("weight-dtype", request, f"{request.label} takes floats, {source.describe()} is bool")
            return None
        return Weight(source, source.shape, DataType.FP32 if request.floats else source.dtype)

    def _report(
        self, code: str, request: Request, message: str, span: Span | None = None, hint: str | None = None
    ) -> None:
        self._diagnostics.error(code, message, span or request.span, hint=hint, notes=used_at(request.origin))


def _weight(source: Stored | Initialiser) -> Weight:
    return Weight(source, source.shape, source.dtype or DataType.FP32)


def _random_source(request: Request) -> Initialiser:
    """Values that let activations through deep networks neither vanish nor grow out of fp16."""
    if request.initial is not None:
        return Initialiser(request.label, "fill", request.initial)
    return Initialiser(request.label, "matrix", 1.0)


def _axes(request: Request, transpose: bool | tuple[int, ...], entry: Entry) -> tuple[int, ...] | None:
    if transpose is False:
        return None
    axes = (1, 0) if transpose is True else transpose
    if entry.shape is not None and len(entry.shape) != len(axes):
        hint = "give the order of the axes: `transpose: [2, 0, 1]`" if transpose is True and entry.shape[2:] else None
        actual = f'"{entry.key}" in {entry.path.name} is {format_shape(entry.shape)}'
        raise OverrideError(f"transpose orders {len(axes)} axes, {actual}", request.span, hint)
    return axes
