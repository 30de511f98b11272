"""Weights: where the elements of a parameter come from, and the handle that a layer holds.

Files are mapped and read on use; what a layer takes is checked before anything is built from it.
"""

from __future__ import annotations

from trtdsl.weights.arrays import convert, to_storage
from trtdsl.weights.base import Weight, WeightSource
from trtdsl.weights.entries import Entry, WeightFile
from trtdsl.weights.formats import open_weights
from trtdsl.weights.sources import as_stored

__all__ = ["Entry", "Weight", "WeightFile", "WeightSource", "as_stored", "convert", "open_weights", "to_storage"]
