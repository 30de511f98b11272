"""Networks for the commands to work on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def digits() -> Path:
    return Path(__file__).parents[2] / "networks" / "digits.yaml"
