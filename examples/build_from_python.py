"""Load a network from Python, look at what it became, and build it.

python examples/build_from_python.py digits.engine
"""

from __future__ import annotations

import argparse
from pathlib import Path

import trtdsl
from trtdsl.errors import TrtdslError

NETWORK = Path(__file__).parents[1] / "networks" / "digits.yaml"


def main() -> None:
    """Print every layer with the shape it gives, then build the engine that the command line names."""
    parser = argparse.ArgumentParser(description="Build networks/digits.yaml in fp16.")
    parser.add_argument("engine", type=Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        network = trtdsl.load(NETWORK, precision="fp16")
        for layer in network.graph.layers:
            print(f"{layer.name:12} {layer.op.kind:12} {network.graph.types[layer.outputs[0]]}")
        engine = network.build(arguments.engine)
    except TrtdslError as error:
        # One diagnostic for each mistake, each with its line of the file.
        raise SystemExit("\n".join(diagnostic.render() for diagnostic in error.diagnostics)) from None
    print(f"{engine.path}: {engine.path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
