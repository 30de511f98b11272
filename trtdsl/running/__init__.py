"""Networks that run: inputs to run them on, on a CPU or as engines, and how far the results are apart."""

from __future__ import annotations

from trtdsl.running.compare import Compared, Comparer, Comparison, Difference, with_every_layer
from trtdsl.running.dataset import Dataset, read_dataset
from trtdsl.running.declared import engine_inputs
from trtdsl.running.images import Array, Pictures
from trtdsl.running.inputs import Given, as_numbers, make_inputs, read_npz, save_npz
from trtdsl.running.reference import run_in_fp32

__all__ = [
    "Array",
    "Compared",
    "Comparer",
    "Comparison",
    "Dataset",
    "Difference",
    "Given",
    "Pictures",
    "as_numbers",
    "engine_inputs",
    "make_inputs",
    "read_dataset",
    "read_npz",
    "run_in_fp32",
    "save_npz",
    "with_every_layer",
]
