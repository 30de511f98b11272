"""An engine out of its bytes, as TensorRT has it."""

from __future__ import annotations

from typing import Any

from trtdsl.engine.log import BuildLog
from trtdsl.errors import RunError
from trtdsl.targets.runtime import Runtime


def deserialize(
    runtime: Runtime, plan: Any, log: BuildLog, *, dla_core: int | None = None, host_code: bool = False
) -> Any:
    """TensorRT's engine; plugins that it needs are registered already, and `log` hears what TensorRT says.

    `host_code` lets an engine bring the runtime that it runs with, as those made for later versions do. Raises RunError
    with what TensorRT says where it does not take the engine, or there is no such DLA core.
    """
    loader = runtime.module.Runtime(log.logger)
    if host_code:
        loader.engine_host_code_allowed = True
    if dla_core is not None:
        _choose_dla_core(loader, dla_core, runtime)
    engine = loader.deserialize_cuda_engine(plan)
    if engine is None:
        reason = "; ".join(log.take_errors()) or "it gives no reason"
        raise RunError.of("engine-run", f"{runtime} does not load the engine: {reason}")
    log.take_errors()  # of what it loaded all the same
    return engine


def _choose_dla_core(loader: Any, core: int, runtime: Runtime) -> None:
    count = getattr(loader, "num_DLA_cores", 0)
    if core >= count:
        has = "no DLA core" if not count else f"DLA cores 0 to {count - 1}"
        raise RunError.of("gpu-missing", f"the engine is for DLA core {core}; {runtime} finds {has} here")
    loader.DLA_core = core
