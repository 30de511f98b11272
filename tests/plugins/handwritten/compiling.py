"""Compiles the hand-written plugin for a TensorRT.

python -m tests.plugins.handwritten.compiling HEADERS LIBRARIES OUTPUT
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trtdsl.library.toolchain import Toolchain, find_toolchain

SOURCE = Path(__file__).with_name("step_clip.cu")


def compile_step_clip(headers: Path, libraries: Path, output: Path, toolchain: Toolchain) -> Path:
    """The library, linked to TensorRT's as those of most plugins are."""
    [linked] = [path.name for path in libraries.glob("libnvinfer.so.[0-9]*") if path.name.count(".") == 2]
    of_compiler = ["-std=c++17", "-shared", "-Xcompiler=-fPIC,-Wno-deprecated-declarations", "-diag-suppress=997"]
    # NVIDIA's packages on PyPI keep the static runtime in `lib`, where nvcc does not look.
    places = ["-isystem", str(headers), f"-L{toolchain.root / 'lib'}", f"-L{libraries}", f"-l:{linked}"]
    command = [str(toolchain.nvcc), *of_compiler, str(SOURCE), *places, "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


if __name__ == "__main__":
    given_headers, given_libraries, given_output = map(Path, sys.argv[1:])
    compile_step_clip(given_headers, given_libraries, given_output, find_toolchain())
