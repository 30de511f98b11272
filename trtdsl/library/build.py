"""Libraries of plugins: compiled, and kept by all that can change them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtdsl.engine.files import Staged, check_places, sha256, sha256_of
from trtdsl.errors import BuildError
from trtdsl.library.generate import generate
from trtdsl.library.places import cache_folder
from trtdsl.library.toolchain import INSTALL, Toolchain, find_cxx, find_program
from trtdsl.names import IDENTIFIER
from trtdsl.plugins.bundled import declarations_in, plugins_folder
from trtdsl.plugins.declaration import PluginDeclaration
from trtdsl.plugins.reading import CPP_WORDS, FILE, read_declaration

KERNELS = "libtrtdsl_kernels.so"
COMMON = "common"
_SOURCES = ("*.cu", "*.cuh", "*.h", "*.cpp", "*.map", "CMakeLists.txt", FILE)
_COMPLAINT = re.compile(r"\b(error|fatal|undefined reference|Error)\b")
_CONTEXT = re.compile(r"^(In file included|\s+from) |: (In|At) ")
"""What compilers write above a complaint."""
_TOOL = re.compile(r"^FAILED: | -c .* -o |^\[\d+/\d+\] |^(g?make(\[\d+\])?|ninja): ")
"""What build tools say of their own."""
_SHORT = 16
"""Digits of a key in the names of folders."""
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
        """A user's own. Raises NetworkError for a plugin.yaml that is wrong, BuildError for folders that are."""
        for folder in folders:
            if not (folder / FILE).is_file():
                raise BuildError.of("plugin-build", f"{folder} has no {FILE}", hint="`trtdsl plugins new` writes one")
            if problem := folder_problem(folder.resolve().name):
                raise BuildError.of("plugin-build", f"{folder}: {problem}")
        declarations = tuple(read_declaration(folder / FILE) for folder in folders)
        for what in ([one.name for one in declarations], [one.folder for one in declarations]):
            if twice := next((one for one in what if what.count(one) > 1), None):
                raise BuildError.of("plugin-build", f"two of these plugins, or their folders, are called {twice}")
        return cls(declarations, tuple(folder.resolve() for folder in folders), declarations[0].folder)

    @property
    def file(self) -> str:
        """What the library's file is called."""
        return f"lib{self.name}.so"

    @property
    def files(self) -> list[Path]:
        """Every file that goes into the library, but TensorRT's."""
        root = plugins_folder()
        found: set[Path] = set()
        for folder in (root / COMMON, *self.folders):
            for pattern in _SOURCES:
                found.update(folder.rglob(pattern))
        return sorted({root / "CMakeLists.txt", *found})


def folder_problem(name: str) -> str | None:
    """Why a plugin's folder cannot be called so, as a namespace of C++ and a folder of headers are; None if it can."""
    if not IDENTIFIER.allows(name):
        return f"the folder's name is a namespace in C++, made of {IDENTIFIER.words}"
    if name in CPP_WORDS:
        return f"the folder's name is a namespace in C++, and `{name}` a word of that"
    return f"`{name}` holds what all plugins share" if name == COMMON else None


def library_key(sources: LibrarySources, version: Sequence[int], toolchain: Toolchain, architectures: str) -> str:
    """A hash of all that can change a library: sources, what makes code of them, TensorRT, compiler, architectures."""
    made_for = repr((tuple(version[:2]), toolchain.version, architectures))
    return sha256(sources_key(sources).encode(), made_for.encode())


def sources_key(sources: LibrarySources) -> str:
    """A hash of a library's sources and of what makes code of them, by which one that was compiled is found."""
    parts = [sources.name.encode()]
    for path in (*sources.files, *sorted(Path(__file__).parent.glob("*.py"))):
        parts += [f"{path.parent.name}/{path.name}:".encode(), sha256_of(path).encode()]
    return sha256(*parts)


