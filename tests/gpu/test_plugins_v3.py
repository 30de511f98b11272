"""The bundled plugins as layers of TensorRT 10's networks, V3 and V2, with the shapes that TensorRT infers of them.

Needs a GPU and TensorRT 10 or later, of which the libraries that define networks are enough: nothing is built here.
What enqueue does, test_plugin_calls.py shows. `TRTDSL_PLUGINS` names the compiled library.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trtdsl
from trtdsl.engine.log import BuildLog
from trtdsl.plugins.bundled import bundled_plugins
from trtdsl.targets.runtime import find_runtime
from trtdsl.targets.tensorrt import emit

if not Path("/dev/nvidiactl").exists():
    pytest.skip("there is no GPU here", allow_module_level=True)

Size = tuple[int, int, int, int]
SIZES: tuple[Size, ...] = ((1, 3, 9, 8), (2, 3, 17, 23), (5, 3, 64, 40))
"""The ends of the profile, and one between."""


def _same(size: Size) -> Size:
    return size


def _grown(rows: int, columns: int) -> Callable[[Size], Size]:
    return lambda size: (*size[:2], size[2] + rows, size[3] + columns)


def _scaled(size: Size) -> Size:
    return (*size[:2], size[2] * 3 // 2, size[3] * 3 // 2)


LAYERS: dict[str, tuple[str, Callable[[Size], Size]]] = {
    "HardSwish": ("", _same),
    "Mish": ("", _same),
    "LeakyReLU": ("negSlope: 0.2", _same),
    "InstanceNorm": ("scale: [1, 2, 3], bias: [0, 1, 0], activation: leaky_relu, slope: 0.2", _same),
    "InstanceNormPad": ("paddings: [1, 2, 3, 0], mode: edge, activation: relu", _grown(3, 3)),
    "ReflectPad": ("paddings: [1, 2, 3, 4]", _grown(7, 3)),
    "Upsample": ("scaleFactor: 1.5, mode: bilinear, alignCorners: true", _scaled),
}


@pytest.fixture(scope="module")
def trt() -> Any:
    runtime = find_runtime("tensorrt")
    if runtime.version < (10,):
        pytest.skip(f"{runtime} has no V3 plugins")
    if "TRTDSL_PLUGINS" not in os.environ:
        pytest.skip("TRTDSL_PLUGINS names no compiled library (trtdsl plugins build)")
    return runtime


@pytest.fixture(scope="module")
def maker(trt: Any) -> Any:
    """A builder, which is asked for networks only, and what it logs."""
    log = BuildLog(trt)
    return trt.module.Builder(log.logger), log


def test_every_plugin_has_a_layer() -> None:
    assert LAYERS.keys() == bundled_plugins().keys()


@pytest.mark.parametrize("typed", ["weakly", "strongly"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("version", ["1", "2"], ids=["V2", "V3"])
@pytest.mark.parametrize("plugin", LAYERS)
def test_tensorrt_infers_the_shapes(
    plugin: str, version: str, dtype: str, typed: str, trt: Any, maker: Any, tmp_path: Path
) -> None:
    fields, shape = LAYERS[plugin]
    layer = f'{{op: plugin, plugin: {plugin}, version: "{version}", fields: {{{fields}}}}}'
    network = _network([layer], dtype, typed, trt, maker, tmp_path)
    [made] = _plugins(network, trt)
    assert made.type.name == ("PLUGIN_V2" if version == "1" else "PLUGIN_V3")
    _follows(network, shape, dtype, trt)


def test_two_inputs(trt: Any, maker: Any, tmp_path: Path) -> None:
    layers = [
        "{op: plugin, name: n, plugin: InstanceNormPad, fields: {paddings: [1, 1, 1, 1]}}",
        "{op: plugin, plugin: InstanceNormPad, in: [x, n], fields: {residualPaddings: [1, 1, 1, 1]}}",
    ]
    network = _network(layers, "fp16", "strongly", trt, maker, tmp_path)
    assert [layer.type.name for layer in _plugins(network, trt)] == ["PLUGIN_V3"] * 2
    _follows(network, _same, "fp16", trt)


def test_ops_that_choose_plugins(trt: Any, maker: Any, tmp_path: Path) -> None:
    layers = [
        "{op: instance_norm, impl: plugin}",
        "{op: pad, padding: [1, 2, 3, 4], mode: reflect, impl: plugin}",
        "{op: mish, impl: plugin}",
        "{op: resize, scale_factor: 1, mode: bilinear, impl: plugin}",
    ]
    network = _network(layers, "fp16", "weakly", trt, maker, tmp_path)
    assert {layer.type.name for layer in _plugins(network, trt)} == {"PLUGIN_V3"}
    _follows(network, _grown(7, 3), "fp16", trt)


def _network(layers: list[str], dtype: str, typed: str, trt: Any, maker: Any, folder: Path) -> Any:
    low, usual, high = SIZES
    dims = ", ".join(f"{name}: [{low[at]}, {usual[at]}, {high[at]}]" for name, at in (("N", 0), ("H", 2), ("W", 3)))
    path = folder / "net.yaml"
    path.write_text(
        f"trtdsl: 1\ndims: {{{dims}}}\ninputs: {{x: {{shape: [N, 3, H, W], dtype: {dtype}}}}}\nprecision: {dtype}\n"
        "layers:\n" + "".join(f"  - {layer}\n" for layer in layers)
    )
    graph = trtdsl.load(path, plugins=[Path(os.environ["TRTDSL_PLUGINS"])]).for_runtime(trt)
    builder, log = maker
    is_strong = typed == "strongly"
    network = builder.create_network(trt.network_flags(is_strong))
    # Holds every type and shape that TensorRT gives against those that trtdsl infers.
    emit(graph, network, trt, log, strongly_typed=is_strong)
    return network


def _plugins(network: Any, trt: Any) -> list[Any]:
    kinds = (trt.module.LayerType.PLUGIN_V2, trt.module.LayerType.PLUGIN_V3)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return [layer for layer in layers if layer.type in kinds]


def _follows(network: Any, shape: Callable[[Size], Size], dtype: str, trt: Any) -> None:
    """The last plugin gives the shape it has to at every size of the input; sizes that vary are -1 before."""
    x, y = network.get_input(0), _plugins(network, trt)[-1].get_output(0)
    assert y.dtype == {"fp32": trt.module.float32, "fp16": trt.module.float16}[dtype]
    assert tuple(y.shape) == (-1, 3, -1, -1)
    for size in SIZES:
        x.shape = size
        assert tuple(y.shape) == shape(size)
