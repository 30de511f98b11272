from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from trtdsl.errors import RuntimeUnavailableError
from trtdsl.targets.runtime import Runtime, describe_runtime, find_runtime
from trtdsl.types import DataType

RUNTIMES = {
    "TensorRT 8.6.1": Runtime("tensorrt", (8, 6, 1)),
    "TensorRT 10.15.1": Runtime("tensorrt", (10, 15, 1)),
    "TensorRT 11.1": Runtime("tensorrt", (11, 1)),
    "TensorRT-RTX 1.7": Runtime("rtx", (1, 7)),
}
ABILITIES = {
    "is_strongly_typed": (False, False, True, True),
    "can_be_strongly_typed": (False, True, True, True),
    "has_gelu": (False, True, True, True),
    "has_isnan": (False, True, True, True),
    "has_typed_quantization": (False, True, True, True),
    "has_timing_cache": (True, True, True, False),
    "has_compatibility": (True, True, True, False),
    "has_bool_padding": (False, True, True, True),
    "has_typed_fill": (False, True, True, True),
    "has_data_dependent_sizes": (True, True, True, False),
    "has_stripping": (False, True, True, True),
    "has_progress_monitor": (False, True, True, True),
    "has_compute_capability": (False, False, False, True),
    "builds_without_gpu": (False, False, False, True),
}


@pytest.mark.parametrize("ability", ABILITIES)
def test_abilities(ability: str) -> None:
    assert tuple(getattr(runtime, ability) for runtime in RUNTIMES.values()) == ABILITIES[ability]


@pytest.mark.parametrize("name", RUNTIMES)
def test_says_what_it_is(name: str) -> None:
    assert str(RUNTIMES[name]) == name


def test_only_86_lacks_types_and_64_bit_shapes() -> None:
    assert RUNTIMES["TensorRT 8.6.1"].dtypes.isdisjoint({DataType.BF16, DataType.INT64})
    assert RUNTIMES["TensorRT 8.6.1"].shape_dtype is DataType.INT32
    assert DataType.BF16 in RUNTIMES["TensorRT 10.15.1"].dtypes
    assert RUNTIMES["TensorRT-RTX 1.7"].shape_dtype is DataType.INT64


def _module(version: str) -> SimpleNamespace:
    return SimpleNamespace(__version__=version, Builder=object, __spec__=object())


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No TensorRT at all, until a test puts one there."""
    for name in ("tensorrt", "tensorrt_bindings", "tensorrt_rtx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: sys.modules.get(name))
    return monkeypatch


RTX, PROPER = "TensorRT-RTX 1.7.1.116", "TensorRT 8.6.1"
AUTO: dict[str, tuple[bool, tuple[str, ...], str]] = {
    "both, and a GPU": (True, ("tensorrt_rtx", "tensorrt_bindings"), PROPER),
    "both, no GPU to build on": (False, ("tensorrt_rtx", "tensorrt_bindings"), RTX),
    "RTX alone, and a GPU": (True, ("tensorrt_rtx",), RTX),
    "TensorRT alone, no GPU": (False, ("tensorrt_bindings",), PROPER),
}


@pytest.mark.parametrize(("gpu", "installed", "taken"), AUTO.values(), ids=AUTO)
def test_auto_takes_what_can_build_here(
    gpu: bool, installed: tuple[str, ...], taken: str, modules: pytest.MonkeyPatch
) -> None:
    modules.setattr("trtdsl.targets.runtime.has_gpu", lambda: gpu)
    for name in installed:
        modules.setitem(sys.modules, name, _module("1.7.1.116" if name == "tensorrt_rtx" else "8.6.1"))
    assert str(find_runtime()) == taken


def test_takes_the_one_that_is_asked_for(modules: pytest.MonkeyPatch) -> None:
    modules.setitem(sys.modules, "tensorrt_rtx", _module("1.7.1.116"))
    modules.setitem(sys.modules, "tensorrt_bindings", _module("8.6.1"))
    assert str(find_runtime("rtx")) == RTX
    assert str(find_runtime("tensorrt")) == PROPER


def test_says_how_to_install_what_is_missing(modules: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeUnavailableError, match="no TensorRT-RTX can be used: it is not installed") as error:
        find_runtime("rtx")
    assert "pip install 'trtdsl[rtx]'" in str(error.value.diagnostics[0].hint)


def test_says_why_an_installed_one_does_not_load(modules: pytest.MonkeyPatch) -> None:
    modules.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.6.1"))
    with pytest.raises(RuntimeUnavailableError, match="tensorrt is installed without its libraries"):
        find_runtime("tensorrt")


WRITTEN_FOR = {
    "tensorrt-8.6": ("tensorrt", (8, 6)),
    "tensorrt-10.15.1": ("tensorrt", (10, 15, 1)),
    "tensorrt": ("tensorrt", (11, 1)),
    "rtx": ("rtx", (1, 7)),
    "auto": ("rtx", (1, 7)),
}


@pytest.mark.parametrize("choice", WRITTEN_FOR)
def test_calls_are_written_for_what_is_not_installed(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    described = describe_runtime(choice)
    assert (described.flavor, described.version, described.module) == (*WRITTEN_FOR[choice], None)


def test_calls_are_written_for_what_is_installed(rtx: Runtime) -> None:
    assert describe_runtime("rtx") == rtx
    assert describe_runtime(f"rtx-{rtx.version[0]}.{rtx.version[1]}") == rtx
    assert describe_runtime("rtx-0.9") == Runtime("rtx", (0, 9))


@pytest.mark.parametrize("choice", ["", "cuda", "auto-8", "tensorrt-", "tensorrt-8.x", "rtx-1..2"])
def test_no_such_runtime(choice: str) -> None:
    with pytest.raises(ValueError, match="a runtime is one of auto, rtx, tensorrt"):
        describe_runtime(choice)
