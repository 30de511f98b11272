"""Which TensorRT is there, and all that differs between 8.6, 10, 11 and RTX.

Nothing else in trtdsl asks for a version: code asks a `Runtime` what it can do.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import RuntimeUnavailableError
from trtdsl.targets.gpu import has_gpu
from trtdsl.types import DataType

CHOICES = ("auto", "rtx", "tensorrt")
"""What `find_runtime` can be asked for."""
_MODULES = {"rtx": ("tensorrt_rtx",), "tensorrt": ("tensorrt", "tensorrt_bindings")}
_SINCE = {
    "add_cumulative": (10, 7),
    "add_rotary_embedding": (10, 15),
    "add_normalization_v2": (10, 15),
    "add_attention_v2": (11,),
    "add_plugin_v3": (10,),
}
"""The first version with each of the methods that lowerings ask for; all of RTX has them."""


@dataclass(frozen=True)
class Runtime:
    """One TensorRT: its Python module (None for the description of one that is not installed) and its abilities.

    `flavor` is `rtx` or `tensorrt`; `version` the version's numbers, such as (8, 6, 1).
    """

    flavor: str
    version: tuple[int, ...]
    module: Any = None

    def __str__(self) -> str:
        name = "TensorRT-RTX" if self.flavor == "rtx" else "TensorRT"
        return f"{name} {'.'.join(map(str, self.version))}"

    @property
    def is_rtx(self) -> bool:
        return self.flavor == "rtx"

    @property
    def is_strongly_typed(self) -> bool:
        """Whether networks can only be strongly typed: RTX, and TensorRT from 11 on."""
        return self.is_rtx or self.version >= (11,)

    @property
    def can_be_strongly_typed(self) -> bool:
        return self.is_rtx or self.version >= (10,)

    @property
    def has_gelu(self) -> bool:
        """Whether there are GELU activations; 8.6 builds them from smaller layers."""
        return self.can_be_strongly_typed

    @property
    def has_isnan(self) -> bool:
        """Whether there is a unary operation that finds NaN; with 8.6 comparisons do."""
        return self.can_be_strongly_typed

    @property
    def has_typed_quantization(self) -> bool:
        """Whether quantisation has types to choose from; 8.6 knows fp32 and int8."""
        return self.can_be_strongly_typed

    def has_method(self, name: str) -> bool:
        """Whether an INetworkDefinition has that one of the methods that lowerings ask for."""
        if name.startswith("add_plugin") and self.is_rtx:
            return False
        return self.is_rtx or self.version >= _SINCE.get(name, (0,))

    @property
    def has_bf16_deconvolution(self) -> bool:
        """Whether the builder takes deconvolutions in bf16; RTX refuses all of them."""
        return DataType.BF16 in self.dtypes and not self.is_rtx

    @property
    def has_all_quantized_kernels(self) -> bool:
        """Whether all that may multiply in int8 has kernels; 8.6 has none for deconvolutions and some convolutions."""
        return self.can_be_strongly_typed

    @property
    def has_bool_padding(self) -> bool:
        """Whether slices of booleans may reach beyond their input; 8.6 finds no implementation for them."""
        return self.can_be_strongly_typed

    @property
    def has_integer_topk(self) -> bool:
        """Whether the largest integers can be picked; 8.6 picks floats only."""
        return self.can_be_strongly_typed

    @property
    def has_attention(self) -> bool:
        """Whether there is an attention of one piece, which has no precision for a weakly typed network to set."""
        return self.is_strongly_typed

    @property
    def has_data_dependent_sizes(self) -> bool:
        """Whether non-zero and NMS layers can be built; RTX takes them into a network and finds no kernel for them."""
        return not self.is_rtx

    @property
    def has_typed_fill(self) -> bool:
        """Whether a fill layer is told its element type; with 8.6 it follows from the numbers it starts from."""
        return self.can_be_strongly_typed

    @property
    def has_distinct_grid_samples(self) -> bool:
        """Whether grid samples of several kinds may stand in one network; 8.6.1 runs one with the kernel of another."""
        return self.can_be_strongly_typed

    @property
    def has_lone_infinities(self) -> bool:
        """Whether an infinite constant of one element stays so; 8.6 takes 1e38 instead in what it fuses."""
        return self.can_be_strongly_typed

    @property
    def shape_dtype(self) -> DataType:
        """The element type of shape tensors."""
        return DataType.INT64 if self.can_be_strongly_typed else DataType.INT32

    @property
    def dtypes(self) -> frozenset[DataType]:
        """The element types that layers of this runtime know."""
        if self.module is not None:
            members = self.module.DataType.__members__
            return frozenset(dtype for dtype in DataType if dtype.trt_name in members)
        if self.is_rtx or self.version >= (10, 15):
            return frozenset(DataType)
        lacking = {DataType.FP4, DataType.E8M0}
        if not self.can_be_strongly_typed:
            lacking |= {DataType.BF16, DataType.INT64, DataType.INT4}
        return frozenset(DataType) - lacking

    @property
    def builds_without_gpu(self) -> bool:
        return self.is_rtx

    @property
    def has_timing_cache(self) -> bool:
        """Whether builds measure tactics; RTX's just-in-time compiler chooses them where an engine runs."""
        return not self.is_rtx

    @property
    def has_algorithm_selector(self) -> bool:
        """Whether a build can be told which tactics to take; a later version may do without."""
        return not self.is_rtx and hasattr(self.module, "IAlgorithmSelector")

    @property
    def has_compatibility(self) -> bool:
        """Whether engines can be made for other GPUs, or later versions, in return for speed."""
        return not self.is_rtx

    @property
    def has_dla(self) -> bool:
        """Whether layers may run on deep-learning accelerators, where a device has them."""
        return not self.is_rtx and (self.module is None or hasattr(self.module, "DeviceType"))

    @property
    def shares_profiles_on_request(self) -> bool:
        """Whether several contexts may use one optimisation profile only if the builder is told; later ones always."""
        return not self.can_be_strongly_typed

    @property
    def has_stripping(self) -> bool:
        """Whether engines can be made without their weights."""
        return self.can_be_strongly_typed

    @property
    def has_progress_monitor(self) -> bool:
        return self.can_be_strongly_typed

    @property
    def has_compute_capability(self) -> bool:
        """Whether the GPUs to build for are named by their compute capabilities."""
        return self.is_rtx

    def network_flags(self, strongly_typed: bool) -> int:
        """The flags for `Builder.create_network`."""
        flags = self.module.NetworkDefinitionCreationFlag
        if not self.can_be_strongly_typed:
            return 1 << int(flags.EXPLICIT_BATCH)
        return 1 << int(flags.STRONGLY_TYPED) if strongly_typed or self.is_strongly_typed else 0

    def weights(self, array: Any, dtype: DataType) -> Any:
        """TensorRT Weights over a numpy array's memory, which has to outlive the build."""
        if dtype in (DataType.BF16, DataType.FP8, DataType.E8M0):  # numpy has bits only
            return self.module.Weights(self.data_type(dtype), array.ctypes.data, array.size)
        return self.module.Weights(array)

    def data_type(self, dtype: DataType) -> Any:
        """The member of this runtime's DataType."""
        return getattr(self.module.DataType, dtype.trt_name)


