"""The networks of networks/ for benchmarks: with made-up weights, and for int8 with scales of made-up data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trtdsl
from trtdsl.running import make_inputs, save_npz

FOLDER = Path(__file__).parents[1] / "networks"
NETWORKS: Mapping[str, tuple[str, dict[str, object]]] = {
    "digits": ("digits", {}),
    "resnet18": ("resnet", {"depth": 18}),
    "resnet50": ("resnet", {"depth": 50}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    "cyclegan_generator": ("cyclegan_generator", {}),
    "unet": ("unet", {}),
    "vit": ("vit", {}),
    "gpt2": ("gpt2", {}),
}
"""The file of each, and its params."""


def load(name: str, precision: str, folder: Path, dims: Mapping[str, object] | None = None) -> trtdsl.Network:
    """A network in a precision; `folder` is for what int8 needs. Sizes that are not in `dims` stay open.

    Raises what `trtdsl.load` and `Network.calibrate` raise.
    """
    file, parameters = NETWORKS[name]
    path = FOLDER / f"{file}.yaml"
    is_trained = file == "digits"
    given = {} if dims is None else {key: size for key, size in dims.items() if f"{key}:" in path.read_text("utf-8")}

    def loaded(precision: str, **arguments: object) -> trtdsl.Network:
        return trtdsl.load(
            path, parameters=parameters, dims=given, random_weights=not is_trained, precision=precision, **arguments
        )

    if precision != "int8":
        return loaded(precision)
    network = loaded("fp32")
    data = folder / f"{name}-data"
    data.mkdir(exist_ok=True)
    save_npz(data / "0.npz", make_inputs(network.graph, {}))
    scales, _ = network.calibrate(data, folder / f"{name}.scales", method="min-max", device="gpu")
    return loaded("int8", scales=scales)
