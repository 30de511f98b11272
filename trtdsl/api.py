"""The Python interface: `trtdsl.load("net.yaml").build()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtdsl.errors import Diagnostics
from trtdsl.expand import expand, override_nodes
from trtdsl.flat import FlatNetwork, FlatQuantization, ScaleFile
from trtdsl.includes import read_with_includes
from trtdsl.network import PRECISION, Network
from trtdsl.ops import CATALOGUE
from trtdsl.overrides import Overrides
from trtdsl.plugins.libraries import LibraryUse
from trtdsl.reader import open_source
from trtdsl.schema import check
from trtdsl.weights.library import FileUse

__all__ = ["Network", "flatten", "load"]


def load(
    path: str | Path,
    *,
    parameters: Mapping[str, object] | None = None,
    dims: Mapping[str, object] | None = None,
    weights: str | Path | Sequence[str | Path] | None = None,
    random_weights: bool = False,
    precision: str | None = None,
    scales: str | Path | None = None,
    impl: str | None = None,
    plugins: Sequence[str | Path] = (),
    check_finite: bool = False,
    quantized: bool = True,
) -> Network:
    """Read, check and expand a network, find its weights and infer all shapes. Needs no TensorRT.

    `parameters` overrides params as `--set` does (`{"classes": 10}`, `{"cfg.depth": 2}`); `dims` gives declared
    dimensions other sizes, one or (min, opt, max) (`{"N": 4, "H": (64, 256, 1024)}`); `weights` replaces the files that
    the network names: one or several, each `FILE` or `PREFIX=FILE`; `random_weights` makes all weights up; `precision`
    replaces the default one, not what is asked for single layers, and so does `impl`; `scales` is a file instead of
    those that the network names; `plugins` are libraries of plugins besides those that the network names;
    `check_finite` refuses weights with NaN or infinity; without `quantized` no layer is int8 or fp8, and none needs a
    scale.

    Raises NetworkError with everything the first failing stage found, and ValueError for a wrong `precision`.
    """
    said: dict[str, Any] = {
        "parameters": parameters,
        "dims": dims,
        "weights": weights,
        "precision": precision,
        "scales": scales,
        "impl": impl,
        "plugins": plugins,
    }
    flat = flatten(path, **said)
    network = Network.of(flat, random_weights=random_weights, check_finite=check_finite, quantized=quantized)
    return replace(network, overrides=Overrides.of(**said, random_weights=random_weights))


def flatten(
    path: str | Path,
    *,
    parameters: Mapping[str, object] | None = None,
    dims: Mapping[str, object] | None = None,
    weights: str | Path | Sequence[str | Path] | None = None,
    precision: str | None = None,
    scales: str | Path | None = None,
    impl: str | None = None,
    plugins: Sequence[str | Path] = (),
) -> FlatNetwork:
    """Read, check and expand a network, and no more: weights need not be there. The arguments are those of `load`.

    Raises NetworkError with everything the first failing stage found.
    """
    diagnostics = Diagnostics()
    document, sources = read_with_includes(open_source(Path(path)), diagnostics)
    check(document, CATALOGUE, diagnostics)
    params = override_nodes(parameters or {}, "parameters", diagnostics)
    sizes = override_nodes(dims or {}, "dims", diagnostics)
    flat = expand(document, CATALOGUE, diagnostics, params=params, dims=sizes)
    if precision is not None:
        flat = replace(flat, precision=replace(flat.precision, default=PRECISION.parse(precision, {})))
    if scales is not None:
        stated = flat.quantization or FlatQuantization(())
        flat = replace(flat, quantization=replace(stated, files=(ScaleFile(Path(scales)),)))
    if impl is not None:
        flat = replace(flat, impl=impl)
    if weights is not None:
        files = [weights] if isinstance(weights, (str, Path)) else weights
        flat = replace(flat, weights=tuple(map(FileUse.parse, files)))
    libraries = (*flat.libraries, *(LibraryUse(Path(library)) for library in plugins))
    return replace(flat, libraries=libraries, sources=sources)
