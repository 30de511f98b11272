from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from trtdsl.build_options import BuildOptions
from trtdsl.errors import Diagnostics

RIGHT: dict[str, tuple[str, Any, Any]] = {
    "bytes with a unit": ("workspace", "4GiB", 4 * 2**30),
    "bytes with a space": ("workspace", "512 MiB", 512 * 2**20),
    "decimal unit": ("workspace", "1GB", 10**9),
    "plain bytes": ("workspace", 1024, 1024),
    "level": ("optimization_level", 5, 5),
    "no tactic sources": ("tactic_sources", [], ()),
    "capability as a number": ("target", 8.9, ("8.9",)),
    "capabilities in every writing": ("target", ["8.6", "sm89", "SM_120", 7.5], ("8.6", "8.9", "12.0", "7.5")),
    "switch": ("refit", True, True),
    "profiles": ("profiles", [{"N": 1}, {"N": [2, 4, 8]}], ({"N": [1, 1, 1]}, {"N": [2, 4, 8]})),
    "no profiles": ("profiles", None, ()),
    "a DLA core": ("dla_core", 1, 1),
    "word": ("hardware_compatibility", "ampere_plus", "ampere_plus"),
}
WRONG: dict[str, tuple[str, Any, str]] = {
    "level out of range": ("optimization_level", 6, "from 0 to 5"),
    "number for a switch": ("refit", 1, "true or false"),
    "fraction of a byte": ("workspace", 1.5, "number of bytes"),
    "unknown unit": ("workspace", "4 pounds", "number of bytes"),
    "unknown word": ("profiling_verbosity", "loud", "one of none"),
    "not a capability": ("target", "fast", "compute capability"),
    "two sizes of a profile": ("profiles", [{"N": [1, 2]}], "[min, opt, max] in rising order"),
    "one profile, no list": ("profiles", {"N": 1}, "a list of profiles"),
    "no DLA core": ("dla_core", -1, "at least 0"),
    "misspelt": ("optimisation_level", 3, "is not a build option"),
}


@pytest.mark.parametrize(("name", "value", "expected"), RIGHT.values(), ids=RIGHT)
def test_reads(name: str, value: Any, expected: Any) -> None:
    diagnostics = Diagnostics()
    assert getattr(BuildOptions.parse({name: (value, None)}, diagnostics), name) == expected
    assert not diagnostics.errors
    jsonschema.validate({name: value}, BuildOptions.schema())


@pytest.mark.parametrize(("name", "value", "message"), WRONG.values(), ids=WRONG)
def test_refuses(name: str, value: Any, message: str) -> None:
    diagnostics = Diagnostics()
    BuildOptions.parse({name: (value, None)}, diagnostics)
    (error,) = diagnostics.errors
    assert error.code == "build-option"
    assert message in error.message
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({name: value}, BuildOptions.schema())


def test_reports_all_at_once_and_suggests() -> None:
    diagnostics = Diagnostics()
    BuildOptions.parse({"optimisation_level": (3, None), "refit": ("yes", None)}, diagnostics)
    assert len(diagnostics.errors) == 2
    assert "optimization_level" in str(diagnostics.errors[0].hint)
