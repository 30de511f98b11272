"""Engine files: building them, what they were built from, and the store of earlier builds."""

from __future__ import annotations

from trtdsl.engine.cache import EngineCache
from trtdsl.engine.make import EngineFile, make_engine
from trtdsl.engine.progress import ProgressReporter

__all__ = ["EngineCache", "EngineFile", "ProgressReporter", "make_engine"]
