"""Networks as files of other programs: written whole or not at all, and the same network when read back."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import pytest

import trtdsl
from tests.networks import files
from tests.networks.test_networks import NETWORKS, SMALL
from trtdsl.errors import BuildError, ExportError, RunError
from trtdsl.graph import Graph
from trtdsl.running import make_inputs
from trtdsl.targets.reference import run_model
from trtdsl.types import DataType

NET = """\
trtdsl: 1
dims: {N: [1, 2, 4]}
inputs: {x: [N, 32]}
weights: w.npz
layers:
  - {op: linear, name: a, out_features: 16}
  - relu
  - {op: linear, name: b, out_features: 2}
outputs: {y: b}
"""
WEIGHTS = {
    "a.weight": np.arange(512, dtype=np.float32).reshape(16, 32) / 512,
    "a.bias": np.ones(16, np.float32),
    "b.weight": np.ones((2, 16), np.float32),
    "b.bias": np.zeros(2, np.float32),
}


@pytest.fixture
def network(tmp_path: Path) -> trtdsl.Network:
    np.savez(tmp_path / "w.npz", **WEIGHTS)  # type: ignore[arg-type]
    (tmp_path / "net.yaml").write_text(NET)
    return trtdsl.load(tmp_path / "net.yaml")


def inferred(path: Path) -> dict[str, Any]:
    """The outputs' shapes as ONNX infers them from the file, whatever the model itself says of them."""
    model = onnx.load(path, load_external_data=False)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    bare = path.with_suffix(".bare.onnx")
    onnx.save(model, bare)
    onnx.shape_inference.infer_shapes_path(bare, bare, check_type=True, strict_mode=True, data_prop=True)
    outputs = onnx.load(bare, load_external_data=False).graph.output
    return {output.name: [dim.dim_value or None for dim in output.type.tensor_type.shape.dim] for output in outputs}


def described(graph: Graph) -> dict[str, list[int]]:
    return {output.name: [dim.value for dim in graph.types[output.tensor].shape] for output in graph.outputs}


