"""The CUDA library of plugins: C++ out of plugin.yaml, compiled for the TensorRT that is there."""

from trtdsl.library.build import LibrarySources, build_library, cached_library, compile_library, copy_library
from trtdsl.library.headers import download_headers, find_headers
from trtdsl.library.scaffold import new_plugin
from trtdsl.library.toolchain import Toolchain, find_toolchain

__all__ = [
    "LibrarySources",
    "Toolchain",
    "build_library",
    "cached_library",
    "compile_library",
    "copy_library",
    "download_headers",
    "find_headers",
    "find_toolchain",
    "new_plugin",
]
