"""What YAML gives for the fields of a plugin, held against what the plugin declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trtdsl.errors import suggest
from trtdsl.plugins.fields import Field, FieldDeclaration, FieldError, FieldType, coerce, show

_KEYS = ("name", "type", "value", "force")


@dataclass(frozen=True)
class GivenField:
    """One field as YAML has it. `place` is where problems with it are, behind `fields.`.

    With `force` it goes to the creator as it stands, whatever the creator declares.
    """

    name: str
    value: object
    place: str
    type: FieldType | None = None
    force: bool = False


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field; `at` is a dotted path below the layer's parameters."""

    message: str
    at: str
    hint: str | None = None
    code: str = "plugin-field"


class FieldProblems(Exception):
    """All that is wrong with the fields of one plugin."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def read_given(value: object) -> tuple[GivenField, ...]:
    """The fields of a mapping from names to values, or of a list of {name, type, value}. Raises FieldError.

    A value may be `{type: int8, value: 3}` everywhere. Order is kept.
    """
    if isinstance(value, Mapping):
        return tuple(_one(str(name), entry, str(name)) for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_of_list(entry, str(index)) for index, entry in enumerate(value))
    raise FieldError(f"expected {{name: value}}, or a list of {{name, type, value}}, got {show(value)}")


def _of_list(entry: object, place: str) -> GivenField:
    if not isinstance(entry, Mapping) or "value" not in entry:
        raise FieldError(f"a field in a list is {{name, type, value}}, this is {show(entry)}", index=int(place))
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise FieldError(f"the name of a field is text, not {show(name)}", index=int(place))
    return _one(name, {key: item for key, item in entry.items() if key != "name"}, place)


def _one(name: str, entry: object, place: str) -> GivenField:
    if not isinstance(entry, Mapping):
        return GivenField(name, entry, place)
    what = f"the field `{name}`" if name else f"field {place}"
    for key in entry:
        if key not in _KEYS[1:]:
            raise FieldError(f"{what} is a value, or {{type, value, force}}; there is no `{key}`")
    if "value" not in entry:
        raise FieldError(f"{what} has no `value`")
    kind = entry.get("type")
    words = [known.value for known in FieldType]
    if kind is not None and kind not in words:
        raise FieldError(f"{what} has the type {show(kind)}; types are {', '.join(words)}")
    force = entry.get("force", False)
    if not isinstance(force, bool) or (force and kind is None):
        raise FieldError(f"{what}: `force` is true or false, and needs a `type`")
    return GivenField(name, entry["value"], place, FieldType(kind) if kind is not None else None, force)


def settle_fields(
    given: Sequence[GivenField], declared: Sequence[FieldDeclaration], who: str, *, by_us: bool = False
) -> tuple[Field, ...]:
    """The typed fields, those that are declared in the order of the declaration. Raises FieldProblems.

    `who` is what messages call the plugin. A creator that declares nothing takes what is given, typed and in order. A
    plugin that is declared `by_us`, in a plugin.yaml, cannot be told otherwise.
    """
    settling = _Settling({entry.name: entry for entry in declared}, who, by_us)
    settled = [(entry, settling.field(entry)) for entry in given]
    settling.refuse_repeats(given)
    settling.refuse_missing(given)
    if settling.problems:
        raise FieldProblems(settling.problems)
    fields = [field for _, field in settled if field is not None]
    order = {entry.name: position for position, entry in enumerate(declared)}
    return tuple(sorted(fields, key=lambda field: order.get(field.name, len(order))))


class _Settling:
    """The fields of one plugin; keeps what is wrong with them."""

    def __init__(self, declared: Mapping[str, FieldDeclaration], who: str, by_us: bool) -> None:
        self.declared, self.who, self.by_us = declared, who, by_us
        self.problems: list[Problem] = []

    def problem(self, message: str, place: str, hint: str | None = None, code: str = "plugin-field") -> None:
        self.problems.append(Problem(f"{self.who}: {message}", f"fields.{place}", hint, code))

    def field(self, given: GivenField) -> Field | None:
        declared = self._declaration(given)
        if declared is None or declared.type is None:
            return None
        try:
            return Field(given.name, declared.type, coerce(given.value, declared))
        except FieldError as error:
            place = given.place if error.index is None else f"{given.place}.{error.index}"
            what = f"`{given.name}`" if given.name else f"field {given.place}"
            self.problem(f"{what}: {error.message}", place, error.hint)
            return None

    def _declaration(self, given: GivenField) -> FieldDeclaration | None:
        """What decides of a field: the plugin's declaration, or what YAML says instead."""
        known = self.declared.get(given.name)
        if given.force and not self.by_us:
            return _free(given.name, given.type)
        if given.force:
            self.problem(
                "`force` is for creators that declare their fields wrongly, and this one does not", given.place
            )
            return None
        if known is None and self.declared:
            self._unknown(given)
            return None
        if known is None:
            return self._undeclared(given, "a creator that declares no fields")
        if known.type is None:
            typed = self._undeclared(given, f"a creator that declares no type of `{given.name}`")
            return typed and replace(typed, length=known.length)
        if given.type is not None and given.type.trt_name != known.type.trt_name:
            hint = (
                None
                if self.by_us
                else f"`{{type: {given.type}, value: …, force: true}}` says that the creator is wrong"
            )
            self.problem(f"`{given.name}` is declared as {known.type}, not {given.type}", f"{given.place}.type", hint)
            return None
        return known

    def _undeclared(self, given: GivenField, who: str) -> FieldDeclaration | None:
        if given.type is None:
            what = f"`{given.name}`" if given.name else f"field {given.place}"
            hint = f"`{{type: {_guess(given.value)}, value: …}}`"
            self.problem(f"{what} has no type, which {who} has to be told", given.place, hint)
            return None
        return _free(given.name, given.type)

    def _unknown(self, given: GivenField) -> None:
        listing = f"it has {', '.join(self.declared)}"
        hint = suggest(given.name, self.declared)
        message = "there is no " + (f"field `{given.name}`" if given.name else "field without a name")
        message += f"; {listing}" if hint else ""
        self.problem(message, f"{given.place}.key", hint or listing)

    def refuse_repeats(self, given: Sequence[GivenField]) -> None:
        seen: set[str] = set()
        for entry in given:
            if entry.name and entry.name in seen:
                self.problem(f"the field `{entry.name}` is given twice", entry.place)
            seen.add(entry.name)

    def refuse_missing(self, given: Sequence[GivenField]) -> None:
        names = {entry.name for entry in given}
        for name, declared in self.declared.items():
            if declared.is_required and name not in names:
                help = f": {declared.help}" if declared.help else ""
                self.problems.append(
                    Problem(f"{self.who} needs the field `{name}`, {declared.describe()}", "fields", f"`{name}`{help}")
                )


def _free(name: str, kind: FieldType | None) -> FieldDeclaration:
    """What allows any number of elements of a type."""
    return FieldDeclaration(name, kind, length=None, is_list=True)


def _guess(value: Any) -> str:
    """The type that a value has at first sight, for hints."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if isinstance(first, str):
        return "char"
    return "fp32" if isinstance(first, float) else "int32"


def guess_fields(given: Sequence[GivenField]) -> tuple[Field, ...]:
    """Typed fields where nobody is there to ask: as YAML says, else whole numbers are int32 and others fp32.

    Raises FieldProblems.
    """
    typed = [entry if entry.type else replace(entry, type=FieldType(_guess(entry.value))) for entry in given]
    return settle_fields(typed, (), "the plugin")
