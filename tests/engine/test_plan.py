"""Engines out of their bytes, by a stand-in for TensorRT's IRuntime."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trtdsl.engine.log import BuildLog
from trtdsl.engine.plan import deserialize
from trtdsl.errors import RunError
from trtdsl.targets.runtime import Runtime


class Logger:
    def __init__(self) -> None: ...


def runtime_of(*, says: str = "", takes: bool = True, cores: int | None = None) -> Runtime:
    """A TensorRT that makes of a plan what it was told before; without `cores` it has no word for these."""

    class Loader:
        engine_host_code_allowed = False
        DLA_core: int | None = None

        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Loader | None:
            if says:
                self.logger.log(SimpleNamespace(name="ERROR"), says)
            return self if takes else None

    if cores is not None:
        Loader.num_DLA_cores = cores  # type: ignore[attr-defined]
    return Runtime("tensorrt", (10, 15), SimpleNamespace(ILogger=Logger, Runtime=Loader))


# Each: what TensorRT is told, and what was said to it before it took the plan.
TOLD: dict[str, tuple[dict[str, Any], tuple[bool, int | None]]] = {
    "nothing": ({}, (False, None)),
    "code for the host": ({"host_code": True}, (True, None)),
    "the first DLA core": ({"dla_core": 0}, (False, 0)),
    "the last DLA core": ({"dla_core": 1}, (False, 1)),
}


@pytest.mark.parametrize(("told", "heard"), TOLD.values(), ids=TOLD)
def test_what_is_said_before(told: dict[str, Any], heard: tuple[bool, int | None]) -> None:
    runtime = runtime_of(cores=2)
    loader = deserialize(runtime, b"plan", BuildLog(runtime), **told)
    assert (loader.engine_host_code_allowed, loader.DLA_core) == heard


# Each: what TensorRT is and does, what it is told, the code and the message of the error.
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "with a reason": (
        {"takes": False, "says": "version tag does not match"},
        {},
        "engine-run",
        "TensorRT 10.15 does not load the engine: version tag does not match",
    ),
    "without a reason": (
        {"takes": False},
        {},
        "engine-run",
        "TensorRT 10.15 does not load the engine: it gives no reason",
    ),
    "no DLA core": (
        {"cores": 0},
        {"dla_core": 0},
        "gpu-missing",
        "the engine is for DLA core 0; TensorRT 10.15 finds no DLA core here",
    ),
    "no word for DLA cores": (
        {},
        {"dla_core": 0},
        "gpu-missing",
        "the engine is for DLA core 0; TensorRT 10.15 finds no DLA core here",
    ),
    "too few DLA cores": (
        {"cores": 2},
        {"dla_core": 2},
        "gpu-missing",
        "the engine is for DLA core 2; TensorRT 10.15 finds DLA cores 0 to 1 here",
    ),
}


@pytest.mark.parametrize(("there", "told", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(there: dict[str, Any], told: dict[str, Any], code: str, message: str) -> None:
    runtime = runtime_of(**there)
    with pytest.raises(RunError) as error:
        deserialize(runtime, b"plan", BuildLog(runtime), **told)
    [found] = error.value.diagnostics
    assert (found.code, found.message) == (code, message)


def test_errors_about_what_was_loaded_all_the_same_are_of_no_later_call() -> None:
    runtime = runtime_of(says="a plugin is older than its engine")
    log = BuildLog(runtime)
    assert deserialize(runtime, b"plan", log) is not None
    assert log.take_errors() == []
