"""Libraries of plugins: compiled, and kept by all that can change them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtdsl.engine.files import Staged
from trtdsl.errors import BuildError
from trtdsl.library.generate import generate
from trtdsl.library.places import cache_folder
from trtdsl.library.toolchain import Toolchain, find_program, has_program
from trtdsl.plugins.bundled import declarations_in, plugins_folder
from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.reading import FILE, read_declaration

NAME = "libtrtdsl_plugins.so"
KERNELS = "libtrtdsl_kernels.so"
_SOURCES = ("*.cu", "*.cuh", "*.h", "*.cpp", "*.map", "CMakeLists.txt", FILE)
_COMPLAINT = re.compile(r"\b(error|fatal|FAILED|Error)\b")
_SHOWN = 30
"""Lines of a compiler's complaints that are shown."""


@dataclass(frozen=True)
class LibrarySources:
    """The plugins of one library, and the folders that their kernels lie in."""

    declarations: tuple[PluginDeclaration, ...]
    folders: tuple[Path, ...]
    name: str = "trtdsl_plugins"

    @classmethod
    def bundled(cls) -> LibrarySources:
        """Those that come with trtdsl."""
        root = plugins_folder()
        declarations = tuple(declarations_in(root).values())
        return cls(declarations, tuple(root / one.folder for one in declarations))

    @classmethod
    def of(cls, folders: Sequence[Path]) -> LibrarySources:
        """A user's own. Raises NetworkError for a plugin.yaml that is wrong, BuildError for a folder without one."""
        for folder in folders:
            if not (folder / FILE).is_file():
                raise BuildError.of("plugin-build", f"{folder} has no {FILE}", hint="`trtdsl plugins new` writes one")
        declarations = tuple(read_declaration(folder / FILE) for folder in folders)
        return cls(declarations, tuple(folder.resolve() for folder in folders), f"{folders[0].resolve().name}_plugins")

    @property
    def files(self) -> list[Path]:
        """Every file that goes into the library, but TensorRT's."""
        root = plugins_folder()
        found: set[Path] = set()
        for folder in (root / "common", *self.folders):
            for pattern in _SOURCES:
                found.update(folder.glob(pattern))
        return sorted({root / "CMakeLists.txt", *found})


def library_key(sources: LibrarySources, version: Sequence[int], toolchain: Toolchain, architectures: str) -> str:
    """A hash of all that can change a library: sources, what makes code of them, TensorRT, compiler, architectures."""
    digest = hashlib.sha256()
    digest.update(repr((tuple(version[:2]), toolchain.version, architectures, sources.name)).encode())
    for path in (*sources.files, *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def sources_key(sources: LibrarySources) -> str:
    """A hash of a library's sources, by which one that was compiled is found."""
    digest = hashlib.sha256()
    for path in sources.files:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def kept_folder(sources: LibrarySources, version: Sequence[int]) -> Path:
    """Where the compiled library of these sources is kept, for a version of TensorRT."""
    return cache_folder() / "plugins" / f"{sources_key(sources)}-tensorrt-{'.'.join(map(str, version[:2]))}"


def cached_library(version: Sequence[int]) -> Path | None:
    """The library of the plugins that come with trtdsl, compiled for a version of TensorRT; None if it is not there."""
    path = kept_folder(LibrarySources.bundled(), version) / NAME
    return path if path.is_file() else None


def build_library(
    sources: LibrarySources,
    version: Sequence[int],
    headers: Path,
    toolchain: Toolchain,
    *,
    architectures: tuple[int, ...] = (),
    force: bool = False,
) -> tuple[Path, bool]:
    """The compiled library, and whether it was there already. Raises BuildError, NetworkError, OSError.

    Of the same sources, TensorRT, compiler and architectures there is one, in the cache; several processes may build it
    at once.
    """
    chosen = toolchain.architectures(architectures)
    folder = kept_folder(sources, version)
    path, key = folder / f"lib{sources.name}.so", library_key(sources, version, toolchain, chosen)
    stamp = folder / "key"
    if not force and path.is_file() and stamp.is_file() and stamp.read_text() == key:
        return path, True
    with tempfile.TemporaryDirectory(prefix="trtdsl-plugins-") as scratch:
        made = compile_library(sources, headers, toolchain, chosen, Path(scratch))
        folder.mkdir(parents=True, exist_ok=True)
        with Staged() as staged:
            for one in made:
                staged.write(folder / one.name, one.read_bytes())
            staged.write(stamp, key.encode())
            staged.commit()
    return path, False


def compile_library(
    sources: LibrarySources, headers: Path | None, toolchain: Toolchain, architectures: str, scratch: Path
) -> tuple[Path, ...]:
    """Compile into a folder; gives the library of the kernels, and that of the plugins where there are headers.

    Raises BuildError with what the compiler says.
    """
    generated, build = scratch / "generated", scratch / "build"
    generate(sources.declarations, generated)
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CUDA_COMPILER": toolchain.nvcc,
        "CUDAToolkit_ROOT": toolchain.root,
        "CMAKE_CUDA_ARCHITECTURES": architectures,
        # NVIDIA's packages on PyPI keep the static runtime in `lib`, where nvcc does not look.
        "CMAKE_CUDA_FLAGS": f"-L{toolchain.root / 'lib'}",
        "TRTDSL_GENERATED": generated,
        "TRTDSL_PLUGIN_FOLDERS": ";".join(map(str, sources.folders)),
        "TRTDSL_LIBRARY_NAME": sources.name,
        "TENSORRT_INCLUDE_DIR": headers or "",
    }
    cmake = find_program("cmake")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={find_program('ninja')}"] if has_program("ninja") else []
    settings = [f"-D{name}={value}" for name, value in options.items()]
    _run([cmake, "-S", str(plugins_folder()), "-B", str(build), *generator, *settings], "configured")
    _run([cmake, "--build", str(build), "--parallel", str(os.cpu_count() or 1)], "compiled")
    names = [KERNELS, *([f"lib{sources.name}.so"] if headers else [])]
    return tuple(build / name for name in names)


def _run(command: Sequence[str], done: str) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        said = "\n".join(_complaints(result.stdout.splitlines()))
        raise BuildError.of("plugin-build", f"the library of plugins was not {done}:\n{said}")


def _complaints(lines: Sequence[str]) -> Iterable[str]:
    """What a compiler says from its first complaint on."""
    first = next((index for index, line in enumerate(lines) if _COMPLAINT.search(line) and "-Werror" not in line), 0)
    return lines[first : first + _SHOWN]


def copy_library(library: Path, output: Path) -> None:
    """A library under another name. Raises OSError."""
    with Staged() as staged:
        staged.write(output, library.read_bytes())
        staged.commit()
    shutil.copymode(library, output)