@pytest.mark.parametrize("external", [False, True], ids=["inside", "beside"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", [*SMALL, "digits"])
def test_networks_are_right_by_onnxs_own_checks(name: str, precision: str, external: bool, tmp_path: Path) -> None:
    opt = {"N": 2, "H": 64, "W": 64, "T": 16}
    if name == "digits":
        network = trtdsl.load(NETWORKS / "digits.yaml", precision=precision, dims={"N": 2})
    else:
        case = SMALL[name]
        weights = tmp_path / "weights.safetensors"
        files.write_random(weights, case.state)
        declared = trtdsl.load(
            NETWORKS / f"{case.network}.yaml", parameters=case.parameters, random_weights=True
        ).graph.dims
        network = trtdsl.load(
            NETWORKS / f"{case.network}.yaml",
            parameters=case.parameters,
            weights=weights,
            precision=precision,
            dims={dim: opt[dim] for dim in declared},
        )
    paths = network.export_onnx(tmp_path / "net.onnx", external=external)
    assert [path.name for path in paths] == ["net.onnx", "net.onnx.data"][: 1 + external]
    onnx.checker.check_model(str(paths[0]), full_check=True)
    assert inferred(paths[0]) == described(network.typed)
    model = onnx.load(paths[0], load_external_data=False)
    assert [entry.name for entry in model.graph.input] == [entry.name for entry in network.graph.inputs]
    assert all(".yaml:" in node.doc_string for node in model.graph.node)
    inputs = make_inputs(network.graph, {})
    outputs = run_model(paths[0], inputs)
    assert {key: list(array.shape) for key, array in outputs.items()} == described(network.typed)
    assert all(np.isfinite(array).all() for array in outputs.values())


def test_the_file_decides_nothing_of_the_numbers(network: trtdsl.Network, tmp_path: Path) -> None:
    inside, *_ = network.export_onnx(tmp_path / "inside.onnx", external=False)
    beside, data = network.export_onnx(tmp_path / "beside.onnx", external=True)
    assert data.read_bytes()[:2048] == WEIGHTS["a.weight"].tobytes()
    assert beside.stat().st_size < inside.stat().st_size
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    expected = np.maximum(x @ WEIGHTS["a.weight"].T + 1, 0) @ WEIGHTS["b.weight"].T
    for path in (inside, beside):
        np.testing.assert_allclose(run_model(path, {"x": x})["y"], expected, rtol=1e-5)


def test_where_the_weights_go_by_themselves(
    network: trtdsl.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert network.export_onnx() == (tmp_path / "net.onnx",)
    # 16 * 32 + 16 + 2 * 16 + 2 numbers of 4 bytes.
    monkeypatch.setattr("trtdsl.export.BESIDE_FROM", 2248)
    assert network.export_onnx() == (tmp_path / "net.onnx", tmp_path / "net.onnx.data")
    monkeypatch.setattr("trtdsl.export.BESIDE_FROM", 2249)
    assert network.export_onnx() == (tmp_path / "net.onnx",)


def test_nothing_large_is_nothing_to_lie_beside(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [2, 3]}\nlayers: [{op: linear, out_features: 2}]\n")
    network = trtdsl.load(tmp_path / "net.yaml", random_weights=True)
    assert network.export_onnx(external=True) == (tmp_path / "net.onnx",)


def test_bf16_is_in_the_model_as_such(network: trtdsl.Network, tmp_path: Path) -> None:
    narrow = trtdsl.load(network.path, precision="bf16")
    path, *_ = narrow.export_onnx(tmp_path / "narrow.onnx", external=True)
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    [weight] = [entry for entry in model.graph.initializer if tuple(entry.dims) in ((16, 32), (32, 16))]
    assert weight.data_type == onnx.TensorProto.BFLOAT16
    bits = WEIGHTS["a.weight"].view(np.uint32) >> 16
    # Sixteen of the numbers' bits at most are lost.
    np.testing.assert_allclose(np.frombuffer(weight.raw_data, np.uint16).astype(np.int64), bits.ravel(), atol=1)


def test_what_a_single_file_cannot_hold(network: trtdsl.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.export._MOST", 2000)
    with pytest.raises(ExportError, match="an ONNX file holds 2 GB at most"):
        network.export_onnx(external=False)


def test_all_layers_that_onnx_cannot_say_are_listed(tmp_path: Path) -> None:
    layers = "layers:\n  - {op: trt.softmax, name: one}\n  - relu\n  - {op: trt.softmax, name: two}\n"
    (tmp_path / "net.yaml").write_text(f"trtdsl: 1\ninputs: {{x: [2, 3]}}\n{layers}")
    with pytest.raises(ExportError) as error:
        trtdsl.load(tmp_path / "net.yaml").export_onnx()
    found = error.value.diagnostics
    assert [(entry.code, entry.span and entry.span.line) for entry in found] == [("onnx-form", 4), ("onnx-form", 6)]
    assert [path.name for path in tmp_path.iterdir()] == ["net.yaml"]


def test_without_onnx(network: trtdsl.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trtdsl.targets.onnx")
    monkeypatch.delattr("trtdsl.targets.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RunError) as error:
        network.export_onnx()
    [found] = error.value.diagnostics
    assert (found.code, found.message) == ("package-missing", "an ONNX model needs onnx, which is not installed")
    assert found.hint == "pip install 'trtdsl[onnx]'"


def _onnx(network: trtdsl.Network, output: Path) -> Any:
    return network.export_onnx(output, external=True)


def _script(network: trtdsl.Network, output: Path) -> Any:
    return network.export_script(output)


KINDS: dict[str, tuple[Callable[[trtdsl.Network, Path], Any], str, str]] = {
    "onnx": (_onnx, "net.onnx", "net.onnx.data"),
    "script": (_script, "net.py", "net.weights.npz"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


class FullDisk:
    """A file on a disk that takes ten bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: Any) -> int:
        if self._file.tell() + len(content) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(content)


@every_kind
def test_a_full_disk_leaves_the_old_files(
    kind: str, network: trtdsl.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export, *names = KINDS[kind]
    folder = tmp_path / "out"
    export(network, folder / names[0])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == sorted(names)
    opened = Path.open

    def full(path: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        file = opened(path, mode, *arguments, **keywords)
        return FullDisk(file) if mode == "xb" else file  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left") as error:
        export(trtdsl.load(network.path, precision="fp16"), folder / names[0])
    assert Path(error.value.filename).name in names
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


UNWRITABLE: dict[str, Callable[[Path, Path], Any]] = {
    "a folder stands there": lambda model, data: model.mkdir(),
    "a folder stands where the weights go": lambda model, data: data.mkdir(),
    "its folder is a file": lambda model, data: model.parent.rmdir() or model.parent.write_text(""),
}


@every_kind
@pytest.mark.parametrize("spoil", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_place_that_cannot_be_written(
    kind: str, spoil: Callable[[Path, Path], Any], network: trtdsl.Network, tmp_path: Path
) -> None:
    export, model, data = KINDS[kind]
    folder = tmp_path / "out"
    folder.mkdir()
    spoil(folder / model, folder / data)
    with pytest.raises(OSError) as error:  # noqa: PT011
        export(network, folder / model)
    assert str(error.value.filename).startswith(str(folder))
    assert not folder.is_dir() or len(list(folder.iterdir())) == 1


@every_kind
def test_the_same_network_gives_the_same_bytes(kind: str, network: trtdsl.Network, tmp_path: Path) -> None:
    export, *_ = KINDS[kind]
    one, two = ([path.read_bytes() for path in export(network, tmp_path / name / "net.x")] for name in "ab")
    assert one == two


def test_a_script_without_weights_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("trtdsl: 1\ninputs: {x: [2, 3]}\nlayers: [relu]\n")
    assert trtdsl.load(tmp_path / "net.yaml").export_script() == (tmp_path / "net.py",)


def test_a_script_for_what_the_runtime_lacks(network: trtdsl.Network) -> None:
    with pytest.raises(BuildError, match=r"target: TensorRT 8\.6 does not have it"):
        network.export_script(runtime="tensorrt-8.6", target="8.9")
    with pytest.raises(ValueError, match="a runtime is one of auto, rtx, tensorrt, or one with its version"):
        network.export_script(runtime="tensorrt-new")
    assert DataType.BF16 in {entry.dtype for entry in trtdsl.load(network.path, precision="bf16").typed.types.values()}
