"""Records out of what inspectors say, in the forms of several TensorRTs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.inspected import engine, layer
from trtdsl.engine.inspection import EngineTensor, inspect, parse, type_in
from trtdsl.errors import EngineFileError
from trtdsl.targets.runtime import Runtime
from trtdsl.types import DataType

KERNEL = "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize64x64x64"


def test_a_fused_convolution() -> None:
    text = engine(
        layer(
            "conv1 + bn1 + relu",
            "CaskConvolution",
            {"x/fp16": "fp16"},
            {"relu": "fp16"},
            weights="fp16",
            tactic=KERNEL,
            value="0x30e8a8d7a953e5e9",
            lines=["net.yaml:4", "net.yaml:5", "net.yaml:5", "net.yaml:6"],
        )
    )
    inspection = parse(text)
    (found,) = inspection.layers
    assert inspection.detailed
    assert (found.name, found.kind, found.tactic) == ("conv1 + bn1 + relu", "CaskConvolution", KERNEL)
    assert found.lines == ("net.yaml:4", "net.yaml:5", "net.yaml:6")
    assert found.weights == {"Weights": (DataType.FP16, 576), "Bias": (DataType.FP32, 8)}
    described = "Channel major FP16 format where channel % 8 == 0"
    assert found.inputs == (EngineTensor("x/fp16", (1, 8, 4, 4), described, DataType.FP16),)
    assert found.as_dict()["outputs"] == [{"name": "relu", "shape": [1, 8, 4, 4], "format": described, "dtype": "fp16"}]


# Formats as 8.6's inspector writes them, and types as those of later versions do, and of weights.
TYPES: dict[str, DataType | None] = {
    "Row major linear FP32": DataType.FP32,
    "Channel major FP16 format where channel % 4 == 0": DataType.FP16,
    "Channel major FP16 format where channel % 8 == 0": DataType.FP16,
    "Two wide channel vectorized row major FP16 format": DataType.FP16,
    "Thirty-two wide channel vectorized row major Int8 format": DataType.INT8,
    "Four wide channel vectorized row major Int8 format": DataType.INT8,
    "Row major linear INT32": DataType.INT32,
    "Row major linear BOOL": DataType.BOOL,
    "Half": DataType.FP16,
    "Float": DataType.FP32,
    "BFloat16": DataType.BF16,
    "BF16": DataType.BF16,
    "FP8": DataType.FP8,
    "Int64": DataType.INT64,
    "N/A due to dynamic shapes": None,
    "": None,
}


@pytest.mark.parametrize(("text", "dtype"), TYPES.items(), ids=[text or "nothing" for text in TYPES])
def test_types_in_formats(text: str, dtype: DataType | None) -> None:
    assert type_in(text) is dtype


def test_types_apart_from_formats() -> None:
    tensor = {"Name": "x", "Dimensions": [1, 8], "Format": "Row major linear", "Datatype": "Half"}
    text = json.dumps({"Layers": [{"Name": "k", "LayerType": "kgen", "Inputs": [tensor], "Outputs": []}]})
    assert parse(text).layers[0].inputs[0].dtype is DataType.FP16


def test_metadata_of_later_versions() -> None:
    entry = layer("k", "kgen", {}, {})
    entry["Metadata"] = "net.yaml:4\x1fnet.yaml:5\x1enet.yaml:9"
    assert parse(engine(entry)).layers[0].lines == ("net.yaml:4", "net.yaml:5", "net.yaml:9")


def test_an_engine_that_tells_names_only() -> None:
    inspection = parse(json.dumps({"Layers": ["conv1 + bn1 + relu", "fc"], "Bindings": ["x"]}))
    assert not inspection.detailed
    assert [layer.name for layer in inspection.layers] == ["conv1 + bn1 + relu", "fc"]
    assert inspection.tactics == {}


def test_an_engine_that_tells_nothing() -> None:
    assert not parse('{"Layers": [], "Bindings": []}').detailed


def test_tactics_by_number_and_name_and_none_where_there_is_no_choice() -> None:
    inspection = parse(
        engine(
            layer("a", "CaskConvolution", {}, {}, tactic=KERNEL, value="0x1"),
            layer("b", "Reduce", {}, {}, value="0x0000000000000003"),
            layer("c", "NoOp", {}, {}),
            layer("d", "Reformat", {}, {}, value="0x00000000000003ea"),
            layer("d", "MyelinReformat", {}, {}),
            layer("b", "Reduce", {}, {}, value="0x0000000000000007"),
        )
    )
    assert inspection.tactics == {"a": f"0x1 {KERNEL}", "b": "0x0000000000000003", "b#2": "0x0000000000000007"}


WRONG = {
    "not JSON": "Layers:",
    "no layers": '{"Bindings": []}',
    "a list": "[]",
    "a layer without a name": '{"Layers": [{"LayerType": "NoOp"}]}',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_no_engine(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text)


RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("name", "layers", "tactics", "lines"), [("mixed", 18, 7, 9), ("quantised", 7, 3, 8), ("digits", 12, 6, 13)]
)
def test_what_861_said_on_an_h200(name: str, layers: int, tactics: int, lines: int) -> None:
    inspection = parse((RECORDED / f"{name}-8.6.1.json").read_text())
    assert inspection.detailed
    assert len(inspection.layers) == layers
    assert len(inspection.tactics) == tactics
    assert len({line for layer in inspection.layers for line in layer.lines}) == lines
    known = {entry.dtype for layer in inspection.layers for entry in (*layer.inputs, *layer.outputs)}
    assert known == {"mixed": {DataType.FP16, DataType.FP32}, "quantised": {DataType.INT8, DataType.FP32}}.get(
        name, {None}
    )


class Engine:
    """Stands in for an ICudaEngine with two inputs and an output, and for its inspector; `refused` takes no sizes."""

    num_io_tensors = 3
    num_optimization_profiles = 1

    def __init__(self, shape: tuple[int, ...], text: str, refused: str = "") -> None:
        self.shape, self.text, self.refused = shape, text, refused
        self.execution_context: Any = None
        self.taken: list[Any] = []

    def get_tensor_name(self, index: int) -> str:
        return ("x", "mask", "y")[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def get_tensor_mode(self, name: str) -> str:
        return "output" if name == "y" else "input"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(1, 8), (2, 8), (4, 8)]

    def create_execution_context(self, strategy: object) -> Engine:
        assert strategy == "no memory"
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.taken.append((name, shape))
        return name != self.refused

    def create_engine_inspector(self) -> Engine:
        return self

    def get_engine_information(self, form: object) -> str:
        return self.text


def runtime_of(engine: Engine | None, *, has_strategies: bool = True) -> Runtime:
    class Loader:
        engine_host_code_allowed = False

        def __init__(self, logger: object) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            return engine if plan != b"brings code" or self.engine_host_code_allowed else None

    class Logger:
        def __init__(self) -> None: ...

    module = SimpleNamespace(
        ILogger=Logger,
        Runtime=Loader,
        TensorIOMode=SimpleNamespace(INPUT="input"),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
    )
    if has_strategies:
        module.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="no memory")
    return Runtime("tensorrt", (10, 15), module)


OPT = [("x", (2, 8)), ("mask", (2, 8))]
# Each: the tensors' shape, whether there are contexts without memory, the input that takes no sizes, and those that the
# inputs are given. The inspector is given a context where it has all of them.
SIZES: dict[str, tuple[tuple[int, ...], bool, str, list[Any]]] = {
    "open": ((-1, 8), True, "", OPT),
    "open, and the first refused": ((-1, 8), True, "x", OPT),
    "open, and the last refused": ((-1, 8), True, "mask", OPT),
    "fixed": ((2, 8), True, "", []),
    "open, of 8.6": ((-1, 8), False, "", []),
}


@pytest.mark.parametrize(("shape", "has_strategies", "refused", "given"), SIZES.values(), ids=SIZES)
def test_open_sizes_are_those_at_opt(
    shape: tuple[int, ...], has_strategies: bool, refused: str, given: list[Any]
) -> None:
    found = Engine(shape, '{"Layers": ["a"]}', refused)
    assert inspect(runtime_of(found, has_strategies=has_strategies), b"plan").layers[0].name == "a"
    assert found.taken == given
    assert found.execution_context is (found if given and not refused else None)


def test_an_engine_that_does_not_load_and_one_in_a_new_form() -> None:
    with pytest.raises(EngineFileError, match="does not load the engine") as error:
        inspect(runtime_of(None), b"plan")
    assert error.value.diagnostics[0].code == "engine-inspection"
    with pytest.raises(EngineFileError, match="describes the engine in a new way: it lists no layers"):
        inspect(runtime_of(Engine((1,), "{}")), b"plan")


def test_code_for_the_host_runs_only_if_it_is_let() -> None:
    found = Engine((1,), '{"Layers": []}')
    with pytest.raises(EngineFileError):
        inspect(runtime_of(found), b"brings code")
    assert not inspect(runtime_of(found), b"brings code", host_code=True).detailed
