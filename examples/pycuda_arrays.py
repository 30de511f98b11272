"""Run an engine on PyCUDA's arrays and stream: nothing is copied between PyCUDA and trtdsl.

pip install pycuda 'trtdsl[gpu,tensorrt]'
trtdsl build networks/digits.yaml
python examples/pycuda_arrays.py networks/digits.engine
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import trtdsl
from trtdsl.errors import TrtdslError

try:
    # It makes the GPU's own context the current one, before the engine is loaded: `autoinit` makes a context that only
    # its own thread knows.
    import pycuda.autoprimaryctx
    import pycuda.driver as cuda
    from pycuda.gpuarray import GPUArray
except ModuleNotFoundError as error:
    missing = str(error.name).partition(".")[0]
    raise SystemExit(f"{missing} is not installed: pip install pycuda 'trtdsl[gpu,tensorrt]'") from None


def main() -> None:
    """Run the engine that the command line names on random numbers, on a stream of PyCUDA's."""
    parser = argparse.ArgumentParser(description="Run an engine on PyCUDA's arrays and stream.")
    parser.add_argument("engine", type=Path, help="an engine that `trtdsl build` made")
    parser.add_argument("--runs", type=int, default=100, help="how many runs follow each other (default: 100)")
    arguments = parser.parse_args()
    print(f"GPU {pycuda.autoprimaryctx.device.name()}")
    try:
        with trtdsl.Engine(arguments.engine) as engine:
            run(engine, arguments.runs)
    except TrtdslError as error:
        raise SystemExit("\n".join(diagnostic.render() for diagnostic in error.diagnostics)) from None


def run(engine: trtdsl.Engine, runs: int) -> None:
    random = np.random.default_rng(0)
    # Page-locked arrays of the host, and arrays of the GPU, all PyCUDA's; inputs have their usual shapes.
    hosts, inputs = {}, {}
    for name, tensor in engine.inputs.items():
        shape, dtype = tensor.profiles[0][1], np.dtype(tensor.dtype.storage)
        hosts[name] = cuda.pagelocked_empty(shape, dtype)
        hosts[name][...] = random.standard_normal(shape)
        inputs[name] = GPUArray(shape, dtype)
    stream = cuda.Stream()
    start, end = cuda.Event(), cuda.Event()
    with engine.context() as context:
        for number in range(runs + 10):
            if number == 10:  # the first runs prepare what later ones find
                start.record(stream)
            for name, host in hosts.items():
                inputs[name].set_async(host, stream)
            outputs = context.run(inputs, stream=stream, on_device=True)
        end.record(stream)
        stream.synchronize()
        print(f"{start.time_till(end) / runs * 1000:.1f} us for a run, its copy to the GPU included")
        for name, output in outputs.items():
            # An array of PyCUDA's over the same memory, as any that has `__cuda_array_interface__`.
            found = GPUArray(output.shape, np.dtype(output.dtype.storage), gpudata=output.address).get()
            by_numpy = engine.run(hosts)[name]
            print(f"{name}: {output.dtype}{list(output.shape)}, the same from numpy: {np.array_equal(found, by_numpy)}")


if __name__ == "__main__":
    main()
