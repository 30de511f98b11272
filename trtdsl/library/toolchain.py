"""What compiles plugins: CUDA's compiler, out of a toolkit or of NVIDIA's packages on PyPI, and CMake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtdsl.errors import BuildError

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""The compute capabilities that libraries are compiled for, where the compiler knows them."""
INSTALL = "pip install 'trtdsl[plugins]' brings one, and needs no root"


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

    Raises BuildError.
    """
    for nvcc in _places():
        if not nvcc.is_file():
            continue
        version = re.search(r"release (\d+\.\d+)", _output(nvcc, "--version"))
        known = re.findall(r"compute_(\d+)\b", _output(nvcc, "--list-gpu-arch"))
        if version is not None and known:
            return Toolchain(nvcc, version[1], nvcc.parents[1], tuple(sorted(map(int, known))))
    raise BuildError.of("plugin-build", "there is no CUDA compiler (nvcc) to compile plugins with", hint=INSTALL)


def _places() -> Iterator[Path]:
    if named := os.environ.get("CUDACXX"):
        yield Path(named)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if root := os.environ.get(variable):
            yield Path(root) / "bin" / "nvcc"
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    yield from sorted(packages.glob("cu*/bin/nvcc"), reverse=True)
    if found := shutil.which("nvcc"):
        yield Path(found).resolve()
    yield Path("/usr/local/cuda/bin/nvcc")


def _output(program: Path, *arguments: str) -> str:
    try:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def find_program(name: str) -> str:
    """The path of a program, beside this Python or on PATH. Raises BuildError."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise BuildError.of("plugin-build", f"there is no {name} to compile plugins with", hint=INSTALL)
    return found


def has_program(name: str) -> bool:
    """Whether `find_program` finds it."""
    return (Path(sysconfig.get_path("scripts")) / name).is_file() or shutil.which(name) is not None
