"""What compiles plugins: CUDA's compiler, of a toolkit or of NVIDIA's packages on PyPI, a C++ compiler, and CMake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtdsl.errors import BuildError

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""The compute capabilities that libraries are compiled for, where the compiler knows them."""
_TOOLKIT = Path("/usr/local/cuda")
INSTALL = "pip install 'trtdsl[plugins]' brings what compiles plugins, and needs no root"


@dataclass(frozen=True)
class Toolchain:
    """A CUDA compiler with its version, the root of its toolkit, and the architectures that it compiles for."""

    nvcc: Path
    version: str
    root: Path
    known: tuple[int, ...]

    def architectures(self, wanted: tuple[int, ...] = ()) -> str:
        """The value of CMAKE_CUDA_ARCHITECTURES: those wanted, or all of ours; the last one as PTX, for later GPUs.

        Raises BuildError for those that the compiler does not know.
        """
        chosen = sorted(set(wanted) or set(ARCHITECTURES) & set(self.known))
        unknown = [str(one) for one in chosen if one not in self.known]
        if unknown:
            known = ", ".join(map(str, self.known))
            message = f"nvcc {self.version} does not compile for {', '.join(unknown)}, but for {known}"
            raise BuildError.of("plugin-build", message)
        return ";".join([*(f"{one}-real" for one in chosen), f"{chosen[-1]}-virtual"])


def find_toolchain() -> Toolchain:
    """The compiler that $CUDACXX or $CUDA_HOME names, that of the Python packages, on PATH, or in /usr/local/cuda.

    Raises BuildError that lists where was looked.
    """
    looked = []
    for nvcc in _places():
        if (found := _toolchain(nvcc)) is not None:
            return found
        looked.append(f"{nvcc}: {'it does not run' if nvcc.is_file() else 'not there'}")
    message = "\n  ".join(["there is no CUDA compiler (nvcc) to compile plugins with; looked for", *looked])
    raise BuildError.of("plugin-build", message, hint=INSTALL)


def _toolchain(nvcc: Path) -> Toolchain | None:
    version = re.search(r"release (\d+\.\d+)", _output(nvcc, "--version"))
    known = re.findall(r"compute_(\d+)\b", _output(nvcc, "--list-gpu-arch"))
    if version is None or not known:
        return None
    return Toolchain(nvcc, version[1], nvcc.parents[1], tuple(sorted(map(int, known))))


def _places() -> Iterator[Path]:
    if named := os.environ.get("CUDACXX"):
        yield Path(shutil.which(named) or named)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if root := os.environ.get(variable):
            yield Path(root) / "bin" / "nvcc"
    for folder in sys.path:
        yield from sorted((Path(folder) / "nvidia").glob("cu*/bin/nvcc"), reverse=True)
    if found := shutil.which("nvcc"):
        yield Path(found).resolve()
    yield _TOOLKIT / "bin" / "nvcc"


def _output(program: Path, *arguments: str) -> str:
    try:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def find_cxx() -> Path | None:
    """The C++ compiler that $CXX names, or else one on PATH; nvcc compiles with it what is not for the GPU."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return Path(found)
    return None


def find_program(name: str) -> str | None:
    """The path of a program, beside this Python or on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return str(beside) if beside.is_file() else shutil.which(name)
