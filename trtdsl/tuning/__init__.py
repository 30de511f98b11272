"""Types for a network's layers: as narrow as its outputs let them be, found by few trials and written into its file."""

from __future__ import annotations

from trtdsl.tuning.judges import Judge, OnCpu, OnGpu
from trtdsl.tuning.search import Assignment, Trial
from trtdsl.tuning.tune import DTYPES, Reporter, Subject, Tuned, trials_of, tune

__all__ = [
    "DTYPES",
    "Assignment",
    "Judge",
    "OnCpu",
    "OnGpu",
    "Reporter",
    "Subject",
    "Trial",
    "Tuned",
    "trials_of",
    "tune",
]
