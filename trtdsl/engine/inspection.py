"""What TensorRT's inspector tells of an engine: its layers with formats, types and tactics, as plain records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.engine.log import BuildLog
from trtdsl.engine.plan import deserialize
from trtdsl.errors import EngineFileError, RunError
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

_SEPARATORS = re.compile("[\x1e\x1f]")
"""What stands between the metadata of layers that became one."""
_COPIES = ("Reformat", "MyelinReformat")
"""Layers that copy into another format or type. Whichever kernel does it, the elements are the same, and of 8.6.1 none
can be asked for."""
_NO_TACTIC = "0x0000000000000000"
_TYPES = {
    "fp32": DataType.FP32,
    "float": DataType.FP32,
    "fp16": DataType.FP16,
    "half": DataType.FP16,
    "bf16": DataType.BF16,
    "bfloat16": DataType.BF16,
    "fp8": DataType.FP8,
    "int64": DataType.INT64,
    "int32": DataType.INT32,
    "int8": DataType.INT8,
    "int4": DataType.INT4,
    "uint8": DataType.UINT8,
    "bool": DataType.BOOL,
}
"""The inspector's words for element types: those of 8.6's formats, and those of later versions and of weights."""


@dataclass(frozen=True)
class EngineTensor:
    """A tensor that a layer of an engine reads or writes. `dtype` is None where the inspector does not tell it.

    `shape` has -1 for what is decided at run time; `format` is in the inspector's own words.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    dtype: DataType | None

    def as_dict(self) -> dict[str, Any]:
        dtype = None if self.dtype is None else str(self.dtype)
        return {"name": self.name, "shape": list(self.shape), "format": self.format, "dtype": dtype}


@dataclass(frozen=True)
class EngineLayer:
    """A layer of an engine, which often stands for several of the network.

    `kind` is the inspector's LayerType, `lines` the places of the layers it was made of, in YAML, as far as they are
    known. `weights` has the type and the count of each set of weights, `tactic` the kernel's name and `tactic_value`
    its number, each where there is one.
    """

    name: str
    kind: str
    inputs: tuple[EngineTensor, ...] = ()
    outputs: tuple[EngineTensor, ...] = ()
    weights: Mapping[str, tuple[DataType | None, int]] | None = None
    tactic: str | None = None
    tactic_value: str | None = None
    lines: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        weights = {
            name: {"dtype": None if dtype is None else str(dtype), "count": count}
            for name, (dtype, count) in (self.weights or {}).items()
        }
        return {
            "name": self.name,
            "kind": self.kind,
            "inputs": [tensor.as_dict() for tensor in self.inputs],
            "outputs": [tensor.as_dict() for tensor in self.outputs],
            "weights": weights,
            "tactic": self.tactic,
            "tactic_value": self.tactic_value,
            "lines": list(self.lines),
        }


@dataclass(frozen=True)
class Inspection:
    """All layers of an engine. `detailed` is False where it tells their names at most."""

    layers: tuple[EngineLayer, ...]
    detailed: bool

    @property
    def tactics(self) -> dict[str, str]:
        """Number and name of the tactic of each layer that computes and has one, by the layer's name.

        Of layers of one name, the second has `#2` behind it, and so on.
        """
        found: dict[str, str] = {}
        for layer in self.layers:
            if layer.kind not in _COPIES and (layer.tactic is not None or layer.tactic_value is not None):
                name, number = layer.name, 1
                while name in found:
                    number += 1
                    name = f"{layer.name}#{number}"
                found[name] = " ".join(filter(None, [layer.tactic_value, layer.tactic]))
        return found


def parse(text: str) -> Inspection:
    """The records of what an inspector says as JSON. Raises ValueError for what is none of it.

    Of an engine that was built to tell nothing it says nothing.
    """
    if not text.strip():
        return Inspection((), detailed=False)
    described = json.loads(text)
    entries = described.get("Layers") if isinstance(described, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it lists no layers")
    layers = tuple(_layer(entry) for entry in entries)
    return Inspection(layers, detailed=bool(entries) and all(isinstance(entry, dict) for entry in entries))


def _layer(entry: Any) -> EngineLayer:
    if isinstance(entry, str):  # of an engine that was built to tell names only
        return EngineLayer(entry, "")
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str):
        raise ValueError("a layer without a name")
    weights = {
        name: (type_in(str(value["Type"])), int(value.get("Count", 0)))
        for name, value in entry.items()
        if isinstance(value, dict) and "Type" in value
    }
    number = entry.get("TacticValue")
    lines = dict.fromkeys(filter(None, _SEPARATORS.split(entry.get("Metadata") or "")))
    return EngineLayer(
        name=entry["Name"],
        kind=str(entry.get("LayerType", "")),
        inputs=_tensors(entry.get("Inputs")),
        outputs=_tensors(entry.get("Outputs")),
        weights=weights,
        tactic=entry.get("TacticName") or None,
        tactic_value=number if number not in (None, _NO_TACTIC) else None,
        lines=tuple(lines),
    )


def _tensors(entries: Any) -> tuple[EngineTensor, ...]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return ()
    return tuple(_tensor(entry) for entry in entries if isinstance(entry, dict))


def _tensor(entry: Mapping[str, Any]) -> EngineTensor:
    words = [entry.get(key) for key in ("Format/Datatype", "Format", "Datatype", "DataType")]
    text = " ".join(str(word) for word in words if word is not None)
    return EngineTensor(str(entry.get("Name", "")), tuple(entry.get("Dimensions", ())), text, type_in(text))


def type_in(text: str) -> DataType | None:
    """The element type that a format of the inspector's names: `Channel major FP16 format where channel % 8 == 0`."""
    found = {_TYPES[word] for word in re.findall(r"[a-z0-9]+", text.lower()) if word in _TYPES}
    return found.pop() if len(found) == 1 else None


def inspect(runtime: Runtime, plan: Any, *, host_code: bool = False) -> Inspection:
    """What a serialized engine tells of its layers; wants a GPU that can run it. Raises EngineFileError.

    Formats of layers whose sizes are open are told for those at opt, by 8.6.1 not even then. Plugins that the engine
    needs are registered already. `host_code` lets an engine bring code for the host, as those for later versions do.
    """
    log = BuildLog(runtime)
    try:
        engine = deserialize(runtime, plan, log, host_code=host_code)
    except RunError as error:
        raise EngineFileError.of("engine-inspection", error.diagnostics[0].message) from None
    inspector = engine.create_engine_inspector()
    # Kept until the inspector has spoken: that only knows where the context is.
    context = _context(runtime.module, engine)
    if context is not None:
        inspector.execution_context = context
    text = inspector.get_engine_information(runtime.module.LayerInformationFormat.JSON)
    try:
        return parse(text)
    except (ValueError, TypeError, KeyError) as error:
        raise EngineFileError.of("engine-inspection", f"{runtime} describes the engine in a new way: {error}") from None


def _context(trt: Any, engine: Any) -> Any:
    """A context in which all sizes are decided; None where that is not possible, does not help, or nothing is open."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)
    if strategies is None or all(-1 not in engine.get_tensor_shape(name) for name in names):
        return None
    context = engine.create_execution_context(strategies.USER_MANAGED)
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    if context is None or engine.num_optimization_profiles < 1:
        return None
    decided = [context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1]) for name in inputs]
    return context if all(decided) else None
