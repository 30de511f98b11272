"""The `build:` section: what the builder is told beyond the network itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from trtdsl.errors import Diagnostics, suggest
from trtdsl.ops.attributes import AttributeType, Bool, Choice, Dims, Int, Maybe, Schema, show
from trtdsl.source import Span

_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class ByteSize(AttributeType[int]):
    """A number of bytes, plain or with a unit: `4GiB`, `512 MiB`, `1048576`."""

    def schema(self) -> Schema:
        return {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+ ?([KMG]iB|kB|MB|GB)$"}]
        }

    def parse(self, value: object, dims: Dims) -> int:
        match = re.fullmatch(r"(\d+) ?([a-zA-Z]*)", str(value))
        if isinstance(value, (bool, float)) or match is None or match[2] not in _UNITS:
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return int(match[1]) * _UNITS[match[2]]

    def describe(self) -> str:
        return "a number of bytes, such as 4GiB"


class Names(AttributeType["tuple[str, ...]"]):
    """A list of words, checked later by who knows them."""

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}}

    def parse(self, value: object, dims: Dims) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return tuple(value)

    def describe(self) -> str:
        return "a list of names"


class ComputeCapabilities(AttributeType["tuple[str, ...]"]):
    """Compute capabilities of GPUs: `8.9`, `[8.6, 12.0]`, or as `sm89`."""

    def schema(self) -> Schema:
        item: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^([sS][mM]_?)?\d{1,2}\.?\d$"}]}
        return {"anyOf": [*item["anyOf"], {"type": "array", "items": item, "minItems": 1}]}

    def parse(self, value: object, dims: Dims) -> tuple[str, ...]:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(self._one(item) for item in items)

    def _one(self, value: object) -> str:
        match = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", str(value), re.IGNORECASE)
        if match is None:
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return f"{match[1]}.{match[2]}"

    def describe(self) -> str:
        return "a compute capability such as 8.9, or a list of them"


class FilePath(AttributeType[str]):
    """The path of a file, relative to the file it is written in."""

    def schema(self) -> Schema:
        return {"type": "string"}

    def parse(self, value: object, dims: Dims) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return value

    def describe(self) -> str:
        return "a path"


class Profiles(AttributeType["tuple[dict[str, list[int]], ...]"]):
    """A list of optimisation profiles, each with sizes of dimensions: one, or the smallest, usual and largest."""

    def schema(self) -> Schema:
        size: Schema = {"type": "integer", "minimum": 1}
        sizes = {"anyOf": [size, {"type": "array", "items": size, "minItems": 3, "maxItems": 3}]}
        return {"type": ["array", "null"], "items": {"type": "object", "additionalProperties": sizes}}

    def parse(self, value: object, dims: Dims) -> tuple[dict[str, list[int]], ...]:
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"expected {self.describe()}, got {show(value)}")
        return tuple(self._one(item) for item in value)

    def _one(self, item: object) -> dict[str, list[int]]:
        if not isinstance(item, Mapping):
            raise ValueError(f"expected {self.describe()}, got {show(item)} among them")
        return {str(name): self._sizes(name, sizes) for name, sizes in item.items()}

    def _sizes(self, name: object, value: object) -> list[int]:
        sizes = list(value) if isinstance(value, (list, tuple)) else [value] * 3
        whole = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool)]
        if len(sizes) != 3 or len(whole) != 3 or not 1 <= whole[0] <= whole[1] <= whole[2]:
            raise ValueError(f"`{name}` is one size, or [min, opt, max] in rising order, from 1, not {show(value)}")
        return whole

    def describe(self) -> str:
        return "a list of profiles, such as [{N: 1}, {N: [2, 8, 32]}]"


def _option(type: AttributeType[Any], default: Any, help: str) -> Any:
    return field(default=default, metadata={"type": type, "help": help})


@dataclass(frozen=True)
class BuildOptions:
    """Settings of the builder; each is named as in TensorRT where TensorRT has a name for it.

    `spans` has the places of those that YAML gives, for the runtime to refuse them there.
    """

    workspace: int | None = _option(Maybe(ByteSize()), None, "scratch memory a layer may use; default: all there is")
    optimization_level: int | None = _option(
        Maybe(Int(0, 5)), None, "how long the builder searches: 0 (quick) to 5 (thorough); default: TensorRT's"
    )
    tactic_sources: tuple[str, ...] | None = _option(
        Maybe(Names()), None, "libraries that tactics may come from, such as [cublas, cudnn]; [] for none"
    )
    timing_cache: str | None = _option(
        Maybe(FilePath()), None, "file of measured tactics, read before and written after"
    )
    tf32: bool = _option(Bool(), True, "let fp32 convolutions and products use TF32 tensor cores")
    sparsity: bool = _option(Bool(), False, "use 2:4 sparse kernels where the weights allow")
    refit: bool = _option(Bool(), False, "keep the engine's weights replaceable")
    strip: bool = _option(Bool(), False, "leave refittable weights out of the engine file")
    version_compatible: bool = _option(Bool(), False, "make an engine that later TensorRT versions can load")
    hardware_compatibility: str = _option(
        Choice("none", "ampere_plus", "same_compute_capability"), "none", "run on other GPUs than the one built on"
    )
    profiling_verbosity: str = _option(
        Choice("none", "layer_names_only", "detailed"), "detailed", "what the engine tells the inspector of its layers"
    )
    max_aux_streams: int | None = _option(Maybe(Int(0)), None, "extra streams for layers that run side by side")
    strongly_typed: bool = _option(Bool(), False, "TensorRT 10: build strongly typed networks, as 11 and RTX do anyway")
    profiles: tuple[dict[str, list[int]], ...] = _option(
        Profiles(), (), "ranges of `dims` to tune for, one after another; default: one profile, of all their sizes"
    )
    dla_core: int | None = _option(
        Maybe(Int(0)),
        None,
        "run layers on this deep-learning accelerator, which some devices have; default: on the GPU",
    )
    gpu_fallback: bool = _option(Bool(), False, "with `dla_core`: layers that it cannot run go to the GPU")
    target: tuple[str, ...] = _option(
        ComputeCapabilities(), (), "TensorRT-RTX: compute capabilities of the GPUs to build for; default: 8.0 and later"
    )
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def _options(cls) -> tuple[Field[Any], ...]:
        return tuple(option for option in fields(cls) if option.metadata)

    @classmethod
    def types(cls) -> Mapping[str, AttributeType[Any]]:
        """The type of each option, by name."""
        return {option.name: option.metadata["type"] for option in cls._options()}

    @classmethod
    def schema(cls) -> Schema:
        """JSON Schema of the section."""
        properties = {
            option.name: {**option.metadata["type"].schema(), "description": option.metadata["help"]}
            for option in cls._options()
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}

    @classmethod
    def parse(cls, values: Mapping[str, tuple[object, Span | None]], diagnostics: Diagnostics) -> BuildOptions:
        """Options from YAML values with their places; reports unknown names and wrong values."""
        types = cls.types()
        parsed: dict[str, Any] = {}
        for name, (value, span) in values.items():
            if name not in types:
                message = f"`{name}` is not a build option"
                diagnostics.error("build-option", message, span, hint=suggest(name, types))
                continue
            try:
                parsed[name] = types[name].parse(value, {})
            except ValueError as error:
                diagnostics.error("build-option", f"{name}: {error}", span)
        return cls(**parsed, spans={name: span for name, (_, span) in values.items() if span is not None})

    def as_dict(self) -> dict[str, Any]:
        """The options as plain data, for manifests and cache keys."""
        values = {option.name: getattr(self, option.name) for option in self._options()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def timing_cache_path(self) -> Path | None:
        """The file of `timing_cache`: relative to the YAML file that names it, else to the working directory."""
        if self.timing_cache is None:
            return None
        span = self.spans.get("timing_cache")
        return Path(self.timing_cache) if span is None else span.file.directory / self.timing_cache
