"""Scales out of data: a network is run, and what its tensors hold decides what a step of int8 is worth in them."""

from __future__ import annotations

from trtdsl.calibration.calibrate import calibrate
from trtdsl.calibration.devices import DEVICES, loader
from trtdsl.calibration.methods import METHODS

__all__ = ["DEVICES", "METHODS", "calibrate", "loader"]
