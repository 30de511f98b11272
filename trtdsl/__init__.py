"""TensorRT networks as YAML: one text file becomes an engine.

import trtdsl

engine = trtdsl.load("networks/digits.yaml").build()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trtdsl.version import __version__

if TYPE_CHECKING:
    from trtdsl.api import load
    from trtdsl.errors import TrtdslError
    from trtdsl.network import Network
    from trtdsl.runtime import Engine

__all__ = ["Engine", "Network", "TrtdslError", "__version__", "load"]

_HOMES = {"Engine": "trtdsl.runtime", "Network": "trtdsl.network", "TrtdslError": "trtdsl.errors", "load": "trtdsl.api"}


def __getattr__(name: str) -> object:
    # `import trtdsl` stays cheap, because the command line starts with it: numpy comes in with the first network.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