LATEST = Runtime("rtx", (1, 7))
"""A description to list calls by when no TensorRT is installed."""
_LATEST_OF = {"auto": LATEST, "rtx": LATEST, "tensorrt": Runtime("tensorrt", (11, 1))}


def find_runtime(choice: str = "auto") -> Runtime:
    """Import the TensorRT asked for.

    `auto` takes TensorRT where there is a GPU, without which it builds nothing, and RTX elsewhere; where only one of
    them is installed, that one. Raises RuntimeUnavailableError with what was tried and how to install one,
    ValueError for an unknown choice.
    """
    if choice not in ("auto", *_MODULES):
        raise ValueError(f"a runtime is one of auto, {', '.join(_MODULES)}, not {choice!r}")
    failures: list[str] = []
    for flavor in _preferred() if choice == "auto" else (choice,):
        for name in _MODULES[flavor]:
            if importlib.util.find_spec(name) is None:
                continue
            try:
                module = importlib.import_module(name)
            except (ImportError, OSError, RuntimeError, AttributeError) as error:
                failures.append(f"{name} is installed but does not load: {error}")
                continue
            if not hasattr(module, "Builder"):
                failures.append(f"{name} is installed without its libraries")
                continue
            return Runtime(flavor, _numbers(module.__version__), module)
    wanted = {"auto": "TensorRT", "rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}[choice]
    detail = "; ".join(failures) if failures else "it is not installed"
    extra = "tensorrt" if choice == "tensorrt" else "rtx"
    raise RuntimeUnavailableError.of(
        "runtime-missing",
        f"no {wanted} can be used: {detail}",
        hint=f"pip install 'trtdsl[{extra}]'" + (" builds engines without a GPU" if extra == "rtx" else ""),
    )


def describe_runtime(choice: str = "auto") -> Runtime:
    """The TensorRT to write calls for, which need not be installed: `tensorrt-8.6`, or a choice of `find_runtime`.

    Without a version it is the installed one, else the latest known. Raises ValueError for anything else.
    """
    flavor, dash, version = choice.partition("-")
    if dash and (flavor not in _MODULES or not re.fullmatch(r"\d+(\.\d+)*", version)):
        raise ValueError(f"a runtime is one of auto, {', '.join(_MODULES)}, or one with its version, not {choice!r}")
    wanted = tuple(map(int, version.split("."))) if dash else ()
    try:
        found = find_runtime(flavor)
    except RuntimeUnavailableError:
        return Runtime(flavor, wanted) if dash else _LATEST_OF[flavor]
    return found if found.version[: len(wanted)] == wanted else Runtime(flavor, wanted)


def _preferred() -> tuple[str, ...]:
    return ("tensorrt", "rtx") if has_gpu() else ("rtx", "tensorrt")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