def kept_folder(sources: LibrarySources, version: Sequence[int]) -> Path:
    """Where the compiled library of these sources is kept, for a version of TensorRT."""
    return cache_folder() / "plugins" / f"{sources_key(sources)[:_SHORT]}-tensorrt-{'.'.join(map(str, version[:2]))}"


def cached_library(version: Sequence[int]) -> Path | None:
    """The library of the plugins that come with trtdsl, compiled for a version of TensorRT; None if it is not there."""
    sources = LibrarySources.bundled()
    path = kept_folder(sources, version) / sources.file
    return path if path.is_file() else None


def build_library(
    sources: LibrarySources,
    version: Sequence[int],
    headers: Path,
    toolchain: Toolchain,
    *,
    architectures: tuple[int, ...] = (),
    force: bool = False,
    before_compiling: Callable[[], None] = lambda: None,
) -> tuple[Path, bool]:
    """The compiled library, and whether it was there already. Raises BuildError, NetworkError, OSError.

    Of the same sources, TensorRT, compiler and architectures there is one, in the cache; several processes may build it
    at once. `before_compiling` is called where it was not there.
    """
    chosen = toolchain.architectures(architectures)
    folder = kept_folder(sources, version)
    path, key = folder / sources.file, library_key(sources, version, toolchain, chosen)
    stamp = folder / "key"
    if not force and path.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return path, True
    check_places(path, stamp)
    before_compiling()
    with tempfile.TemporaryDirectory(prefix="trtdsl-plugins-") as scratch:
        made = compile_library(sources, headers, toolchain, chosen, Path(scratch))
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
    cmake, ninja, cxx = find_program("cmake"), find_program("ninja"), find_cxx()
    if cmake is None:
        raise BuildError.of("plugin-build", "there is no cmake to compile plugins with", hint=INSTALL)
    if cxx is None:
        message = "there is no C++ compiler to compile plugins with, such as g++ or clang++"
        raise BuildError.of("plugin-build", message, hint="the system's packages have one; $CXX may name it")
    generated, build = scratch / "generated", scratch / "build"
    generate(sources.declarations, generated)
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER": cxx,
        "CMAKE_CUDA_COMPILER": toolchain.nvcc,
        "CMAKE_CUDA_HOST_COMPILER": cxx,
        "CUDAToolkit_ROOT": toolchain.root,
        "CMAKE_CUDA_ARCHITECTURES": architectures,
        # NVIDIA's packages on PyPI keep the static runtime in `lib`, where nvcc does not look.
        "CMAKE_CUDA_FLAGS": f"-L{toolchain.root / 'lib'}",
        "TRTDSL_GENERATED": generated,
        "TRTDSL_PLUGIN_FOLDERS": ";".join(map(str, sources.folders)),
        "TRTDSL_LIBRARY_NAME": sources.name,
        "TENSORRT_INCLUDE_DIR": headers or "",
    }
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    settings = [f"-D{name}={value}" for name, value in options.items()]
    _run([cmake, "-S", str(plugins_folder()), "-B", str(build), *generator, *settings], "configured")
    _run([cmake, "--build", str(build), "--parallel", str(len(os.sched_getaffinity(0)))], "compiled")
    names = [KERNELS, *([sources.file] if headers else [])]
    return tuple(build / name for name in names)


def _run(command: Sequence[str], done: str) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        said = "\n".join(_complaints(result.stdout.splitlines()))
        raise BuildError.of("plugin-build", f"the library of plugins was not {done}:\n{said}")


def _complaints(lines: Sequence[str]) -> Sequence[str]:
    """What compilers say from the first complaint on, without the command lines that a build tool repeats."""
    said = [line for line in lines if not _TOOL.search(line)]
    first = next((index for index, line in enumerate(said) if _COMPLAINT.search(line)), 0)
    while first and _CONTEXT.search(said[first - 1]):
        first -= 1
    return said[first : first + _SHOWN]


def copy_library(library: Path, output: Path) -> None:
    """A library under another name. Raises OSError."""
    with Staged() as staged:
        staged.write(output, library.read_bytes())
        staged.commit()
    shutil.copymode(library, output)
