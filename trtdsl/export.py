"""A network as files of other programs: an ONNX model, a Python script of TensorRT calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trtdsl.build_options import BuildOptions
from trtdsl.engine.files import Staged, check_places
from trtdsl.errors import ExportError, needs_extra
from trtdsl.graph import Graph
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.script import write_script

if TYPE_CHECKING:
    from trtdsl.targets.onnx import OnnxModel

BESIDE_FROM = 64 << 20
"""Bytes of weights from which they lie beside the model unless told otherwise. While a model that holds its weights is
written they are in memory twice, which up to here hurts no machine, and one file is easier to hand on than two."""
_MOST = (1 << 31) - 1
"""Bytes of a serialised model that Protocol Buffers still read."""


def export_onnx(graph: Graph, output: Path, *, external: bool | None = None) -> tuple[Path, ...]:
    """Write the ONNX model of a typed graph; gives the files written, the model first.

    `external` puts the weights beside the model, in `<output>.data`, or keeps them inside it; by default their size
    decides, and tensors of up to a kilobyte stay inside. Raises ExportError with every layer that ONNX cannot say,
    RunError without the package onnx, OSError.
    """
    with needs_extra("onnx", "an ONNX model"):
        from trtdsl.targets.onnx import to_onnx

    return write_onnx(to_onnx(graph), output, external=external)


def write_onnx(model: OnnxModel, output: Path, *, external: bool | None = None) -> tuple[Path, ...]:
    """As `export_onnx`, of a model that is made."""
    if external is None:
        external = model.weight_bytes >= BESIDE_FROM
    external = external and model.has_large_tensors
    weights = output.with_name(f"{output.name}.data")
    files = (output, weights) if external else (output,)
    check_places(*files)
    with Staged() as staged:
        if external:
            # In place before the model that names it.
            with staged.open(weights) as file:
                model.write_external(file)
            staged.write(output, model.proto_beside(weights.name).SerializeToString())
        else:
            if model.weight_bytes > _MOST:
                size = f"{model.weight_bytes / 1e9:.1f} GB of weights"
                raise ExportError.of("onnx-size", f"{output}: an ONNX file holds 2 GB at most, not {size}")
            staged.write(output, model.proto().SerializeToString())
        staged.commit()
    return files


def script_weights(script: Path) -> Path:
    """`net.py` has the weights that it builds with in `net.weights.npz`."""
    return script.with_name(f"{script.stem}.weights.npz")


def export_script(
    graph: Graph, output: Path, runtime: Runtime, options: BuildOptions, source: Path
) -> tuple[Path, ...]:
    """Write a Python program that makes the engine of a typed graph by plain calls of TensorRT; gives the files.

    Its weights lie beside it, in `<stem>.weights.npz`. `source` is the file that the network came from. Raises
    BuildError for what the runtime cannot do, OSError.
    """
    weights = script_weights(output)
    check_places(output, weights)
    script = write_script(graph, runtime, options, source=source, weights=weights.name)
    with Staged() as staged:
        if script.arrays:
            with staged.open(weights) as file:
                script.write_arrays(file)
        staged.write(output, script.text.encode())
        staged.commit()
    return (output, weights) if script.arrays else (output,)
